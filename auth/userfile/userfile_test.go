package userfile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth"
	"kpopd/auth/authtest"
	"kpopd/auth/userfile"
)

// write writes a file of users that only its owner can read.
func write(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open opens such a file.
func open(t testing.TB, lines ...string) *userfile.File {
	t.Helper()
	f, err := userfile.Open(write(t, lines...), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// try shows a password and returns the reason of the refusal, "" for none.
func try(f auth.Authenticator, user, secret string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := f.Authenticate(ctx, auth.Peer{}, auth.Password{User: user, Secret: auth.Secret(secret)})
	if err == nil {
		return ""
	}
	return auth.Reason(err)
}

func wants(t testing.TB, f auth.Authenticator, user, secret, reason string) {
	t.Helper()
	if got := try(f, user, secret); got != reason {
		t.Errorf("%s: reason %q, want %q", user, got, reason)
	}
}

// testdata/users has every scheme, hashed by other software.
func TestConformance(t *testing.T) {
	data, err := os.ReadFile("testdata/users")
	if err != nil {
		t.Fatal(err)
	}
	authtest.TestAuthenticator(t, open(t, string(data)), auth.Peer{})
}

// The same with the hashes made here.
func TestConformanceOwnHashes(t *testing.T) {
	var lines []string
	for user, password := range authtest.Users() {
		scheme := "PLAIN"
		if user == "latin1" || user == "utf8" {
			scheme = "SCRAM-SHA-256"
		}
		hash, err := userfile.Hash(scheme, password)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, user+":"+hash)
	}
	authtest.TestAuthenticator(t, open(t, lines...), auth.Peer{})
}

func TestIdentity(t *testing.T) {
	f := open(t, "alice:{PLAIN}secret")
	for _, source := range []string{"file", "file services"} {
		id, err := f.Authenticate(t.Context(), auth.Peer{}, auth.Password{User: "alice", Secret: "secret"})
		if err != nil || id.User != "alice" || id.Source != source {
			t.Errorf("%+v, %v", id, err)
		}
		f.Source = "file services"
	}
}

// RFC 4616 §2, RFC 4013: what is prepared the same is the same; a hash of what
// was typed matches what is typed.
func TestPreparation(t *testing.T) {
	prepared, err := userfile.Hash("SCRAM-SHA-256", "p\u00adass\u00a0word") // soft hyphen, hard space
	if err != nil {
		t.Fatal(err)
	}
	f := open(t,
		"prepared:"+prepared,
		"plain:{PLAIN}e\u0301", // decomposed
		// crypt(3) of "e" and a combining acute accent, as typed
		`raw:{CRYPT}$6$rounds=1000$rawraw$`+rawHash,
		"j\u00fcrgen:{PLAIN}x", "\u2168:{PLAIN}nine",
	)
	wants(t, f, "prepared", "pass word", "")
	wants(t, f, "prepared", "p\u00adass\u00a0word", "")
	wants(t, f, "prepared", "p\u00adass\u00a0wort", "wrong-password")
	wants(t, f, "plain", "e\u0301", "")
	wants(t, f, "plain", "\u00e9", "")
	wants(t, f, "plain", "e", "wrong-password")
	wants(t, f, "raw", "e\u0301", "")
	wants(t, f, "raw", "\u00e9", "wrong-password")
	wants(t, f, "ju\u0308rgen", "x", "")
	wants(t, f, "\u2168", "nine", "") // as sent comes first
	wants(t, f, "J\u00fcrgen", "x", "unknown-user")
	id, err := f.Authenticate(t.Context(), auth.Peer{}, auth.Password{User: "ju\u0308rgen", Secret: "x"})
	if err != nil || id.User != "j\u00fcrgen" {
		t.Errorf("the identity is %q, not the file's spelling: %v", id.User, err)
	}
}

// RFC 1939 §7's example, and who has no secret to prove.
func TestAPOP(t *testing.T) {
	f := open(t,
		"mrose:{PLAIN}tanstaaf", "hashed:{SHA512-CRYPT}"+sha512Hash,
		"scram:{SCRAM-SHA-256}"+pencil, "far:{PLAIN}tanstaaf::::::allow_nets=192.0.2.0/24")
	const stamp, digest = "<1896.697170952@dbc.mtview.ca.us>", "c4c9334bac560ecc979e58001b3e22fb"
	for _, test := range []struct{ user, stamp, digest, reason string }{
		{"mrose", stamp, digest, ""},
		{"mrose", stamp, "c4c9334bac560ecc979e58001b3e22fc", "wrong-digest"},
		{"mrose", stamp, "", "wrong-digest"},
		{"mrose", "<1897.697170952@dbc.mtview.ca.us>", digest, "wrong-digest"},
		{"hashed", stamp, digest, "no-plaintext-secret"},
		{"scram", stamp, digest, "no-plaintext-secret"},
		{"far", stamp, digest, "address-not-allowed"},
		{"mallory", stamp, digest, "unknown-user"},
	} {
		id, err := f.Authenticate(t.Context(), auth.Peer{}, auth.APOP{User: test.user, Timestamp: test.stamp, Digest: test.digest})
		switch {
		case test.reason == "" && (err != nil || id.User != test.user):
			t.Errorf("%s: %+v, %v", test.user, id, err)
		case test.reason != "" && (auth.Reason(err) != test.reason || errors.Is(err, auth.ErrUnknown) != (test.user == "mallory")):
			t.Errorf("%s: %v, want %q", test.user, err, test.reason)
		}
	}
}

// RFC 2195 §2's example, and who has no secret to prove.
func TestCRAMMD5(t *testing.T) {
	f := open(t, "tim:{PLAIN}tanstaaftanstaaf", "keys:{CRAM-MD5}"+dovecotCRAM, "hashed:{SHA512-CRYPT}"+sha512Hash,
		"scram:{SCRAM-SHA-256}"+pencil, "far:{PLAIN}tanstaaftanstaaf::::::allow_nets=192.0.2.0/24")
	const text, digest = "<1896.697170952@postoffice.reston.mci.net>", "b913a602c7eda7a495b4e6e7334d3890"
	for _, test := range []struct{ user, text, digest, reason string }{
		{"tim", text, digest, ""},
		{"keys", text, digest, ""},
		{"tim", text, "b913a602c7eda7a495b4e6e7334d3891", "wrong-digest"},
		{"keys", text, "b913a602c7eda7a495b4e6e7334d3891", "wrong-digest"},
		{"keys", "<1897.697170952@postoffice.reston.mci.net>", digest, "wrong-digest"},
		{"hashed", text, digest, "no-plaintext-secret"},
		{"scram", text, digest, "no-plaintext-secret"},
		{"far", text, digest, "address-not-allowed"},
		{"mallory", text, digest, "unknown-user"},
	} {
		id, err := f.Authenticate(t.Context(), auth.Peer{}, auth.CRAMMD5{User: test.user, Challenge: test.text, Digest: test.digest})
		switch {
		case test.reason == "" && (err != nil || id.User != test.user):
			t.Errorf("%s: %+v, %v", test.user, id, err)
		case test.reason != "" && (auth.Reason(err) != test.reason || errors.Is(err, auth.ErrUnknown) != (test.user == "mallory")):
			t.Errorf("%s: %v, want %q", test.user, err, test.reason)
		}
	}
	_, err := f.Authenticate(t.Context(), auth.Peer{}, auth.APOP{User: "keys", Timestamp: text, Digest: digest})
	if auth.Reason(err) != "no-plaintext-secret" {
		t.Errorf("APOP with keys for CRAM-MD5: %v", err)
	}
}

func TestAllowNets(t *testing.T) {
	f := open(t, "alice:{PLAIN}secret:1000:1000:Alice A:/home/alice:/bin/sh:userdb_mail=maildir:~/Maildir allow_nets=192.0.2.0/24,2001:db8::/32,198.51.100.7")
	for addr, want := range map[string]string{
		"192.0.2.200": "", "::ffff:192.0.2.1": "", "2001:db8:1::1": "", "198.51.100.7": "",
		"192.0.3.1": "address-not-allowed", "198.51.100.8": "address-not-allowed", "2001:db9::1": "address-not-allowed",
	} {
		p := auth.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 1)}
		_, err := f.Authenticate(t.Context(), p, auth.Password{User: "alice", Secret: "secret"})
		if want == "" && err != nil || want != "" && auth.Reason(err) != want {
			t.Errorf("%s: %v, want %q", addr, err, want)
		}
		_, err = f.Authenticate(t.Context(), p, auth.Password{User: "alice", Secret: "wrong"})
		if auth.Reason(err) != "wrong-password" {
			t.Errorf("%s with a wrong password: %v", addr, err)
		}
	}
	wants(t, f, "alice", "secret", "address-not-allowed") // from no known address
}

// The work for a name that nobody has is that for a wrong password.
func TestDecoyWork(t *testing.T) {
	slow := "{SHA512-CRYPT}" + slowHash
	chain := auth.Chain{open(t, "plain:{PLAIN}x", "a:"+slow, "b:"+slow)}
	const one, two = "wrong", "p\u00adass" // how often each is hashed
	for _, test := range []struct {
		name     string
		a, b     shown
		low, top float64 // bounds of b's time over a's
	}{
		{"unknown user", shown{"a", one}, shown{"mallory", one}, 0.6, 1.7},
		{"unknown user, two candidates", shown{"a", two}, shown{"mallory", two}, 0.6, 1.7},
		{"empty password", shown{"a", one}, shown{"mallory", ""}, 0.6, 1.7},
		{"malformed user", shown{"a", one}, shown{"mallory\x00", one}, 0.6, 1.7},
		{"one candidate and two", shown{"a", one}, shown{"a", two}, 1.6, 2.7},
	} {
		t.Run(test.name, func(t *testing.T) {
			if ratio := relative(chain, test.a, test.b, test.low, test.top); ratio < test.low || ratio > test.top {
				t.Errorf("takes %.2f times as long, want %.1f to %.1f", ratio, test.low, test.top)
			}
		})
	}
}

// shown is a password that somebody shows.
type shown struct{ user, secret string }

// relative returns how b's time compares with a's. Of each it takes the least,
// because other load only adds, and tries again where that has not shown yet.
func relative(auth auth.Authenticator, a, b shown, low, top float64) (ratio float64) {
	leastA, leastB := time.Hour, time.Hour
	for range 40 {
		for range 3 {
			start := time.Now()
			try(auth, a.user, a.secret)
			middle := time.Now()
			try(auth, b.user, b.secret)
			leastA, leastB = min(leastA, middle.Sub(start)), min(leastB, time.Since(middle))
		}
		if ratio = float64(leastB) / float64(leastA); ratio >= low && ratio <= top {
			break
		}
	}
	return ratio
}

// Hashes wait for memory and processors as long as their context lasts, and
// small ones do not starve for large ones.
func TestBusy(t *testing.T) {
	processors := runtime.GOMAXPROCS(0)
	for _, test := range []struct {
		octets int64
		atOnce int
	}{
		{0, 100}, // all clients: nothing to wait for
		{1, processors},
		{64 << 20, processors},
		{userfile.MaxMemory, max(1, processors*64<<20/userfile.MaxMemory)},
	} {
		t.Run(fmt.Sprint(test.octets), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { busy(t, test.octets, test.atOnce) })
		})
	}
}

func busy(t *testing.T, octets int64, atOnce int) {
	const clients = 100
	var (
		f       = open(t, "alice:{PLAIN}x")
		entered = make(chan struct{}, clients+1)
		release = make(chan struct{})
		probe   = userfile.Probe{Octets: octets, Match: func() bool { entered <- struct{}{}; <-release; return true }}
		matched = make(chan bool, clients)
		waited  = make(chan error, clients)
		wg      sync.WaitGroup
	)
	for range clients {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			switch ok, err := f.Verify(ctx, probe, "x"); {
			case err != nil:
				waited <- err
			default:
				matched <- ok
			}
		})
	}
	synctest.Wait()
	if n := len(entered); n != atOnce {
		t.Errorf("%d are compared at once, want %d", n, atOnce)
	}
	time.Sleep(time.Second) // of the bubble
	synctest.Wait()
	if n := len(waited); n != clients-atOnce {
		t.Errorf("%d give up when their context ends, want %d", n, clients-atOnce)
	}
	close(release)
	wg.Wait()
	if n := len(matched); n != atOnce {
		t.Errorf("%d are compared, want %d", n, atOnce)
	}
	if ok, err := f.Verify(t.Context(), probe, "x"); !ok || err != nil { // all is free again
		t.Errorf("%v, %v", ok, err)
	}
}

// A login that has to wait too long is told of an outage, never let in.
func TestBusyLogin(t *testing.T) {
	f := open(t, "alice:{SHA512-CRYPT}"+slowHash)
	var wg sync.WaitGroup
	for range 32 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, err := f.Authenticate(ctx, auth.Peer{}, auth.Password{User: "alice", Secret: "wrong"})
			if !errors.Is(err, auth.ErrUnavailable) && !errors.Is(err, auth.ErrCredentials) {
				t.Errorf("error %v", err)
			}
		})
	}
	wg.Wait()
	wants(t, f, "alice", "slow", "")
}

// One File serves many at once while it is read anew.
func TestConcurrentReload(t *testing.T) {
	f := open(t, "alice:{PLAIN}secret")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				wants(t, f, "alice", "secret", "")
			}
		})
		wg.Go(func() {
			for range 50 {
				if err := f.Reload(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func Example() {
	dir, err := os.MkdirTemp("", "userfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	hash, _ := userfile.Hash("SCRAM-SHA-256", "correct horse")
	path := filepath.Join(dir, "users")
	_ = os.WriteFile(path, []byte("alice:"+hash+"\n"), 0o600)

	users, err := userfile.Open(path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	users.Source = "file services"
	id, err := users.Authenticate(context.Background(), auth.Peer{}, auth.Password{User: "alice", Secret: "correct horse"})
	fmt.Println(id.User, id.Source, err)
	// Output: alice file services <nil>
}
