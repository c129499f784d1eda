package oauth_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"kpopd/auth"
	"kpopd/auth/oauth"
)

func FuzzOAuthBearer(f *testing.F) {
	f.Add([]byte(bearerMessage("alice", "t")))
	f.Add([]byte("n,,\x01auth=\x01\x01"))
	f.Add([]byte("y,a=a=2Cb=3D,\x01auth=bearer x==\x01x=\x01\x01"))
	fuzzMessage(f, oauth.OAuthBearer)
}

func FuzzXOAuth2(f *testing.F) {
	f.Add([]byte(xoauthMessage("alice", "t")))
	f.Add([]byte("user=u\x01\x01"))
	fuzzMessage(f, oauth.XOAuth2)
}

// fuzzMessage: a message says one name and one token, both of which were in it,
// or is refused.
func fuzzMessage(f *testing.F, kind string) {
	f.Fuzz(func(t *testing.T, b []byte) {
		user, token, err := oauth.Messages(kind, b)
		switch {
		case err != nil && !errors.Is(err, auth.ErrCredentials):
			t.Errorf("%v is no refusal", err)
		case err == nil && user != "" && !auth.IsName(user):
			t.Errorf("%q is no name", user)
		case err == nil && (strings.ContainsAny(token, "\x00\x01") || !strings.Contains(string(b), token)):
			t.Errorf("token %q", token)
		case err == nil && kind == oauth.XOAuth2 && user == "":
			t.Error("no name")
		}
		a := &told{err: auth.ErrCredentials}
		x := mechanism(kind, a).Start(t.Context(), safe)
		if _, done, err := x.Next(b); done || err == nil && x.(auth.Rejecter).Rejected() == nil {
			t.Errorf("done %v, error %v", done, err)
		}
		if _, done, err := x.Next(nil); done || err == nil {
			t.Errorf("at the end: done %v, error %v", done, err)
		}
	})
}

// FuzzToken: nothing but what the issuer has signed proves anybody.
func FuzzToken(f *testing.F) {
	w := newWorld(f)
	c := w.config()
	good := w.Token(f, nil)
	f.Add(good)
	f.Add(w.Sign(f, "RS256", map[string]any{"typ": "JWT"}, w.Claims()))
	f.Add(w.Sign(f, "EdDSA", nil, map[string]any{"iss": w.URL, "exp": "x"}))
	f.Add(parts(`{"alg":"none"}`, `{"iss":"`+w.URL+`"}`, unsigned))
	f.Add("..")
	a := open(f, c)
	w.SetOpaque(true)
	accepted(f, a, good, "alice")
	f.Fuzz(func(t *testing.T, token string) {
		id, err := a.Authenticate(context.Background(), safe, auth.Bearer{Token: auth.Secret(token)})
		if err == nil && id.User != "alice" || err != nil && id.User != "" {
			t.Errorf("%q, %v", id.User, err)
		}
		if errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("a token makes an outage: %v", err)
		}
	})
}
