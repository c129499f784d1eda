package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kpopd/testenv"
)

// corpRules give those whose certificate has a name in the company's domain
// the maildrop of the name, and keep all others by certificate out.
const corpRules = `
account {
  when     = mechanism == "EXTERNAL" && lower(domain) == "corp.example" && attr.issuer != ""
  maildrop = lower(split("@", user)[0])
}
account {
  when     = mechanism == "EXTERNAL"
  maildrop = ""
}
account {
  maildrop = user
}
`

// A clientSite is a site that takes certificates of an authority of its own.
type clientSite struct {
	*site
	ca, below *testenv.CA
	crls      [2]string // of both
}

// newClientSite makes a site with certificates for people.
func newClientSite(t *testing.T) *clientSite {
	t.Helper()
	s := &clientSite{site: newSite(t)}
	var err error
	if s.ca, err = testenv.NewCA(); err != nil {
		t.Fatal(err)
	}
	if s.below, err = s.ca.Intermediate("people"); err != nil {
		t.Fatal(err)
	}
	s.write(t, "clients.pem", string(s.ca.PEM))
	s.revoke(t, testenv.Revoked{})
	s.Extra = `authenticator "certificate" "clients" {}` + corpRules
	return s
}

// revoke publishes new lists of both authorities, of which that of the
// intermediate says r.
func (s *clientSite) revoke(t *testing.T, r testenv.Revoked) {
	t.Helper()
	for i, ca := range []*testenv.CA{s.ca, s.below} {
		list, err := ca.CRL(r)
		if err != nil {
			t.Fatal(err)
		}
		s.crls[i] = fmt.Sprintf("%d.crl", i)
		// As a whole: the server may be looking.
		if err := os.Rename(s.write(t, "new.crl", string(list)), filepath.Join(s.Dir, s.crls[i])); err != nil {
			t.Fatal(err)
		}
	}
}

// start serves the site, with every mechanism that is offered where none is
// named and with other changes to the configuration.
func (s *clientSite) start(t *testing.T, oldnew ...string) *daemon {
	t.Helper()
	return s.startEdited(t, append([]string{`mechanisms = ["GSSAPI", "PLAIN", "APOP"]`, "",
		"tls {", "tls {\n  client_ca_file = \"clients.pem\"\n  client_crl_files = [\"0.crl\", \"1.crl\"]",
	}, oldnew...)...)
}

// issue returns a certificate of the intermediate authority, or of ca.
func (s *clientSite) issue(t *testing.T, c testenv.Client, ca ...*testenv.CA) testenv.Certificate {
	t.Helper()
	cert, err := append(ca, s.below)[0].Issue(c)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// upn is a certificate of a user of the company.
func upn(user string) testenv.Client {
	return testenv.Client{CN: "Somebody", UPNs: []string{user + "@Corp.example"}}
}

// TestExternalCurl collects mail with curl, over STLS and over implicit TLS.
func TestExternalCurl(t *testing.T) {
	t.Parallel()
	s := newClientSite(t)
	d := s.start(t)
	texts := s.deliver(t, "alice", 2)
	cert, key := s.issue(t, upn("alice")).Files(t)
	curl := func(args ...string) clientRun {
		return runClient(t, s.world.Env(""), "", append([]string{"curl", "-sS", "-m", "50", "--ssl-reqd", "--cacert", s.CA,
			"--cert", cert, "--key", key, "--login-options", "AUTH=EXTERNAL"}, args...)...)
	}
	for _, url := range []string{"pop3://localhost:" + d.port(t, "pop3"), "pop3s://localhost:" + d.port(t, "pop3s")} {
		for _, args := range [][]string{
			{"-u", ":"}, {"-u", "alice:"}, {"-u", "alice@Corp.example:"}, {"-u", "alice:", "--sasl-ir"}, {"-u", ":", "--sasl-ir"},
			{"-u", "alice:", "--tls-max", "1.2"},
		} {
			mark := d.log.mark()
			r := curl(append(args, url+"/2")...).exits(t, 0)
			if got := strings.TrimPrefix(r.out, "\r\n"); !strings.Contains(got, strings.TrimSpace(crlf(texts[1])[:40])) {
				t.Errorf("%q: %s", args, r)
			}
			rec := d.loggedIn(t, mark, "EXTERNAL", "alice")
			if rec["user"] != "alice@Corp.example" || rec["source"] != "certificate clients" || rec["subject"] != "CN=Somebody" || rec["serial"] == "" {
				t.Errorf("logged as %v", rec)
			}
		}
		mark := d.log.mark()
		const loginDenied = 67
		curl("-u", "bob:", url+"/").exits(t, loginDenied)
		d.refused(t, mark, "authzid-not-allowed")
	}
	d.stop(t)
}

// TestExternalMpop collects mail with mpop, which is of GnuTLS and GNU SASL.
func TestExternalMpop(t *testing.T) {
	t.Parallel()
	s := newClientSite(t)
	d := s.start(t)
	cert, key := s.issue(t, upn("alice")).Files(t)
	lines := fmt.Sprintf("auth external\ntls_cert_file %s\ntls_key_file %s\n", cert, key)
	for _, listener := range []string{"pop3", "pop3s"} {
		for _, user := range []string{"alice", "alice@Corp.example"} {
			texts := s.deliver(t, "alice", 2)
			mark := d.log.mark()
			r, mbox := s.mpop(t, d, listener, user, "unused", lines)
			r.exits(t, 0)
			sameMessages(t, fromMbox(t, mbox), texts)
			d.loggedIn(t, mark, "EXTERNAL", "alice")
		}
	}
	r, _ := s.mpop(t, d, "pop3s", "alice", "unused", "auth external\n")
	if r.status == 0 {
		t.Errorf("let in without a certificate\n%s", r)
	}
	d.stop(t)
}

// showing begins TLS with a certificate at a listener, and reads the greeting.
func (s *clientSite) showing(t *testing.T, d *daemon, listener string, config *tls.Config) *client {
	t.Helper()
	c := dial(t, d.addrs[listener])
	if listener == "pop3" {
		c.line()
		c.ok("STLS")
	}
	config.ServerName, config.RootCAs = "localhost", s.world.CA.Pool()
	conn := tls.Client(c, config)
	secure := &client{t, conn, bufio.NewReader(conn)}
	if listener != "pop3" {
		secure.line()
	}
	return secure
}

func with(t *testing.T, cert testenv.Certificate, version uint16) *tls.Config {
	pair := cert.Pair(t)
	return &tls.Config{MinVersion: version, MaxVersion: version,
		// Whatever authorities the server names.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
}

// offers reports whether CAPA names EXTERNAL.
func (c *client) offersExternal() bool {
	c.t.Helper()
	return strings.Contains(strings.Join(c.lines("CAPA"), "\n"), "EXTERNAL")
}

// TestExternalRefused: a certificate that is not good is told of EXTERNAL
// nowhere, hears no reason but the log does, and spoils no password.
func TestExternalRefused(t *testing.T) {
	t.Parallel()
	s := newClientSite(t)
	twin, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	revoked := s.issue(t, upn("alice"))
	s.revoke(t, testenv.Revoked{Certs: [][]byte{revoked.Cert}})
	d := s.start(t)
	edited := func(edit func(*x509.Certificate)) testenv.Client {
		return testenv.Client{UPNs: []string{"alice@corp.example"}, Edit: edit}
	}
	for _, c := range []struct {
		name   string
		cert   testenv.Certificate
		reason string
	}{
		{"expired", s.issue(t, edited(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), "certificate-expired"},
		{"for servers", s.issue(t, edited(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })), "certificate-wrong-usage"},
		{"of another authority", s.issue(t, upn("alice"), twin), "certificate-untrusted"},
		{"of the server's authority", s.issue(t, upn("alice"), s.world.CA), "certificate-untrusted"},
		{"revoked", revoked, "certificate-revoked"},
		{"two users", s.issue(t, testenv.Client{UPNs: []string{"alice@corp.example", "bob@corp.example"}}), "certificate-ambiguous-user"},
		{"nobody", s.issue(t, testenv.Client{SAN: []byte("\x30\x06\x82\x04host")}), "certificate-without-user"},
		{"a NUL", s.issue(t, testenv.Client{UPNs: []string{"alice\x00@corp.example"}}), "certificate-unacceptable-name"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, listener := range []string{"pop3", "pop3s"} {
				t.Run(c.name+" "+listener+" "+tls.VersionName(version), func(t *testing.T) {
					mark := d.log.mark()
					x := s.showing(t, d, listener, with(t, c.cert, version))
					if x.offersExternal() {
						t.Error("told of EXTERNAL")
					}
					if rec := d.log.awaitFrom(t, mark, "tls", nil); rec["level"] != "WARN" || !strings.HasPrefix(fmt.Sprint(rec["err"]), c.reason) || rec["client_serial"] == nil {
						t.Errorf("logged as %v, want the reason %s", rec, c.reason)
					}
					if reply := x.say("AUTH EXTERNAL ="); reply != "-ERR [AUTH] Authentication failed" {
						t.Errorf("AUTH: %s", reply)
					}
					d.refused(t, mark, c.reason)
					x.ok("USER alice")
					x.ok("PASS %s", alicePassword)
					x.ok("QUIT")
				})
			}
		}
	}
	t.Run("another domain", func(t *testing.T) {
		mark := d.log.mark()
		x := s.showing(t, d, "pop3s", with(t, s.issue(t, testenv.Client{UPNs: []string{"alice@evil.example"}}), tls.VersionTLS13))
		if reply := x.say("AUTH EXTERNAL ="); !strings.HasPrefix(reply, "-ERR [AUTH]") {
			t.Errorf("AUTH: %s", reply)
		}
		d.refused(t, mark, "unacceptable-maildrop")
	})
	d.stop(t)
}

// TestExternalResumed: who resumes a session shows no certificate again. It is
// judged anew all the same.
func TestExternalResumed(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s := newClientSite(t)
			d := s.start(t)
			cert := s.issue(t, upn("alice"))
			config := with(t, cert, version)
			config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			resumes := func(want bool) *client {
				t.Helper()
				x := s.showing(t, d, "pop3s", config)
				if got := x.Conn.(*tls.Conn).ConnectionState().DidResume; got != want {
					t.Fatalf("resumed: %v, want %v", got, want)
				}
				return x
			}
			for _, resumed := range []bool{false, true} {
				x := resumes(resumed)
				if !x.offersExternal() {
					t.Error("not told of EXTERNAL")
				}
				x.ok("AUTH EXTERNAL =")
				x.ok("QUIT")
			}
			before := resumes(true) // TLS begins while the certificate is good
			s.revoke(t, testenv.Revoked{Certs: [][]byte{cert.Cert}})
			s.refuses(t, d, before, resumes, "certificate-revoked", "[AUTH]")
			s.revoke(t, testenv.Revoked{Until: time.Now().Add(-time.Minute)})
			s.refuses(t, d, resumes(true), resumes, "crl-stale", "[SYS/TEMP]")
			d.stop(t)
		})
	}
}

// refuses waits until the server has seen the lists that changed, and checks
// that neither a session that began before nor a resumed one logs in.
func (s *clientSite) refuses(t *testing.T, d *daemon, before *client, resumes func(bool) *client, reason, code string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		mark := d.log.mark()
		x := resumes(true)
		x.lines("CAPA")
		rec := d.log.awaitFrom(t, mark, "tls", nil)
		if strings.HasPrefix(fmt.Sprint(rec["err"]), reason) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the lists are not read again: %v", rec)
		}
		x.ok("QUIT")
	}
	for _, x := range []*client{before, resumes(true)} {
		mark := d.log.mark()
		if reply := x.say("AUTH EXTERNAL ="); !strings.HasPrefix(reply, "-ERR "+code) {
			t.Errorf("AUTH: %s", reply)
		}
		d.refused(t, mark, reason)
	}
}

// TestExternalOpenssl resumes by a session in a file, as openssl keeps it.
func TestExternalOpenssl(t *testing.T) {
	t.Parallel()
	s := newClientSite(t)
	d := s.start(t)
	s.deliver(t, "alice", 1)
	cert, key := s.issue(t, upn("alice"), s.ca).Files(t)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		session := filepath.Join(t.TempDir(), "session")
		for _, flag := range []string{"-sess_out", "-sess_in"} {
			mark := d.log.mark()
			runClient(t, s.world.Env(""), "AUTH\nAUTH EXTERNAL =\nSTAT\nQUIT\n", "openssl", "s_client", "-quiet", "-crlf", "-CAfile", s.CA,
				"-verify_return_error", "-connect", d.addrs["pop3s"], version, "-cert", cert, "-key", key, flag, session).
				exits(t, 0).says(t, "EXTERNAL\r\n", "+OK 1 messages", "+OK Bye")
			if rec := d.log.awaitFrom(t, mark, "tls", nil); rec["resumed"] != (flag == "-sess_in") {
				t.Errorf("%s %s: logged as %v", version, flag, rec)
			}
			d.loggedIn(t, mark, "EXTERNAL", "alice")
		}
	}
	d.stop(t)
}

// TestExternalAsked: clients are asked for a certificate only where one is of
// use, or where the configuration says so.
func TestExternalAsked(t *testing.T) {
	t.Parallel()
	s := newClientSite(t)
	asked := func(d *daemon, listener string, cert *testenv.Certificate) (asked bool, err error) {
		config := &tls.Config{ServerName: "localhost", RootCAs: s.world.CA.Pool()}
		config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = len(r.AcceptableCAs) > 0
			if cert == nil {
				return &tls.Certificate{}, nil
			}
			pair := cert.Pair(t)
			return &pair, nil
		}
		conn := tls.Client(dial(t, d.addrs[listener]), config)
		_, err = bufio.NewReader(conn).ReadString('\n') // TLS 1.3 ends before the server has judged
		return asked, err
	}
	good, bad := s.issue(t, upn("alice")), s.issue(t, upn("alice"), s.world.CA)
	for _, c := range []struct {
		name       string
		oldnew     []string
		cert       *testenv.Certificate
		asked, cut bool
	}{
		{"by default", nil, nil, true, false},
		{"no EXTERNAL", []string{"listener \"pop3s\" {", "listener \"pop3s\" {\n  mechanisms = [\"PLAIN\"]"}, nil, false, false},
		{"none", []string{"listener \"pop3s\" {", "listener \"pop3s\" {\n  client_certificates = \"none\""}, nil, false, false},
		{"required, none", []string{"listener \"pop3s\" {", "listener \"pop3s\" {\n  client_certificates = \"require\""}, nil, true, true},
		{"required, good", []string{"listener \"pop3s\" {", "listener \"pop3s\" {\n  client_certificates = \"require\""}, &good, true, false},
		{"required, bad", []string{"listener \"pop3s\" {", "listener \"pop3s\" {\n  client_certificates = \"require\""}, &bad, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := s.start(t, c.oldnew...)
			asked, err := asked(d, "pop3s", c.cert)
			if asked != c.asked || (err != nil) != c.cut {
				t.Errorf("asked: %v, error %v", asked, err)
			}
			if c.name == "required, bad" {
				d.log.await(t, "connection ended", func(rec map[string]any) bool {
					return strings.Contains(fmt.Sprint(rec["err"]), "certificate-untrusted") && rec["level"] == "INFO"
				})
			}
			d.stop(t)
		})
	}
}

// TestExternalReload: SIGHUP puts other authorities in force, for resumed
// sessions too, and leaves the old ones where the new cannot be used.
func TestExternalReload(t *testing.T) {
	t.Parallel()
	s := newClientSite(t)
	d := s.start(t)
	next, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config := with(t, s.issue(t, upn("alice")), tls.VersionTLS13)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	x := s.showing(t, d, "pop3s", config)
	x.ok("AUTH EXTERNAL =")
	x.ok("QUIT")
	hup := func(msg string) {
		t.Helper()
		mark := d.log.mark()
		d.signal(t, syscall.SIGHUP)
		d.log.awaitFrom(t, mark, msg, nil)
	}
	s.write(t, "clients.pem", "nothing")
	hup("the new configuration is wrong, the old one stays")
	x = s.showing(t, d, "pop3s", config)
	x.ok("AUTH EXTERNAL =")
	x.ok("QUIT")
	s.write(t, "clients.pem", string(next.PEM))
	list, err := next.CRL(testenv.Revoked{})
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "0.crl", string(list))
	hup("configuration reloaded")
	mark := d.log.mark()
	if reply := s.showing(t, d, "pop3s", config).say("AUTH EXTERNAL ="); !strings.HasPrefix(reply, "-ERR [AUTH]") {
		t.Errorf("AUTH by the old authority: %s", reply)
	}
	d.refused(t, mark, "certificate-untrusted")
	x = s.showing(t, d, "pop3s", with(t, s.issue(t, upn("alice"), next), tls.VersionTLS12))
	x.ok("AUTH EXTERNAL =")
	x.ok("QUIT")
	d.stop(t)
}

// TestExternalKPOP: in a KPOP session EXTERNAL is the ticket's, whatever
// certificate the client shows besides.
func TestExternalKPOP(t *testing.T) {
	t.Parallel()
	s := newClientSite(t)
	d := s.start(t, "listener \"kpop\" {", "listener \"kpop\" {\n  client_certificates = \"request\"")
	s.deliver(t, "alice", 1)
	mark := d.log.mark()
	out := s.sendauth(t, d, "alice", "CAPA\nAUTH EXTERNAL Ym9i\nAUTH EXTERNAL =\nSTAT\nQUIT\n")
	for _, want := range []string{"SASL EXTERNAL", "-ERR [AUTH] Authentication failed", "+OK 1 messages", "+OK Bye"} {
		if !strings.Contains(out, want) {
			t.Errorf("the server does not say %q:\n%s", want, out)
		}
	}
	d.refused(t, mark, "authzid-not-allowed")
	if rec := d.loggedIn(t, mark, "KPOP", "alice"); rec["principal"] != "alice@EXAMPLE.TEST" {
		t.Errorf("logged as %v", rec)
	}
	d.stop(t)
}

// TestExternalBeforeTicket: a certificate that is good for bob, shown in a KPOP
// session of alice, does not make her bob.
func TestExternalBeforeTicket(t *testing.T) {
	t.Parallel()
	m := newMintedSite(t)
	s := &clientSite{site: m.site}
	var err error
	if s.ca, err = testenv.NewCA(); err != nil {
		t.Fatal(err)
	}
	s.write(t, "clients.pem", string(s.ca.PEM))
	s.Extra = `authenticator "certificate" "clients" {}`
	d := s.startEdited(t, "tls {", "tls {\n  client_ca_file = \"clients.pem\"",
		"listener \"kpop\" {", "listener \"kpop\" {\n  client_certificates = \"request\"")
	c := dial(t, d.addrs["kpop"])
	if refusal := c.sendauth(m.aliceRequest(t)); refusal != nil {
		t.Fatalf("refused: %+v", refusal)
	}
	c.line()
	c.ok("STLS")
	config := with(t, s.issue(t, testenv.Client{CN: "bob"}, s.ca), tls.VersionTLS13)
	config.ServerName, config.RootCAs = "localhost", s.world.CA.Pool()
	conn := tls.Client(c, config)
	x := &client{t, conn, bufio.NewReader(conn)}
	mark := d.log.mark()
	if reply := x.say("AUTH EXTERNAL Ym9i"); !strings.HasPrefix(reply, "-ERR [AUTH]") {
		t.Errorf("alice as bob: %s", reply)
	}
	d.refused(t, mark, "authzid-not-allowed")
	x.ok("AUTH EXTERNAL =")
	d.loggedIn(t, mark, "KPOP", "alice")
	x.ok("QUIT")
	d.stop(t)
}

// TestExternalLDAP: the directory gives those whom a certificate proves their
// maildrop, or keeps them out.
func TestExternalLDAP(t *testing.T) {
	t.Parallel()
	s := newClientSite(t)
	s.Extra = s.ldapBlock(t, "", s.world.LDAP(t).TLSURL) + "\n" + `authenticator "certificate" "clients" { user_from = ["cn"] }` + "\n" + ldapRules
	d := s.start(t)
	s.deliver(t, "shared-bob", 2)
	mark := d.log.mark()
	x := s.showing(t, d, "pop3s", with(t, s.issue(t, testenv.Client{CN: "bob"}), tls.VersionTLS13))
	if reply := x.ok("AUTH EXTERNAL ="); !strings.HasPrefix(reply, "+OK 2 ") {
		t.Errorf("AUTH: %s", reply)
	}
	d.loggedIn(t, mark, "EXTERNAL", "shared-bob")
	x.ok("QUIT")
	mark = d.log.mark()
	x = s.showing(t, d, "pop3s", with(t, s.issue(t, testenv.Client{CN: "dave"}), tls.VersionTLS13))
	if reply := x.say("AUTH EXTERNAL ="); !strings.HasPrefix(reply, "-ERR [AUTH]") {
		t.Errorf("dave, who is disabled: %s", reply)
	}
	d.refused(t, mark, "account-disabled")
	d.stop(t)
}
