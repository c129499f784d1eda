package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kpopd/auth/userfile"
	"kpopd/testenv"
)

// authPasswordOf is {SCRAM-SHA-256} of the file of users as RFC 5803 writes it.
func authPasswordOf(t testing.TB, scheme, password string) string {
	t.Helper()
	hash, err := userfile.Hash(scheme, password)
	if err != nil {
		t.Fatal(err)
	}
	_, fields, _ := strings.Cut(hash, "}")
	f := strings.Split(fields, ",")
	return scheme + "$" + f[0] + ":" + f[1] + "$" + f[2] + ":" + f[3]
}

// secretUnit makes a unit of the directory with users that have secrets, or
// only a password, and returns its DN and the secrets.
func (s *site) secretUnit(t testing.TB) (base string, secrets []string) {
	t.Helper()
	value := func(scheme string) string {
		v, err := userfile.Hash(scheme, secretPassword)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	users := map[string][]string{
		"plain": {value("PLAIN")}, "cram": {value("CRAM-MD5"), value("SCRAM-SHA-1")}, "hashed": nil,
		"sha256": {authPasswordOf(t, "SCRAM-SHA-256", secretPassword), "{SSHA}for-others"}, "sha1": {value("SCRAM-SHA-1")},
		"disabled": {value("PLAIN")},
	}
	base = "ou=" + rand.Text() + "," + testenv.BaseDN
	var ldif strings.Builder
	fmt.Fprintf(&ldif, "dn: %s\nobjectClass: organizationalUnit\n\n", base)
	for user, values := range users {
		fmt.Fprintf(&ldif, "dn: uid=%s,%s\nobjectClass: inetOrgPerson\nobjectClass: mailUser\ncn: %[1]s\nsn: %[1]s\nmailbox: box-%[1]s\nuserPassword: %[3]s\n",
			user, base, secretPassword)
		if user == "disabled" {
			ldif.WriteString("mailboxDisabled: TRUE\n")
		}
		for _, v := range values {
			fmt.Fprintf(&ldif, "kpopdSecret:: %s\n", base64.StdEncoding.EncodeToString([]byte(v)))
		}
		ldif.WriteString("\n")
		for _, v := range values {
			secrets = append(secrets, v[strings.IndexAny(v, "$}")+1:])
		}
	}
	env := append(slices.Clone(s.world.Env("")), "LDAPTLS_CACERT="+s.CA)
	runClient(t, env, ldif.String(), "ldapadd", "-x", "-H", s.world.LDAP(t).TLSURL, "-D", testenv.AdminDN, "-w", testenv.AdminPassword).exits(t, 0)
	return base, secrets
}

// startSecrets serves the site with the secrets of a directory.
func (s *site) startSecrets(t testing.TB, base, more string, urls ...string) *daemon {
	t.Helper()
	block := s.ldapBlock(t, `secret_attribute = "kpopdSecret"`+"\n  "+more, urls...)
	return s.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, digestMechanisms,
		"authenticator \"file\" \"users\" {\n  path = \""+s.Dir+"/users\"\n}", strings.Replace(block, testenv.PeopleDN, base, 1),
		"account {\n  when     = realm == \"PARTNER.TEST\"\n  maildrop = \"partner/${lower(split(\"@\", user)[0])}\"\n}", "account {\n  maildrop = attr.mailbox\n}")
}

// TestLDAPSecrets logs in by secrets from a directory, over each way to reach it.
func TestLDAPSecrets(t *testing.T) {
	t.Parallel()
	w := testenv.Start(t)
	dir := w.LDAP(t)
	filter := `filter = "(uid=${user})"`
	for _, c := range []struct{ name, url, more string }{
		{"LDAPS", dir.TLSURL, filter},
		{"StartTLS", dir.URL, filter},
		{"socket", dir.Socket, filter},
		{"bind as DN", dir.TLSURL, `bind_as = ["uid=${user},%BASE%"]`},
	} {
		if c.url == "" {
			continue // no socket to a container
		}
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.Extra = atOnce
			base, secrets := s.secretUnit(t)
			d := s.startSecrets(t, base, strings.ReplaceAll(c.more, "%BASE%", base), c.url)
			s.logInAll(t, d, "ldap corp")
			s.refuseDisabled(t, d)
			s.gsaslSecrets(t, d)
			d.stop(t)
			for _, secret := range append(secrets, secretPassword) {
				if found := leaks(d.log.String(), []byte(secret)); found != nil {
					t.Errorf("the log has %q", found)
				}
			}
		})
	}
}

// refuseDisabled: a right proof does not let in who is disabled.
func (s *site) refuseDisabled(t *testing.T, d *daemon) {
	t.Helper()
	for _, l := range []secretLogin{{"curl", "CRAM-MD5", "pop3", ""}, {"curl", "APOP", "pop3", ""}, {"mpop", "SCRAM-SHA-256", "pop3s", ""}} {
		l.user = "disabled"
		mark := d.log.mark()
		if r := s.logIn(t, d, l, secretPassword); r.status == 0 {
			t.Errorf("%s: let in\n%s", l.mechanism, r)
		}
		d.refused(t, mark, "account-disabled")
		mark = d.log.mark()
		s.logIn(t, d, l, "wrong")
		if rec := d.log.awaitFrom(t, mark, "refused", nil); rec["reason"] == "account-disabled" {
			t.Errorf("%s: a wrong proof learns of it: %v", l.mechanism, rec)
		}
	}
}

// gsaslSecrets proves by GNU SASL, bound to the connection.
func (s *site) gsaslSecrets(t *testing.T, d *daemon) {
	t.Helper()
	file := script(t, "gsasl.py", gsaslScript)
	for _, c := range []struct{ mechanism, way, user string }{
		{"SCRAM-SHA-256-PLUS", "tls-exporter", "sha256"}, {"SCRAM-SHA-256", "none", "plain"}, {"SCRAM-SHA-1-PLUS", "tls-exporter", "cram"},
	} {
		s.deliver(t, "box-"+c.user, 1)
		mark := d.log.mark()
		runClient(t, s.world.Env(""), "", "python3", file, d.port(t, "pop3s"), s.CA, "tls1_3", c.way, c.mechanism, c.user, secretPassword, "").
			exits(t, 0).says(t, "server says v=\n", "+OK 1 ")
		d.loggedIn(t, mark, c.mechanism, "box-"+c.user)
	}
}

// TestLDAPSecretsOutage: without the directory nobody knows anything, and that is
// no wrong password.
func TestLDAPSecretsOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.startSecrets(t, testenv.PeopleDN, `filter = "(uid=${user})"`, "ldaps://127.0.0.1:1")
	c := dial(t, d.addrs["clear"])
	c.line()
	for _, line := range []string{
		"AUTH SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString([]byte("n,,n=alice,r=x")), "APOP alice " + strings.Repeat("0", 32),
	} {
		if r := c.say("%s", line); !strings.HasPrefix(r, "-ERR [SYS/TEMP]") {
			t.Errorf("%s: %s", line, r)
		}
	}
	d.stop(t)
}
