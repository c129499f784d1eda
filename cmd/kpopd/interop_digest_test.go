package main

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// digestMechanisms are all that can be named for secrets, with those that
// fetchmail must find in the first octets at the end.
const digestMechanisms = scramMechanisms + `, "LOGIN", "APOP", "CRAM-MD5", "GSSAPI"`

// A secretLogin is one user of one client.
type secretLogin struct{ client, mechanism, listener, user string }

// secretLogins are logins by all clients that know a mechanism.
var secretLogins = []secretLogin{
	{"fetchmail", "CRAM-MD5", "pop3", "plain"},
	{"fetchmail", "CRAM-MD5", "pop3s", "cram"},
	{"fetchmail", "APOP", "pop3s", "plain"},
	{"curl", "CRAM-MD5", "pop3", "cram"},
	{"curl", "CRAM-MD5", "pop3s", "plain"},
	{"curl", "APOP", "pop3", "plain"},
	{"curl", "LOGIN", "pop3", "hashed"},
	{"curl at once", "LOGIN", "pop3s", "plain"},
	{"mpop", "CRAM-MD5", "pop3s", "cram"},
	{"mpop", "CRAM-MD5", "pop3", "plain"},
	{"mpop", "LOGIN", "pop3", "hashed"},
	{"mpop", "APOP", "pop3", "plain"},
	{"mpop", "SCRAM-SHA-256", "pop3s", "sha256"},
	{"mpop", "SCRAM-SHA-256", "pop3", "plain"},
	{"mpop", "SCRAM-SHA-1", "pop3", "sha1"},
}

// secretPassword is that of all users with secrets.
const secretPassword = "sesam, oeffne dich: nun"

// logIn has a client log in with a password.
func (s *site) logIn(t *testing.T, d *daemon, l secretLogin, password string) clientRun {
	t.Helper()
	switch l.client {
	case "fetchmail":
		tls, proto := viaTLS, "POP3 auth "+strings.ToLower(l.mechanism)
		if l.listener == "pop3s" {
			tls = allTLS
		}
		if l.mechanism == "APOP" {
			proto = "APOP"
		}
		return s.newFetchmail(t, "", "proto "+proto+" port "+d.port(t, l.listener), fmt.Sprintf("user %s password '%s' %s", l.user, password, tls)).poll(t)
	case "mpop":
		r, _ := s.mpop(t, d, l.listener, l.user, password, "auth "+strings.ToLower(l.mechanism)+"\n")
		return r
	}
	argv := []string{"curl", "-sS", "-m", "50", "--ssl-reqd", "--cacert", s.CA, "-u", l.user + ":" + password, "--login-options"}
	if l.mechanism == "APOP" {
		argv = append(argv, "AUTH=+APOP")
	} else {
		argv = append(argv, "AUTH="+l.mechanism)
	}
	if l.client == "curl at once" {
		argv = append(argv, "--sasl-ir")
	}
	scheme := strings.TrimSuffix(l.listener, "s")
	if l.listener == "pop3s" {
		scheme = "pop3s"
	}
	return runClient(t, s.world.Env(""), "", append(argv, scheme+"://localhost:"+d.port(t, l.listener)+"/")...)
}

// logInAll logs everybody in, and then lets nobody in whose password is wrong or
// who does not exist. source is who vouches.
func (s *site) logInAll(t *testing.T, d *daemon, source string) {
	t.Helper()
	for _, l := range secretLogins {
		t.Run(strings.Join([]string{l.client, l.mechanism, l.listener, l.user}, " "), func(t *testing.T) {
			s.deliver(t, "box-"+l.user, 1)
			mark := d.log.mark()
			s.logIn(t, d, l, secretPassword).exits(t, 0)
			if rec := d.loggedIn(t, mark, l.mechanism, "box-"+l.user); rec["source"] != source {
				t.Errorf("%v vouches, want %s", rec["source"], source)
			}
			for user, password := range map[string]string{l.user: "almost " + secretPassword, "mallory": secretPassword} {
				wrong := l
				wrong.user = user
				mark := d.log.mark()
				if r := s.logIn(t, d, wrong, password); r.status == 0 {
					t.Errorf("%s is let in\n%s", user, r)
				}
				rec := d.log.awaitFrom(t, mark, "refused", func(rec map[string]any) bool { return rec["mechanism"] == l.mechanism })
				unknown := rec["reason"] == "unknown-user" || l.mechanism == "LOGIN" && rec["reason"] == "wrong-password" // a bind cannot tell
				if rec["user"] != user || user == "mallory" && !unknown || user != "mallory" && rec["reason"] == "unknown-user" {
					t.Errorf("%s is refused as %v for the reason %v", user, rec["user"], rec["reason"])
				}
			}
		})
	}
}

// TestDigestClients logs in with the clients that there are by the mechanisms that
// need secrets, and by LOGIN.
func TestDigestClients(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Extra = atOnce
	s.write(t, "users", secretLine(t, "plain", "PLAIN", secretPassword)+secretLine(t, "cram", "CRAM-MD5", secretPassword)+
		secretLine(t, "hashed", "SHA512-CRYPT", secretPassword)+secretLine(t, "sha256", "SCRAM-SHA-256", secretPassword)+
		secretLine(t, "sha1", "SCRAM-SHA-1", secretPassword))
	d := s.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, digestMechanisms, "account {\n  when     = realm == \"PARTNER.TEST\"", "account {\n  maildrop = \"box-${user}\"\n}\n"+
		"account {\n  when     = realm == \"PARTNER.TEST\"")
	s.logInAll(t, d, "file users")
	d.stop(t)
	logsNoKeys(t, s, d)
	if found := leaks(d.log.String(), []byte(secretPassword)); found != nil {
		t.Errorf("the log has %q", found)
	}
}

// TestDigestTranscripts: what CRAM-MD5 and LOGIN say, where they are offered, and
// where they are not.
func TestDigestTranscripts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, `"PLAIN", "SCRAM-SHA-256", "LOGIN", "CRAM-MD5", "GSSAPI"`)
	if got, want := s.mechanisms(t, d, "pop3s"), "SASL CRAM-MD5 GSSAPI PLAIN SCRAM-SHA-256 LOGIN"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	c := dial(t, d.addrs["pop3"])
	c.line()
	for _, line := range []string{"AUTH CRAM-MD5", "AUTH LOGIN", "AUTH LOGIN Ym9i"} {
		if r := c.say("%s", line); r != "-ERR [SYS/PERM] This mechanism is not offered here" {
			t.Errorf("%s in the clear: %s", line, r)
		}
	}
	first := ""
	for range 2 {
		c = dial(t, d.addrs["clear"])
		c.line()
		if r := c.say("AUTH CRAM-MD5 ="); !strings.HasPrefix(r, "-ERR [AUTH] ") { // RFC 5034 §4
			t.Errorf("an initial response: %s", r)
		}
		r := c.say("AUTH CRAM-MD5")
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r, "+ "))
		if err != nil || r == first || !strings.HasPrefix(string(challenge), "<") || !strings.HasSuffix(string(challenge), "@localhost>") {
			t.Errorf("challenge %q, after %q", r, first)
		}
		first = r
		if r := c.say("*"); r != "-ERR [AUTH] Authentication cancelled" {
			t.Errorf("cancelled: %s", r)
		}
		if r := c.say("AUTH LOGIN"); r != "+ VXNlcm5hbWU6" {
			t.Errorf("AUTH LOGIN: %s", r)
		}
		if r := c.say("Ym9i"); r != "+ UGFzc3dvcmQ6" {
			t.Errorf("a name: %s", r)
		}
		if r := c.say("dGFuc3RhYWY="); !strings.HasPrefix(r, "+OK") {
			t.Errorf("a password: %s", r)
		}
		c.ok("QUIT")
	}
	d.stop(t)
}
