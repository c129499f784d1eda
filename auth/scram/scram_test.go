package scram_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/emersion/go-sasl"
	"go.uber.org/goleak"

	"kpopd/auth"
	"kpopd/auth/authtest"
	"kpopd/auth/scram"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func protected() auth.Peer { return auth.Peer{Protected: true, Tickets: true} }

// only are Keys of one user.
type only struct {
	user string
	keys auth.SCRAMKeys
}

func (o only) SCRAMParameters(string) (int, int) { return 4096, 16 }

func (o only) SCRAM(_ context.Context, _ auth.Peer, user, _ string) (auth.SCRAMUser, error) {
	if user != o.user {
		return auth.SCRAMUser{}, auth.ErrUnknown
	}
	return admitted(o.keys, auth.Identity{User: user}, nil), nil
}

// TestRFC has the conversations that the RFCs print.
func TestRFC(t *testing.T) {
	for _, test := range []struct{ rfc, hash, salt, nonce, first, challenge, final, success string }{
		{
			"RFC 5802 §5", scram.SHA1, "\x41\x25\xc2\x47\xe4\x3a\xb1\xe9\x3c\x6d\xff\x76", "3rfcNHYJY1ZVvWVs7j",
			"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		},
		{
			"RFC 7677 §3", scram.SHA256, "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81",
			"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
			"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		},
	} {
		t.Run(test.rfc, func(t *testing.T) {
			m := &scram.Mechanism{Hash: test.hash, Keys: only{"user", keysOf(test.hash, "pencil", []byte(test.salt), 4096)}}
			m.SetNonce(test.nonce)
			x := m.Start(t.Context(), protected())
			if challenge, done, err := x.Next([]byte(test.first)); string(challenge) != test.challenge || done || err != nil {
				t.Fatalf("challenge %q, %v, %v", challenge, done, err)
			}
			if data, done, err := x.Next([]byte(test.final)); string(data) != test.success || !done || err != nil {
				t.Fatalf("success %q, %v, %v", data, done, err)
			}
			if id := x.Identity(); id.User != "user" || id.Authzid != "" || id.Mechanism != "SCRAM-"+test.hash {
				t.Errorf("identity %+v", id)
			}
		})
	}
}

func TestConformance(t *testing.T) {
	for _, hash := range []string{scram.SHA1, scram.SHA256} {
		t.Run(hash, func(t *testing.T) {
			m := newMechanism()
			m.Hash = hash
			authtest.TestMechanism(t, authtest.Mechanism{
				Mechanism: m, Peer: protected(), Forbidden: []auth.Peer{{}, {Tickets: true}},
				Client: func(testing.TB) sasl.Client {
					c := alice()
					c.hash, c.authzid = hash, "bob"
					return c
				},
				Want: auth.Identity{User: "alice", Authzid: "bob"},
			})
		})
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct{ sent, password, proves string }{
		{"alice", "secret", "alice"},
		{"a,b=c", "odd", "a,b=c"},
		{"j\u00fcrgen", "umlaut", "j\u00fcrgen"},
		{"ju\u0308rgen", "umlaut", "j\u00fcrgen"}, // NFKC
		{"al\u00adice", "secret", "alice"},        // soft hyphen
	} {
		c := alice()
		c.user, c.password, c.authzid, c.extension = test.sent, test.password, "x=,y", ",x=unknown,Z=1"
		id, err := run(t, newMechanism(), protected(), c)
		if err != nil || id.User != test.proves || id.Authzid != "x=,y" || id.Source != "memory" || !c.verified {
			t.Errorf("%q: %+v, %v", test.sent, id, err)
		}
	}
}

// A refusal is the reason why a conversation of which edit changed one message
// is refused. step counts from 0.
type refusal struct {
	name, reason string
	step         int
	edit         func(message string) string
}

func replace(old, new string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic(fmt.Sprintf("%q has no %q", s, old))
		}
		return strings.Replace(s, old, new, 1)
	}
}

func refusals() []refusal {
	long := strings.Repeat("x", 256)
	return []refusal{
		{"empty", "malformed", 0, func(string) string { return "" }},
		{"no header", "malformed", 0, replace("n,,", "")},
		{"unknown flag", "malformed", 0, replace("n,,", "x,,")},
		{"empty binding type", "malformed", 0, replace("n,,", "p=,,")},
		{"odd binding type", "malformed", 0, replace("n,,", "p=tls_unique,,")},
		{"authzid without a=", "malformed", 0, replace("n,,", "n,bob,")},
		{"empty authzid", "empty-user", 0, replace("n,,", "n,a=,")},
		{"long authzid", "malformed-user", 0, replace("n,,", "n,a="+long+",")},
		{"authzid with a line end", "malformed-user", 0, replace("n,,", "n,a=b\n,")},
		{"no user", "malformed", 0, replace("n=alice,", "")},
		{"empty user", "empty-user", 0, replace("n=alice", "n=")},
		{"nothing left of the user", "malformed-user", 0, replace("n=alice", "n=\u00ad")},
		{"wrong escape", "malformed-user", 0, replace("alice", "al=ice")},
		{"lower-case escape", "malformed-user", 0, replace("alice", "al=2cice")},
		{"escape at the end", "malformed-user", 0, replace("alice", "alice=2C=")},
		{"long user", "malformed-user", 0, replace("alice", long)},
		{"control character", "malformed-user", 0, replace("alice", "ali\x01ce")},
		{"not UTF-8", "malformed", 0, replace("alice", "ali\xffce")},
		{"NUL", "malformed", 0, replace("alice", "alice\x00")},
		{"private use", "malformed-user", 0, replace("alice", "alice\ue000")},
		{"no nonce", "malformed", 0, func(s string) string { return s[:strings.Index(s, ",r=")] }},
		{"empty nonce", "empty-nonce", 0, func(s string) string { return s[:strings.Index(s, ",r=")+3] }},
		{"nonce with a space", "malformed", 0, replace("r=", "r= ")},
		{"mandatory extension", "mandatory-extension", 0, replace("n=alice", "m=x,n=alice")},
		{"mandatory extension, late", "mandatory-extension", 0, func(s string) string { return s + ",m=x" }},
		{"extension without a value", "malformed", 0, func(s string) string { return s + ",x=" }},
		{"extension without a name", "malformed", 0, func(s string) string { return s + ",1=x" }},
		{"a megabyte", "malformed", 0, func(s string) string { return s + strings.Repeat("x", 1<<20) }},
		{"binding without -PLUS", "channel-binding-unexpected", 0, replace("n,,", "p=tls-exporter,,")},
		{"nothing for a proof", "malformed", 1, func(string) string { return "" }},
		{"no proof", "malformed", 1, func(s string) string { return s[:strings.Index(s, ",p=")] }},
		{"empty proof", "malformed", 1, func(s string) string { return s[:strings.Index(s, ",p=")+3] }},
		{"proof not base64", "malformed", 1, replace(",p=", ",p=!")},
		{"proof with a line end", "malformed", 1, replace(",p=", ",p=\r\n")},
		{"short proof", "wrong-password", 1, func(s string) string { return s[:strings.Index(s, ",p=")+3] + "AAAA" }},
		{"proof of zeros", "wrong-password", 1, func(s string) string {
			return s[:strings.Index(s, ",p=")+3] + b64(make([]byte, 32))
		}},
		{"something behind the proof", "malformed", 1, func(s string) string { return s + ",x=y" }},
		{"mandatory extension, last", "mandatory-extension", 1, replace(",p=", ",m=x,p=")},
		{"extension that is not signed", "wrong-password", 1, replace(",p=", ",x=y,p=")},
		{"no binding", "malformed", 1, replace("c=biws,", "")},
		{"another header", "channel-binding-mismatch", 1, replace("c=biws", "c="+b64([]byte("y,,")))},
		{"a longer header", "channel-binding-mismatch", 1, replace("c=biws", "c="+b64([]byte("n,,x")))},
		{"a shorter header", "channel-binding-mismatch", 1, replace("c=biws", "c="+b64([]byte("n,")))},
		{"another nonce", "nonce-mismatch", 1, replace("r=", "r=x")},
		{"client's nonce only", "nonce-mismatch", 1, func(s string) string {
			i := strings.Index(s, ",p=")
			return s[:i-26] + s[i:]
		}},
	}
}

func TestRefusals(t *testing.T) {
	for _, r := range refusals() {
		t.Run(r.name, func(t *testing.T) {
			m, c := newMechanism(), alice()
			x := m.Start(t.Context(), protected())
			_, response, _ := c.Start()
			for step := 0; ; step++ {
				if step == r.step {
					response = []byte(r.edit(string(response)))
				}
				challenge, done, err := x.Next(response)
				if step == r.step {
					if !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != r.reason || done || challenge != nil {
						t.Errorf("challenge %q, error %v, want %s", challenge, err, r.reason)
					}
					return
				}
				if response, err = c.Next(challenge); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestWrongProofs(t *testing.T) {
	for _, test := range []struct{ user, password, reason string }{
		{"alice", "Secret", "wrong-password"},
		{"alice", "odd", "wrong-password"},
		{"alice", "", "wrong-password"},
		{"Alice", "secret", "unknown-user"},
		{"mallory", "secret", "unknown-user"},
		{"mallory", "", "unknown-user"},
		{"far", "secret", "address-not-allowed"},
		{"far", "wrong", "wrong-password"},
	} {
		c := alice()
		c.user, c.password = test.user, test.password
		_, err := run(t, newMechanism(), protected(), c)
		if !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != test.reason {
			t.Errorf("%s, %q: %v, want %s", test.user, test.password, err, test.reason)
		}
	}
}

// TestRefusedSalt: who is refused at one address is asked the same at another.
func TestRefusedSalt(t *testing.T) {
	m := newMechanism()
	ask := func() string {
		m.SetNonce("y")
		c := alice()
		c.user, c.nonce = "far", "x"
		_, first, _ := c.Start()
		challenge, _, err := m.Start(t.Context(), protected()).Next(first)
		if err != nil {
			t.Fatal(err)
		}
		return string(challenge)
	}
	here := ask()
	delete(m.Keys.(*memory).refused, "far")
	if there := ask(); here != there {
		t.Errorf("refused: %s, let in: %s", here, there)
	}
}

// TestNobody: what somebody who does not exist is asked looks like what others
// are, is the same each time, for another process too, and not the same for
// anybody else, hash or secret.
func TestNobody(t *testing.T) {
	ask := func(m *scram.Mechanism, user string) string {
		m.SetNonce("y")
		c := alice()
		c.user, c.nonce = user, "x"
		_, first, _ := c.Start()
		challenge, _, err := m.Start(t.Context(), protected()).Next(first)
		if err != nil {
			t.Fatal(err)
		}
		return string(challenge)
	}
	first := ask(newMechanism(), "mallory")
	if known := ask(newMechanism(), "alice"); len(known) != len(first) || !strings.HasSuffix(first, "=,i=4096") {
		t.Errorf("%q for a user, %q for nobody", known, first)
	}
	if again := ask(newMechanism(), "mallory"); again != first {
		t.Errorf("%q, then %q", first, again)
	}
	if prepared := ask(newMechanism(), "mal\u00adlory"); prepared != first {
		t.Errorf("%q, but %q for the name not prepared", first, prepared)
	}
	others := map[string]*scram.Mechanism{"mallorz": newMechanism(), "mallory": newMechanism()}
	others["mallory"].Hash = scram.SHA1
	for user, m := range others {
		if other := ask(m, user); other == first {
			t.Errorf("the same salt for %s with %s", user, m.Name())
		}
	}
	m := newMechanism()
	m.Secret = []byte("another")
	if ask(m, "mallory") == first {
		t.Error("the same salt with another secret")
	}
}

// broken are Keys that have nothing to say.
type broken struct{ err error }

func (broken) SCRAMParameters(string) (int, int) { return 4096, 16 }
func (b broken) SCRAM(context.Context, auth.Peer, string, string) (auth.SCRAMUser, error) {
	return auth.SCRAMUser{}, b.err
}

// TestAdmit: who may not come learns so by a right proof only, and what then
// keeps him out is what the client is told.
func TestAdmit(t *testing.T) {
	for _, want := range []error{
		auth.Refuse(auth.ErrDenied, "account-disabled"), auth.Refuse(auth.ErrUnavailable, "too-many-groups"),
	} {
		m := newMechanism()
		m.Throttle = &auth.Throttle{FailuresPerMinute: 1}
		m.Keys.(*memory).refused["far"] = want
		try := func(password string) error {
			c := alice()
			c.user, c.password = "far", password
			_, err := run(t, m, protected(), c)
			return err
		}
		for range 3 { // not counted as failures
			if err := try("secret"); err != want {
				t.Errorf("%v, want %v", err, want)
			}
		}
		if err := try("wrong"); auth.Reason(err) != "wrong-password" {
			t.Errorf("%v", err)
		}
	}
}

// An outage is none of anybody's password, and no bypass.
func TestOutage(t *testing.T) {
	for reason, err := range map[string]error{
		"busy":     auth.Refuse(auth.ErrUnavailable, "busy"),
		"gone":     errors.Join(auth.ErrUnknown, auth.Refuse(auth.ErrUnavailable, "gone")),
		"internal": errors.New("something else"),
	} {
		m := newMechanism()
		m.Keys = broken{err}
		_, got := run(t, m, protected(), alice())
		if !errors.Is(got, auth.ErrUnavailable) || auth.Reason(got) != reason && reason != "internal" {
			t.Errorf("%s: %v", reason, got)
		}
	}
}

func TestUsable(t *testing.T) {
	m := newMechanism()
	offered := false
	m.Offered = func() bool { return offered }
	if m.Usable(protected()) {
		t.Error("usable where nobody has keys")
	}
	offered = true
	if !m.Usable(protected()) {
		t.Error("not usable where somebody has")
	}
	m.Plus = true
	if m.Usable(protected()) {
		t.Error("-PLUS is usable without TLS")
	}
}

// TestThrottle: too many wrong proofs end in refusals, right ones too, for that
// user at that address, and for nobody at home elsewhere.
func TestThrottle(t *testing.T) {
	m := newMechanism()
	m.Throttle = &auth.Throttle{FailuresPerMinute: 3}
	at := func(addr string) auth.Peer {
		p := protected()
		p.Addr = netip.MustParseAddrPort(addr + ":1234")
		return p
	}
	here, there := at("192.0.2.1"), at("192.0.2.2")
	reason := func(p auth.Peer, user, password string) string {
		c := alice()
		c.user, c.password = user, password
		_, err := run(t, m, p, c)
		if err == nil {
			return ""
		}
		return auth.Reason(err)
	}
	for i := range 3 {
		if r := reason(here, "alice", "wrong"); r != "wrong-password" {
			t.Fatalf("failure %d: %s", i, r)
		}
	}
	for password, p := range map[string]auth.Peer{"wrong": here, "secret": here} {
		if r := reason(p, "alice", password); r != "throttled" {
			t.Errorf("%s: %q", password, r)
		}
	}
	if r := reason(there, "alice", "secret"); r != "" {
		t.Errorf("elsewhere: %q", r)
	}
	for range 3 {
		reason(here, "mallory", "guess")
	}
	if r := reason(here, "mallory", "guess"); r != "throttled" {
		t.Errorf("somebody who does not exist: %q", r)
	}
}

// TestThrottleLate: of many exchanges that are all at the proof, no more than
// the limit are judged.
func TestThrottleLate(t *testing.T) {
	m := newMechanism()
	m.Throttle = &auth.Throttle{FailuresPerMinute: 3}
	reasons := map[string]int{}
	var finals []func() error
	for range 10 {
		c, x := alice(), m.Start(t.Context(), protected())
		c.password = "wrong"
		_, first, _ := c.Start()
		challenge, _, err := x.Next(first)
		if err != nil {
			t.Fatal(err)
		}
		final, _ := c.Next(challenge)
		finals = append(finals, func() error { _, _, err := x.Next(final); return err })
	}
	for _, final := range finals {
		reasons[auth.Reason(final())]++
	}
	if want := map[string]int{"wrong-password": 3, "throttled": 7}; !maps.Equal(reasons, want) {
		t.Errorf("%v, want %v", reasons, want)
	}
}

// TestThrottleAbandoned: an exchange that is left before the proof counts, as
// keys were looked up for it; one that comes to a right proof does not.
func TestThrottleAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMechanism()
		m.Throttle = &auth.Throttle{FailuresPerMinute: 3}
		leave := func(spoil func([]byte) []byte) string {
			ctx, cancel := context.WithCancel(t.Context())
			defer synctest.Wait()
			defer cancel()
			c, x := alice(), m.Start(ctx, protected())
			_, first, _ := c.Start()
			challenge, _, err := x.Next(first)
			if err == nil && spoil != nil {
				final, _ := c.Next(challenge)
				_, _, err = x.Next(spoil(final))
			}
			if err == nil {
				return ""
			}
			return auth.Reason(err)
		}
		right := func(b []byte) []byte { return b }
		for range 5 {
			if r := leave(right); r != "" {
				t.Fatalf("right: %s", r)
			}
		}
		for i, spoil := range []func([]byte) []byte{nil, func([]byte) []byte { return []byte{} }, nil} {
			leave(spoil)
			want := ""
			if i == 2 {
				want = "throttled"
			}
			if r := leave(right); r != want {
				t.Errorf("after %d: %q, want %q", i+1, r, want)
			}
		}
	})
}

// TestReplay: the messages of an exchange prove nothing in another.
func TestReplay(t *testing.T) {
	m, c := newMechanism(), alice()
	x := m.Start(t.Context(), protected())
	_, first, _ := c.Start()
	challenge, _, _ := x.Next(first)
	final, _ := c.Next(challenge)
	if _, done, err := x.Next(final); err != nil || !done {
		t.Fatal(err)
	}
	for range 2 {
		y := m.Start(t.Context(), protected())
		if _, _, err := y.Next(slices.Clone(first)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := y.Next(final); auth.Reason(err) != "nonce-mismatch" {
			t.Errorf("replayed: %v", err)
		}
	}
}

func TestClaimed(t *testing.T) {
	x := newMechanism().Start(t.Context(), protected())
	_, _, err := x.Next([]byte("n,,n=mal\u00adlory,r=x"))
	if who := x.(auth.Claimant).Claimed(); who != "mallory" || err != nil {
		t.Errorf("claimed %q, %v", who, err)
	}
}
