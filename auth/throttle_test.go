package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth"
	"kpopd/auth/authtest"
)

func at(addr string) auth.Peer {
	return auth.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 4711)}
}

// A guard is a Throttle over a counting door.
type guard struct {
	auth.Throttle
	mu    sync.Mutex
	asked int
}

func newGuard(perMinute int) *guard {
	g := &guard{}
	g.FailuresPerMinute = perMinute
	g.Auth = g.count(auth.Chain{authtest.Memory{"alice": "right", "bob": "right"}})
	return g
}

type counting struct {
	g *guard
	auth.Authenticator
}

func (g *guard) count(a auth.Authenticator) auth.Authenticator { return counting{g, a} }

func (c counting) Authenticate(ctx context.Context, p auth.Peer, cred auth.Credential) (auth.Identity, error) {
	c.g.mu.Lock()
	c.g.asked++
	c.g.mu.Unlock()
	return c.Authenticator.Authenticate(ctx, p, cred)
}

// try shows a password and returns the reason of the refusal, "" for none.
func (g *guard) try(addr, user, secret string) string {
	_, err := g.Authenticate(context.Background(), at(addr), auth.Password{User: user, Secret: auth.Secret(secret)})
	if err == nil {
		return ""
	}
	if !errors.Is(err, auth.ErrCredentials) {
		return "not a wrong password: " + err.Error()
	}
	return auth.Reason(err)
}

func (g *guard) wants(t *testing.T, addr, user, secret, reason string) {
	t.Helper()
	if got := g.try(addr, user, secret); got != reason {
		t.Errorf("%s as %s: reason %q, want %q", user, addr, got, reason)
	}
}

// fail shows n wrong passwords that are all checked.
func (g *guard) fail(t *testing.T, addr, user string, n int) {
	t.Helper()
	for range n {
		g.wants(t, addr, user, "wrong", "wrong-password")
	}
}

func TestThrottlePair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(4)
		g.fail(t, "192.0.2.1", "alice", 4)
		g.wants(t, "192.0.2.1", "alice", "right", "throttled")
		g.wants(t, "192.0.2.1", "ALICE", "wrong", "throttled") // a spelling is no other user
		if g.asked != 4 {
			t.Errorf("asked %d times", g.asked)
		}
		g.wants(t, "192.0.2.1", "bob", "right", "") // another user there
		g.wants(t, "192.0.2.2", "alice", "right", "")
		time.Sleep(16 * time.Second) // one of four a minute
		g.wants(t, "192.0.2.1", "alice", "right", "")
		g.wants(t, "192.0.2.1", "alice", "right", "") // successes do not count
		g.fail(t, "192.0.2.1", "alice", 1)
		g.wants(t, "192.0.2.1", "alice", "wrong", "throttled")
		time.Sleep(2 * time.Minute)
		g.fail(t, "192.0.2.1", "alice", 4)
		g.wants(t, "192.0.2.1", "alice", "wrong", "throttled")
	})
}

// Guesses at one user from many places are held to five times the limit, but
// do not keep her out of where she has been before.
func TestThrottleUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(2)
		g.wants(t, "198.51.100.7", "alice", "right", "")
		for i := range 10 {
			g.fail(t, fmt.Sprintf("192.0.2.%d", i), "alice", 1)
		}
		g.wants(t, "192.0.2.200", "alice", "right", "throttled")
		g.wants(t, "198.51.100.7", "alice", "right", "")
		g.wants(t, "192.0.2.200", "bob", "right", "")
		time.Sleep(7 * time.Second) // one of ten a minute
		g.wants(t, "192.0.2.200", "alice", "right", "")
	})
}

// One machine that tries many names is held to ten times the limit, and the
// office behind the same address stays in.
func TestThrottleAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(2)
		g.wants(t, "192.0.2.1", "alice", "right", "")
		for i := range 20 {
			g.wants(t, "192.0.2.1", fmt.Sprintf("name%d", i), "wrong", "unknown-user")
		}
		g.wants(t, "192.0.2.1", "bob", "right", "throttled")
		g.wants(t, "192.0.2.1", "name99", "wrong", "throttled")
		g.wants(t, "192.0.2.1", "alice", "right", "")
		g.wants(t, "192.0.2.2", "bob", "right", "")
	})
}

// One customer has all of a /64.
func TestThrottleIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(2)
		g.fail(t, "2001:db8::1", "alice", 1)
		g.fail(t, "2001:db8::ffff:ffff", "alice", 1)
		g.wants(t, "2001:db8::2", "alice", "right", "throttled")
		g.wants(t, "2001:db8:0:1::1", "alice", "right", "")
		g.fail(t, "192.0.2.1", "bob", 1)
		g.fail(t, "::ffff:192.0.2.1", "bob", 1)
		g.wants(t, "192.0.2.1", "bob", "right", "throttled")
		g.wants(t, "::ffff:192.0.2.2", "bob", "right", "")
	})
}

// Only wrong proofs count: not outages, not denials.
func TestThrottleCountsFailures(t *testing.T) {
	for _, err := range []error{auth.ErrUnavailable, auth.ErrDenied, errors.New("other")} {
		throttle := &auth.Throttle{Auth: &scripted{err: err}, FailuresPerMinute: 1}
		for range 10 {
			if _, got := throttle.Authenticate(t.Context(), at("192.0.2.1"), alice); !errors.Is(got, err) {
				t.Errorf("%v: error %v", err, got)
			}
		}
	}
	throttle := &auth.Throttle{Auth: &scripted{err: auth.ErrUnknown}, FailuresPerMinute: 1}
	throttle.Authenticate(t.Context(), at("192.0.2.1"), alice)
	if _, err := throttle.Authenticate(t.Context(), at("192.0.2.1"), alice); auth.Reason(err) != "throttled" {
		t.Errorf("after an unknown user: %v", err)
	}
}

// slow answers only when released.
type slow struct {
	entered chan struct{}
	release chan struct{}
}

func (s slow) Authenticate(context.Context, auth.Peer, auth.Credential) (auth.Identity, error) {
	s.entered <- struct{}{}
	<-s.release
	return auth.Identity{}, auth.ErrCredentials
}

// Guesses in parallel do not slip past the count of those that have failed.
func TestThrottleParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := slow{make(chan struct{}, 1000), make(chan struct{})}
		throttle := &auth.Throttle{Auth: door, FailuresPerMinute: 7}
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { _, _ = throttle.Authenticate(t.Context(), at("192.0.2.1"), alice) })
		}
		synctest.Wait()
		if n := len(door.entered); n != 7 {
			t.Errorf("%d attempts under way at once, want 7", n)
		}
		close(door.release)
		wg.Wait()
	})
}

// An exchange, whose user is known only at its end, counts by hand.
func TestThrottleExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := &auth.Throttle{FailuresPerMinute: 2}
		here := at("192.0.2.1")
		for range 2 {
			if !throttle.Allowed(here, "alice") {
				t.Fatal("not allowed before the limit")
			}
			throttle.Failed(here, "alice")
		}
		if throttle.Allowed(here, "alice") || !throttle.Allowed(here, "bob") || !throttle.Allowed(here, "") {
			t.Error("the limit of a user at an address is not that of others")
		}
		for range 18 {
			throttle.Failed(here, "")
		}
		if throttle.Allowed(here, "") || throttle.Allowed(here, "bob") {
			t.Error("allowed above the limit of an address")
		}
		if !throttle.Allowed(at("192.0.2.2"), "") {
			t.Error("the limit of an address is not that of others")
		}
		time.Sleep(4 * time.Second)
		if !throttle.Allowed(here, "bob") {
			t.Error("not allowed again after the limit has room")
		}
	})
}

// A bearers proves one user, whatever name is beside the token.
type bearers struct{ user string }

func (b bearers) Authenticate(_ context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	if c.(auth.Bearer).Token != "right" {
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "bad-token")
	}
	return auth.Identity{User: b.user}, nil
}

// TestThrottleWish: a token makes its user at home at an address, and not the
// one whose name its owner writes beside it.
func TestThrottleWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle, here := &auth.Throttle{Auth: bearers{"mallory"}, FailuresPerMinute: 1}, at("192.0.2.1")
		for _, user := range []string{"Mallory", "alice"} {
			if _, err := throttle.Authenticate(t.Context(), here, auth.Bearer{User: user, Token: "right"}); err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				throttle.Failed(at(fmt.Sprintf("198.51.100.%d", i)), user)
			}
		}
		if !throttle.Allowed(here, "mallory") {
			t.Error("the token's user is not at home")
		}
		if throttle.Allowed(here, "alice") {
			t.Error("mallory's token makes the limit of alice void")
		}
	})
}

// TestThrottleSucceeded: who has proven himself by an exchange is at home, as
// with a password, and strangers elsewhere do not lock him out.
func TestThrottleSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle, home := &auth.Throttle{FailuresPerMinute: 1}, at("192.0.2.1")
		throttle.Succeeded(home, "alice")
		for i := range 5 {
			throttle.Failed(at(fmt.Sprintf("198.51.100.%d", i)), "alice")
		}
		if throttle.Allowed(at("192.0.2.2"), "alice") {
			t.Error("the user's limit is not reached")
		}
		if !throttle.Allowed(home, "alice") {
			t.Error("strangers lock the user out at home")
		}
	})
}

// However many names and addresses a guesser uses, memory stays bounded.
func TestThrottleMemory(t *testing.T) {
	throttle := &auth.Throttle{Auth: auth.Chain{}}
	before := heap()
	for i := range 100_000 {
		p := at(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String())
		throttle.Failed(p, fmt.Sprintf("user-with-a-name-of-some-length-%d", i))
	}
	if grown := heap() - before; grown > 40<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	runtime.KeepAlive(throttle)
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func ExampleThrottle() {
	throttle := &auth.Throttle{Auth: auth.Chain{authtest.Memory{"alice": "right"}}, FailuresPerMinute: 2}
	for _, secret := range []auth.Secret{"guess", "another", "right"} {
		_, err := throttle.Authenticate(context.Background(), at("192.0.2.1"), auth.Password{User: "alice", Secret: secret})
		fmt.Println(auth.Reason(err))
	}
	// Output:
	// wrong-password
	// wrong-password
	// throttled
}

// What was counted goes on before another chain, as after a reload.
func TestThrottleBefore(t *testing.T) {
	g := newGuard(3)
	g.fail(t, "192.0.2.1", "alice", 3)
	next := g.Before(auth.Chain{authtest.Memory{"alice": "changed", "bob": "right"}})
	for _, c := range []struct{ user, secret, reason string }{
		{"alice", "changed", "throttled"}, {"bob", "right", ""}, {"bob", "wrong", "wrong-password"},
	} {
		_, err := next.Authenticate(t.Context(), at("192.0.2.1"), auth.Password{User: c.user, Secret: auth.Secret(c.secret)})
		reason := ""
		if err != nil {
			reason = auth.Reason(err)
		}
		if reason != c.reason {
			t.Errorf("%s with %q: reason %q, want %q", c.user, c.secret, reason, c.reason)
		}
	}
}
