package oauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"kpopd/auth"
	"kpopd/auth/authtest"
	"kpopd/auth/oauth"
)

var safe = auth.Peer{Protected: true}

// A client is that of either mechanism: one message, and after a refusal what
// RFC 7628 §3.2.3 says.
type client struct{ kind, first string }

func (c client) Start() (string, []byte, error)      { return c.kind, []byte(c.first), nil }
func (client) Next(challenge []byte) ([]byte, error) { return []byte{1}, nil }
func bearerMessage(user, token string) string {
	return "n,a=" + user + ",\x01host=pop\x01port=995\x01auth=Bearer " + token + "\x01\x01"
}
func xoauthMessage(user, token string) string {
	return "user=" + user + "\x01auth=Bearer " + token + "\x01\x01"
}
func mechanism(kind string, a auth.Authenticator) *oauth.Mechanism {
	return &oauth.Mechanism{Kind: kind, Auth: a, Hint: oauth.Hint{Scope: "pop mail", Configuration: "https://sso.test/.well-known/openid-configuration"}}
}

func TestConformance(t *testing.T) {
	w := newWorld(t)
	token := w.Token(t, nil)
	for kind, message := range map[string]func(user, token string) string{oauth.OAuthBearer: bearerMessage, oauth.XOAuth2: xoauthMessage} {
		t.Run(kind, func(t *testing.T) {
			authtest.TestMechanism(t, authtest.Mechanism{
				Mechanism: mechanism(kind, auth.Chain{open(t, w.config())}),
				Peer:      safe,
				Forbidden: []auth.Peer{{}, {Tickets: true}},
				Client:    func(testing.TB) sasl.Client { return client{kind, message("alice", token)} },
				Want:      auth.Identity{User: "alice", Authzid: "alice"},
				Rounds:    2000,
			})
		})
	}
}

// told is an Authenticator that notes what it is shown and says err.
type told struct {
	seen []auth.Bearer
	err  error
}

func (a *told) Authenticate(_ context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	a.seen = append(a.seen, c.(auth.Bearer))
	return auth.Identity{User: "proven"}, a.err
}

func TestMessages(t *testing.T) {
	const end = "\x01\x01"
	for _, c := range []struct{ kind, message, user, token, reason string }{
		// RFC 7628 §4.1
		{oauth.OAuthBearer, "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" + end, "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", ""},
		{oauth.OAuthBearer, "n,,\x01auth=Bearer t" + end, "", "t", ""},
		{oauth.OAuthBearer, "y,,\x01auth=bEARER  t" + end, "", "t", ""},
		{oauth.OAuthBearer, "n,a=,\x01auth=Bearer t" + end, "", "t", ""},
		{oauth.OAuthBearer, "n,a=a=2Cb=3Dc,\x01auth=Bearer t" + end, "a,b=c", "t", ""},
		{oauth.OAuthBearer, "n,a=jürgen,\x01qs=x=y&z\x01path=/\tx\r\n\x01auth=Bearer t" + end, "jürgen", "t", ""},
		{oauth.OAuthBearer, "n,,\x01host=h\x01auth=" + end, "", "", ""}, // §4.3
		{oauth.OAuthBearer, "n,,\x01" + "\x01", "", "", ""},
		{oauth.OAuthBearer, "", "", "", "malformed"},
		{oauth.OAuthBearer, "\x01", "", "", "malformed"},
		{oauth.OAuthBearer, "n,,", "", "", "malformed"},
		{oauth.OAuthBearer, "n,,\x01", "", "", "malformed"},
		{oauth.OAuthBearer, "n,,\x01auth=Bearer t\x01", "", "", "malformed"},
		{oauth.OAuthBearer, "n,,\x01auth=Bearer t" + end + "\x01", "", "", "malformed"},
		{oauth.OAuthBearer, "n,,\x01auth=Bearer t" + end + "x", "", "", "malformed"},
		{oauth.OAuthBearer, "n,a=x\x01auth=Bearer t" + end, "", "", "malformed"},
		{oauth.OAuthBearer, "n,b=x,\x01auth=Bearer t" + end, "", "", "malformed"},
		{oauth.OAuthBearer, "n,a=x,y,\x01auth=Bearer t" + end, "", "", "malformed"},
		{oauth.OAuthBearer, "F,n,a=x,\x01auth=Bearer t" + end, "", "", "malformed"},
		{oauth.OAuthBearer, "p=tls-exporter,,\x01auth=Bearer t" + end, "", "", "channel-binding-unsupported"},
		{oauth.OAuthBearer, "n,a=x=2cy,\x01auth=Bearer t" + end, "", "", "malformed-user"},
		{oauth.OAuthBearer, "n,a=x\x00,\x01auth=Bearer t" + end, "", "", "malformed-user"},
		{oauth.OAuthBearer, "n,a=" + strings.Repeat("a", 256) + ",\x01auth=Bearer t" + end, "", "", "malformed-user"},
		{oauth.OAuthBearer, "n,,\x01auth=Bearer t\x01auth=Bearer u" + end, "", "", "malformed"},
		{oauth.OAuthBearer, "n,,\x01h0st=x\x01auth=Bearer t" + end, "", "", "malformed"},
		{oauth.OAuthBearer, "n,,\x01host\x01auth=Bearer t" + end, "", "", "malformed"},
		{oauth.OAuthBearer, "n,,\x01host=\x00\x01auth=Bearer t" + end, "", "", "malformed"},
		{oauth.OAuthBearer, "n,,\x01auth=Basic dXNlcjpwdw==" + end, "", "", "malformed-token"},
		{oauth.OAuthBearer, "n,,\x01auth=Bearer" + end, "", "", "malformed-token"},
		{oauth.OAuthBearer, "n,,\x01auth=Bearer  " + end, "", "", "malformed-token"},
		{oauth.OAuthBearer, "n,,\x01auth=Bearer " + strings.Repeat("t", 1<<20) + end, "", "", "malformed"},

		{oauth.XOAuth2, "user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg" + end, "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", ""},
		{oauth.XOAuth2, "user=jürgen=2C\x01auth=bearer t" + end, "jürgen=2C", "t", ""},
		{oauth.XOAuth2, "user=u" + end, "u", "", ""},
		{oauth.XOAuth2, "", "", "", "malformed"},
		{oauth.XOAuth2, "\x01", "", "", "malformed"},
		{oauth.XOAuth2, "user=u\x01auth=Bearer t", "", "", "malformed"},
		{oauth.XOAuth2, "auth=Bearer t\x01user=u" + end, "", "", "malformed"},
		{oauth.XOAuth2, "user=u\x01user=v\x01auth=Bearer t" + end, "", "", "malformed"},
		{oauth.XOAuth2, "user=\x01auth=Bearer t" + end, "", "", "malformed-user"},
		{oauth.XOAuth2, "n,a=u,\x01auth=Bearer t" + end, "", "", "malformed"},
	} {
		user, token, err := oauth.Messages(c.kind, []byte(c.message))
		if c.reason != "" {
			if err == nil || auth.Reason(err) != c.reason || !errors.Is(err, auth.ErrCredentials) {
				t.Errorf("%s %.80q: %v, want %s", c.kind, c.message, err, c.reason)
			}
			continue
		}
		if err != nil || user != c.user || token != c.token {
			t.Errorf("%s %.80q: %q, %q, %v", c.kind, c.message, user, token, err)
		}
	}
}

// TestFailure: a refusal is told in JSON first, whatever the client says to that
// the exchange then ends, and an outage is no refusal.
func TestFailure(t *testing.T) {
	for _, c := range []struct {
		kind string
		err  error
		want string
	}{
		{oauth.OAuthBearer, auth.Refuse(auth.ErrCredentials, "token-expired"),
			`{"status":"invalid_token","scope":"pop mail","openid-configuration":"https://sso.test/.well-known/openid-configuration"}`},
		{oauth.OAuthBearer, auth.Refuse(auth.ErrDenied, "insufficient-scope"),
			`{"status":"insufficient_scope","scope":"pop mail","openid-configuration":"https://sso.test/.well-known/openid-configuration"}`},
		{oauth.XOAuth2, auth.Refuse(auth.ErrCredentials, "bad-signature"), `{"status":"400","schemes":"Bearer","scope":"pop mail"}`},
	} {
		// What libraries, mutt, neomutt and mpop answer, and what nobody should.
		for _, answer := range []string{"\x01", "", "*", "AQ==", "n,a=alice,\x01auth=Bearer good\x01\x01", strings.Repeat("x", 1<<16)} {
			a := &told{err: c.err}
			m := mechanism(c.kind, a)
			message := bearerMessage("alice", "t")
			if c.kind == oauth.XOAuth2 {
				message = xoauthMessage("alice", "t")
			}
			x := m.Start(t.Context(), safe)
			challenge, done, err := x.Next([]byte(message))
			if done || err != nil || string(challenge) != c.want || !json.Valid(challenge) {
				t.Fatalf("%s: challenge %q, %v, %v", c.kind, challenge, done, err)
			}
			if r := x.(auth.Rejecter).Rejected(); r != c.err {
				t.Errorf("rejected for %v", r)
			}
			if _, done, err = x.Next([]byte(answer)); done || err != c.err {
				t.Errorf("after %.10q: %v, %v", answer, done, err)
			}
			if _, done, err = x.Next([]byte(message)); done || err == nil {
				t.Error("a second guess")
			}
			if len(a.seen) != 1 || x.Identity().User != "" {
				t.Errorf("%d checks, identity %+v", len(a.seen), x.Identity())
			}
		}
	}
	for _, outage := range []error{auth.Refuse(auth.ErrUnavailable, "issuer-unavailable"), errors.Join(auth.ErrUnavailable, auth.ErrCredentials), errors.New("broken")} {
		x := mechanism(oauth.OAuthBearer, &told{err: outage}).Start(t.Context(), safe)
		if challenge, done, err := x.Next([]byte(bearerMessage("alice", "t"))); challenge != nil || done || err != outage {
			t.Errorf("an outage: %q, %v, %v", challenge, done, err)
		}
		if x.(auth.Rejecter).Rejected() != nil {
			t.Error("an outage is a refusal")
		}
	}
}

// TestAsksForHint: a message without a token is asked by nobody.
func TestAsksForHint(t *testing.T) {
	a := &told{}
	x := mechanism(oauth.OAuthBearer, a).Start(t.Context(), safe)
	challenge, done, err := x.Next([]byte("n,a=alice,\x01auth=\x01\x01"))
	if err != nil || done || !bytes.Contains(challenge, []byte("openid-configuration")) {
		t.Errorf("%q, %v, %v", challenge, done, err)
	}
	if _, _, err := x.Next([]byte{1}); auth.Reason(err) != "no-token" || len(a.seen) != 0 {
		t.Errorf("%v after %d checks", err, len(a.seen))
	}
}

// TestChain: a token goes to the issuer that it names, and one that nobody
// knows, or that nobody can check, opens nothing.
func TestChain(t *testing.T) {
	first, second, third := newWorld(t), newWorld(t), newWorld(t)
	third.SetOpaque(true)
	c := third.asking()
	c.Source = "oauth third"
	chain := auth.Chain{authtest.Memory{"alice": "x"}, open(t, first.config()), open(t, second.config()), open(t, c)}
	accepted(t, chain, first.Token(t, nil), "alice")
	accepted(t, chain, second.Token(t, nil), "alice")
	opaque, _ := third.fetch(t, "bob", "pop")
	if id := accepted(t, chain, opaque, "bob"); id.Source != "oauth third" || id.Mechanism != oauth.OAuthBearer {
		t.Errorf("identity %+v", id)
	}
	refused(t, chain, newWorld(t).Token(t, nil), auth.ErrCredentials, "other-issuer")
	refused(t, chain, "nonsense", auth.ErrCredentials, "not-a-jwt")
	refused(t, chain, "", auth.ErrCredentials, "empty-token")
	refused(t, chain, "a b", auth.ErrCredentials, "malformed-token")
	refused(t, chain, "=", auth.ErrCredentials, "malformed-token")
	refused(t, chain, strings.Repeat("a", auth.MaxToken+1), auth.ErrCredentials, "malformed-token")
	refused(t, auth.Chain{authtest.Memory{}}, "nonsense", auth.ErrCredentials, "unknown-user")
	if id, err := chain.Authenticate(t.Context(), safe, auth.Password{User: "alice", Secret: "x"}); err != nil || id.User != "alice" {
		t.Errorf("a password beside tokens: %v", err)
	}
	_, err := chain.Authenticate(t.Context(), safe, auth.Bearer{User: "a\nb", Token: "x"})
	if auth.Reason(err) != "malformed-user" {
		t.Errorf("a name of two lines: %v", err)
	}
}

// TestThrottled: wrong tokens count, for the address and for the name that was
// given beside them.
func TestThrottled(t *testing.T) {
	w := newWorld(t)
	a := &auth.Throttle{Auth: auth.Chain{open(t, w.config())}, FailuresPerMinute: 2}
	expired, good := w.Token(t, map[string]any{"exp": 1}), w.Token(t, nil)
	try := func(user, token string) error {
		_, err := a.Authenticate(t.Context(), safe, auth.Bearer{User: user, Token: auth.Secret(token)})
		return err
	}
	for _, want := range []string{"token-expired", "token-expired", "throttled"} {
		if err := try("alice", expired); auth.Reason(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := try("alice", good); auth.Reason(err) != "throttled" {
		t.Errorf("%v, want throttled", err)
	}
	if err := try("bob", good); err != nil {
		t.Error(err)
	}
}

func TestOtherCredentials(t *testing.T) {
	w := newWorld(t)
	a := open(t, w.config())
	for _, c := range []auth.Credential{nil, auth.Password{User: "alice", Secret: "x"}, auth.APOP{User: "alice"}} {
		if _, err := a.Authenticate(t.Context(), safe, c); !errors.Is(err, auth.ErrUnknown) {
			t.Errorf("%T: %v", c, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Authenticate(ctx, safe, auth.Bearer{Token: auth.Secret(w.Token(t, nil))}); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("after ctx ended: %v", err)
	}
}

// TestNew: what cannot be right is said when it is built.
func TestNew(t *testing.T) {
	good := oauth.Config{Issuer: "https://sso.test", Audience: "pop"}
	for _, change := range []func(*oauth.Config){
		func(c *oauth.Config) { c.Audience = "" },
		func(c *oauth.Config) { c.Issuer = "" },
		func(c *oauth.Config) { c.Issuer = "http://sso.test" },
		func(c *oauth.Config) { c.Issuer = "https://user:pw@sso.test" },
		func(c *oauth.Config) { c.JWKSURL = "file:///etc/passwd" },
		func(c *oauth.Config) { c.JWKSURL, c.IntrospectionURL = "https://sso.test/a", "https://sso.test/b" },
		func(c *oauth.Config) { c.Algorithms = []string{"HS256"} },
		func(c *oauth.Config) { c.Algorithms = []string{"none"} },
		func(c *oauth.Config) { c.Claims = []string{"Principal"} },
	} {
		c := good
		change(&c)
		if a, err := oauth.New(c); err == nil {
			a.Close()
			t.Errorf("%+v is taken", c)
		}
	}
}

// TestNoSecret: no error, printed in any way, repeats a token.
func TestNoSecret(t *testing.T) {
	w := newWorld(t)
	a := auth.Chain{open(t, w.config())}
	for _, change := range []map[string]any{{"exp": 1}, {"aud": "x"}, {"iss": "x"}, {"preferred_username": "a\x00"}} {
		token := w.Token(t, change)
		_, err := show(t, a, token)
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, token[len(token)-20:]) || strings.Contains(text, token[:60]) {
			t.Errorf("the error repeats the token: %s", text)
		}
	}
}
