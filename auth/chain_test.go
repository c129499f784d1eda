package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"kpopd/auth"
	"kpopd/auth/authtest"
)

// A scripted authenticator gives one answer, and counts the questions.
type scripted struct {
	id            auth.Identity
	err           error
	asked, decoys int // asked for alice
	strangers     int // asked for others
	decoy         auth.Credential
}

func (s *scripted) Authenticate(_ context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	if p, ok := c.(auth.Password); ok && p.User != alice.User && p.Secret != alice.Secret {
		s.strangers++
		return auth.Identity{}, auth.ErrUnknown
	}
	s.asked++
	return s.id, s.err
}

func (s *scripted) Decoy(_ context.Context, c auth.Credential) {
	s.decoys++
	s.decoy = c
}

// plainly hides that an authenticator is a Decoyer.
type plainly struct{ auth.Authenticator }

var alice = auth.Password{User: "alice", Secret: "secret"}

func TestChainOrder(t *testing.T) {
	unknown := auth.Refuse(auth.ErrUnknown, "no-such-entry")
	internal := errors.New("a fault of another kind")
	both := errors.Join(auth.ErrUnknown, auth.ErrUnavailable)
	yes := auth.Identity{User: "alice", Source: "second"}
	for _, test := range []struct {
		name   string
		first  error
		second error
		want   error // nil: let in
		asked  int   // how often the second is asked
	}{
		{"the second knows", unknown, nil, nil, 1},
		{"the second refuses", auth.ErrUnknown, auth.ErrCredentials, auth.ErrCredentials, 1},
		{"a wrong password ends it", auth.Refuse(auth.ErrCredentials, "wrong-password"), nil, auth.ErrCredentials, 0},
		{"a denial ends it", auth.ErrDenied, nil, auth.ErrDenied, 0},
		{"an outage is no bypass", auth.ErrUnavailable, nil, auth.ErrUnavailable, 0},
		{"an outage of one of two servers is no bypass", both, nil, auth.ErrUnavailable, 0},
		{"a fault is no bypass", internal, nil, internal, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			first, second := &scripted{err: test.first}, &scripted{err: test.second}
			if test.second == nil {
				second.id = yes
			}
			id, err := auth.Chain{first, second}.Authenticate(t.Context(), auth.Peer{}, alice)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if err == nil && (id.User != "alice" || id.Source != "second" || id.Mechanism != "USER") {
				t.Errorf("identity %+v", id)
			}
			if second.asked != test.asked {
				t.Errorf("second asked %d times, want %d", second.asked, test.asked)
			}
			if wrong := errors.Is(err, auth.ErrCredentials); (first.decoys+second.decoys == 1) != wrong {
				t.Errorf("%d and %d decoys after %v", first.decoys, second.decoys, err)
			}
		})
	}
}

// Wherever a wrong password is found out, all the others work as if it had been
// wrong there: those behind are asked for somebody else first.
func TestChainWork(t *testing.T) {
	for refused := range 3 {
		var all [3]*scripted
		var chain auth.Chain
		for i := range all {
			all[i] = &scripted{err: auth.ErrUnknown}
			chain = append(chain, all[i])
		}
		all[refused].err = auth.Refuse(auth.ErrCredentials, "wrong-password")
		if _, err := chain.Authenticate(t.Context(), auth.Peer{}, alice); auth.Reason(err) != "wrong-password" {
			t.Fatal(err)
		}
		for i, s := range all {
			asked, strangers, decoys := 1, 0, 1
			switch {
			case i == refused:
				decoys = 0
			case i > refused:
				asked, strangers = 0, 1
			}
			if s.asked != asked || s.strangers != strangers || s.decoys != decoys {
				t.Errorf("refused by %d: %d was asked %d times, and %d for others, with %d decoys", refused, i, s.asked, s.strangers, s.decoys)
			}
		}
	}
}

// An unknown user is a wrong password to all but the log, and costs as much.
func TestChainUnknown(t *testing.T) {
	first := plainly{&scripted{err: auth.ErrUnknown}}
	second, third := &scripted{err: auth.ErrUnknown}, &scripted{err: auth.ErrUnknown}
	_, err := auth.Chain{first, second, third}.Authenticate(t.Context(), auth.Peer{}, alice)
	if !errors.Is(err, auth.ErrCredentials) || errors.Is(err, auth.ErrUnknown) || auth.Reason(err) != "unknown-user" {
		t.Errorf("error %v", err)
	}
	if second.decoys != 1 || third.decoys != 1 {
		t.Errorf("decoys: %d and %d", second.decoys, third.decoys)
	}
	if second.decoy != alice {
		t.Errorf("the decoy worked on %#v", second.decoy)
	}
	if _, err := (auth.Chain{}).Authenticate(t.Context(), auth.Peer{}, alice); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("an empty chain: %v", err)
	}
}

// What can never be right reaches no backend, least of all an empty password
// (RFC 4513 §5.1.2), but is answered as late as a wrong one.
func TestChainUnfit(t *testing.T) {
	const digest = "c4c9334bac560ecc979e58001b3e22fb"
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		cred   auth.Credential
		reason string
	}{
		{auth.Password{}, "empty-user"},
		{auth.Password{Secret: "s"}, "empty-user"},
		{auth.Password{User: "alice"}, "empty-password"},
		{auth.Password{User: "alice", Secret: "\x00"}, "malformed-password"},
		{auth.Password{User: "alice", Secret: "secret\x00"}, "malformed-password"},
		{auth.Password{User: "alice", Secret: auth.Secret(long(1025))}, "malformed-password"},
		{auth.Password{User: "alice\x00", Secret: "s"}, "malformed-user"},
		{auth.Password{User: "al\xffice", Secret: "s"}, "malformed-user"},
		{auth.Password{User: "alice\r\nalice", Secret: "s"}, "malformed-user"},
		{auth.Password{User: "\x1b[2J", Secret: "s"}, "malformed-user"},
		{auth.Password{User: "a\u2028b", Secret: "s"}, "malformed-user"},
		{auth.Password{User: long(256), Secret: "s"}, "malformed-user"},
		{auth.APOP{User: "", Timestamp: "<1@h>", Digest: digest}, "empty-user"},
		{auth.APOP{User: "alice", Timestamp: "", Digest: digest}, "malformed-digest"},
		{auth.APOP{User: "alice", Timestamp: "<1@h>", Digest: ""}, "malformed-digest"},
		{auth.APOP{User: "alice", Timestamp: "<1@h>", Digest: strings.ToUpper(digest)}, "malformed-digest"},
		{auth.APOP{User: "alice", Timestamp: "<1@h>", Digest: digest + "0"}, "malformed-digest"},
		{auth.CRAMMD5{User: "", Challenge: "<1@h>", Digest: digest}, "empty-user"},
		{auth.CRAMMD5{User: "alice", Challenge: "", Digest: digest}, "malformed-digest"},
		{auth.CRAMMD5{User: "alice", Challenge: "<1@h>", Digest: strings.ToUpper(digest)}, "malformed-digest"},
		{nil, "malformed"},
	} {
		t.Run(fmt.Sprintf("%T %s", test.cred, test.reason), func(t *testing.T) {
			backend := &scripted{id: auth.Identity{User: "alice"}}
			_, err := auth.Chain{backend}.Authenticate(t.Context(), auth.Peer{}, test.cred)
			if !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != test.reason {
				t.Errorf("error %v, want reason %q", err, test.reason)
			}
			if backend.asked != 0 || backend.decoys != 1 {
				t.Errorf("asked %d times, %d decoys", backend.asked, backend.decoys)
			}
			if p, ok := backend.decoy.(auth.Password); ok && (p.Secret == "" || len(p.Secret) > 64) {
				t.Errorf("the decoy worked on a password of %d octets", len(p.Secret))
			}
		})
	}
}

// Passwords of any octets but NUL go through verbatim.
func TestChainVerbatim(t *testing.T) {
	for _, secret := range []string{"\t", "a\tb", " ", "\xff\xfe", "a\r\nb", strings.Repeat("x", 1024), "{PLAIN}x"} {
		chain := auth.Chain{authtest.Memory{"alice": secret}}
		id, err := chain.Authenticate(t.Context(), auth.Peer{}, auth.Password{User: "alice", Secret: auth.Secret(secret)})
		if err != nil || id.User != "alice" {
			t.Errorf("%q: %v", secret, err)
		}
	}
}

func TestChainVouchesForNobody(t *testing.T) {
	_, err := auth.Chain{&scripted{}}.Authenticate(t.Context(), auth.Peer{}, alice)
	if err == nil {
		t.Error("an identity without a name is let in")
	}
}

func TestMemory(t *testing.T) {
	authtest.TestAuthenticator(t, authtest.Memory(authtest.Users()), auth.Peer{})
}

func ExampleChain() {
	services := authtest.Memory{"backup": "s3cret"}
	people := authtest.Memory{"alice": "correct horse"}
	chain := auth.Chain{services, people}
	for _, c := range []auth.Password{{User: "alice", Secret: "correct horse"}, {User: "backup", Secret: "?"}, {User: "bob", Secret: "?"}} {
		id, err := chain.Authenticate(context.Background(), auth.Peer{}, c)
		if err != nil {
			fmt.Printf("%s: refused, %s\n", c.User, auth.Reason(err))
			continue
		}
		fmt.Printf("%s: let in by %s\n", id.User, id.Source)
	}
	// Output:
	// alice: let in by memory
	// backup: refused, wrong-password
	// bob: refused, unknown-user
}
