package krb5

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"kpopd/auth"
)

// An exchange that its principal leaves, whichever way, counts for him until
// his authenticators reach the replay cache no more; one that ends well does
// not, and nobody else is stopped.
func TestGSSAPIThrottle(t *testing.T) {
	leave := map[string]func(x auth.Exchange, i *gssInitiator){
		"cancelled":    func(auth.Exchange, *gssInitiator) {},
		"wrong answer": func(x auth.Exchange, _ *gssInitiator) { _, _, _ = x.Next([]byte("nonsense")) },
	}
	for name, leave := range leave {
		synctest.Test(t, func(t *testing.T) {
			g, m := newTestGSSAPI(t)
			replay := &onceMap{}
			g.Acceptor.Replay, g.Acceptor.Throttle = replay, &auth.Throttle{FailuresPerMinute: 3}
			try := func(i *gssInitiator, act func(auth.Exchange, *gssInitiator)) error {
				ctx, cancel := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer cancel()
				x := g.Start(ctx, gssPeer)
				_, _, err := x.Next(i.first(t))
				if err == nil {
					act(x, i)
				}
				return err
			}
			for range 10 {
				if _, err := newInitiator(t, m).login(t, g.Start(t.Context(), gssPeer)); err != nil {
					t.Fatalf("%s: a good login: %v", name, err)
				}
			}
			for n := range 3 {
				if err := try(newInitiator(t, m), leave); err != nil {
					t.Errorf("%s: attempt %d: %v", name, n+1, err)
				}
			}
			remembered := len(replay.seen)
			for range 5 {
				if err := try(newInitiator(t, m), leave); auth.Reason(err) != "throttled" || !errors.Is(err, auth.ErrCredentials) {
					t.Errorf("%s: after three attempts: %v", name, err)
				}
			}
			if len(replay.seen) != remembered {
				t.Errorf("%s: authenticators that were refused are remembered", name)
			}
			bob := newInitiator(t, m)
			bob.ticket = issue(t, m, principal("bob@"+alice.Realm), popService, TicketOptions{})
			if _, err := bob.login(t, g.Start(t.Context(), gssPeer)); err != nil {
				t.Errorf("%s: bob is stopped: %v", name, err)
			}
		})
	}
}

// Wrong tickets count by address, for GSSAPI and for KPOP, and do not hinder
// those whose tickets are right; replays are not held against the principal.
func TestThrottleWrongTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, m := newTestGSSAPI(t)
		a := g.Acceptor
		a.Replay, a.Throttle = &onceMap{}, &auth.Throttle{FailuresPerMinute: 1}
		ten := func(what string, attempt func()) {
			t.Helper()
			for n := range 10 {
				if !a.Throttle.Allowed(gssPeer, "somebody") {
					t.Fatalf("%s: the address is full after %d", what, n)
				}
				attempt()
			}
			if a.Throttle.Allowed(gssPeer, "somebody") {
				t.Errorf("%s: does not count", what)
			}
			a.Throttle = &auth.Throttle{FailuresPerMinute: 1}
		}
		ten("no token", func() { _, _, _ = g.Start(t.Context(), gssPeer).Next([]byte("rubbish")) })
		ten("KPOP", func() {
			var conn bytes.Buffer
			conn.WriteString("\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x09KPOPV1.0\x00\x00\x00\x00\x07rubbish")
			_, err := a.RecvAuth(t.Context(), &conn, "KPOPV1.0", gssPeer)
			if auth.Reason(err) != "malformed" {
				t.Fatal(err)
			}
		})
		ticket := aliceRequest(t, m, RequestOptions{})
		if _, err := a.Accept(t.Context(), ticket, gssPeer); err != nil {
			t.Fatal(err)
		}
		ten("replays", func() {
			if _, err := a.Accept(t.Context(), ticket, gssPeer); auth.Reason(err) != "replayed-authenticator" {
				t.Fatal(err)
			}
		})
		for range 10 {
			a.failed(gssPeer, auth.ErrCredentials)
		}
		if _, err := a.Accept(t.Context(), aliceRequest(t, m, RequestOptions{}), gssPeer); err != nil {
			t.Errorf("a right ticket among wrong ones: %v", err)
		}
	})
}
