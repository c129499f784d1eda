package server

import (
	"context"
	"net/netip"
)

// A Network is a handler of its own for the clients of some addresses.
type Network struct {
	Name    string
	From    []netip.Prefix
	Handler Handler
}

// Networks is a Handler that leaves each connection to the first network that
// holds the client's address, and to Else where none does. What a client is
// offered does not change while it is connected.
type Networks struct {
	First []Network
	Else  Handler
}

var _ Handler = (*Networks)(nil)

// Serve implements [Handler].
func (n *Networks) Serve(ctx context.Context, c *Conn) error {
	h, name := n.For(c.Addr.Addr())
	if name != "" {
		c.log = c.log.With("network", name)
	}
	return h.Serve(ctx, c)
}

// For returns the handler for clients of an address, and the name of the
// network that holds it, "" for none.
func (n *Networks) For(addr netip.Addr) (h Handler, name string) {
	for _, network := range n.First {
		if holds(network.From, addr) {
			return network.Handler, network.Name
		}
	}
	return n.Else, ""
}
