package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"kpopd/testenv"
)

// leakWindow is how many octets of a ticket in a row are a leak.
const leakWindow = 9

// spellings are the ways in which programs print octets.
var spellings = map[string]func([]byte) string{
	"as it is":           func(b []byte) string { return string(b) },
	"in hexadecimal":     hex.EncodeToString,
	"in capitals":        func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) },
	"in hex with spaces": func(b []byte) string { return fmt.Sprintf("% x", b) },
	"in decimals":        func(b []byte) string { return strings.Trim(fmt.Sprint(b), "[]") },
	"in base64":          base64.RawStdEncoding.EncodeToString, // of nine octets: wherever it began
	"in URLs' base64":    base64.RawURLEncoding.EncodeToString,
	"quoted":             func(b []byte) string { return strings.Trim(fmt.Sprintf("%q", b), `"`) },
}

// leaks returns how any nine octets in a row of a secret stand in a log. A
// shorter secret counts as a whole.
func leaks(log string, secret []byte) []string {
	var found []string
	n := min(leakWindow, len(secret))
	for how, spell := range spellings {
		for i := 0; i+n <= len(secret); i++ {
			s := spell(secret[i : i+n])
			// What JSON makes of a quoted text is looked for too.
			if strings.Contains(log, s) || strings.Contains(log, strings.ReplaceAll(s, `\`, `\\`)) {
				found = append(found, fmt.Sprintf("octets %d to %d %s: %s", i, i+n, how, s))
				break
			}
		}
	}
	return found
}

// TestLeaks shows that what TestSecrets looks for is found.
func TestLeaks(t *testing.T) {
	secret := []byte("\x6e\x82\x02\x60\x30\x82\x02\x5c\xa0\x03\x02\x01\x05\xff\xfeABCDEF\"\\ and more")
	for how, spell := range spellings {
		for _, from := range []int{0, 1, 2, 5} {
			log := `{"msg":"x","token":"..` + spell(secret[from:]) + `.."}`
			if len(leaks(log, secret)) == 0 {
				t.Errorf("a leak %s from octet %d on is not found", how, from)
			}
		}
	}
	if found := leaks(`{"msg":"refused","reason":"malformed"}`, secret); found != nil {
		t.Errorf("found what is not there: %q", found)
	}
}

// A secrecy collects what must not reach the log.
type secrecy struct {
	t       *testing.T
	s       *site
	d       *daemon
	cache   string
	apReq   []byte // that was accepted
	secrets map[string][]byte
}

// hear taps one connection to a listener and returns the port to use.
func (x *secrecy) hear(listener string) (*tap, string) {
	p := newTap(x.t, x.d.addrs[listener])
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		x.t.Fatal(err)
	}
	return p, port
}

// TestSecrets logs in and is refused in every way, with the log at its most
// talkative, and looks for the secrets in it: passwords, tickets, digests, and
// the keys of the keytab.
func TestSecrets(t *testing.T) {
	t.Parallel()
	s := newMintedSite(t)
	keys, err := os.ReadFile(s.Keytab)
	if err != nil {
		t.Fatal(err)
	}
	d := s.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, digestMechanisms)
	x := &secrecy{t: t, s: s.site, d: d, cache: s.world.Kinit(t, "alice"), secrets: map[string][]byte{
		"alice's password": []byte(alicePassword),
		"bob's password":   []byte(bobPassword),
	}}
	x.keys(keys)
	x.tickets()
	x.passwords()
	x.digests()
	x.mistakes()
	x.everything()
	x.d.stop(t)
	log := x.d.log.String()
	for name, secret := range x.secrets {
		for _, how := range leaks(log, secret) {
			t.Errorf("%s is in the log, %s", name, how)
		}
	}
}

// everything waits until the log has a login and a refusal of every kind: else
// there would be nothing to be found.
func (x *secrecy) everything() {
	for _, mechanism := range []string{"KPOP", "GSSAPI", "USER", "APOP", "PLAIN", "CRAM-MD5", "LOGIN", "SCRAM-SHA-256"} {
		of := func(rec map[string]any) bool { return rec["mechanism"] == mechanism }
		x.d.log.await(x.t, "login", of)
		if mechanism != "GSSAPI" {
			x.d.log.await(x.t, "refused", of)
		}
	}
	for _, reason := range []string{"wrong-password", "unknown-user", "wrong-digest", "authzid-not-allowed"} {
		x.d.log.await(x.t, "refused", func(rec map[string]any) bool { return rec["reason"] == reason })
	}
	mark := x.d.log.mark()
	dial(x.t, x.d.addrs["kpop"]).sendauth(x.apReq)
	dial(x.t, x.d.addrs["kpop"]).sendauth(x.apReq[:len(x.apReq)-1])
	for _, reason := range []string{"replayed-authenticator", "malformed"} {
		x.d.log.awaitFrom(x.t, mark, "refused", func(rec map[string]any) bool {
			return rec["reason"] == reason && rec["mechanism"] == "KPOP"
		})
	}
}

// keys adds the keys of a keytab: in each record the key is behind its enctype
// and its length of 16 or 32 octets.
func (x *secrecy) keys(keytab []byte) {
	n := 0
	for enctype, length := range map[byte]int{17: 16, 18: 32} {
		for rest := keytab; ; n++ {
			_, after, ok := bytes.Cut(rest, []byte{0, enctype, 0, byte(length)})
			if !ok || len(after) < length {
				break
			}
			x.secrets[fmt.Sprintf("key %d", n)] = after[:length]
			rest = after
		}
	}
	if n < 6 {
		x.t.Fatalf("only %d keys in the keytab", n)
	}
}

// tickets logs in by ticket.
func (x *secrecy) tickets() {
	heard, _ := x.hear("kpop")
	server := "proto KPOP auth kerberos_v5 plugin 'socat STDIO TCP:" + heard.addr + "'"
	x.s.newFetchmail(x.t, x.cache, server, "user alice "+noTLS).poll(x.t).exits(x.t, fetchmailNone)
	x.apReq = heardAPREQ(x.t, heard.heard())
	x.secrets["KPOP's AP-REQ"] = x.sealed(x.apReq)

	heard, port := x.hear("pop3")
	x.s.newFetchmail(x.t, x.cache, "proto POP3 auth gssapi port "+port, "user alice "+noTLS).poll(x.t).exits(x.t, fetchmailNone)
	x.secrets["GSSAPI's token"] = x.sealed(heardToken(x.t, heard.heard()))
}

// sealed is the part of an AP-REQ behind the name of its service, which is
// nobody's secret.
func (x *secrecy) sealed(apReq []byte) []byte {
	_, sealed, ok := bytes.Cut(apReq, []byte("localhost"))
	if !ok {
		x.t.Fatalf("no ticket for localhost in %x", apReq)
	}
	return sealed
}

// passwords logs in by password, and with wrong ones.
func (x *secrecy) passwords() {
	for _, c := range []struct{ server, user, password string }{
		{"proto POP3 auth password", "bob", bobPassword},
		{"proto POP3 auth password", "bob", "almost-" + bobPassword[1:]},
		{"proto POP3 auth password", "nobody", "password-of-nobody"},
		{"proto APOP", "bob", bobPassword},
		{"proto APOP", "bob", "digested-and-wrong"},
	} {
		heard, port := x.hear("clear")
		x.s.newFetchmail(x.t, "", c.server+" port "+port, "user "+c.user+" password '"+c.password+"' "+noTLS).poll(x.t)
		x.secrets["password "+c.password] = []byte(c.password)
		if _, digest, ok := bytes.Cut(heard.heard(), []byte("APOP bob ")); ok {
			x.secrets["digest of "+c.password] = digest[:32]
		}
	}
	for _, password := range []string{alicePassword, "plain-and-wrong"} {
		runClient(x.t, x.s.world.Env(""), "", "curl", "-sS", "--login-options", "AUTH=PLAIN", "-u", "alice:"+password,
			"pop3://localhost:"+x.d.port(x.t, "clear"))
		x.secrets["password "+password] = []byte(password)
		x.secrets["PLAIN with "+password] = []byte("\x00alice\x00" + password)
	}
}

// digests logs in by what is made of a secret, and by LOGIN, and fails to.
func (x *secrecy) digests() {
	for _, password := range []string{bobPassword, "neither-made-nor-said"} {
		x.secrets["password "+password] = []byte(password)
		heard, port := x.hear("clear")
		x.s.newFetchmail(x.t, "", "proto POP3 auth cram-md5 port "+port, "user bob password '"+password+"' "+noTLS).poll(x.t)
		x.secrets["CRAM-MD5 with "+password] = heardBehind(x.t, heard.heard(), "bob ")

		runClient(x.t, x.s.world.Env(""), "", "curl", "-sS", "--login-options", "AUTH=LOGIN", "-u", "bob:"+password,
			"pop3://localhost:"+x.d.port(x.t, "clear"))

		heard, _ = x.hear("clear")
		tapped := &daemon{addrs: map[string]string{"clear": heard.addr}}
		x.s.mpop(x.t, tapped, "clear", "bob", password, "auth scram-sha-256\ntls off\n")
		proof, err := base64.StdEncoding.DecodeString(string(heardBehind(x.t, heard.heard(), ",p=")))
		if err != nil {
			x.t.Fatal(err)
		}
		x.secrets["SCRAM with "+password] = proof
	}
}

// heardBehind is what stands behind mark in the first line of a client that is
// base64 of something with mark in it.
func heardBehind(t testing.TB, session []byte, mark string) []byte {
	t.Helper()
	for line := range bytes.Lines(session) {
		text, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(line)))
		if _, behind, ok := bytes.Cut(text, []byte(mark)); err == nil && ok {
			return behind
		}
	}
	t.Fatalf("no %q in %q", mark, session)
	return nil
}

// mistakes are passwords that clients and people send where none is due.
func (x *secrecy) mistakes() {
	x.secrets["the word of KPOP"], x.secrets["another word"] = []byte("the-word-of-KPOP"), []byte("another-word")
	x.s.world.RunSendauth(x.t, testenv.Sendauth(x.t), x.cache, x.d.addrs["kpop"], "pop/localhost",
		"USER bob\nPASS another-word\nUSER alice\nPASS the-word-of-KPOP\nQUIT\n")
	for i, line := range []string{
		"PASS %s", "USER alice %s", "LOGIN alice %s", "%s", "APOP alice %s", "AUTH PLAIN %s", "AUTH %s", "AUTH LOGIN %s",
		"STLS %s", "CAPA %s", "AUTH GSSAPI %s", "XPASS " + strings.Repeat("%[1]s", 100),
	} {
		secret := fmt.Sprintf("misplaced-word-%02d", i)
		x.secrets["misplaced in "+line] = []byte(secret[len("misplaced"):])
		x.secrets["misplaced in "+line+", upper case"] = []byte(strings.ToUpper(secret[len("misplaced"):]))
		for _, listener := range []string{"pop3", "clear"} {
			c := dial(x.t, x.d.addrs[listener])
			c.line()
			c.say("%s", fmt.Sprintf(line, secret))
			c.Close()
		}
	}
}
