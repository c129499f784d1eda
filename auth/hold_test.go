package auth_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth"
)

// held returns how long an answer is held back, and ends the time at once.
func (g *guard) held(addr, user string) time.Duration {
	d, done, ok := g.Hold(at(addr), user)
	defer done()
	if !ok {
		return -1
	}
	return d
}

// Each failure of a user at an address after the third makes the answer slower,
// whether or not he exists, until it is forgiven.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(20)
		g.Delay, g.MaxDelay = time.Second, 10*time.Second
		for _, user := range []string{"alice", "nobody"} {
			for i, want := range []time.Duration{0, 0, 0, 1, 2, 4, 8, 10, 10} {
				if g.try("192.0.2.1", user, "wrong") == "" {
					t.Fatal("let in")
				}
				if got := g.held("192.0.2.1", user); got != want*time.Second {
					t.Errorf("%s, failure %d: held for %s, want %ds", user, i+1, got, want)
				}
			}
		}
		if g.held("192.0.2.2", "alice") != 0 || g.held("192.0.2.1", "bob") != 0 {
			t.Error("others are held back")
		}
		g.wants(t, "192.0.2.1", "alice", "right", "") // a success is never held back
		time.Sleep(15 * time.Second)                  // five of twenty a minute
		if got := g.held("192.0.2.1", "alice"); got != time.Second {
			t.Errorf("after a while held for %s", got)
		}
		if next := g.Before(nil); func() time.Duration { d, done, _ := next.Hold(at("192.0.2.1"), "alice"); done(); return d }() != time.Second {
			t.Error("a reload forgives")
		}
	})
}

// A guesser of many names is held back for what he does at his address, and so
// is one who has no name.
func TestHoldAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(20)
		g.Delay, g.MaxDelay = time.Second, 10*time.Second
		for i := range 39 {
			g.try("192.0.2.1", fmt.Sprint("name", i), "wrong")
		}
		if d := g.held("192.0.2.1", "another"); d != 0 {
			t.Errorf("held for %s already", d)
		}
		g.Failed(at("192.0.2.1"), "")
		for _, user := range []string{"another", ""} {
			if d := g.held("192.0.2.1", user); d != time.Second {
				t.Errorf("%q is held for %s", user, d)
			}
		}
	})
}

// No address has more than sixteen answers held back.
func TestHoldBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(20)
		g.Delay, g.MaxDelay = time.Second, 2*time.Second
		for range 4 {
			g.try("2001:db8::1", "alice", "wrong")
			g.try("192.0.2.2", "alice", "wrong")
		}
		var ends []func()
		for i := range 16 {
			d, done, ok := g.Hold(at(fmt.Sprintf("2001:db8::%d", i)), "alice")
			if d != time.Second || !ok {
				t.Fatalf("the %dth: %s, %t", i, d, ok)
			}
			ends = append(ends, done, done) // of which one counts
		}
		if g.held("2001:db8::1", "alice") != -1 {
			t.Error("seventeen are held back")
		}
		if g.held("192.0.2.2", "alice") != time.Second {
			t.Error("another address is full")
		}
		ends[0]()
		ends[1]()
		if g.held("2001:db8::1", "alice") != time.Second {
			t.Error("the end of one does not make room")
		}
		ends[2]()
		for range 2 {
			if _, _, ok := g.Hold(at("2001:db8::1"), "alice"); !ok {
				t.Error("no room for the two that ended")
			}
		}
		if g.held("2001:db8::1", "alice") != -1 {
			t.Error("an end counted twice")
		}
	})
}

// Without a Delay nothing is held back.
func TestHoldNot(t *testing.T) {
	g := newGuard(4)
	for range 10 {
		g.try("192.0.2.1", "alice", "wrong")
	}
	if d := g.held("192.0.2.1", "alice"); d != 0 {
		t.Errorf("held for %s", d)
	}
}

// A principal whose attempts come to nothing is stopped, at one address and
// then everywhere, and nobody else is.
func TestAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(3)
		begin := func(addr, principal string) *auth.Attempt {
			a, ok := g.Begin(at(addr), principal)
			if !ok {
				return nil
			}
			return a
		}
		for range 10 { // successes do not count
			begin("192.0.2.1", "alice@R").Succeeded()
		}
		under := []*auth.Attempt{begin("192.0.2.1", "alice@R"), begin("192.0.2.1", "alice@R"), begin("192.0.2.1", "alice@R")}
		if begin("192.0.2.1", "alice@R") != nil {
			t.Error("more attempts under way than may fail")
		}
		under[0].Succeeded()
		under[0] = begin("192.0.2.1", "alice@R")
		for _, a := range under {
			a.Failed()
		}
		if begin("192.0.2.1", "alice@R") != nil {
			t.Error("goes on after three failures")
		}
		for range 3 { // a user of that name is another
			g.wants(t, "192.0.2.1", "alice@R", "wrong", "unknown-user")
		}
		if begin("192.0.2.1", "bob@R") == nil || begin("192.0.2.2", "alice@R") == nil {
			t.Error("others are stopped")
		}
		for i := range 12 { // five times three everywhere
			begin(fmt.Sprintf("192.0.2.%d", 10+i), "alice@R").Failed()
		}
		if begin("192.0.2.3", "alice@R") != nil {
			t.Error("goes on elsewhere")
		}
		for i := range 40 {
			g.Failed(at("192.0.2.4"), fmt.Sprint(i))
		}
		if g.Allowed(at("192.0.2.4"), "carol") || begin("192.0.2.4", "bob@R") == nil {
			t.Error("who shows a right ticket is hindered by others at the address")
		}
		time.Sleep(time.Minute)
		if begin("192.0.2.1", "alice@R") == nil {
			t.Error("not forgiven")
		}
		var none *auth.Attempt
		none.Failed()
		none.Succeeded()
	})
}
