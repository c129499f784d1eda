package krb5

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"kpopd/auth"
)

// How often a login allocates at most, with AES and SHA-1 and with AES and
// SHA-2, in which each key is derived by an HMAC of its own.
var allocations = map[int32]struct{ accept, kpop, request, gssapi float64 }{
	17: {58, 68, 22, 140},
	20: {82, 92, 22, 188},
}

func TestAllocations(t *testing.T) {
	for etype, most := range allocations {
		t.Run(fmt.Sprint(etype), func(t *testing.T) {
			m := newTestMint(t)
			if err := m.AddKey(popService, 2, etype); err != nil {
				t.Fatal(err)
			}
			a := &Acceptor{Keys: m, Replay: forgetful{}}
			ticket := issue(t, m, alice, popService, TicketOptions{Etype: etype})
			atMost(t, "an accept", most.accept, acceptOnce(t, a, ticket))
			atMost(t, "a login by KPOP", most.kpop, kpopOnce(t, a, ticket))
			atMost(t, "a client's first token", most.request, requestOnce(t, ticket))
			atMost(t, "both sides of GSSAPI", most.gssapi, gssapiOnce(t, a, ticket))
		})
	}
}

func atMost(t *testing.T, what string, most float64, once func()) {
	t.Helper()
	n := testing.AllocsPerRun(100, once)
	if t.Logf("%s: %g allocations", what, n); n > most {
		t.Errorf("%s: %g allocations, more than %g", what, n, most)
	}
}

func acceptOnce(t *testing.T, a *Acceptor, ticket *Ticket) func() {
	apReq := request(t, ticket, RequestOptions{Options: RequestMutual})
	return func() {
		c, err := a.Accept(t.Context(), apReq, testPeer)
		if err == nil {
			_, err = c.APRep(nil, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func kpopOnce(t *testing.T, a *Acceptor, ticket *Ticket) func() {
	apReq := request(t, ticket, RequestOptions{Options: RequestMutual})
	sent := appendFrame(nil, []byte(sendauthVersion))
	sent = appendFrame(appendFrame(sent, []byte(kpopVersion+"\x00")), apReq)
	var in bytes.Reader
	rw := struct {
		io.Reader
		io.Writer
	}{&in, io.Discard}
	return func() {
		in.Reset(sent)
		if _, err := a.RecvAuth(t.Context(), rw, kpopVersion, testPeer); err != nil {
			t.Fatal(err)
		}
	}
}

func requestOnce(t *testing.T, ticket *Ticket) func() {
	return func() {
		if _, _, err := initiate(ticket, auth.Peer{}).InitSecContext("", nil); err != nil {
			t.Fatal(err)
		}
	}
}

// gssapiOnce is a whole exchange, both sides of it.
func gssapiOnce(t *testing.T, a *Acceptor, ticket *Ticket) func() {
	g := &GSSAPI{Acceptor: a}
	return func() {
		if err := gssapiLogin(g, initiate(ticket, auth.Peer{})); err != nil {
			t.Fatal(err)
		}
	}
}

func gssapiLogin(g *GSSAPI, i *Initiator) error {
	x := g.Start(context.Background(), gssPeer)
	token, _, err := i.InitSecContext("", nil)
	if err != nil {
		return err
	}
	if token, _, err = x.Next(token); err != nil {
		return err
	}
	if _, _, err = i.InitSecContext("", token); err != nil {
		return err
	}
	if token, _, err = x.Next([]byte{}); err != nil {
		return err
	}
	if token, err = i.NegotiateSaslAuth(token, ""); err != nil {
		return err
	}
	if _, done, err := x.Next(token); err != nil || !done {
		return fmt.Errorf("done: %t, %w", done, err)
	}
	return nil
}

// BenchmarkInitiator is what a login by GSSAPI costs its client.
func BenchmarkInitiator(b *testing.B) {
	m := newTestMint(b)
	ticket := issue(b, m, alice, popService, TicketOptions{})
	g := &GSSAPI{Acceptor: &Acceptor{Keys: m, Replay: forgetful{}}}
	b.Run("request", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := initiate(ticket, auth.Peer{}).InitSecContext("", nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("both sides", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := gssapiLogin(g, initiate(ticket, auth.Peer{})); err != nil {
				b.Fatal(err)
			}
		}
	})
}
