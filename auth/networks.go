package auth

import (
	"net/netip"
	"slices"
)

// Networks are where clients may come from. Zero: nowhere.
type Networks struct {
	// Prefixes are of addresses as they are, IPv4 ones not mapped to IPv6.
	Prefixes []netip.Prefix
	// Unix are the Unix sockets of this machine.
	Unix bool
}

// Contain reports whether the client is in one of them. A client without an
// address is in none, unless it is on a Unix socket.
func (n Networks) Contain(p Peer) bool {
	if p.Unix {
		return n.Unix
	}
	addr := p.Addr.Addr().Unmap().WithZone("") // no prefix contains a zone
	return slices.ContainsFunc(n.Prefixes, func(x netip.Prefix) bool { return x.Contains(addr) })
}
