package auth_test

import (
	"context"
	"errors"
	"testing"

	"kpopd/auth"
	"kpopd/auth/authtest"
)

func TestSplitLogin(t *testing.T) {
	for _, c := range []struct{ name, separators, recipient, account string }{
		{"host", "@+", "", "host"},
		{"user@host", "@+", "user", "host"},
		{"user+host", "@+", "user", "host"},
		{"user+tag@host", "@+", "user+tag", "host"},
		{"user@x+host", "@+", "user@x", "host"},
		{"user+host", "@", "", "user+host"},
		{"user%host", "%", "user", "host"},
		{"user@host", "", "", "user@host"},
		{"@host", "@+", "", "@host"},
		{"user@", "@+", "", "user@"},
		{"@", "@+", "", "@"},
		{"", "@+", "", ""},
		{"u@@host", "@+", "u@", "host"},
	} {
		if r, a := auth.SplitLogin(c.name, c.separators); r != c.recipient || a != c.account {
			t.Errorf("%q by %q: %q, %q", c.name, c.separators, r, a)
		}
	}
}

// The proof is the host's, whoever's mail is asked for.
func TestSDPS(t *testing.T) {
	a := auth.SDPS{Auth: auth.Chain{authtest.Memory{"host": "secret", "user@host": "other"}}}
	for _, c := range []struct {
		user, secret, separators string
		recipient                string
		err                      error
	}{
		{"host", "secret", "@+", "", nil},
		{"user@host", "secret", "@+", "user", nil},
		{"user@host", "other", "@+", "", auth.ErrCredentials},
		{"user@host", "other", "", "", nil},
		{"user@nowhere", "secret", "@+", "", auth.ErrCredentials},
	} {
		id, err := a.Authenticate(t.Context(), auth.Peer{Separators: c.separators}, auth.Password{User: c.user, Secret: auth.Secret(c.secret)})
		if !errors.Is(err, c.err) || err == nil && id.Recipient != c.recipient {
			t.Errorf("%+v: %+v, %v", c, id, err)
		}
	}
}

// askedFor is an Authenticator that knows everybody, by the name it was asked.
type askedFor struct{}

func (askedFor) Authenticate(_ context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	switch c := c.(type) {
	case auth.APOP:
		return auth.Identity{User: c.User}, nil
	case auth.CRAMMD5:
		return auth.Identity{User: c.User}, nil
	}
	return auth.Identity{}, auth.ErrUnknown
}

// A digest is the host's too.
func TestSDPSDigests(t *testing.T) {
	for _, c := range []auth.Credential{auth.APOP{User: "user@host"}, auth.CRAMMD5{User: "user@host"}} {
		id, err := auth.SDPS{Auth: askedFor{}}.Authenticate(t.Context(), auth.Peer{Separators: "@"}, c)
		if err != nil || id.User != "host" || id.Recipient != "user" {
			t.Errorf("%T: %+v, %v", c, id, err)
		}
	}
}

// An authorization identity selects as a login name does; a principal does not.
func TestSelected(t *testing.T) {
	ticket := auth.Identity{User: "host", Attrs: map[string]string{"principal": "host@REALM", "realm": "REALM"}}
	for authzid, want := range map[string][2]string{
		"": {"", ""}, "host": {"", "host"}, "user@host": {"user", "host"}, "host@REALM": {"", "host@REALM"}, "x@other": {"x", "other"},
	} {
		id := ticket
		id.Authzid = authzid
		if id = id.Selected("@+"); id.Recipient != want[0] || id.Authzid != want[1] {
			t.Errorf("%q selects %q of %q", authzid, id.Recipient, id.Authzid)
		}
		id.Authzid = authzid
		if got := id.Selected(""); got.Authzid != authzid {
			t.Errorf("without separators %q becomes %q", authzid, got.Authzid)
		}
	}
}
