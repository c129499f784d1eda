package auth_test

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"kpopd/auth"
	"kpopd/auth/authtest"
)

// digests is an Authenticator over a map from users to secrets.
type digests map[string]string

func (d digests) Authenticate(_ context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	cram, ok := c.(auth.CRAMMD5)
	if !ok || d[cram.User] == "" {
		return auth.Identity{}, auth.ErrUnknown
	}
	s, err := auth.NewStored("PLAIN", d[cram.User])
	if proven, _ := s.Proves(c); err != nil || !proven {
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "wrong-digest")
	}
	return auth.Identity{User: cram.User, Source: "digests"}, nil
}

// cramClient is a client of CRAM-MD5 that follows RFC 2195 §2.
type cramClient struct{ user, secret string }

func (cramClient) Start() (string, []byte, error) { return "CRAM-MD5", nil, nil }

func (c cramClient) Next(challenge []byte) ([]byte, error) {
	h := hmac.New(md5.New, []byte(c.secret))
	h.Write(challenge)
	return []byte(c.user + " " + hex.EncodeToString(h.Sum(nil))), nil
}

// The challenge of the example in RFC 2195 §2.
const cramChallenge = "<1896.697170952@postoffice.reston.mci.net>"

func newCRAM(users map[string]string) auth.CRAM {
	return auth.CRAM{Auth: auth.Chain{digests(users)}, Challenge: func() string { return cramChallenge }}
}

func TestCRAMConforms(t *testing.T) {
	authtest.TestMechanism(t, authtest.Mechanism{
		Mechanism:   newCRAM(map[string]string{"alice a": "secret"}),
		Peer:        protected(),
		Forbidden:   []auth.Peer{{}, {Tickets: true}},
		ServerFirst: true,
		Client:      func(testing.TB) sasl.Client { return cramClient{"alice a", "secret"} },
		Want:        auth.Identity{User: "alice a"},
	})
}

func TestCRAMMessages(t *testing.T) {
	const digest = "b913a602c7eda7a495b4e6e7334d3890"
	mech := newCRAM(map[string]string{"tim": "tanstaaftanstaaf", "tim ": "x"})
	for _, test := range []struct {
		name, answer, reason string
	}{
		{"RFC 2195 §2", "tim " + digest, ""},
		{"wrong digest", "tim " + digest[1:] + "0", "wrong-digest"},
		{"another's digest", "tim  " + digest, "wrong-digest"},
		{"unknown", "mallory " + digest, "unknown-user"},
		{"upper case", "tim " + strings.ToUpper(digest), "malformed"},
		{"short", "tim " + digest[1:], "malformed"},
		{"long", "tim " + digest + "0", "malformed"},
		{"no user", " " + digest, "malformed"},
		{"only a digest", digest, "malformed"},
		{"only a user", "tim ", "malformed"},
		{"empty", "", "malformed"},
		{"NUL", "tim\x00 " + digest, "malformed"},
		{"not UTF-8", "\xff " + digest, "malformed"},
		{"line end", "tim " + digest + "\r\n", "malformed"},
		{"a megabyte", strings.Repeat("x", 1<<20) + " " + digest, "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := mech.Start(t.Context(), protected())
			asked, done, err := converse(x, nil, say(test.answer))
			if len(asked) != 1 || asked[0] != cramChallenge {
				t.Fatalf("challenges %q", asked)
			}
			if test.reason != "" {
				if done || !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != test.reason || x.Identity().User != "" {
					t.Errorf("done %v, %v, want %s", done, err, test.reason)
				}
			} else if id := x.Identity(); !done || err != nil || id.User != "tim" || id.Mechanism != "CRAM-MD5" {
				t.Errorf("done %v, %v, identity %+v", done, err, id)
			}
		})
	}
	// RFC 5034 §4: a mechanism in which the server speaks first takes no
	// initial response.
	for _, answers := range [][]say{{say("")}, {say("tim " + digest)}, {nil, nil}} {
		x := mech.Start(t.Context(), protected())
		if _, done, err := converse(x, answers...); done || !errors.Is(err, sasl.ErrUnexpectedClientResponse) {
			t.Errorf("%q: done %v, %v", answers, done, err)
		}
		if _, done, err := x.Next([]byte("tim " + digest)); done || err == nil {
			t.Errorf("%q, and then a right answer: done %v, %v", answers, done, err)
		}
	}
}

// FuzzCRAM: only a name and a digest reach the authenticator.
func FuzzCRAM(f *testing.F) {
	for _, seed := range []string{"tim b913a602c7eda7a495b4e6e7334d3890", " ", "a b c", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if b == nil {
			return
		}
		x := auth.CRAM{Auth: cramDoor{}, Challenge: func() string { return "<1@h>" }}.Start(t.Context(), protected())
		_, done, err := converse(x, nil, b)
		if done != (err == nil) || err != nil && !errors.Is(err, auth.ErrCredentials) {
			t.Fatalf("%q: done %v, %v", b, done, err)
		}
		if id := x.Identity(); done && (!auth.IsName(id.User) || id.User+" "+id.Source != string(b) || len(id.Source) != 32) {
			t.Fatalf("%q proves %q by %q", b, id.User, id.Source)
		}
	})
}

// cramDoor lets in whoever reaches it, with the digest as the source.
type cramDoor struct{}

func (cramDoor) Authenticate(_ context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	cram := c.(auth.CRAMMD5)
	return auth.Identity{User: cram.User, Source: cram.Digest}, nil
}

func ExampleCRAM() {
	mech := auth.CRAM{Auth: auth.Chain{digests{"tim": "tanstaaftanstaaf"}}, Challenge: func() string { return cramChallenge }}
	x := mech.Start(context.Background(), auth.Peer{Protected: true})
	challenge, _, _ := x.Next(nil)
	fmt.Printf("%s\n", challenge)
	_, done, err := x.Next([]byte("tim b913a602c7eda7a495b4e6e7334d3890")) // RFC 2195 §2
	fmt.Println(done, err, x.Identity().User)
	// Output:
	// <1896.697170952@postoffice.reston.mci.net>
	// true <nil> tim
}
