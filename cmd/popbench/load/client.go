package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// A client is one of those that keep the server busy, with one connection at a
// time. One goroutine owns it.
type client struct {
	conn
	run    *run
	id     int
	dialer net.Dialer
	source netip.AddrPort
	config *tls.Config // nil without TLS
	tcp    *net.TCPConn

	greeting, out []byte
	turn          int // sessions begun
	box           mailbox
	flights       []flight
	sum           hash.Hash

	op         tally // of the operation that is under way
	total      tally
	operations atomic.Int64 // counted
	latency    histogram

	handshakes, resumed int64
	suite               string // of the last handshake
}

// A tally is what operations brought.
type tally struct{ octets, verified int64 }

func newClient(r *run, id int) *client {
	c := &client{run: r, id: id, dialer: newDialer(r.o), source: source(r.o.Sources, id)}
	c.buf, c.timeout = make([]byte, r.w.buffer()), r.o.Timeout
	if r.config != nil {
		c.config = r.config.Clone()
		if r.o.TLS == Resumed {
			c.config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		}
	}
	return c
}

// buffer returns the size of the buffer for what the server sends.
func (w workload) buffer() int {
	if w.many {
		return 256 << 10
	}
	return 64 << 10
}

// maxFailures is how many operations may fail one after another until a client
// gives up.
const maxFailures = 10

// loop does operations until the run is over.
func (c *client) loop() {
	for failures := 0; failures < maxFailures; {
		user, more := c.user()
		cl := c.run.peek()
		if more && !c.run.w.once && !c.run.w.many {
			cl = c.run.claim()
		}
		if !more || cl == over {
			return
		}
		start := time.Now()
		c.op = tally{}
		if err := c.run.w.step(c, user, cl); err != nil {
			c.run.fail(fmt.Errorf("%s: %w", c.run.o.Users.Name(user), err))
			_ = c.end() // the first error says more
			if failures++; errors.Is(err, os.ErrDeadlineExceeded) {
				return // who waited so long waits no more
			}
			continue
		}
		failures = 0
		switch w := c.run.w; {
		case !w.many:
			c.record(cl, start)
		case !w.once:
			return // its session lasted as long as the run
		}
	}
}

// user returns whose turn it is. Clients share accounts among themselves, for a
// maildrop has one session at a time.
func (c *client) user() (i int, more bool) {
	o := c.run.o
	if c.run.w.once {
		i = int(c.run.accounts.Add(1)) - 1
		return i, i < o.Users.N
	}
	first := c.id % o.Users.N
	mine := (o.Users.N - first + o.Clients - 1) / o.Clients
	i = first + c.turn%mine*o.Clients
	c.turn++
	return i, true
}

// record counts an operation that has ended, if it is one of those that count.
func (c *client) record(cl claim, start time.Time) {
	if !c.run.counts(cl) {
		return
	}
	c.operations.Add(1)
	c.total.octets += c.op.octets
	c.total.verified += c.op.verified
	c.latency.add(time.Since(start))
}
