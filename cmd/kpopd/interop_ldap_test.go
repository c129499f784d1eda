package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kpopd/testenv"
)

// ldapRules give everybody the maildrop that the directory names.
const ldapRules = `account {
  when     = contains(groups, "pop-users") && contains(groups, "cn=pop-users,ou=groups,dc=example,dc=test")
  maildrop = replace(attr.mailbox, "/", "-")
}
`

// startLDAP serves the site with the world's directory instead of the file of
// users. more are further arguments of the authenticator.
func (s *site) startLDAP(t testing.TB, more string, urls ...string) *daemon {
	t.Helper()
	return s.startEdited(t, `, "APOP"`, "",
		"authenticator \"file\" \"users\" {\n  path = \""+s.Dir+"/users\"\n}", s.ldapBlock(t, more, urls...),
		"account {\n  when     = realm == \"PARTNER.TEST\"\n  maildrop = \"partner/${lower(split(\"@\", user)[0])}\"\n}", ldapRules)
}

func (s *site) ldapBlock(t testing.TB, more string, urls ...string) string {
	t.Helper()
	s.write(t, "ldap.secret", testenv.ServicePassword+"\n")
	if more == "" {
		more = `filter = "(&(objectClass=person)(uid=${user}))"`
	}
	return fmt.Sprintf(`authenticator "ldap" "corp" {
  urls               = ["%s"]
  ca_file            = "%s"
  bind_dn            = "%s"
  bind_password_file = "ldap.secret"
  base_dn            = "%s"
  lookup_filter      = principal != "" ? "(krbPrincipalName=${principal})" : "(uid=${user})"
  attributes         = ["mailbox"]
  disabled_attribute = "mailboxDisabled"
  timeout            = "5s"
  %s
}`, strings.Join(urls, `", "`), s.CA, testenv.ServiceDN, testenv.PeopleDN, more)
}

// TestLDAP logs in with curl and mpop against a directory, over each way to
// reach it.
func TestLDAP(t *testing.T) {
	t.Parallel()
	w := testenv.Start(t)
	dir := w.LDAP(t)
	for _, c := range []struct{ name, url, more string }{
		{"LDAPS", dir.TLSURL, ""},
		{"StartTLS", dir.URL, ""},
		{"socket", dir.Socket, ""},
		{"bind as DN", dir.TLSURL, `bind_as = ["uid=${user},ou=people,dc=example,dc=test"]`},
	} {
		if c.url == "" {
			continue // no socket to a container
		}
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			d := s.startLDAP(t, c.more, c.url)
			texts := s.deliver(t, "shared-bob", 2)
			s.deliver(t, "alice", 1)
			s.curlLDAP(t, d)
			mark := d.log.mark()
			d.signal(t, syscall.SIGHUP)
			d.log.awaitFrom(t, mark, "configuration reloaded", nil)
			s.mpopLDAP(t, d, texts)
			d.stop(t)
			if log := d.log.String(); strings.Contains(log, w.Password("bob")) || strings.Contains(log, testenv.ServicePassword) {
				t.Errorf("a password is in the log:\n%s", log)
			}
		})
	}
}

// curlLDAP lists maildrops, and is refused.
func (s *site) curlLDAP(t *testing.T, d *daemon) {
	t.Helper()
	curl := func(user, password, options string) clientRun {
		return runClient(t, s.world.Env(""), "", "curl", "-sS", "-m", "50", "--ssl-reqd", "--cacert", s.CA, "--login-options", options,
			"-u", user+":"+password, "pop3://localhost:"+d.port(t, "pop3")+"/")
	}
	mark := d.log.mark()
	curl("bob", s.world.Password("bob"), "AUTH=PLAIN").exits(t, 0).says(t, "1 ", "2 ")
	d.loggedIn(t, mark, "PLAIN", "shared-bob")
	const mean = "o'brien (test)*" // in no group, so that no rule is about him
	mark = d.log.mark()
	curl(mean, s.world.Password(mean), "AUTH=PLAIN").exits(t, 0)
	d.loggedIn(t, mark, "PLAIN", mean)
	const loginDenied = 67
	for _, c := range []struct{ user, password, reason string }{
		{"bob", "wrong", "wrong-password"},
		{"bob", s.world.Password("alice"), "wrong-password"},
		{"dave", s.world.Password("dave"), "account-disabled"},
		{"*", s.world.Password("bob"), "unknown-user"},
		{"bob)(uid=*", s.world.Password("bob"), "unknown-user"},
	} {
		mark := d.log.mark()
		r := curl(c.user, c.password, "AUTH=PLAIN").exits(t, loginDenied)
		rec := d.log.awaitFrom(t, mark, "refused", nil)
		if reason := rec["reason"]; reason != c.reason && !(reason == "wrong-password" && c.reason == "unknown-user") {
			t.Errorf("%q: refused for the reason %q, want %q\n%s", c.user, reason, c.reason, r)
		}
	}
}

// mpopLDAP fetches bob's mail with USER and PASS.
func (s *site) mpopLDAP(t *testing.T, d *daemon, texts []string) {
	t.Helper()
	dir := t.TempDir()
	rc := script(t, "rc", fmt.Sprintf("account a\nhost localhost\nport %s\nuser BOB\npassword %s\nauth user\ntls on\ntls_starttls off\ntls_trust_file %s\n"+
		"keep off\nreceived_header off\ndelivery mbox %s/mbox\nuidls_file %s/uidls\n", d.port(t, "pop3s"), s.world.Password("bob"), s.CA, dir, dir))
	mark := d.log.mark()
	runClient(t, append(s.world.Env(""), "HOME="+dir), "", "mpop", "-C", rc, "-d", "a").exits(t, 0)
	sameMessages(t, fromMbox(t, filepath.Join(dir, "mbox")), texts)
	d.loggedIn(t, mark, "USER", "shared-bob")
}

// TestLDAPTickets: whom a ticket proves, the directory gives a maildrop, or
// keeps out.
func TestLDAPTickets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.world
	if !strings.Contains(w.Kadmin(t, testenv.Realm, "listprincs dave@*"), "dave@") {
		w.AddUser(t, "dave")
	}
	d := s.startLDAP(t, "", w.LDAP(t).TLSURL)
	byKPOP := s.deliver(t, "shared-bob", 2)
	f := s.newFetchmail(t, w.Kinit(t, "bob"), d.kpopServer(), "user bob "+viaTLS)
	mark := d.log.mark()
	f.collects(t, byKPOP)
	d.loggedIn(t, mark, "KPOP", "shared-bob")

	curl := func(cache string) clientRun {
		return runClient(t, w.Env(cache), "", "curl", "-sS", "-m", "50", "--login-options", "AUTH=GSSAPI", "-u", ":",
			"pop3://localhost:"+d.port(t, "pop3")+"/")
	}
	s.deliver(t, "partner-carol", 3)
	mark = d.log.mark()
	curl(w.Kinit(t, "carol@PARTNER.TEST")).exits(t, 0).says(t, "3 ")
	d.loggedIn(t, mark, "GSSAPI", "partner-carol")
	s.deliver(t, "dave", 1)
	mark = d.log.mark()
	if r := curl(w.Kinit(t, "dave")); r.status == 0 {
		t.Errorf("dave, who is disabled, is let in\n%s", r)
	}
	d.refused(t, mark, "account-disabled")
	d.stop(t)
}

// TestLDAPOutage: a directory that does not answer is no wrong password and
// lets nobody in, by ticket neither; the next server takes over, and when the
// first returns logins return to it.
func TestLDAPOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.world
	u, err := url.Parse(w.LDAP(t).TLSURL)
	if err != nil {
		t.Fatal(err)
	}
	hanging := testenv.Fault{CutDown: 1, Stall: true}.Proxy(t, u.Host)
	d := s.startLDAP(t, `filter = "(uid=${user})"`, "ldaps://"+hanging, w.LDAP(t).TLSURL)
	s.deliver(t, "shared-bob", 1)
	mark := d.log.mark()
	c := dial(t, d.addrs["clear"])
	c.login("bob", w.Password("bob"))
	d.log.awaitFrom(t, mark, "directory server is down", nil)
	d.loggedIn(t, mark, "USER", "shared-bob")
	c.ok("QUIT")
	d.stop(t)

	d = s.startLDAP(t, "", "ldaps://"+hanging)
	c = dial(t, d.addrs["clear"])
	c.line()
	c.ok("USER bob")
	if reply := c.say("PASS %s", w.Password("bob")); !strings.HasPrefix(reply, "-ERR [SYS/TEMP]") {
		t.Errorf("PASS: %s", reply)
	}
	mark = d.log.mark()
	r := runClient(t, w.Env(w.Kinit(t, "bob")), "", "curl", "-sS", "-m", "50", "--login-options", "AUTH=GSSAPI", "-u", ":",
		"pop3://localhost:"+d.port(t, "pop3")+"/")
	if r.status == 0 {
		t.Errorf("a ticket opens the maildrop of nobody knows whom\n%s", r)
	}
	d.refused(t, mark, "directory-unavailable")
	d.stop(t)
}
