package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/auth/scram"
	"kpopd/auth/userfile"
)

// secretLine is a line of a file of users.
func secretLine(t testing.TB, user, scheme, password string) string {
	t.Helper()
	hash, err := userfile.Hash(scheme, password)
	if err != nil {
		t.Fatal(err)
	}
	return user + ":" + hash + "\n"
}

// mechanisms returns the line of CAPA that names the mechanisms, in the clear
// or on TLS.
func (s *site) mechanisms(t testing.TB, d *daemon, listener string) string {
	t.Helper()
	c := dial(t, d.addrs[listener])
	defer c.Close()
	if listener == "pop3s" {
		c.Conn = tls.Client(c.Conn, &tls.Config{RootCAs: s.world.CA.Pool(), ServerName: "localhost"})
		c.r = bufio.NewReader(c.Conn)
	}
	c.line()
	c.ok("CAPA")
	sasl := ""
	for line := ""; line != "."; line = c.line() {
		if strings.HasPrefix(line, "SASL ") {
			sasl = line
		}
	}
	return sasl
}

// reloadEdited has d read a configuration in which a text is replaced.
func (s *site) reloadEdited(t testing.TB, d *daemon, old, new string) {
	t.Helper()
	text, err := os.ReadFile(s.config(t))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "kpopd.hcl", strings.Replace(string(text), old, new, 1))
	mark := d.log.mark()
	d.signal(t, syscall.SIGHUP)
	d.log.awaitFrom(t, mark, "configuration reloaded", nil)
}

// TestSCRAMOffered: what is offered goes by who could use it, and follows the
// file of users.
func TestSCRAMOffered(t *testing.T) {
	t.Parallel()
	const (
		all       = "SASL GSSAPI SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN"
		none      = "SASL GSSAPI PLAIN"
		listening = "mechanisms = [\"GSSAPI\", \"PLAIN\", \"APOP\"]"
	)
	s := newSite(t)
	keys, old := secretLine(t, "alice", "SCRAM-SHA-256", "x"), secretLine(t, "old", "SCRAM-SHA-1", "x")
	plain, hashed := secretLine(t, "bob", "PLAIN", "x"), secretLine(t, "carol", "SHA512-CRYPT", "x")
	s.write(t, "users", keys)
	d := s.startEdited(t, listening, "")
	reload := func(users, mechanisms string) {
		t.Helper()
		s.write(t, "users", users)
		s.reloadEdited(t, d, listening, mechanisms)
	}
	wants := func(listener, want string) {
		t.Helper()
		got := s.mechanisms(t, d, listener)
		if got != want {
			t.Errorf("%s: %q, want %q", listener, got, want)
		}
		// fetchmail looks for a mechanism in pieces of 63 octets.
		if i := strings.Index(got, "GSSAPI"); i < 0 || i+len("GSSAPI") > 63 {
			t.Errorf("GSSAPI at %d of %q", i, got)
		}
	}
	wants("pop3s", all)
	wants("pop3", "SASL GSSAPI")                      // login_without_tls = "tickets"
	wants("clear", "SASL GSSAPI SCRAM-SHA-256 PLAIN") // login_without_tls = "any"
	reload(keys+plain, "")
	wants("pop3s", all)
	reload(keys+hashed, "")
	wants("pop3s", none)
	reload(old, "")
	wants("pop3s", none)
	reload(keys+hashed, `mechanisms = ["GSSAPI", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "PLAIN"]`)
	wants("pop3s", "SASL GSSAPI SCRAM-SHA-256 PLAIN")
	if hint := "SCRAM-SHA-256 is not offered"; strings.Contains(d.log.String(), hint) {
		t.Errorf("logged %q", hint)
	}
	for i, name := range []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"} {
		reload(old+hashed, fmt.Sprintf(`mechanisms = ["GSSAPI", %q, "PLAIN"]`, name))
		wants("pop3s", none)
		if hint := "SCRAM-SHA-256 is not offered as long as no user has"; strings.Count(d.log.String(), hint) != i+1 {
			t.Errorf("%s: not logged once: %q", name, hint)
		}
	}
}

// TestSCRAMInClear: AUTH refuses what CAPA does not offer, before the client
// has revealed anything but the name that it sent at once.
func TestSCRAMInClear(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write(t, "users", secretLine(t, "alice", "SCRAM-SHA-256", "x"))
	d := s.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, scramMechanisms)
	c := dial(t, d.addrs["pop3"])
	c.line()
	for _, name := range []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1"} {
		if r := c.say("AUTH %s", name); !strings.HasPrefix(r, "-ERR [SYS/PERM] ") {
			t.Errorf("AUTH %s: %s", name, r)
		}
	}
	c = dial(t, d.addrs["clear"])
	c.line()
	if r := c.say("AUTH SCRAM-SHA-256"); r != "+ " {
		t.Errorf("AUTH SCRAM-SHA-256: %q", r)
	}
	if r := c.say("%s", base64.StdEncoding.EncodeToString([]byte("n,,n=alice,r=x"))); !strings.HasPrefix(r, "+ cj14") {
		t.Errorf("client-first-message: %q", r)
	}
}

// TestSCRAMSecret: the secret behind feigned salts is made once, is shared and
// stays, and nothing else does for one.
func TestSCRAMSecret(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "scram.secret")
	secrets := make(chan []byte)
	for range 8 {
		go func() {
			secret, err := scramSecretOf(dir)
			if err != nil {
				t.Error(err)
			}
			secrets <- secret
		}()
	}
	first := <-secrets
	for range 7 {
		if secret := <-secrets; !bytes.Equal(secret, first) || len(secret) != scramSecretSize {
			t.Errorf("%x, and %x", first, secret)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for name, spoil := range map[string]func() error{
		"mode":  func() error { return os.Chmod(path, 0o644) },
		"short": func() error { return os.Truncate(path, 31) },
		"link":  func() error { os.Remove(path); return os.Symlink("/dev/zero", path) },
	} {
		if err := os.WriteFile(path, first, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if secret, err := scramSecretOf(dir); err == nil {
			t.Errorf("%s: %x", name, secret)
		}
		os.Remove(path)
	}
}

// salt returns what a server answers to the name of somebody, but for the
// server's part of the nonce.
func salt(t testing.TB, d *daemon, user string) string {
	t.Helper()
	c := dial(t, d.addrs["clear"])
	defer c.Close()
	c.line()
	answer := c.say("AUTH SCRAM-SHA-256 %s", base64.StdEncoding.EncodeToString([]byte("n,,n="+user+",r=x")))
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(answer, "+ "))
	_, rest, ok := strings.Cut(string(challenge), ",")
	if err != nil || !ok {
		t.Fatalf("%s: %q", user, answer)
	}
	return rest
}

// TestSCRAMRestart: a salt that changes with the process would tell that it is
// stored nowhere.
func TestSCRAMRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write(t, "users", secretLine(t, "keys", "SCRAM-SHA-256", "x")+secretLine(t, "plain", "PLAIN", "x")+secretLine(t, "hashed", "BLF-CRYPT", "x"))
	seen := map[string]string{}
	for range 2 {
		d := s.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, scramMechanisms)
		for _, user := range []string{"keys", "plain", "hashed", "mallory"} {
			now := salt(t, d, user)
			if before, ok := seen[user]; ok && now != before {
				t.Errorf("%s: %q, then %q", user, before, now)
			}
			seen[user] = now
		}
		d.stop(t)
	}
	if seen["mallory"] == seen["plain"] || len(seen["mallory"]) != len(seen["keys"]) {
		t.Errorf("%q", seen)
	}
}

// A stopwatch is a set of users and how long their exchanges take.
type stopwatch struct {
	mech  *scram.Mechanism
	took  map[string][]time.Duration
	words map[string]bool
}

// exchange has one user refused.
func (w *stopwatch) exchange(t *testing.T, user string) {
	started := time.Now()
	p := auth.Peer{Protected: true}
	x := w.mech.Start(context.Background(), p)
	challenge, _, err := x.Next([]byte("n,,n=" + user + ",r=x"))
	if err != nil {
		t.Fatal(err)
	}
	nonce, rest, _ := strings.Cut(string(challenge), ",")
	_, _, err = x.Next([]byte("c=biws," + nonce + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))))
	w.took[user] = append(w.took[user], time.Since(started))
	if err == nil {
		t.Fatalf("%s is let in", user)
	}
	salt, iterations, _ := strings.Cut(rest, ",")
	w.words[fmt.Sprintf("%d octets of salt, %s", len(salt), iterations)] = true
}

// spread prints the medians and quartiles, and returns by how much the lower
// quartiles differ, 1 for not: other processes only ever add to the time.
func (w *stopwatch) spread(t *testing.T) float64 {
	var all []time.Duration
	for user, took := range w.took {
		slices.Sort(took)
		n := len(took)
		t.Logf("%-9s median %v, quartiles %v and %v of %d", user, took[n/2], took[n/4], took[3*n/4], n)
		all = append(all, took[n/4])
	}
	return float64(slices.Max(all)) / float64(slices.Min(all))
}

// TestSCRAMTime: neither the time nor what is said before the refusal tells who
// exists, or what the file has of him. Another process may take the processor
// away, so one good measurement of three will do.
func TestSCRAMTime(t *testing.T) {
	hashed, keys := secretLine(t, "hashed", "BLF-CRYPT", "x"), secretLine(t, "keys", "SCRAM-SHA-256", "x")
	for name, users := range map[string]string{
		"with PLAIN":    keys + hashed + secretLine(t, "plain", "PLAIN", "x"),
		"without PLAIN": keys + hashed,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users")
			if err := os.WriteFile(path, []byte(users), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := userfile.Open(path, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			names, rounds := []string{"keys", "hashed", "nobody"}, 1000
			if strings.Contains(users, "plain") {
				names, rounds = append(names, "plain"), 20
			}
			spread := 0.0
			for range 3 {
				w := &stopwatch{&scram.Mechanism{Hash: scram.SHA256, Keys: scramKeys{f}, Secret: f.SCRAMSecret},
					map[string][]time.Duration{}, map[string]bool{}}
				for range rounds {
					for _, user := range names {
						w.exchange(t, user)
					}
				}
				if len(w.words) != 1 {
					t.Fatalf("what is said differs: %v", w.words)
				}
				if spread = w.spread(t); spread < 1.5 {
					return
				}
			}
			t.Errorf("the times differ by a factor of %.2f", spread)
		})
	}
}
