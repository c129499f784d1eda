package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"kpopd/auth"
	"kpopd/auth/authtest"
)

func protected() auth.Peer { return auth.Peer{Protected: true, Tickets: true} }

func TestPlainConforms(t *testing.T) {
	users := authtest.Users()
	authtest.TestMechanism(t, authtest.Mechanism{
		Mechanism: auth.Plain{Auth: auth.Chain{authtest.Memory(users)}},
		Peer:      protected(),
		Forbidden: []auth.Peer{{}, {Tickets: true}},
		Client:    func(testing.TB) sasl.Client { return sasl.NewPlainClient("bob", "alice", users["alice"]) },
		Want:      auth.Identity{User: "alice", Authzid: "bob"},
	})
}

func TestPlainMessages(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	mech := auth.Plain{Auth: auth.Chain{authtest.Memory{
		"alice": "secret", long(255): long(255), "j\u00fcrgen": "stra\xdfe", "key": long(1024),
	}}}
	for _, test := range []struct {
		name, message string
		reason        string // "": accepted
	}{
		{"RFC 4616 §4", "\x00alice\x00secret", ""},
		{"authzid", "bob\x00alice\x00secret", ""},
		{"255 octets of each", long(255) + "\x00" + long(255) + "\x00" + long(255), ""},
		{"UTF-8 name, eight-bit password", "\x00j\u00fcrgen\x00stra\xdfe", ""},
		{"password of 1024 octets", "\x00key\x00" + long(1024), ""},
		{"empty", "", "malformed"},
		{"no NUL", "alice", "malformed"},
		{"one NUL", "alice\x00secret", "malformed"},
		{"three NULs", "\x00alice\x00secret\x00", "malformed"},
		{"NUL in the password", "\x00alice\x00sec\x00ret", "malformed"},
		{"only NULs", "\x00\x00", "malformed"},
		{"empty authcid", "alice\x00\x00secret", "malformed"},
		{"empty password", "\x00alice\x00", "malformed"},
		{"authzid not UTF-8", "\xff\x00alice\x00secret", "malformed"},
		{"authcid not UTF-8", "\x00\xff\x00secret", "malformed"},
		{"authzid with a line end", "bob\r\n\x00alice\x00secret", "malformed"},
		{"authzid of 256 octets", long(256) + "\x00alice\x00secret", "malformed"},
		{"authcid of 256 octets", "\x00" + long(256) + "\x00secret", "malformed"},
		{"a megabyte", "\x00alice\x00" + long(1<<20), "malformed"},
		{"wrong password", "\x00alice\x00Secret", "wrong-password"},
		{"unknown", "\x00mallory\x00secret", "unknown-user"},
		{"authzid for authcid", "alice\x00mallory\x00secret", "unknown-user"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := mech.Start(t.Context(), protected())
			challenge, done, err := x.Next([]byte(test.message))
			if test.reason == "" {
				authzid, rest, _ := strings.Cut(test.message, "\x00")
				authcid, _, _ := strings.Cut(rest, "\x00")
				id := x.Identity()
				if err != nil || !done || len(challenge) != 0 || id.User != authcid || id.Authzid != authzid || id.Mechanism != "PLAIN" {
					t.Errorf("done %v, %v, identity %+v", done, err, id)
				}
				return
			}
			if done || !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != test.reason {
				t.Errorf("done %v, error %v, want reason %q", done, err, test.reason)
			}
			if id := x.Identity(); id.User != "" || id.Authzid != "" {
				t.Errorf("refused, but proves %+v", id)
			}
		})
	}
}

func TestPlainSecondChallenge(t *testing.T) {
	x := auth.Plain{Auth: authtest.Memory{}}.Start(t.Context(), protected())
	if challenge, done, err := x.Next(nil); challenge == nil || len(challenge) != 0 || done || err != nil {
		t.Fatalf("the first challenge: %q, %v, %v", challenge, done, err)
	}
	if _, _, err := x.Next(nil); !errors.Is(err, auth.ErrCredentials) || !errors.Is(err, sasl.ErrUnexpectedClientResponse) {
		t.Errorf("no response to the challenge: %v", err)
	}
}

// An outage behind PLAIN stays one.
func TestPlainOutage(t *testing.T) {
	x := auth.Plain{Auth: auth.Chain{&scripted{err: auth.ErrUnavailable}}}.Start(t.Context(), protected())
	if _, done, err := x.Next([]byte("\x00alice\x00secret")); done || !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("done %v, error %v", done, err)
	}
}

// openDoor lets in whoever reaches it, under the name shown.
type openDoor struct{}

func (openDoor) Authenticate(_ context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	return auth.Identity{User: c.(auth.Password).User}, nil
}

// FuzzPlain checks what reaches the authenticator against a reading of RFC
// 4616 by other means.
func FuzzPlain(f *testing.F) {
	for _, seed := range []string{"", "\x00", "\x00alice\x00secret", "bob\x00alice\x00secret", "a\x00b\x00c\x00d", "\x00\x00\x00", "\xff\x00a\x00b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x := auth.Plain{Auth: openDoor{}}.Start(t.Context(), protected())
		_, done, err := x.Next(b)
		if done != (err == nil) {
			t.Fatalf("done %v with error %v", done, err)
		}
		parts := bytes.Split(b, []byte{0})
		if !done {
			if !errors.Is(err, auth.ErrCredentials) {
				t.Fatalf("error %v", err)
			}
			if len(parts) == 3 && len(parts[0]) == 0 && string(parts[1]) == "alice" && len(parts[2]) > 0 && len(parts[2]) < 256 {
				t.Fatalf("%q is refused", b)
			}
			return
		}
		id := x.Identity()
		if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 || id.User != string(parts[1]) || id.Authzid != string(parts[0]) {
			t.Fatalf("%q proves %q as %q", b, id.User, id.Authzid)
		}
	})
}

func ExamplePlain() {
	mech := auth.Plain{Auth: auth.Chain{authtest.Memory{"tim": "tanstaaftanstaaf"}}}
	clear, tls := auth.Peer{}, auth.Peer{Protected: true}
	fmt.Println(auth.Mechanisms{mech}.Usable(clear), auth.Mechanisms{mech}.Usable(tls))

	x := mech.Start(context.Background(), tls)
	_, done, err := x.Next([]byte("\x00tim\x00tanstaaftanstaaf")) // RFC 4616 §4
	fmt.Println(done, err, x.Identity().User)
	// Output:
	// [] [PLAIN]
	// true <nil> tim
}
