package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"kpopd/auth"
	"kpopd/auth/authtest"
)

func TestLoginConforms(t *testing.T) {
	users := authtest.Users()
	authtest.TestMechanism(t, authtest.Mechanism{
		Mechanism: auth.Login{Auth: auth.Chain{authtest.Memory(users)}},
		Peer:      protected(),
		Forbidden: []auth.Peer{{}, {Tickets: true}},
		Prompt:    "Username:",
		Client:    func(testing.TB) sasl.Client { return sasl.NewLoginClient("alice", users["alice"]) },
		Want:      auth.Identity{User: "alice"},
	})
}

// A say is one answer of a client; nil: it has none.
type say []byte

// converse has a client answer what x asks, and returns the challenges and the
// end.
func converse(x auth.Exchange, answers ...say) (challenges []string, done bool, err error) {
	for _, answer := range answers {
		var challenge []byte
		challenge, done, err = x.Next(answer)
		if done || err != nil {
			return challenges, done, err
		}
		challenges = append(challenges, string(challenge))
	}
	return challenges, done, err
}

func TestLoginMessages(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	mech := auth.Login{Auth: auth.Chain{authtest.Memory{
		"alice": "secret", long(255): long(1024), "j\u00fcrgen": "stra\xdfe", "two words": "\x01",
	}}}
	for _, test := range []struct {
		name    string
		answers []say
		asked   string // the challenges
		reason  string // "": accepted
	}{
		{"asked", []say{nil, say("alice"), say("secret")}, "Username: Password:", ""},
		{"initial response", []say{say("alice"), say("secret")}, "Password:", ""},
		{"long", []say{say(long(255)), say(long(1024))}, "Password:", ""},
		{"UTF-8 name, eight-bit password", []say{say("j\u00fcrgen"), say("stra\xdfe")}, "Password:", ""},
		{"a space and a control character", []say{say("two words"), say("\x01")}, "Password:", ""},
		{"wrong", []say{say("alice"), say("Secret")}, "Password:", "wrong-password"},
		{"unknown", []say{say("mallory"), say("secret")}, "Password:", "unknown-user"},
		{"no name", []say{say("")}, "", "malformed"},
		{"no name when asked", []say{nil, say("")}, "Username:", "malformed"},
		{"asked twice", []say{nil, nil}, "Username:", "malformed"},
		{"no answer", []say{say("alice"), nil}, "Password:", "malformed"},
		{"no password", []say{say("alice"), say("")}, "Password:", "malformed"},
		{"NUL in the name", []say{say("alice\x00")}, "", "malformed"},
		{"line end in the name", []say{say("alice\r\n")}, "", "malformed"},
		{"name not UTF-8", []say{say("\xff")}, "", "malformed"},
		{"NUL in the password", []say{say("alice"), say("secret\x00")}, "Password:", "malformed"},
		{"long name", []say{say(long(256))}, "", "malformed"},
		{"long password", []say{say("alice"), say(long(1025))}, "Password:", "malformed"},
		{"a message of PLAIN", []say{say("\x00alice\x00secret")}, "", "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := mech.Start(t.Context(), protected())
			asked, done, err := converse(x, test.answers...)
			if got := strings.Join(asked, " "); got != test.asked {
				t.Errorf("asked %q, want %q", got, test.asked)
			}
			if test.reason != "" {
				if done || !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != test.reason || x.Identity().User != "" {
					t.Errorf("done %v, %v, want %s; identity %+v", done, err, test.reason, x.Identity())
				}
				return
			}
			name := string(test.answers[len(test.answers)-2])
			if id := x.Identity(); err != nil || !done || id.User != name || id.Mechanism != "LOGIN" || x.(auth.Claimant).Claimed() != name {
				t.Errorf("done %v, %v, identity %+v", done, err, id)
			}
		})
	}
}

// An outage behind LOGIN stays one.
func TestLoginOutage(t *testing.T) {
	x := auth.Login{Auth: auth.Chain{&scripted{err: auth.ErrUnavailable}}}.Start(t.Context(), protected())
	if _, done, err := converse(x, say("alice"), say("secret")); done || !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("done %v, error %v", done, err)
	}
}

// FuzzLogin: what reaches the authenticator is what was said, and nothing that
// could not be a name or a password.
func FuzzLogin(f *testing.F) {
	f.Add([]byte("alice"), []byte("secret"), true)
	f.Add([]byte(""), []byte("\x00"), false)
	f.Fuzz(func(t *testing.T, user, password []byte, initial bool) {
		if user == nil || password == nil {
			return
		}
		x := auth.Login{Auth: openDoor{}}.Start(t.Context(), protected())
		answers := []say{user, password}
		if !initial {
			answers = append([]say{nil}, answers...)
		}
		_, done, err := converse(x, answers...)
		fit := auth.IsName(string(user)) && len(password) > 0 && len(password) <= 1024 && !strings.Contains(string(password), "\x00")
		if done != fit || done != (err == nil) || err != nil && !errors.Is(err, auth.ErrCredentials) {
			t.Fatalf("%q, %q: done %v, error %v", user, password, done, err)
		}
		if done && x.Identity().User != string(user) {
			t.Fatalf("%q proves %q", user, x.Identity().User)
		}
	})
}
