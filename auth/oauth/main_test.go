package oauth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kpopd/auth"
	"kpopd/auth/oauth"
	"kpopd/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds one answer on a busy machine.
const patience = 60 * time.Second

// A world is an issuer and who trusts it.
type world struct {
	*testenv.Issuer
	ca *testenv.CA
}

func newWorld(t testing.TB) world {
	t.Helper()
	ca, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return world{testenv.NewIssuer(t, ca), ca}
}

// config trusts the issuer's signatures.
func (w world) config() oauth.Config {
	return oauth.Config{
		Source: "oauth test", Issuer: w.URL, Audience: "pop", UserClaim: "preferred_username", GroupsClaim: "groups",
		CAs: w.ca.Pool(), Timeout: patience / 2,
	}
}

// asking has the issuer asked about each token.
func (w world) asking() oauth.Config {
	c := w.config()
	c.IntrospectionURL, c.ClientID = w.URL+"/introspect", testenv.AskClient
	c.ClientSecret = func() (auth.Secret, error) { return testenv.AskSecret, nil }
	return c
}

func open(t testing.TB, c oauth.Config) *oauth.Authenticator {
	t.Helper()
	a, err := oauth.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// show shows a token.
func show(t testing.TB, a auth.Authenticator, token string) (auth.Identity, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id, err := a.Authenticate(ctx, auth.Peer{Protected: true}, auth.Bearer{Token: auth.Secret(token)})
	if ctx.Err() != nil {
		t.Errorf("no answer within %v", patience)
	}
	if err != nil && id.User != "" {
		t.Errorf("an identity, %q, beside the error %v", id.User, err)
	}
	return id, err
}

// refused checks that a token is refused, as want and for a reason.
func refused(t testing.TB, a auth.Authenticator, token string, want error, reason string) {
	t.Helper()
	_, err := show(t, a, token)
	if got := auth.Reason(err); !errors.Is(err, want) || got != reason {
		t.Errorf("error %v with the reason %q, want %v with %q", err, got, want, reason)
	}
	for _, other := range []error{auth.ErrUnknown, auth.ErrCredentials, auth.ErrDenied, auth.ErrUnavailable} {
		if other != want && errors.Is(err, other) {
			t.Errorf("error %v wraps %v besides %v", err, other, want)
		}
	}
}

// accepted checks that a token proves a user.
func accepted(t testing.TB, a auth.Authenticator, token, user string) auth.Identity {
	t.Helper()
	id, err := show(t, a, token)
	if err != nil || id.User != user {
		t.Errorf("%q, %v, want %q", id.User, err, user)
	}
	return id
}
