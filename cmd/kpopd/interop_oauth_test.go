package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"kpopd/testenv"
)

// oauthSite is a site that takes the tokens of an issuer.
type oauthSite struct {
	*site
	issuer *testenv.Issuer
	d      *daemon
}

const oauthMechanisms = `"GSSAPI", "OAUTHBEARER", "XOAUTH2", "PLAIN"`

// newOAuth makes a site with an issuer. more are further arguments of the
// authenticator.
func newOAuth(t *testing.T, more string) *oauthSite {
	t.Helper()
	s := newSite(t)
	o := &oauthSite{site: s, issuer: testenv.NewIssuer(t, s.world.CA)}
	s.Extra = xoauthListeners + o.block("sso", more)
	return o
}

// xoauthListeners have XOAUTH2 alone: curl prefers OAUTHBEARER, whatever it is
// told.
const xoauthListeners = `
listener "pop3.XOAUTH2" {
  address    = "127.0.0.1:0"
  protocol   = "pop3"
  mechanisms = ["XOAUTH2"]
}
listener "pop3s.XOAUTH2" {
  address    = "127.0.0.1:0"
  protocol   = "pop3"
  tls        = "implicit"
  mechanisms = ["XOAUTH2"]
}
`

func (o *oauthSite) block(name, more string) string {
	return fmt.Sprintf(`authenticator "oauth" "%s" {
  issuer       = "%s"
  audience     = "pop"
  user_claim   = "preferred_username"
  groups_claim = "groups"
  claims       = ["email"]
  scopes       = ["pop"]
  ca_file      = "%s"
  %s
}
`, name, o.issuer.URL, o.CA, more)
}

// serve starts the daemon.
func (o *oauthSite) serve(t *testing.T) *oauthSite {
	t.Helper()
	o.d = o.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, oauthMechanisms)
	return o
}

// fetch gets an access token for a user, as curl does.
func (o *oauthSite) fetch(t testing.TB, user string) string {
	t.Helper()
	r := runClient(t, o.world.Env(""), "", "curl", "-sS", "-m", "50", "--cacert", o.CA, "-u", testenv.TokenClient+":"+testenv.TokenSecret,
		"-d", "grant_type=password", "-d", "username="+user, "-d", "password="+o.world.Password(user), "-d", "scope=pop", o.issuer.URL+"/token").exits(t, 0)
	var reply struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(r.out), &reply); err != nil || reply.Token == "" {
		t.Fatalf("no token: %v\n%s", err, r)
	}
	return reply.Token
}

// curl lists a maildrop with a token, by pop3 or pop3s.
func (o *oauthSite) curl(t testing.TB, scheme, mechanism, user, token string, more ...string) clientRun {
	t.Helper()
	listener := scheme
	if mechanism == "XOAUTH2" {
		listener += ".XOAUTH2"
	}
	argv := append([]string{"curl", "-sS", "-m", "50", "--ssl-reqd", "--cacert", o.CA, "--login-options", "AUTH=" + mechanism,
		"-u", user + ":", "--oauth2-bearer", token}, more...)
	return runClient(t, o.world.Env(""), "", append(argv, fmt.Sprintf("%s://localhost:%s/", scheme, o.d.port(t, listener)))...)
}

// silent checks that no token is in the log.
func (o *oauthSite) silent(t testing.TB, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		if found := leaks(o.d.log.String(), []byte(token)); found != nil {
			t.Errorf("the log has %q", found)
		}
	}
}

const curlLoginDenied = 67

func TestCurlOAuth(t *testing.T) {
	t.Parallel()
	o := newOAuth(t, "").serve(t)
	o.deliver(t, "alice", 2)
	o.deliver(t, "bob", 1)
	alice := o.fetch(t, "alice")
	for _, scheme := range []string{"pop3", "pop3s"} {
		for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
			for _, more := range [][]string{nil, {"--sasl-ir"}} {
				mark := o.d.log.mark()
				o.curl(t, scheme, mechanism, "alice", alice, more...).exits(t, 0).says(t, "1 ", "2 ")
				if rec := o.d.loggedIn(t, mark, mechanism, "alice"); rec["source"] != "oauth sso" {
					t.Errorf("logged as %v", rec)
				}
			}
		}
	}
	other := testenv.NewIssuer(t, o.world.CA)
	for _, c := range []struct{ user, token, reason string }{
		{"alice", o.issuer.Token(t, map[string]any{"exp": time.Now().Unix() - 1}), "token-expired"},
		{"alice", o.issuer.Token(t, map[string]any{"aud": "imap"}), "wrong-audience"},
		{"alice", alice[:len(alice)-8] + "AAAAAAAA", "bad-signature"},
		{"alice", o.issuer.Token(t, map[string]any{"scope": "smtp"}), "insufficient-scope"},
		{"alice", other.Token(t, nil), "other-issuer"},
		{"alice", "nonsense", "not-a-jwt"},
		{"bob", alice, "authzid-not-allowed"},
		{"ALICE", alice, "authzid-not-allowed"},
	} {
		for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
			mark := o.d.log.mark()
			o.curl(t, "pop3s", mechanism, c.user, c.token).exits(t, curlLoginDenied)
			if rec := o.d.refused(t, mark, c.reason); rec["mechanism"] != mechanism {
				t.Errorf("logged as %v", rec)
			}
		}
		o.silent(t, c.token)
	}
	o.d.stop(t)
	o.silent(t, alice)
}

// TestMpopOAuth fetches mail with mpop, which has a command for the token.
func TestMpopOAuth(t *testing.T) {
	t.Parallel()
	o := newOAuth(t, "").serve(t)
	token := o.fetch(t, "alice")
	evil := o.issuer.Token(t, map[string]any{"exp": 1})
	for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
		for _, listener := range []string{"pop3", "pop3s"} {
			texts := o.deliver(t, "alice", 2)
			mark := o.d.log.mark()
			r, mbox := o.mpopToken(t, listener, mechanism, token)
			r.exits(t, 0)
			sameMessages(t, fromMbox(t, mbox), texts)
			o.d.loggedIn(t, mark, mechanism, "alice")
		}
		mark := o.d.log.mark()
		r, _ := o.mpopToken(t, "pop3s", mechanism, evil)
		if r.status == 0 {
			t.Errorf("let in\n%s", r)
		}
		r.says(t, "[AUTH] Authentication failed")
		if rec := o.d.refused(t, mark, "token-expired"); rec["user"] != "alice" {
			t.Errorf("logged as %v", rec)
		}
	}
	o.d.stop(t)
	o.silent(t, token, evil)
}

// mpopToken runs mpop with a token that a command of its configuration prints.
func (o *oauthSite) mpopToken(t *testing.T, listener, mechanism, token string) (r clientRun, mbox string) {
	t.Helper()
	dir := t.TempDir()
	starttls := "off"
	if listener == "pop3" {
		starttls = "on"
	}
	rc := fmt.Sprintf("account a\nhost localhost\nport %s\nuser alice\npasswordeval cat %s/token\nauth %s\ntls on\ntls_starttls %s\ntls_trust_file %s\n"+
		"keep off\nreceived_header off\ndelivery mbox %s/mbox\nuidls_file %s/uidls\n", o.d.port(t, listener), dir, strings.ToLower(mechanism), starttls, o.CA, dir, dir)
	for name, text := range map[string]string{"rc": rc, "token": token + "\n"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return runClient(t, append(o.world.Env(""), "HOME="+dir), "", "mpop", "-C", dir+"/rc", "-d", "a"), dir + "/mbox"
}

func inBase64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func bearer(user, token string) string {
	return inBase64("n,a=" + user + ",\x01host=localhost\x01port=110\x01auth=Bearer " + token + "\x01\x01")
}

func xoauth(user, token string) string {
	return inBase64("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
}

// TestOAuthFailures: what mutt, neomutt, mpop, Thunderbird and libraries do
// with a refusal, octet by octet.
func TestOAuthFailures(t *testing.T) {
	t.Parallel()
	o := newOAuth(t, "").serve(t)
	expired := o.issuer.Token(t, map[string]any{"exp": 1})
	bearerWant := fmt.Sprintf(`{"status":"invalid_token","scope":"pop","openid-configuration":"%s/.well-known/openid-configuration"}`, o.issuer.URL)
	const xoauthWant = `{"status":"400","schemes":"Bearer","scope":"pop"}`
	for _, c := range []struct{ name, command, then, want, answer string }{
		{"mutt, OAUTHBEARER", "AUTH OAUTHBEARER " + bearer("alice", expired), "", bearerWant, "AQ==\r\n"},
		{"mutt, XOAUTH2", "AUTH XOAUTH2", xoauth("alice", expired), xoauthWant, "\r\n"},
		{"neomutt", "AUTH OAUTHBEARER " + bearer("alice", expired), "", bearerWant, "\x01QUIT\r\n"},
		{"mpop", "AUTH OAUTHBEARER " + bearer("alice", expired), "", bearerWant, "\r\n"},
		{"mpop, XOAUTH2", "AUTH XOAUTH2", xoauth("alice", expired), xoauthWant, "\r\n"},
		{"Thunderbird", "AUTH XOAUTH2 " + xoauth("alice", expired), "", xoauthWant, "*\r\n"},
		{"curl", "AUTH OAUTHBEARER", bearer("alice", expired), bearerWant, "AQ==\r\n"},
		{"a second guess", "AUTH OAUTHBEARER", bearer("alice", expired), bearerWant, bearer("alice", o.issuer.Token(t, nil)) + "\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mark := o.d.log.mark()
			conn := dial(t, o.d.addrs["clear"])
			conn.line()
			reply := conn.say("%s", c.command)
			if c.then != "" {
				if reply != "+ " {
					t.Fatalf("%q, want an empty challenge", reply)
				}
				reply = conn.say("%s", c.then)
			}
			text, _ := strings.CutPrefix(reply, "+ ")
			if got, err := base64.StdEncoding.DecodeString(text); err != nil || string(got) != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
			io.WriteString(conn, c.answer)
			if reply := conn.line(); reply != "-ERR [AUTH] Authentication failed" {
				t.Errorf("%q", reply)
			}
			o.d.refused(t, mark, "token-expired")
			conn.ok("AUTH OAUTHBEARER %s", bearer("alice", o.issuer.Token(t, nil)))
			conn.ok("QUIT")
		})
	}
	t.Run("hint", func(t *testing.T) { // RFC 7628 §4.3
		mark := o.d.log.mark()
		conn := dial(t, o.d.addrs["clear"])
		conn.line()
		if reply := conn.say("AUTH OAUTHBEARER %s", inBase64("n,,\x01auth=\x01\x01")); reply != "+ "+inBase64(bearerWant) {
			t.Errorf("%q", reply)
		}
		if reply := conn.say("AQ=="); reply != "-ERR [AUTH] Authentication failed" {
			t.Errorf("%q", reply)
		}
		o.d.refused(t, mark, "no-token")
	})
	t.Run("gone", func(t *testing.T) {
		mark := o.d.log.mark()
		conn := dial(t, o.d.addrs["clear"])
		conn.line()
		conn.say("AUTH OAUTHBEARER %s", bearer("alice", expired))
		conn.Close()
		o.d.refused(t, mark, "token-expired")
	})
	t.Run("without TLS", func(t *testing.T) {
		conn := dial(t, o.d.addrs["pop3"])
		conn.line()
		conn.ok("CAPA")
		for line := conn.line(); line != "."; line = conn.line() {
			if strings.Contains(line, "OAUTH") {
				t.Errorf("offered in the clear: %q", line)
			}
		}
		if reply := conn.say("AUTH OAUTHBEARER %s", bearer("alice", o.issuer.Token(t, nil))); !strings.HasPrefix(reply, "-ERR [SYS/PERM]") {
			t.Errorf("%q", reply)
		}
	})
	o.d.stop(t)
	o.silent(t, expired)
}

// TestOAuthOutage: the daemon starts while its issuer is down, says so to whom
// shows a token, lets others in, and finds the issuer again; a reload while it
// is down forgets no keys.
func TestOAuthOutage(t *testing.T) {
	t.Parallel()
	o := newOAuth(t, `timeout = "1s"`)
	o.issuer.Break(testenv.Reset)
	o.serve(t)
	o.deliver(t, "alice", 1)
	token := o.issuer.Token(t, nil)
	conn := dial(t, o.d.addrs["clear"])
	conn.line()
	mark := o.d.log.mark()
	if reply := conn.say("AUTH OAUTHBEARER %s", bearer("alice", token)); !strings.HasPrefix(reply, "-ERR [SYS/TEMP]") {
		t.Errorf("%q", reply)
	}
	o.d.refused(t, mark, "issuer-unavailable")
	conn.ok("USER bob")
	conn.ok("PASS %s", bobPassword)
	conn.ok("QUIT")

	o.issuer.Break(testenv.Healthy)
	mark = o.d.log.mark()
	for o.curl(t, "pop3s", "OAUTHBEARER", "alice", token).status != 0 { // it is asked again in a moment
		if t.Context().Err() != nil {
			t.Fatal("the issuer is not found again")
		}
	}
	o.d.loggedIn(t, mark, "OAUTHBEARER", "alice")

	o.issuer.Break(testenv.Hang)
	mark = o.d.log.mark()
	o.d.signal(t, syscall.SIGHUP)
	o.d.log.awaitFrom(t, mark, "configuration reloaded", nil)
	o.curl(t, "pop3s", "XOAUTH2", "alice", token).exits(t, 0)
	o.d.stop(t)
	o.silent(t, token)
}

// TestOAuthRotation: an issuer that changes its keys is followed.
func TestOAuthRotation(t *testing.T) {
	t.Parallel()
	o := newOAuth(t, "").serve(t)
	o.deliver(t, "alice", 1)
	first := o.issuer.Token(t, nil)
	o.curl(t, "pop3s", "OAUTHBEARER", "alice", first).exits(t, 0)
	o.issuer.Rotate(t, false)
	second := o.issuer.Token(t, nil)
	mark := o.d.log.mark()
	for o.curl(t, "pop3s", "OAUTHBEARER", "alice", second).status != 0 { // new keys are asked for every ten seconds at most
		if t.Context().Err() != nil {
			t.Fatal("the new key is not found")
		}
	}
	o.d.loggedIn(t, mark, "OAUTHBEARER", "alice")
	mark = o.d.log.mark()
	o.curl(t, "pop3s", "OAUTHBEARER", "alice", first).exits(t, curlLoginDenied)
	o.d.refused(t, mark, "unknown-key")
	o.d.stop(t)
}

// TestOAuthIntrospection: opaque tokens are asked about, with a secret that may
// change while the daemon runs, and end when they are revoked.
func TestOAuthIntrospection(t *testing.T) {
	t.Parallel()
	o := newOAuth(t, "")
	o.issuer.SetOpaque(true)
	o.write(t, "oauth.secret", "an old secret\n")
	o.Extra = xoauthListeners + o.block("opaque", fmt.Sprintf("introspection_url = \"%s/introspect\"\n  client_id = \"%s\"\n  client_secret_file = \"oauth.secret\"\n  cache = \"0s\"",
		o.issuer.URL, testenv.AskClient))
	o.serve(t)
	o.deliver(t, "bob", 1)
	token := o.fetch(t, "bob")
	mark := o.d.log.mark()
	if r := o.curl(t, "pop3s", "OAUTHBEARER", "bob", token); r.status == 0 {
		t.Errorf("let in\n%s", r)
	}
	o.d.refused(t, mark, "introspection-refused")
	o.write(t, "oauth.secret", testenv.AskSecret+"\n")
	mark = o.d.log.mark()
	o.curl(t, "pop3s", "XOAUTH2", "bob", token).exits(t, 0).says(t, "1 ")
	o.d.loggedIn(t, mark, "XOAUTH2", "bob")
	runClient(t, o.world.Env(""), "", "curl", "-sS", "-m", "50", "--fail", "--cacert", o.CA, "-u", testenv.TokenClient+":"+testenv.TokenSecret,
		"-d", "token="+token, o.issuer.URL+"/revoke").exits(t, 0)
	mark = o.d.log.mark()
	o.curl(t, "pop3s", "OAUTHBEARER", "bob", token).exits(t, curlLoginDenied)
	o.d.refused(t, mark, "token-inactive")
	o.d.stop(t)
	o.silent(t, token, testenv.AskSecret)
}

// TestOAuthLDAP: who is proven by a token has the attributes and groups of his
// entry, and is kept out where that is disabled.
func TestOAuthLDAP(t *testing.T) {
	t.Parallel()
	o := newOAuth(t, "")
	const rules = `account {
  when     = contains(groups, "staff") && attr.email == "bob@example.test"
  maildrop = replace(attr.mailbox, "/", "-")
}
`
	o.d = o.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, oauthMechanisms,
		"authenticator \"file\" \"users\" {\n  path = \""+o.Dir+"/users\"\n}", o.ldapBlock(t, "", o.world.LDAP(t).TLSURL),
		"account {\n  when     = realm == \"PARTNER.TEST\"\n  maildrop = \"partner/${lower(split(\"@\", user)[0])}\"\n}", rules)
	o.deliver(t, "shared-bob", 3)
	mark := o.d.log.mark()
	o.curl(t, "pop3s", "OAUTHBEARER", "bob", o.fetch(t, "bob")).exits(t, 0).says(t, "3 ")
	o.d.loggedIn(t, mark, "OAUTHBEARER", "shared-bob")
	mark = o.d.log.mark()
	o.curl(t, "pop3s", "OAUTHBEARER", "dave", o.fetch(t, "dave")).exits(t, curlLoginDenied)
	o.d.refused(t, mark, "account-disabled")
	o.d.stop(t)
}
