package ldap_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
	"kpopd/auth/ldap"
	"kpopd/testenv"
)

// Values of the secret attribute. pencil is the password of all keys.
const (
	pencil256  = "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	pencil5803 = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	pencil1    = "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE="
)

// withSecrets makes users of a unit with these secrets, and returns what to ask
// them with.
func withSecrets(t testing.TB, w *testenv.World, secrets map[string][]string) (*goldap.Conn, ldap.Config) {
	t.Helper()
	passwords := map[string]string{}
	for user := range secrets {
		passwords[user] = "password of " + user
	}
	unit, c := people(t, w, passwords), admin(t, w)
	for user, values := range secrets {
		if len(values) > 0 {
			modify(t, c, "uid="+goldap.EscapeDN(user)+","+unit, "kpopdSecret", values...)
		}
	}
	conf := config(t, w, unit)
	conf.SecretAttribute, conf.SCRAMIterations, conf.SCRAMSecret = "kpopdSecret", 4096, []byte("of the test")
	return c, conf
}

func apop(user, secret string) auth.APOP {
	const stamp = "<1896.697170952@dbc.mtview.ca.us>"
	sum := md5.Sum([]byte(stamp + secret))
	return auth.APOP{User: user, Timestamp: stamp, Digest: hex.EncodeToString(sum[:])}
}

func cram(user, secret string) auth.CRAMMD5 {
	const challenge = "<1896.697170952@postoffice.reston.mci.net>"
	h := hmac.New(md5.New, []byte(secret))
	h.Write([]byte(challenge))
	return auth.CRAMMD5{User: user, Challenge: challenge, Digest: hex.EncodeToString(h.Sum(nil))}
}

// secretUsers have secrets of every kind.
func secretUsers() map[string][]string {
	return map[string][]string{
		"plain": {"{PLAIN}pencil"}, "encoded": {"{PLAIN.b64}cGVuY2ls"}, "cram": {"{CRAM-MD5}" + auth.EncodeCRAM("pencil")},
		"keys": {"{SCRAM-SHA-256}" + pencil256}, "rfc": {pencil5803, pencil1},
		"mixed": {"hunter2", "{SSHA}hunter2", "MD5$hunter2$hunter2", pencil1, "{PLAIN}pencil", strings.Repeat("hunter2", 2000)},
		"none":  {}, "useless": {"pencil", "{SSHA}pencil", ""}, "o'brien (test)*": {"{PLAIN}pencil"}, "disabled": {"{PLAIN}pencil", pencil5803},
	}
}

// TestDigests: APOP and CRAM-MD5 by secrets of a real directory.
func TestDigests(t *testing.T) {
	w := testenv.Start(t)
	users := secretUsers()
	users["useless"] = users["useless"][:2] // no empty values there
	c, conf := withSecrets(t, w, users)
	modify(t, c, "uid=disabled,"+conf.BaseDN, "mailboxDisabled", "TRUE")
	byName := conf
	byName.Filter, byName.BindAs = nil, []ldap.Template{template("${user}@example.test")}
	byName.LookupFilter = template("(uid=${user})")
	for how, conf := range map[string]ldap.Config{"filter": conf, "lookup filter": byName} {
		d := open(t, conf)
		for _, test := range []struct {
			cred   auth.Credential
			reason string // "": let in
		}{
			{apop("plain", "pencil"), ""}, {cram("plain", "pencil"), ""}, {apop("encoded", "pencil"), ""},
			{apop("mixed", "pencil"), ""}, {cram("mixed", "pencil"), ""}, {cram("cram", "pencil"), ""},
			{apop("o'brien (test)*", "pencil"), ""}, {apop("PLAIN", "pencil"), ""},
			{apop("plain", "Pencil"), "wrong-digest"}, {cram("plain", "Pencil"), "wrong-digest"}, {cram("cram", "Pencil"), "wrong-digest"},
			{apop("plain", "password of plain"), "wrong-digest"}, {apop("plain", "{PLAIN}pencil"), "wrong-digest"},
			{apop("cram", "pencil"), "no-plaintext-secret"},
			{apop("keys", "pencil"), "no-plaintext-secret"}, {cram("keys", "pencil"), "no-plaintext-secret"},
			{apop("none", ""), "no-plaintext-secret"}, {apop("none", "decoy"), "no-plaintext-secret"}, {cram("none", "decoy"), "no-plaintext-secret"},
			{apop("useless", "pencil"), "no-plaintext-secret"}, {apop("useless", "{SSHA}pencil"), "no-plaintext-secret"},
			{apop("mallory", "pencil"), "unknown-user"}, {cram("*", "pencil"), "unknown-user"}, {apop("plain)(uid=*", "pencil"), "unknown-user"},
			{apop("disabled", "wrong"), "wrong-digest"}, {apop("disabled", "pencil"), "account-disabled"}, {cram("disabled", "pencil"), "account-disabled"},
		} {
			id, err := d.Authenticate(t.Context(), auth.Peer{}, test.cred)
			switch {
			case test.reason == "" && (err != nil || id.Source != "ldap test" || !strings.HasPrefix(id.Attrs["mailbox"], "box of ") || id.User == "PLAIN"):
				t.Errorf("%s: %+v: %+v, %v", how, test.cred, id, err)
			case test.reason != "" && auth.Reason(err) != test.reason && !(errors.Is(err, auth.ErrUnknown) && test.reason == "unknown-user"):
				t.Errorf("%s: %+v: %v, want %s", how, test.cred, err, test.reason)
			}
			if test.reason == "account-disabled" != errors.Is(err, auth.ErrDenied) {
				t.Errorf("%s: %+v: %v", how, test.cred, err)
			}
		}
	}
	conf.SecretAttribute = ""
	if _, err := open(t, conf).Authenticate(t.Context(), auth.Peer{}, apop("plain", "pencil")); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("without the attribute: %v", err)
	}
}

// TestSCRAM: keys of a real directory, stored and derived, over StartTLS too.
func TestSCRAM(t *testing.T) {
	w := testenv.Start(t)
	users := secretUsers()
	users["useless"] = users["useless"][:2]
	c, conf := withSecrets(t, w, users)
	modify(t, c, "uid=disabled,"+conf.BaseDN, "mailboxDisabled", "TRUE")
	starttls := conf
	starttls.URLs = []string{w.LDAP(t).URL}
	for how, conf := range map[string]ldap.Config{"LDAPS": conf, "StartTLS": starttls} {
		d := open(t, conf)
		for _, test := range []struct{ user, hash, reason string }{
			{"keys", "SHA-256", ""}, {"rfc", "SHA-256", ""}, {"rfc", "SHA-1", ""}, {"plain", "SHA-256", ""}, {"plain", "SHA-1", ""},
			{"mixed", "SHA-1", ""}, {"mixed", "SHA-256", ""}, {"o'brien (test)*", "SHA-256", ""},
			{"keys", "SHA-1", "no-scram-keys"}, {"cram", "SHA-256", "no-scram-keys"}, {"none", "SHA-256", "no-scram-keys"},
			{"useless", "SHA-256", "no-scram-keys"}, {"mallory", "SHA-256", "unknown-user"}, {"*", "SHA-256", "unknown-user"},
			{"KEYS", "SHA-256", "other-spelling"}, {"", "SHA-256", "unknown-user"},
		} {
			u, err := d.SCRAM(t.Context(), auth.Peer{}, test.user, test.hash)
			if test.reason != "" {
				if auth.Reason(err) != test.reason || errors.Is(err, auth.ErrUnavailable) || u.Admit != nil {
					t.Errorf("%s: %s, %s: %v, want %s", how, test.user, test.hash, err, test.reason)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %s, %s: %v", how, test.user, test.hash, err)
				continue
			}
			want, err := auth.DeriveSCRAM(test.hash, "pencil", u.Keys.Salt, u.Keys.Iterations)
			if err != nil || !bytes.Equal(want.StoredKey, u.Keys.StoredKey) || !bytes.Equal(want.ServerKey, u.Keys.ServerKey) || u.Keys.Iterations != 4096 {
				t.Errorf("%s: %s, %s: other keys, %v", how, test.user, test.hash, err)
			}
			if id, err := u.Admit(t.Context()); err != nil || id.User != test.user || id.Attrs["mailbox"] != "box of "+test.user || id.Source != "ldap test" {
				t.Errorf("%s: %s: %+v, %v", how, test.user, id, err)
			}
		}
		u, err := d.SCRAM(t.Context(), auth.Peer{}, "disabled", "SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Admit(t.Context()); !errors.Is(err, auth.ErrDenied) {
			t.Errorf("%s: disabled: %v", how, err)
		}
	}
}

// TestSecretsAreSecret: no attribute, log or error has anything of a secret, and
// the service alone may read it.
func TestSecretsAreSecret(t *testing.T) {
	w := testenv.Start(t)
	c, conf := withSecrets(t, w, map[string][]string{"alice": {"hunter2-bare", "{PLAIN}hunter2-plain", "{hunter2}x", "SCRAM-SHA-256$hunter2$x"}})
	var log bytes.Buffer
	conf.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d := open(t, conf)
	id, err := d.Authenticate(t.Context(), auth.Peer{}, apop("alice", "hunter2-plain"))
	if err != nil || len(id.Attrs) != 1 {
		t.Errorf("%+v, %v", id, err)
	}
	_, err = d.Authenticate(t.Context(), auth.Peer{}, apop("alice", "hunter2-bare"))
	if !strings.Contains(log.String(), "of no use here") || strings.Contains(log.String(), "hunter2") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v; log: %s", err, &log)
	}
	if err := c.Bind("uid=alice,"+conf.BaseDN, "password of alice"); err != nil {
		t.Fatal(err)
	}
	found, err := c.Search(goldap.NewSearchRequest("uid=alice,"+conf.BaseDN, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"kpopdSecret", "uid"}, nil))
	if err != nil || len(found.Entries) != 1 || len(found.Entries[0].Attributes) != 1 {
		t.Errorf("alice reads %v, %v", found, err)
	}
	for _, name := range []string{"kpopdSecret", "KPOPDSECRET", "kpopdSecret;x-old"} {
		conf.Attributes = []string{name}
		if _, err := ldap.New(conf); err == nil {
			t.Errorf("the attribute %s is accepted", name)
		}
	}
	conf.Attributes, conf.Filter, conf.LookupFilter, conf.BindAs = nil, nil, nil, []ldap.Template{template("${user}@example.test")}
	if _, err := ldap.New(conf); err == nil {
		t.Error("secrets that no filter finds are accepted")
	}
}

// TestSecretsByStub: with a secret there is no bind, and a password that is right
// or wrong is not counted or kept because of one; several entries prove nothing.
func TestSecretsByStub(t *testing.T) {
	s := &stub{find: func(send func(*ber.Packet)) {
		send(entry("cn=alice", map[string]string{"uid": "alice", "kpopdSecret": "{PLAIN}pencil"}))
	}}
	conf := stubConfig(s.start(t))
	conf.SecretAttribute, conf.LockoutThreshold, conf.RememberWrong, conf.Remember = "KPOPDSECRET", 2, 1<<40, 1<<40
	d := open(t, conf)
	for range 5 {
		if _, err := d.Authenticate(t.Context(), auth.Peer{}, apop("alice", "wrong")); auth.Reason(err) != "wrong-digest" {
			t.Error(err)
		}
		if _, err := d.Authenticate(t.Context(), auth.Peer{}, apop("alice", "pencil")); err != nil {
			t.Error(err)
		}
		if _, err := d.SCRAM(t.Context(), auth.Peer{}, "alice", "SHA-256"); err != nil {
			t.Error(err)
		}
	}
	if sent := s.sent(); len(sent) != 0 {
		t.Errorf("bound as %q", sent)
	}
	if _, err := try(t, d, "alice", "pencil"); err != nil || !slices.Equal(s.sent(), []string{"cn=alice pencil"}) {
		t.Errorf("%v, %q", err, s.sent())
	}
	s.find = func(send func(*ber.Packet)) {
		for _, dn := range []string{"cn=alice", "cn=alice2"} {
			send(entry(dn, map[string]string{"uid": "alice", "kpopdSecret": "{PLAIN}pencil"}))
		}
	}
	if _, err := d.Authenticate(t.Context(), auth.Peer{}, apop("alice", "pencil")); auth.Reason(err) != "ambiguous-user" {
		t.Error(err)
	}
	if _, err := d.SCRAM(t.Context(), auth.Peer{}, "alice", "SHA-256"); auth.Reason(err) != "ambiguous-user" {
		t.Error(err)
	}
}

// TestSecretOutage: a directory that does not answer is an outage to every proof.
func TestSecretOutage(t *testing.T) {
	conf := stubConfig("ldap://127.0.0.1:1")
	conf.SecretAttribute = "kpopdSecret"
	d := open(t, conf)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), ended} {
		if _, err := d.Authenticate(ctx, auth.Peer{}, apop("alice", "pencil")); !errors.Is(err, auth.ErrUnavailable) {
			t.Error(err)
		}
		if _, err := d.SCRAM(ctx, auth.Peer{}, "alice", "SHA-256"); !errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrUnknown) {
			t.Error(err)
		}
	}
}

// TestUnlikeKeys: keys that tell who exists are warned of, once.
func TestUnlikeKeys(t *testing.T) {
	s := &stub{find: func(send func(*ber.Packet)) {
		send(entry("cn=alice", map[string]string{"uid": "alice", "kpopdSecret": pencil5803}))
	}}
	conf := stubConfig(s.start(t))
	conf.SecretAttribute = "kpopdSecret"
	for iterations, want := range map[int]int{4096: 0, 0: 1} {
		var log bytes.Buffer
		conf.Log, conf.SCRAMIterations = slog.New(slog.NewTextHandler(&log, nil)), iterations
		d := open(t, conf)
		for range 3 {
			if _, err := d.SCRAM(t.Context(), auth.Peer{}, "alice", "SHA-256"); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(log.String(), "tell known users"); n != want {
			t.Errorf("%d iterations: warned %d times: %s", iterations, n, &log)
		}
	}
}
