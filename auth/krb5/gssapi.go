package krb5

import (
	"context"
	"fmt"
	"strings"

	"kpopd/auth"
)

// A LayerSet is a set of SASL security layers, with the values that RFC 4752
// §3.3 gives them.
type LayerSet uint8

const (
	// LayerNone leaves the session as it is, which is right under TLS.
	LayerNone LayerSet = 1 << iota
	// LayerIntegrity protects all that follows against change.
	LayerIntegrity
	// LayerConfidentiality encrypts it too.
	LayerConfidentiality
)

// ParseLayers returns the set of the layers called "none", "integrity" and
// "confidentiality".
func ParseLayers(names []string) (LayerSet, error) {
	var set LayerSet
	for _, name := range names {
		switch name {
		case "none":
			set |= LayerNone
		case "integrity":
			set |= LayerIntegrity
		case "confidentiality":
			set |= LayerConfidentiality
		default:
			return 0, fmt.Errorf("krb5: no security layer %q", name)
		}
	}
	return set, nil
}

// String returns the names that ParseLayers takes, joined by commas.
func (s LayerSet) String() string {
	var names []string
	for i, name := range []string{"none", "integrity", "confidentiality"} {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// GSSAPI is the SASL mechanism of that name, which is Kerberos (RFC 4752). Its
// exchanges implement [auth.LayeredExchange].
type GSSAPI struct {
	// Acceptor checks the tickets.
	Acceptor *Acceptor
	// Binding is what is asked of the ticket's channel binding. The zero
	// value is BindingAllow.
	Binding BindingMode
	// Layers are the security layers on offer. Integrity and confidentiality
	// are offered only to clients whose context has them, and under TLS only
	// where LayerNone is not. 0: LayerNone.
	Layers LayerSet
}

var _ auth.Mechanism = (*GSSAPI)(nil)

// Name returns "GSSAPI".
func (g *GSSAPI) Name() string { return "GSSAPI" }

// Usable reports whether tickets may cross p's connection. Where a channel
// binding is required there has to be a channel.
func (g *GSSAPI) Usable(p auth.Peer) bool {
	return (p.Tickets || p.Protected) && (g.Binding != BindingRequire || p.TLS != nil)
}

// Start implements [auth.Mechanism].
func (g *GSSAPI) Start(ctx context.Context, p auth.Peer) auth.Exchange {
	return &gssExchange{mech: g, ctx: ctx, peer: p, next: (*gssExchange).first}
}

func (g *GSSAPI) layers() LayerSet {
	if g.Layers == 0 {
		return LayerNone
	}
	return g.Layers
}

// errGSSOver answers a client that goes on after the end.
var errGSSOver = refuseGSS("bad-gss-token", "the exchange is over")

// refuseGSS is a refusal of something that the client did wrong.
func refuseGSS(reason, format string, a ...any) error {
	err := fmt.Errorf("gssapi: "+format+": %w", append(a, auth.ErrCredentials)...)
	return auth.Refuse(err, reason)
}
