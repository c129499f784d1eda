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
)

// admit counts c in, or says why it may not come in.
func (s *Server) admit(c *Conn) error {
	addr := c.Addr.Addr().WithZone("")
	if from := c.endpoint.AllowFrom; len(from) > 0 && !holds(from, addr) {
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

func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.running.Done()
	delete(s.conns, c)
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

// turned counts the connections that were turned away since the log said so.
type turned struct {
	mu     sync.Mutex
	logged time.Time
	since  int
}

// logTurnedAway logs the refusal of a connection, at most once a second: who
// floods the server shall not flood its log.
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
