package ldap_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/auth/krb5"
	"kpopd/auth/ldap"
	"kpopd/testenv"
)

// byTicket is a configuration in which pop/localhost looks entries up by a
// ticket of the KDC at addr.
func byTicket(t testing.TB, w *testenv.World, addr, keytab string) ldap.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(path, []byte("[realms]\nEXAMPLE.TEST = {\nkdc = "+addr+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kdc, err := krb5.LoadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	login, err := krb5.NewServiceLogin(&krb5.Client{Conf: kdc}, "pop/localhost@EXAMPLE.TEST", keytab, quiet())
	if err != nil {
		t.Fatal(err)
	}
	c := config(t, w, testenv.PeopleDN)
	c.BindDN, c.BindPassword = "", nil
	c.URLs = []string{named(w.LDAP(t).TLSURL)}
	c.BindTicket = func(ctx context.Context, host string, p auth.Peer) (ldap.SecurityContext, error) {
		return login.Start(ctx, "ldap", host, p)
	}
	return c
}

// named is a URL with the name that tickets are for.
func named(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }

// TestBindByTicket: the service binds to a real directory by SASL GSSAPI, and
// sees what only it may see.
func TestBindByTicket(t *testing.T) {
	w := testenv.Start(t)
	for name, edit := range map[string]func(*ldap.Config){
		"LDAPS":    func(*ldap.Config) {},
		"StartTLS": func(c *ldap.Config) { c.URLs = []string{named(w.LDAP(t).URL)} },
		"clear":    func(c *ldap.Config) { c.URLs, c.Clear = []string{named(w.LDAP(t).URL)}, true },
	} {
		c := byTicket(t, w, w.KDC, w.Keytab)
		edit(&c)
		d := open(t, c)
		if id, err := try(t, d, "alice", w.Password("alice")); err != nil || id.Attrs["mailbox"] == "" {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
		if _, err := try(t, d, "alice", "wrong"); auth.Reason(err) != "wrong-password" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBindByTicketRefused: without a ticket nobody is looked up, which is an
// outage, and once there is one all is well again.
func TestBindByTicketRefused(t *testing.T) {
	w := testenv.Start(t)
	outage := func(c ldap.Config) *ldap.Directory {
		t.Helper()
		d := open(t, c)
		if _, err := try(t, d, "alice", w.Password("alice")); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		return d
	}
	hangs := testenv.Fault{CutDown: 1, Stall: true}.Proxy(t, w.KDC)
	c := byTicket(t, w, hangs, w.Keytab)
	c.Timeout = 300 * time.Millisecond
	outage(c)

	stranger := testenv.New(t, testenv.Native)
	outage(byTicket(t, w, w.KDC, stranger.Keytab))        // a key that the KDC does not know
	outage(byTicket(t, w, stranger.KDC, stranger.Keytab)) // a KDC whose tickets the directory does not know
	c = byTicket(t, w, w.KDC, w.Keytab)
	c.URLs = []string{w.LDAP(t).TLSURL} // 127.0.0.1 has no principal
	outage(c)

	c = byTicket(t, w, w.KDC, w.Keytab)
	bind := c.BindTicket
	c.BindTicket = func(ctx context.Context, host string, p auth.Peer) (ldap.SecurityContext, error) {
		cert := *p.Certificate
		cert.Raw = []byte("another") // as if somebody in the middle had shown it
		p.Certificate = &cert
		return bind(ctx, host, p)
	}
	outage(c)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	d := outage(byTicket(t, w, addr, w.Keytab))
	relay(t, addr, w.KDC)
	back := time.NewTicker(50 * time.Millisecond)
	defer back.Stop()
	for range 2000 {
		if _, err = try(t, d, "alice", w.Password("alice")); err == nil {
			return
		}
		<-back.C
	}
	t.Errorf("after the KDC came back: %v", err)
}

// relay passes connections to addr on to target, until the test ends.
func relay(t testing.TB, addr, target string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	good := testenv.Fault{}.Proxy(t, target)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			pipe(from, good)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// pipe carries one request and its answer.
func pipe(from net.Conn, target string) {
	defer from.Close()
	to, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer to.Close()
	up := make(chan struct{})
	go func() { defer close(up); io.Copy(to, from); to.Close() }()
	io.Copy(from, to)
	from.Close()
	<-up
}
