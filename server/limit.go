package server

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

var (
	errTooMany        = errors.New("too many connections")
	errTooManyAddress = errors.New("too many connections from this address")
	errNotAllowed     = errors.New("address is not in allow_from")
	errNoMemory       = errors.New("too much memory is taken before login")
)

// admit counts c in, or says why it may not come in.
func (s *Server) admit(c *Conn) error {
	addr := c.Addr.Addr().WithZone("")
	if !c.endpoint.Allows(addr) {
		return errNotAllowed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return ErrServerClosed
	}
	key := limitKey(addr)
	if l := s.limits.Load(); l != nil {
		if l.Conns > 0 && len(s.conns) >= l.Conns {
			return errTooMany
		}
		if l.PerAddress > 0 && s.perAddr[key] >= l.PerAddress {
			return errTooManyAddress
		}
	}
	if s.conns == nil {
		s.conns = make(map[*Conn]bool)
		s.perAddr = make(map[netip.Addr]int)
	}
	s.running.Add(1)
	s.conns[c] = true
	s.perAddr[key]++
	return nil
}

// holds reports whether addr is in one of the networks, for which its zone does
// not matter.
func holds(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.WithZone("") // no prefix contains a zone
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Allows reports whether clients of an address may connect.
func (e *Endpoint) Allows(addr netip.Addr) bool {
	return len(e.AllowFrom) == 0 || holds(e.AllowFrom, addr)
}

func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.running.Done()
	delete(s.conns, c)
	s.vacate(c)
	c.release()
	key := limitKey(c.Addr.Addr().WithZone(""))
	if s.perAddr[key]--; s.perAddr[key] <= 0 {
		delete(s.perAddr, key)
	}
}

// limitKey is the address, without a zone, that a limit counts: one host has a
// whole IPv6 /64.
func limitKey(a netip.Addr) netip.Addr {
	if a.Is4() || !a.IsValid() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// Occupy counts the connection in as one of user's, or reports that he has as
// many as [Limits] lets him. It counts until Vacate, another Occupy, or the end
// of the connection. Only the goroutine that owns the Conn calls it.
func (c *Conn) Occupy(user string) bool {
	s := c.srv
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vacate(c)
	if l := s.limits.Load(); l != nil && l.PerUser > 0 && s.perUser[user] >= l.PerUser {
		return false
	}
	if s.perUser == nil {
		s.perUser = make(map[string]int)
	}
	s.perUser[user]++
	c.user, c.occupies = user, true
	return true
}

// Vacate counts the connection out again.
func (c *Conn) Vacate() {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	c.srv.vacate(c)
}

// vacate is Vacate under mu.
func (s *Server) vacate(c *Conn) {
	if !c.occupies {
		return
	}
	c.occupies = false
	if s.perUser[c.user]--; s.perUser[c.user] <= 0 {
		delete(s.perUser, c.user)
	}
}

// Reserve sets n octets aside for what the client has announced, out of those
// that [Limits] has for all connections, or reports that they are not there.
// They are free again at the next wait for a line.
func (c *Conn) Reserve(n int) bool {
	more := int64(n) - c.reserved
	if more <= 0 {
		return true
	}
	l := c.srv.limits.Load()
	if taken := c.srv.memory.Add(more); l != nil && l.Memory > 0 && taken > l.Memory {
		c.srv.memory.Add(-more)
		c.srv.logTurnedAway(c, errNoMemory)
		return false
	}
	c.reserved += more
	return true
}

// release frees what is reserved.
func (c *Conn) release() {
	c.srv.memory.Add(-c.reserved)
	c.reserved = 0
}

// turned counts the connections that were turned away since the log said so.
type turned struct {
	mu     sync.Mutex
	logged time.Time
	since  int
}

// logTurnedAway logs the refusal of a connection, or of what one sends, at most
// once a second: who floods the server shall not flood its log.
func (s *Server) logTurnedAway(c *Conn, err error) {
	t := &s.turned
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since++
	if now := time.Now(); now.Sub(t.logged) >= time.Second {
		c.log.Warn("connection refused", "err", err, "refused", t.since)
		t.logged, t.since = now, 0
	}
}
