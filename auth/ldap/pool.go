package ldap

import (
	"context"
	"errors"
	"sync"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// Active Directory ends a connection that was idle for 900 seconds
// (MaxConnIdleTime); a pool is quicker, and lets no connection grow so old
// that a load balancer's change of mind goes unnoticed.
const (
	maxIdle     = 5 * time.Minute
	maxLife     = 12 * time.Minute
	healthAfter = 30 * time.Second // of idleness, a connection has to prove itself
)

// errBusy means that all connections of a pool are in use, and stay so.
var errBusy = errors.New("all connections to the directory are in use")

// A pool is a bounded set of connections to one server, for one purpose.
type pool struct {
	open  func(context.Context) (*link, error)
	slots chan struct{} // one for each link in use

	mu     sync.Mutex
	idle   []*link // the one used last at the end
	closed bool
}

func newPool(size int, open func(context.Context) (*link, error)) *pool {
	return &pool{open: open, slots: make(chan struct{}, size)}
}

// use runs op on a connection. A connection that was idle may have died
// unnoticed: where it fails and time is left, op runs once more, on a fresh
// one.
func (p *pool) use(ctx context.Context, op func(*goldap.Conn) error) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return errBusy
	}
	defer func() { <-p.slots }()
	if c := p.take(ctx); c != nil {
		err := c.do(ctx, op)
		p.put(c)
		if isAnswer(err) || ctx.Err() != nil {
			return err
		}
	}
	c, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer p.put(c)
	return c.do(ctx, op)
}

// take returns an idle connection that is in good health, nil if there is
// none.
func (p *pool) take(ctx context.Context) *link {
	for {
		c := p.pop()
		switch {
		case c == nil:
			return nil
		case c.usable() && time.Since(c.born) < maxLife && healthy(ctx, c):
			return c
		}
		c.hangUp()
	}
}

func (p *pool) pop() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if c.end.Stop() { // else it was idle for too long, and is being closed
			return c
		}
	}
	return nil
}

// healthy asks a server for its root entry (RFC 4512 §5.1) where the
// connection has been idle. Any answer will do.
func healthy(ctx context.Context, c *link) bool {
	if time.Since(c.since) < healthAfter {
		return true
	}
	err := c.do(ctx, func(conn *goldap.Conn) error {
		_, err := conn.Search(goldap.NewSearchRequest("", goldap.ScopeBaseObject, goldap.NeverDerefAliases,
			1, 0, false, "(objectClass=*)", []string{"1.1"}, nil))
		return err
	})
	return isAnswer(err)
}

// put takes a connection back.
func (p *pool) put(c *link) {
	p.mu.Lock()
	keep := !p.closed && c.usable()
	if keep {
		c.since = time.Now()
		c.end = time.AfterFunc(maxIdle, c.hangUp)
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.hangUp()
	}
}

// close ends the idle connections, and those in use after their operation.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for c := p.pop(); c != nil; c = p.pop() {
		c.hangUp()
	}
}
