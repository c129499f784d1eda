package config

import (
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A Network is a network block of a listener: what its clients may use to log
// in. What it does not say is as the listener has it.
type Network struct {
	Place

	Name string         // the block's label, unique in the listener
	From []netip.Prefix // required
	// LoginWithoutTLS and Mechanisms take the place of the listener's. Default:
	// the listener's.
	LoginWithoutTLS ClearLogin
	Mechanisms      []string
}

func (l *Listener) readNetwork(d *decoder, b *hclsyntax.Block) {
	if len(l.Networks) >= maxNetworks {
		d.errorf(b.DefRange(), "Too many networks", "A listener may have %d of them.", maxNetworks)
		return
	}
	// The listener's own arguments were read before its blocks.
	n := Network{Name: b.Labels[0], LoginWithoutTLS: l.LoginWithoutTLS}
	n.Place = d.block(b, schema{what: "network", fields: []field{
		must("from", value(list(&n.From, prefix))),
		may("login_without_tls", value(oneOf(&n.LoginWithoutTLS, ClearNone, ClearTickets, ClearAny))),
		may("mechanisms", value(list(&n.Mechanisms, mechanism))),
	}})
	l.Networks = append(l.Networks, n)
}

// checkNetworks checks the networks of a listener for clients.
func (d *decoder) checkNetworks(f *File, l *Listener) {
	var before []netip.Prefix
	for i := range l.Networks {
		n := &l.Networks[i]
		d.checkNetwork(f, l, n)
		d.checkReached(l, n, before)
		before = append(before, n.From...)
	}
}

// checkNetwork checks what a network says of its own.
func (d *decoder) checkNetwork(f *File, l *Listener, n *Network) {
	d.checkMechanisms(f, n.Place, n.Mechanisms)
	if l.Address.Network == "unix" {
		d.errorf(n.Header, "Block without effect", "Clients of a Unix socket have no address that a network could hold.")
	}
	if l.Protocol == KPOP && n.has("mechanisms") {
		d.errorf(n.At("mechanisms"), "Argument without effect", "KPOP has a ticket for its proof, whatever the network.")
	}
	if l.TLS == TLSOff && n.has("login_without_tls") && n.LoginWithoutTLS == ClearNone {
		d.errorf(n.At("login_without_tls"), "Nobody can log in", "The listener has no TLS, and lets nobody of this network log in without.")
	}
	local := !slices.ContainsFunc(n.From, func(p netip.Prefix) bool { return !p.Addr().IsLoopback() })
	if n.has("login_without_tls") && n.LoginWithoutTLS == ClearAny && !local {
		d.warnf(n.At("login_without_tls"), "Passwords in the clear", "Passwords of this network may reach the listener without TLS (RFC 8314 §4.1).")
	}
}

// checkReached checks that a client can come to n: allow_from lets it, and no
// network before has it.
func (d *decoder) checkReached(l *Listener, n *Network, before []netip.Prefix) {
	var hidden []netip.Prefix
	for _, p := range n.From {
		if len(l.AllowFrom) > 0 && !slices.ContainsFunc(l.AllowFrom, p.Overlaps) {
			d.errorf(n.At("from"), "Network never reached", "allow_from of the listener keeps %s out.", p)
		} else if covered(p, before) {
			hidden = append(hidden, p)
		}
	}
	if len(hidden) == len(n.From) && len(hidden) > 0 {
		d.errorf(n.At("from"), "Network never reached", "All its clients are in networks above, which decide. Write the smaller network first.")
		return
	}
	for _, p := range hidden {
		d.warnf(n.At("from"), "Network never reached", "The clients from %s are in networks above, which decide.", p)
	}
}

// covered reports whether all addresses of p are in one of the others.
func covered(p netip.Prefix, others []netip.Prefix) bool {
	var inside []netip.Prefix
	for _, o := range others {
		if o.Bits() <= p.Bits() && o.Contains(p.Addr()) {
			return true
		}
		if p.Overlaps(o) {
			inside = append(inside, o)
		}
	}
	if len(inside) == 0 {
		return false
	}
	low, high := halves(p)
	return covered(low, inside) && covered(high, inside)
}

// halves returns the two halves of p, which is more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	octets, bit := p.Addr().AsSlice(), p.Bits()
	octets[bit/8] |= 0x80 >> (bit % 8)
	upper, _ := netip.AddrFromSlice(octets)
	return netip.PrefixFrom(p.Addr(), bit+1), netip.PrefixFrom(upper, bit+1)
}
