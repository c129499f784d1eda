package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"kpopd/auth"
	"kpopd/auth/ldap"
)

// rightIs is a stub to which one password is right.
func rightIs(password string) *stub {
	return &stub{bind: func(_, shown string) (int, string, *ber.Packet) {
		if shown == password {
			return 0, "", nil
		}
		return 49, "", nil
	}}
}

// TestLockout: a guesser makes the directory see fewer failures than lock the
// account, whatever he does, and the user himself still gets in.
func TestLockout(t *testing.T) {
	s := rightIs("right")
	conf := stubConfig(s.start(t))
	conf.LockoutThreshold, conf.LockoutWindow = 5, time.Hour
	conf.Budget = &ldap.Budget{}
	d := open(t, conf)
	if _, err := try(t, d, "alice", "right"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if _, err := try(t, d, "alice", fmt.Sprint("guess ", i)); !errors.Is(err, auth.ErrCredentials) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(s.sent()) - 1; n != 4 {
		t.Errorf("%d failed binds", n)
	}
	if _, err := try(t, d, "alice", "guess"); auth.Reason(err) != "lockout-budget" {
		t.Error(err)
	}
	// A configuration that is read again forgets no failures.
	again := open(t, conf)
	if _, err := try(t, again, "alice", "another guess"); auth.Reason(err) != "lockout-budget" {
		t.Errorf("with the same budget: %v", err)
	}
	if _, err := try(t, d, "alice", "right"); err != nil {
		t.Errorf("the password that was right the last time: %v", err)
	}
	if _, err := try(t, d, "alice", "guess"); auth.Reason(err) != "wrong-password" {
		t.Errorf("after a success the directory counts anew: %v", err)
	}
}

// TestSamePassword: a wrong password is sent once, also by many clients at
// once; another user's verdict is never his.
func TestSamePassword(t *testing.T) {
	s := rightIs("right")
	conf := stubConfig(s.start(t))
	conf.RememberWrong, conf.Remember = time.Hour, time.Hour
	d := open(t, conf)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := try(t, d, "alice", "old password"); auth.Reason(err) != "wrong-password" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sent := s.sent(); len(sent) != 1 {
		t.Errorf("binds: %q", sent)
	}
	for range 3 {
		if id, err := try(t, d, "alice", "right"); err != nil || id.User != "alice" {
			t.Errorf("%+v, %v", id, err)
		}
	}
	if sent := s.sent(); len(sent) != 2 {
		t.Errorf("binds: %q", sent)
	}
	for _, user := range []string{"bob", "Bob", "alic", "alicer"} {
		if id, err := try(t, d, user, "right"); err == nil {
			t.Errorf("%s has the verdict of %s", user, id.User)
		}
	}
}

// TestRemembersNoOutage: that nobody could tell is not remembered, and neither
// is an answer that nobody waited for.
func TestRemembersNoOutage(t *testing.T) {
	s := rightIs("right")
	conf := stubConfig(s.start(t))
	conf.RememberWrong, conf.Remember = time.Hour, time.Hour
	d := open(t, conf)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		_, err := d.Authenticate(ctx, auth.Peer{}, auth.Password{User: "alice", Secret: "right"})
		if !errors.Is(err, auth.ErrUnavailable) {
			t.Error(err)
		}
	}
	if _, err := try(t, d, "alice", "right"); err != nil {
		t.Error(err)
	}
}

// TestIdentityIsACopy: what a caller does to an identity is not remembered.
func TestIdentityIsACopy(t *testing.T) {
	s := &stub{find: func(send func(*ber.Packet)) {
		send(entry("cn=alice", map[string]string{"uid": "alice", "mailbox": "box", "memberOf": "cn=g,dc=test"}))
	}}
	conf := stubConfig(s.start(t))
	conf.Remember, conf.Attributes = time.Hour, []string{"mailbox"}
	d := open(t, conf)
	for range 3 {
		id, err := try(t, d, "alice", "x")
		if err != nil || id.Attrs["mailbox"] != "box" || strings.Join(id.Groups, " ") != "cn=g,dc=test g" {
			t.Fatalf("%+v, %v", id, err)
		}
		id.Attrs["mailbox"], id.Groups[0] = "other", "other"
	}
}

// TestDisabled knows the ways in which directories mark an account.
func TestDisabled(t *testing.T) {
	for _, c := range []struct{ attr, value, reason string }{
		{"userAccountControl", "514", "account-disabled"}, {"userAccountControl", "512", ""},
		{"nsAccountLock", "TRUE", "account-disabled"}, {"nsaccountlock", "true", "account-disabled"}, {"nsAccountLock", "FALSE", ""},
		{"accountExpires", "0", ""}, {"accountExpires", "9223372036854775807", ""},
		{"accountExpires", "130000000000000000", "account-expired"}, {"accountExpires", "159000000000000000", ""},
		{"pwdAccountLockedTime", "000001010000Z", "account-locked"}, {"pwdAccountLockedTime", "20250101000000Z", ""},
		{"mailboxDisabled", "TRUE", "account-disabled"}, {"userAccountControl", "garbage", ""},
	} {
		s := &stub{find: func(send func(*ber.Packet)) {
			send(entry("cn=alice", map[string]string{"uid": "alice", c.attr: c.value}))
		}}
		conf := stubConfig(s.start(t))
		conf.DisabledAttribute = "mailboxDisabled"
		d := open(t, conf)
		_, byPassword := try(t, d, "alice", "x")
		_, byTicket := d.Lookup(t.Context(), auth.Identity{User: "alice"})
		for _, err := range []error{byPassword, byTicket} {
			if c.reason == "" && err != nil || c.reason != "" && (!errors.Is(err, auth.ErrDenied) || auth.Reason(err) != c.reason) {
				t.Errorf("%s %s: %v", c.attr, c.value, err)
			}
		}
	}
}

// TestRememberedCost: a password that is remembered costs a MAC and the
// identity's copy, and the directory nothing.
func TestRememberedCost(t *testing.T) {
	const most = 20
	s := rightIs("right")
	conf := stubConfig(s.start(t))
	conf.Remember = time.Hour
	d := open(t, conf)
	login := func() {
		if _, err := d.Authenticate(t.Context(), auth.Peer{}, auth.Password{User: "alice", Secret: "right"}); err != nil {
			t.Fatal(err)
		}
	}
	login()
	before := len(s.sent())
	if n := testing.AllocsPerRun(100, login); n > most {
		t.Errorf("%g allocations, more than %d", n, most)
	}
	if after := len(s.sent()); after != before {
		t.Errorf("%d binds", after-before)
	}
}
