package authtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kpopd/auth"
)

// within is how long any one answer may take, on a busy machine.
const within = 30 * time.Second

// TestAuthenticator tests that a, which knows [Users], honours the contract of
// [auth.Authenticator], on a connection from p.
func TestAuthenticator(t *testing.T, a auth.Authenticator, p auth.Peer) {
	c := &checks{a: a, p: p}
	t.Run("Right", c.right)
	t.Run("Wrong", c.wrong)
	t.Run("OthersPassword", c.others)
	t.Run("Unknown", c.unknown)
	t.Run("Empty", c.empty)
	t.Run("Long", c.long)
	t.Run("APOP", c.apop)
	t.Run("Canceled", c.canceled)
	t.Run("Concurrent", c.concurrent)
}

type checks struct {
	a auth.Authenticator
	p auth.Peer
}

// try shows one password.
func (c *checks) try(t testing.TB, user, password string) (auth.Identity, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	id, err := c.a.Authenticate(ctx, c.p, auth.Password{User: user, Secret: auth.Secret(password)})
	switch {
	case ctx.Err() != nil:
		t.Errorf("%q: no answer within %v", user, within)
	case err != nil && id.User != "":
		t.Errorf("%q: an identity, %q, beside the error %v", user, id.User, err)
	case err != nil && len(password) >= 8 && strings.Contains(err.Error(), password):
		t.Errorf("%q: the error repeats the password", user)
	}
	return id, err
}

// refused checks that a password is refused with want.
func (c *checks) refused(t testing.TB, user, password string, want error) {
	t.Helper()
	_, err := c.try(t, user, password)
	if !errors.Is(err, want) {
		t.Errorf("%q with %d octets: error %v, want one that wraps %v", user, len(password), err, want)
	}
	for _, other := range []error{auth.ErrUnknown, auth.ErrCredentials, auth.ErrDenied, auth.ErrUnavailable} {
		if other != want && errors.Is(err, other) {
			t.Errorf("%q: error %v wraps %v besides %v", user, err, other, want)
		}
	}
}

func (c *checks) right(t *testing.T) {
	for user, password := range Users() {
		id, err := c.try(t, user, password)
		if err != nil {
			t.Errorf("%q: %v", user, err)
			continue
		}
		if id.User != user || id.Source == "" || id.Authzid != "" {
			t.Errorf("%q: identity %+v", user, id)
		}
	}
}

func (c *checks) wrong(t *testing.T) {
	for user, password := range Users() {
		for _, wrong := range []string{
			password + "x", password + " ", " " + password, password + "\x00", "\x00" + password,
			password + "\x00x", password + "\n", password[:len(password)-1] + "\x01",
			"wrong", "${user}", "{PLAIN}" + password,
		} {
			c.refused(t, user, wrong, auth.ErrCredentials)
		}
	}
	for _, changed := range []string{"CORRECT HORSE BATTERY STAPLE", "correct horse battery staple\t", "correcthorsebatterystaple"} {
		c.refused(t, "alice", changed, auth.ErrCredentials)
	}
	c.refused(t, "tab", "tab here", auth.ErrCredentials)
	c.refused(t, "tab", "tab", auth.ErrCredentials)
	c.refused(t, "latin1", "strasse", auth.ErrCredentials)
	c.refused(t, "carol", "leading and trailing", auth.ErrCredentials)
	c.refused(t, "under_score-1.2", "anything", auth.ErrCredentials)
}

// others shows every user's password for every other user.
func (c *checks) others(t *testing.T) {
	users := Users()
	for user, own := range users {
		for _, password := range users {
			if password != own {
				c.refused(t, user, password, auth.ErrCredentials)
			}
		}
	}
}

func (c *checks) unknown(t *testing.T) {
	password := Users()["alice"]
	for _, user := range []string{
		"mallory", "alice ", " alice", "alice\x00", "alice\x00x", "alic", "alicee", "a*", "*", "(alice)", "a)(|(uid=*",
		`\61lice`, "${user}", "%{user}", "%u", "alice,bob", "alice:", "cn=alice", "alice\n", "../alice", "alice/", "#alice",
	} {
		c.refused(t, user, password, auth.ErrUnknown)
	}
}

// empty: to a directory, a name with an empty password is an anonymous bind,
// which succeeds (RFC 4513 §5.1.2).
func (c *checks) empty(t *testing.T) {
	for user := range Users() {
		c.refused(t, user, "", auth.ErrCredentials)
	}
	if _, err := c.try(t, "", "x"); err == nil {
		t.Error("an empty user is let in")
	}
	if _, err := c.try(t, "", ""); err == nil {
		t.Error("nobody is let in")
	}
}

func (c *checks) long(t *testing.T) {
	for _, n := range []int{255, 256, 1024, 1025, 1 << 20} {
		c.refused(t, strings.Repeat("a", n), "x", auth.ErrUnknown)
		c.refused(t, "alice", strings.Repeat("x", n), auth.ErrCredentials)
	}
}

// apop: whether or not a handles APOP, a digest of zeros opens nothing.
func (c *checks) apop(t *testing.T) {
	zeros := auth.APOP{User: "alice", Timestamp: "<1.2@test>", Digest: strings.Repeat("0", 32)}
	_, err := c.a.Authenticate(t.Context(), c.p, zeros)
	if !errors.Is(err, auth.ErrUnknown) && !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("APOP with a wrong digest: error %v", err)
	}
	_, err = c.a.Authenticate(t.Context(), c.p, nil)
	if !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("no credential: error %v, want ErrUnknown", err)
	}
}

func (c *checks) canceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answer := make(chan error, 1)
	go func() {
		_, err := c.a.Authenticate(ctx, c.p, auth.Password{User: "alice", Secret: auth.Secret(Users()["alice"])})
		answer <- err
	}()
	select {
	case err := <-answer:
		if !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("after ctx ended: error %v, want ErrUnavailable", err)
		}
	case <-time.After(within):
		t.Error("does not return after ctx ended")
	}
}

// concurrent: everybody at once, right and wrong, each with his own answer.
func (c *checks) concurrent(t *testing.T) {
	users := Users()
	var wg sync.WaitGroup
	for _, user := range slices.Sorted(maps.Keys(users)) {
		wg.Go(func() {
			for range 2 {
				if id, err := c.try(t, user, users[user]); err != nil || id.User != user {
					t.Errorf("%q: %q, %v", user, id.User, err)
				}
				c.refused(t, user, users[user]+"!", auth.ErrCredentials)
			}
		})
		wg.Go(func() { c.refused(t, "nobody-"+user, users[user], auth.ErrUnknown) })
	}
	wg.Wait()
}
