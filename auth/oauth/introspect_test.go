package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/testenv"
)

func TestIntrospection(t *testing.T) {
	for _, opaque := range []bool{true, false} {
		w := newWorld(t)
		w.SetOpaque(opaque)
		access, id := w.fetch(t, "alice", "openid pop")
		if strings.Contains(access, ".") == opaque {
			t.Fatalf("the token %q is opaque: %t", access, opaque)
		}
		c := w.asking()
		c.Scopes, c.Claims = []string{"pop"}, []string{"client_id"}
		a := open(t, c)
		got := accepted(t, a, access, "alice")
		if got.Attrs["client_id"] != testenv.TokenClient || len(got.Groups) != 2 || got.Expires.IsZero() || got.Source != "oauth test" {
			t.Errorf("identity %+v", got)
		}
		refused(t, a, id, auth.ErrUnknown, "token-inactive")
		refused(t, a, "2YotnFZFEjr1zCsicMWpAA", auth.ErrUnknown, "token-inactive")
		c.Audience = "imap"
		refused(t, open(t, c), access, auth.ErrCredentials, "wrong-audience")
		c = w.asking()
		c.UserClaim = "username"
		accepted(t, open(t, c), access, "alice")
		c.Scopes = []string{"smtp"}
		refused(t, open(t, c), access, auth.ErrDenied, "insufficient-scope")
		w.post(t, "/revoke", url.Values{"token": {access}}, nil)
		refused(t, open(t, w.asking()), access, auth.ErrUnknown, "token-inactive")
	}
}

// TestIntrospectionOfOthers: a token that says that it is another's is not shown
// to this issuer.
func TestIntrospectionOfOthers(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	a := open(t, w.asking())
	refused(t, a, other.Token(t, nil), auth.ErrUnknown, "other-issuer")
	if n := w.Requests("/introspect"); n != 0 {
		t.Errorf("a token of another issuer was shown to this one, %d times", n)
	}
}

// TestRemember: an answer is good for as long as it is remembered, a bad one
// too, and no longer than the token.
func TestRemember(t *testing.T) {
	w := newWorld(t)
	access, _ := w.fetch(t, "alice", "pop")
	c := w.asking()
	c.Remember = time.Hour // 30 s at most, which this test does not outlast
	a := open(t, c)
	for range 5 {
		accepted(t, a, access, "alice")
		refused(t, a, "nonsense", auth.ErrUnknown, "token-inactive")
	}
	if n := w.Requests("/introspect"); n != 2 {
		t.Errorf("the issuer was asked %d times about two tokens", n)
	}
	w.post(t, "/revoke", url.Values{"token": {access}}, nil)
	c.Remember = 0
	refused(t, open(t, c), access, auth.ErrUnknown, "token-inactive")
}

func TestIntrospectionFaults(t *testing.T) {
	w := newWorld(t)
	access, _ := w.fetch(t, "alice", "pop")
	for _, f := range []testenv.IssuerFault{testenv.Hang, testenv.Reset, testenv.Garbage, testenv.Huge, testenv.Deep, testenv.Broken, testenv.Loop, testenv.Clear} {
		t.Run(string(f), func(t *testing.T) {
			c := w.asking()
			c.Log = slog.New(slog.DiscardHandler)
			if f == testenv.Hang {
				c.Timeout = time.Second
			}
			a := open(t, c)
			w.Break(f)
			refused(t, a, access, auth.ErrUnavailable, "introspection-failed")
			w.Break(testenv.Healthy)
			accepted(t, a, access, "alice")
		})
	}
	for _, secret := range []func() (auth.Secret, error){
		nil,
		func() (auth.Secret, error) { return "wrong", nil },
	} {
		c := w.asking()
		c.ClientSecret, c.Log = secret, slog.New(slog.DiscardHandler)
		refused(t, open(t, c), access, auth.ErrUnavailable, "introspection-refused")
	}
	c := w.asking()
	c.ClientSecret = func() (auth.Secret, error) { return "", errors.New("no such file") }
	refused(t, open(t, c), access, auth.ErrUnavailable, "no-client-secret")
}

// TestIntrospectionCrowd: many who ask at once, of an issuer that hangs, are
// answered when their own time is over.
func TestIntrospectionCrowd(t *testing.T) {
	w := newWorld(t)
	w.Break(testenv.Hang)
	c := w.asking()
	c.Log = slog.New(slog.DiscardHandler)
	a := open(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if _, err := a.Authenticate(ctx, auth.Peer{}, auth.Bearer{Token: "x"}); !errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("%v, want an outage", err)
			}
		})
	}
	wg.Wait()
	if n := w.Requests("/introspect"); n > 16 {
		t.Errorf("%d requests at once", n)
	}
}

// TestAnswers: what the issuer knows but is no access token for this server, by
// its answer, is no login.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	a := open(t, w.asking())
	for n, c := range []struct {
		change map[string]any
		is     error
		reason string
	}{
		{map[string]any{"token_type": "access_token"}, nil, ""},
		{map[string]any{"token_type": "bearer", "typ": "Bearer"}, nil, ""},
		{map[string]any{"token_type": "DPoP"}, auth.ErrCredentials, "not-access-token"},
		{map[string]any{"token_type": "refresh_token"}, auth.ErrCredentials, "not-access-token"},
		{map[string]any{"typ": "Refresh"}, auth.ErrCredentials, "not-access-token"},
		{map[string]any{"iss": "https://other.test"}, auth.ErrUnknown, "other-issuer"},
		{map[string]any{"cnf": map[string]any{"jkt": "x"}}, auth.ErrCredentials, "bound-token"},
		{map[string]any{"aud": nil}, auth.ErrCredentials, "wrong-audience"},
	} {
		claims := w.Claims()
		maps.Copy(claims, c.change)
		token := fmt.Sprintf("token-%d", n)
		w.Know(token, claims)
		if c.reason == "" {
			accepted(t, a, token, "alice")
		} else {
			refused(t, a, token, c.is, c.reason)
		}
	}
}

// TestRememberedExpires: a token ends when it does, though the answer about it
// is still kept.
func TestRememberedExpires(t *testing.T) {
	w := newWorld(t)
	c := w.asking()
	c.Remember = 30 * time.Second
	a := open(t, c)
	a.Remember("past", auth.Identity{User: "alice", Expires: time.Now().Add(-time.Second)})
	refused(t, a, "past", auth.ErrCredentials, "token-expired")
	a.Remember("good", auth.Identity{User: "alice", Expires: time.Now().Add(time.Hour)})
	accepted(t, a, "good", "alice")
	if n := w.Requests("/introspect"); n != 0 {
		t.Errorf("the issuer was asked %d times", n)
	}
}
