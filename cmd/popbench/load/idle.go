package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kpopd/cmd/popbench/procfs"
)

// perSource is how many connections come from one address of ours: the system
// has some 28,000 ports for each.
const perSource = 20_000

// pings is how many idle sessions have to prove that they live.
const pings = 1000

// A holder has the sessions that are held. A client opens many.
type holder struct {
	*run
	next  atomic.Int64
	held  []held
	conns sync.Mutex
}

// A held session keeps no more of a client than its connection.
type held struct {
	net.Conn
	number int
}

// runIdle logs in sessions, and measures the server once all are idle and it is
// quiet. An operation is a session.
func runIdle(ctx context.Context, o *Options) (*Result, error) {
	if err := o.crowd(); err != nil {
		return nil, err
	}
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	h := &holder{run: r}
	r.hold = h.keep
	defer h.end()
	m, err := h.measure(ctx)
	if err != nil {
		return nil, err
	}
	alive := h.ping()
	res, err := r.result(m)
	if err != nil {
		return nil, err
	}
	res.Verified = alive
	if res.Server != nil {
		res.Server.PSSPerSession = float64(m.after.PSS-m.before.PSS) / float64(max(1, res.Operations))
	}
	return res, nil
}

// crowd makes room for the sessions.
func (o *Options) crowd() error {
	if o.Sessions == 0 {
		o.Sessions = o.Users.N
	}
	if o.Sources == 0 && o.Sessions > perSource && o.Target.Addr().IsLoopback() {
		o.Sources = (o.Sessions + perSource - 1) / perSource
	}
	o.Count, o.Warmup = int64(o.Sessions), 0
	return files(uint64(o.Sessions) + 100)
}

// measure opens the sessions, and reads the memory of a server that is quiet,
// before that and once they were held.
func (h *holder) measure(ctx context.Context) (m measurement, err error) {
	before, err := settled(ctx, h.o.Server)
	if err != nil {
		return m, err
	}
	if m, err = h.run.measure(ctx); err != nil {
		return m, err
	}
	pause(ctx, h.o.Hold)
	m.before = before
	m.after, err = settled(ctx, h.o.Server)
	return m, err
}

// files sees to it that n files can be open.
func files(n uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur >= n {
		return err
	}
	l.Cur, l.Max = n, max(l.Max, n) // which only root may raise
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("no %d open files, see ulimit -n: %w", n, err)
	}
	return nil
}

// stepHold logs in and gives the connection away.
func (c *client) stepHold(_ int, _ claim) error { return c.run.hold(c) }

// keep opens the next session.
func (h *holder) keep(c *client) error {
	n := int(h.next.Add(1)) - 1
	c.source = source(h.o.Sources, n)
	if err := c.login(n % h.o.Users.N); err != nil {
		return err
	}
	h.conns.Lock()
	defer h.conns.Unlock()
	h.held = append(h.held, held{c.Conn, n})
	_ = c.Conn.SetDeadline(time.Time{}) // a timer for each would be memory of ours
	c.tcp = nil
	return nil
}

// ping asks some of the sessions for a sign of life, and returns how many gave
// one.
func (h *holder) ping() (alive int64) {
	c := newClient(h.run, 0)
	for i := 0; i < len(h.held); i += 1 + len(h.held)/pings {
		c.use(h.held[i].Conn)
		if _, err := c.one([]byte("NOOP\r\n")); err != nil {
			if h.fail(fmt.Errorf("idle session %d: %w", h.held[i].number, err)); errors.Is(err, os.ErrDeadlineExceeded) {
				break // the others would take as long
			}
			continue
		}
		alive++
	}
	return alive
}

// end ends all sessions, without QUIT: that would be another workload.
func (h *holder) end() {
	for _, held := range h.held {
		if conn, ok := held.Conn.(interface{ NetConn() net.Conn }); ok {
			_ = conn.NetConn().Close()
			continue
		}
		_ = held.Close()
	}
}

// settled waits until the server is quiet, and returns what it has in memory.
func settled(ctx context.Context, t *procfs.Tree) (procfs.Memory, error) {
	const look, long = 100 * time.Millisecond, 30 * time.Second
	last, err := t.Usage()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for quiet, end := 0, time.Now().Add(long); t != nil && err == nil && quiet < 5 && time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return procfs.Memory{}, ctx.Err()
		}
		var now procfs.Usage
		now, err = t.Usage()
		if quiet++; now.Since(last).CPU > look/20 {
			quiet = 0
		}
		last = now
	}
	m, memErr := t.Memory()
	return m, errors.Join(err, memErr)
}
