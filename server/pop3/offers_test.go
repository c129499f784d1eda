package pop3_test

import (
	"context"
	"crypto/tls"
	"testing"

	"kpopd/auth"
	"kpopd/server"
	"kpopd/server/pop3"
)

// What Offers says is what a session of such a listener takes.
func TestOffers(t *testing.T) {
	chain := auth.Chain{}
	mail := &pop3.Handler{Auth: chain, Mechanisms: auth.Mechanisms{toy{}, auth.Plain{Auth: chain}, auth.External{Auth: chain}}}
	stamped := &pop3.Handler{Auth: chain, NoUser: true, Timestamp: func() string { return timestamp }}
	kpop := &pop3.Handler{Admit: func(context.Context, *server.Conn, auth.Peer) (auth.Identity, error) { return auth.Identity{}, nil }}
	secure := mail.PeerOf(true)
	secure.TLS = &tls.ConnectionState{}
	clear := mail.PeerOf(false)
	for _, c := range []struct {
		h         *pop3.Handler
		mechanism string
		p         auth.Peer
		want      string // "": offered
	}{
		{mail, "USER", secure, ""},
		{mail, "USER", clear, "it needs TLS"},
		{mail, "PLAIN", secure, ""},
		{mail, "PLAIN", clear, "it needs TLS"},
		{mail, "TOY", clear, ""},
		{mail, "EXTERNAL", secure, ""},
		{mail, "EXTERNAL", clear, "it needs TLS"},
		{mail, "APOP", secure, "it is not offered here"},
		{mail, "KPOP", clear, "it is not offered here"},
		{mail, "GSSAPI", secure, "it is not offered here"},
		{stamped, "APOP", secure, ""},
		{stamped, "USER", secure, "it is not offered here"},
		{kpop, "KPOP", clear, ""},
		{kpop, "KPOP", auth.Peer{}, "it needs TLS"},
		{kpop, "USER", secure, "the listener speaks KPOP: the ticket comes first"},
	} {
		got := ""
		if err := c.h.Offers(c.mechanism, c.p); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.mechanism, got, c.want)
		}
	}
}
