package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kpopd/testenv"
)

// startKerberosPasswords serves the site with passwords that the KDC of krb5conf
// judges, instead of the file of users.
func (s *site) startKerberosPasswords(t testing.TB, krb5conf string) *daemon {
	t.Helper()
	return s.startEdited(t, `, "APOP"`, "", "authenticator \"file\" \"users\" {\n  path = \""+s.Dir+"/users\"\n}",
		fmt.Sprintf("authenticator \"kerberos\" \"corp\" {\n  realm     = %q\n  krb5_conf = %q\n  timeout   = \"30s\"\n}", testenv.Realm, krb5conf))
}

// TestKerberosPasswords: curl and fetchmail log in with the passwords of the
// realm, over TLS.
func TestKerberosPasswords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.world
	d := s.startKerberosPasswords(t, w.Krb5Conf)
	s.deliver(t, "bob", 2)
	curl := func(user, password string) clientRun {
		return runClient(t, w.Env(""), "", "curl", "-sS", "-m", "50", "--ssl-reqd", "--cacert", s.CA, "--login-options", "AUTH=PLAIN",
			"-u", user+":"+password, "pop3://localhost:"+d.port(t, "pop3")+"/")
	}
	for _, user := range []string{"bob", "bob@EXAMPLE.TEST"} {
		mark := d.log.mark()
		curl(user, w.Password("bob")).exits(t, 0).says(t, "1 ", "2 ")
		d.loggedIn(t, mark, "PLAIN", "bob")
	}
	const loginDenied = 67
	for _, c := range []struct{ user, password, reason string }{
		{"bob", "wrong", "wrong-password"},
		{"bob", w.Password("alice"), "wrong-password"},
		{"mallory", w.Password("bob"), "unknown-user"},
		{"alice/admin", w.Password("alice/admin"), "unknown-user"},
		{"carol@PARTNER.TEST", w.Password("carol"), "unknown-user"},
	} {
		mark := d.log.mark()
		r := curl(c.user, c.password).exits(t, loginDenied)
		if reason := d.log.awaitFrom(t, mark, "refused", nil)["reason"]; reason != c.reason {
			t.Errorf("%s: refused for the reason %q, want %q\n%s", c.user, reason, c.reason, r)
		}
	}
	for name, reason := range map[string]string{"bob": "[]", "mallory": "[unknown-user]", "alice/admin": "[unknown-user]"} {
		if x, _ := explained(t, filepath.Join(s.Dir, "kpopd.hcl"), name, "-mechanism", "PLAIN"); fmt.Sprint(x.Reasons) != reason || x.Identity.Source == "" && x.LetIn {
			t.Errorf("%s: %+v", name, x)
		}
	}
	mark := d.log.mark()
	d.signal(t, syscall.SIGHUP)
	d.log.awaitFrom(t, mark, "configuration reloaded", nil)
	mark = d.log.mark()
	f := s.newFetchmail(t, "", "proto POP3 auth password port "+d.port(t, "pop3s"), "user bob password '"+w.Password("bob")+"' "+allTLS)
	if run := f.poll(t).exits(t, 0); len(f.got(t)) != 2 {
		t.Errorf("%d messages\n%s", len(f.got(t)), run)
	}
	d.loggedIn(t, mark, "USER", "bob")
	d.stop(t)
	if log := d.log.String(); strings.Contains(log, w.Password("bob")) {
		t.Errorf("a password is in the log:\n%s", log)
	}
}

// TestKerberosImpostor: a KDC of the same realm that knows the user's password,
// and not this server's key, lets nobody in.
func TestKerberosImpostor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.startKerberosPasswords(t, testenv.New(t, testenv.Native).Krb5Conf)
	mark := d.log.mark()
	runClient(t, s.world.Env(""), "", "curl", "-sS", "-m", "50", "--ssl-reqd", "--cacert", s.CA, "--login-options", "AUTH=PLAIN",
		"-u", "bob:"+s.world.Password("bob"), "pop3://localhost:"+d.port(t, "pop3")+"/").exits(t, 67).says(t)
	d.log.awaitFrom(t, mark, "the KDC does not know this server's key, or is an impostor", nil)
}

// TestLDAPByKeytab: the service looks people up by a ticket that it gets with
// its own keytab.
func TestLDAPByKeytab(t *testing.T) {
	t.Parallel()
	w := testenv.Start(t)
	dir := w.LDAP(t)
	for _, url := range []string{dir.TLSURL, dir.URL} {
		s := newSite(t)
		block := s.ldapBlock(t, "", strings.Replace(url, "127.0.0.1", "localhost", 1))
		block = strings.Replace(block, `bind_password_file = "ldap.secret"`, fmt.Sprintf("bind_principal = \"pop/localhost\"\n  krb5_conf = %q", w.Krb5Conf), 1)
		block = strings.Replace(block, fmt.Sprintf(`bind_dn            = "%s"`, testenv.ServiceDN), fmt.Sprintf("bind_keytab = %q", w.Keytab), 1)
		d := s.startEdited(t, `, "APOP"`, "", "authenticator \"file\" \"users\" {\n  path = \""+s.Dir+"/users\"\n}", block,
			"account {\n  when     = realm == \"PARTNER.TEST\"\n  maildrop = \"partner/${lower(split(\"@\", user)[0])}\"\n}", ldapRules)
		s.deliver(t, "shared-bob", 2)
		mark := d.log.mark()
		runClient(t, w.Env(""), "", "curl", "-sS", "-m", "50", "--ssl-reqd", "--cacert", s.CA, "--login-options", "AUTH=PLAIN",
			"-u", "bob:"+w.Password("bob"), "pop3://localhost:"+d.port(t, "pop3")+"/").exits(t, 0).says(t, "1 ", "2 ")
		d.loggedIn(t, mark, "PLAIN", "shared-bob")
		d.stop(t)
	}
}
