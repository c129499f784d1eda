package krb5

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/testenv"
)

// confAt returns a configuration whose KDCs of the home realm are these.
func confAt(t testing.TB, addrs ...string) *Conf {
	t.Helper()
	text := "[realms]\n" + testenv.Realm + " = {\n"
	for _, addr := range addrs {
		text += "kdc = " + addr + "\n"
	}
	path := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(path, []byte(text+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// passwordConfig checks passwords at the world's KDC: nothing is remembered and
// nobody is locked.
func passwordConfig(t testing.TB, w *testenv.World, c *Conf) PasswordConfig {
	t.Helper()
	if c == nil {
		var err error
		if c, err = LoadConf(w.Krb5Conf); err != nil {
			t.Fatal(err)
		}
	}
	return PasswordConfig{Source: "kerberos test", Client: &Client{Conf: c, Timeout: time.Minute}, Realm: testenv.Realm,
		Keys: keytabAt(t, w.Keytab), Host: "localhost", Log: quiet}
}

func passwords(t testing.TB, c PasswordConfig) *Passwords {
	t.Helper()
	p, err := NewPasswords(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func try(t testing.TB, a auth.Authenticator, user, password string) (auth.Identity, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return a.Authenticate(ctx, testPeer, auth.Password{User: user, Secret: auth.Secret(password)})
}

// freshUser makes a user that no other run of a test has.
func freshUser(t testing.TB, w *testenv.World, kind string, flags ...string) string {
	t.Helper()
	name := kind + "-" + strings.ToLower(rand.Text()[:10])
	w.AddUser(t, name, flags...)
	return name
}

// Passwords that a real KDC judges.
func TestPasswords(t *testing.T) {
	w := testenv.Start(t)
	p := passwords(t, passwordConfig(t, w, nil))
	sha2 := freshUser(t, w, "sha2", "-e aes256-cts-hmac-sha384-192:normal")
	short := freshUser(t, w, "sha2", "-e aes128-cts-hmac-sha256-128:normal")
	salted := freshUser(t, w, "salted", "-e aes128-cts-hmac-sha1-96:special")
	open := freshUser(t, w, "open", "-requires_preauth")
	for _, user := range []string{"alice", "bob", "alice@EXAMPLE.TEST", "alice@example.test", sha2, short, salted, open} {
		name, _, _ := strings.Cut(user, "@")
		id, err := try(t, p, user, w.Password(user))
		if err != nil || id.User != name || id.Source != "kerberos test" || !id.Expires.IsZero() ||
			id.Attrs["principal"] != name+"@EXAMPLE.TEST" || id.Attrs["realm"] != "EXAMPLE.TEST" {
			t.Errorf("%s: %+v, %v", user, id, err)
		}
	}
	for _, c := range []struct{ user, password, reason string }{
		{"alice", "wrong", "wrong-password"},
		{"alice", w.Password("bob"), "wrong-password"},
		{"alice", w.Password("alice") + " ", "wrong-password"},
		{open, "wrong", "wrong-password"},
		{freshUser(t, w, "expired", "-pwexpire", "yesterday"), "", "password-expired"},
		{freshUser(t, w, "gone", "-expire", "yesterday"), "", "account-expired"},
		{freshUser(t, w, "locked", "-allow_tix"), "", "account-locked"},
		{freshUser(t, w, "weak", "-e arcfour-hmac:normal"), "", "weak-enctype"},
		{"alice", "\x00", "malformed-password"},
		{"alice", strings.Repeat("x", 1025), "malformed-password"},
	} {
		password := c.password
		if password == "" {
			password = w.Password(c.user)
		}
		id, err := try(t, p, c.user, password)
		if !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != c.reason || id.User != "" {
			t.Errorf("%s: %+v, %v, want %s", c.user, id, err, c.reason)
		}
	}
	if _, err := try(t, p, "alice", ""); auth.Reason(err) != "malformed-password" {
		t.Errorf("no password: %v", err)
	}
}

// Names that are somebody else's in Kerberos' notation are nobody's here.
func TestPasswordNames(t *testing.T) {
	w := testenv.Start(t)
	p := passwords(t, passwordConfig(t, w, nil))
	for _, user := range []string{
		"mallory", "ALICE", "alice/admin", `alice\/admin`, `alice\@EXAMPLE.TEST`, "alice@PARTNER.TEST", "carol", "alice@",
		"@EXAMPLE.TEST", "alice@EXAMPLE.TEST@EXAMPLE.TEST", "alice@EXAMPLE.TEST ", " alice", "alice ", "krbtgt", "WELLKNOWN",
		"alice\x00", "alice\n", "\xff", "", "krbtgt/EXAMPLE.TEST", "pop/localhost", strings.Repeat("x", 2000),
	} {
		for _, password := range []string{w.Password("alice"), w.Password("alice/admin"), w.Password("carol")} {
			if id, err := try(t, p, user, password); !errors.Is(err, auth.ErrUnknown) || id.User != "" {
				t.Errorf("%q: %+v, %v", user, id, err)
			}
		}
	}
	if _, err := p.Authenticate(t.Context(), testPeer, auth.APOP{User: "alice"}); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("APOP: %v", err)
	}
}

// TestImpostor: a KDC that calls the password right, and does not know the key
// of this server, proves nothing. Neither does one that lost it.
func TestImpostor(t *testing.T) {
	w, impostor := testenv.Start(t), testenv.New(t, testenv.Native)
	c, err := LoadConf(impostor.Krb5Conf)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(p *Passwords) {
		t.Helper()
		id, err := try(t, p, "alice", w.Password("alice"))
		if !errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != "kdc-not-verified" || id.User != "" {
			t.Errorf("%+v, %v", id, err)
		}
	}
	conf := passwordConfig(t, w, c)
	conf.Remember = time.Hour
	p := passwords(t, conf)
	refused(p)
	refused(p) // it was not remembered
	conf.Keys = keytabAt(t, impostor.Keytab)
	if _, err := try(t, passwords(t, conf), "alice", w.Password("alice")); err != nil {
		t.Errorf("with the keys of that KDC: %v", err)
	}
	conf = passwordConfig(t, w, nil)
	service := freshService("rotated")
	path := w.AddService(t, service)
	keys := keytabAt(t, path)
	conf.Keys, conf.Host = keys, strings.TrimPrefix(service, "pop/")
	p = passwords(t, conf)
	if _, err := try(t, p, "alice", w.Password("alice")); err != nil {
		t.Fatal(err)
	}
	stale, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.Rotate(t, path, service, false) // and the new keytab is read at once
	keys.checked.Add(-int64(freshInterval))
	if _, err := try(t, p, "alice", w.Password("alice")); err != nil {
		t.Errorf("after the key was changed: %v", err)
	}
	old := filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(old, stale, 0o600); err != nil {
		t.Fatal(err)
	}
	conf.Keys = keytabAt(t, old)
	refused(passwords(t, conf))
}

// TestPasswordLockout: whatever somebody guesses, the KDC sees fewer failures
// than lock the account, and the user himself still gets in.
func TestPasswordLockout(t *testing.T) {
	w := testenv.Start(t)
	policy := "lock-" + rand.Text()
	w.Kadmin(t, testenv.Realm, "addpol -maxfailure 4 -failurecountinterval 1h -lockoutduration 1h "+policy)
	victim, unguarded := freshUser(t, w, "victim", "-policy", policy), freshUser(t, w, "victim", "-policy", policy)
	conf := passwordConfig(t, w, nil)
	conf.LockoutThreshold, conf.LockoutWindow, conf.RememberWrong = 4, time.Hour, time.Hour
	p := passwords(t, conf)
	if _, err := try(t, p, victim, w.Password(victim)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		name := []string{victim, victim + "@EXAMPLE.TEST", victim + "@example.test"}[i%3]
		wg.Go(func() {
			if _, err := try(t, p, name, fmt.Sprint("guess ", i/3)); !errors.Is(err, auth.ErrCredentials) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := try(t, p, victim, "one more"); auth.Reason(err) != "lockout-budget" {
		t.Error(err)
	}
	w.Kinit(t, victim) // else the KDC says that his credentials have been revoked
	if _, err := try(t, p, victim, w.Password(victim)); err != nil {
		t.Errorf("the password that was right the last time: %v", err)
	}
	conf.LockoutThreshold = 0
	p = passwords(t, conf)
	for i := range 4 {
		if _, err := try(t, p, unguarded, fmt.Sprint("guess ", i)); auth.Reason(err) != "wrong-password" {
			t.Error(err)
		}
	}
	if _, err := try(t, p, unguarded, w.Password(unguarded)); auth.Reason(err) != "account-locked" {
		t.Errorf("a locked account: %v", err)
	}
}

// TestPasswordTiming measures that the time of a refusal does not tell who is
// known.
func TestPasswordTiming(t *testing.T) {
	w := testenv.Start(t)
	locked := freshUser(t, w, "locked", "-allow_tix")
	conf := passwordConfig(t, w, nil)
	conf.RememberWrong = time.Hour
	a := auth.Chain{passwords(t, conf)}
	for attempt := 1; ; attempt++ { // a machine that is busy with other things spreads all times
		if measureRefusals(t, a, locked) <= 1.5 {
			return
		}
		if attempt == 12 {
			t.Fatal("the medians differ too much")
		}
	}
}

// measureRefusals returns the quotient of the largest and the smallest of the
// medians of four kinds of refusal, which are taken in turn.
func measureRefusals(t *testing.T, a auth.Authenticator, locked string) float64 {
	t.Helper()
	kinds := []string{"known user", "unknown user", "same wrong password", "locked user"}
	took := make([][]time.Duration, len(kinds))
	for i := range 40 {
		for k, c := range []struct{ user, password string }{
			{"alice", rand.Text()}, {fmt.Sprint("mallory", i), rand.Text()}, {"alice", "wrong"}, {locked, rand.Text()},
		} {
			begun := time.Now()
			if _, err := try(t, a, c.user, c.password); !errors.Is(err, auth.ErrCredentials) {
				t.Fatal(err)
			}
			took[k] = append(took[k], time.Since(begun))
		}
	}
	var medians []time.Duration
	for k, all := range took {
		slices.Sort(all)
		medians = append(medians, all[len(all)/2])
		t.Logf("%-20s median %v, quartiles %v to %v", kinds[k], all[len(all)/2], all[len(all)/4], all[len(all)*3/4])
	}
	return float64(slices.Max(medians)) / float64(slices.Min(medians))
}

// TestFind tells whom a right password would prove, and why not.
func TestFind(t *testing.T) {
	w := testenv.Start(t)
	p := passwords(t, passwordConfig(t, w, nil))
	free := freshUser(t, w, "noproof", "-requires_preauth")
	for _, user := range []string{"alice", "alice@" + strings.ToLower(testenv.Realm), free, freshUser(t, w, "gone", "-expire 2001-01-01"), "mallory", "alice/admin", "carol@PARTNER.TEST"} {
		name, _, _ := strings.Cut(user, "@")
		want, wantErr := try(t, p, user, w.Password(name))
		got, err := p.Find(t.Context(), testPeer, user)
		if got.User != want.User || got.Source != want.Source || got.Attrs["principal"] != want.Attrs["principal"] ||
			(err == nil) != (wantErr == nil) || err != nil && auth.Reason(err) != auth.Reason(wantErr) {
			t.Errorf("%s: %+v, %v; a login has %+v, %v", user, got, err, want, wantErr)
		}
	}
	p = passwords(t, passwordConfig(t, w, confAt(t, "127.0.0.1:1")))
	if _, err := p.Find(t.Context(), testPeer, "alice"); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("no KDC: %v", err)
	}
}
