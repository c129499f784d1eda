package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"kpopd/cmd/popbench/procfs"
)

// A run is one load on one server.
type run struct {
	o          *Options
	w          workload
	config     *tls.Config
	login      func(c *client, user int) error
	hold       func(c *client) error // of idle
	pipelining bool                  // the server takes commands ahead, and we send them so
	bounded    bool                  // it ends when all operations are done, whatever the time

	phase             atomic.Int32 // a claim: what begins now is that
	claimed, accounts atomic.Int64
	clients           []*client

	mu     sync.Mutex
	errors int64
	first  error
}

// A claim says of an operation whether it counts.
type claim int32

const (
	uncounted claim = iota // it is part of the warming up
	counted
	over // there is to be none
)

// Run puts a load on a server and returns what came of it. Its error is that
// there was nothing to measure; what went wrong with operations is in the
// result. The end of ctx ends the run early.
func Run(ctx context.Context, o Options) (*Result, error) {
	o.fill()
	if err := o.check(); err != nil {
		return nil, err
	}
	switch o.Workload {
	case "idle":
		return runIdle(ctx, &o)
	case "abuse":
		return runAbuse(ctx, &o)
	}
	return runLoad(ctx, &o)
}

// runLoad has clients do operations, and counts them.
func runLoad(ctx context.Context, o *Options) (*Result, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	before, err := o.Server.Memory()
	if err != nil {
		return nil, err
	}
	m, err := r.measure(ctx)
	if err != nil {
		return nil, err
	}
	m.before = before
	return r.result(m)
}

// newRun asks the server what it can do, and makes the clients.
func newRun(o *Options) (*run, error) {
	r := &run{o: o, w: workloads[o.Workload], login: mechanisms[o.Mechanism]}
	r.bounded = o.Count > 0 || r.w.once
	if o.TLS != None {
		r.config = clientConfig(o.Config)
	}
	if err := r.probe(); err != nil {
		return nil, err
	}
	for id := range o.Clients {
		r.clients = append(r.clients, newClient(r, id))
	}
	return r, nil
}

// A measurement is what was read off before and after.
type measurement struct {
	began         time.Time
	elapsed       time.Duration
	server, own   procfs.Usage
	before, after procfs.Memory
}

// measure has all clients at work: first uncounted, then counted.
func (r *run) measure(ctx context.Context) (m measurement, err error) {
	warm := !r.w.once && r.o.Warmup > 0
	if !warm {
		if err := r.start(&m); err != nil {
			return m, err
		}
	}
	var all sync.WaitGroup
	for _, c := range r.clients {
		all.Go(c.loop)
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	defer func() { r.phase.Store(int32(over)); <-done }()
	if warm {
		await(ctx, done, r.o.Warmup)
		if err := r.start(&m); err != nil {
			return m, err
		}
	}
	defer r.watch()()
	if r.bounded {
		await(ctx, done, 0)
	} else {
		await(ctx, done, r.o.Duration)
	}
	return m, errors.Join(r.stop(&m), ctx.Err())
}

// start begins to count.
func (r *run) start(m *measurement) (err error) {
	m.server, err = r.o.Server.Usage()
	m.own, m.began = procfs.Self(), time.Now()
	r.phase.Store(int32(counted))
	return err
}

// stop ends the counting.
func (r *run) stop(m *measurement) error {
	r.phase.Store(int32(over))
	m.elapsed = time.Since(m.began)
	m.own = procfs.Self().Since(m.own)
	server, err := r.o.Server.Usage()
	m.server = server.Since(m.server)
	if err == nil {
		m.after, err = r.o.Server.Memory()
	}
	return err
}

// await waits for the first of an end, done and, if it is not 0, a duration.
func await(ctx context.Context, done <-chan struct{}, d time.Duration) {
	var timer <-chan time.Time
	if d > 0 {
		timer = time.After(d)
	}
	select {
	case <-ctx.Done():
	case <-done:
	case <-timer:
	}
}

// watch reports progress until stop is called.
func (r *run) watch() (stop func()) {
	if r.o.Progress == nil {
		return func() {}
	}
	quit, start := make(chan struct{}), time.Now()
	var g sync.WaitGroup
	g.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for last := int64(0); ; {
			select {
			case <-quit:
				return
			case <-tick.C:
				n := r.operations()
				p := Progress{Operations: n, Errors: r.failures(), Rate: float64(n-last) * 5}
				p.Done = r.done(n, time.Since(start))
				r.o.Progress(p)
				last = n
			}
		}
	})
	return func() { close(quit); g.Wait() }
}

// done returns which part of the run is over.
func (r *run) done(operations int64, since time.Duration) float64 {
	switch {
	case r.w.once:
		return min(1, float64(r.accounts.Load())/float64(r.o.Users.N))
	case r.bounded:
		return min(1, float64(operations)/float64(r.o.Count))
	}
	return min(1, float64(since)/float64(r.o.Duration))
}

func (r *run) counting() bool { return r.peek() == counted }

// peek says what an operation that begins now would be.
func (r *run) peek() claim { return claim(r.phase.Load()) }

// claim is peek, and takes one of the operations that are left.
func (r *run) claim() claim {
	cl := r.peek()
	if cl == counted && r.o.Count > 0 && r.claimed.Add(1) > r.o.Count {
		return over
	}
	return cl
}

// counts says whether an operation that has just ended counts: of a number of
// operations those that were claimed, within a time those that end in it.
func (r *run) counts(cl claim) bool {
	if r.bounded {
		return cl == counted
	}
	return r.counting()
}

func (r *run) operations() (n int64) {
	for _, c := range r.clients {
		n += c.operations.Load()
	}
	return n
}

// depth is how many commands may be in flight.
func (r *run) depth() int {
	if r.pipelining {
		return r.o.Pipeline
	}
	return 1
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errors++; r.first == nil {
		r.first = err
	}
}

func (r *run) failures() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errors
}

// probe asks the server, in a session of its own, what it can do.
func (r *run) probe() error {
	c := newClient(r, 0)
	defer c.end()
	if err := c.dial(); err != nil {
		return fmt.Errorf("%s: %w", r.o.Target, err)
	}
	if r.w.mechanism == "kpop" {
		return nil // it speaks no POP3 before a ticket
	}
	if r.o.Pipeline == 1 {
		return c.quit()
	}
	err := c.lines(capa, func(line []byte) error {
		r.pipelining = r.pipelining || string(line) == "PIPELINING"
		return nil
	})
	if err == nil && !r.pipelining {
		err = errors.New("its CAPA does not say PIPELINING: no more than one command in flight")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.o.Target, err)
	}
	return c.quit()
}
