package main

import (
	"bufio"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/testenv"
)

// agreeable serves a directory on a Unix socket that answers success to
// everything, and to a search entries of bob's as well. It returns its URL.
func agreeable(t *testing.T, entries int) string {
	return answering(t, entries, func() int64 { return goldap.LDAPResultSuccess })
}

// answering is agreeable with what people's binds come to.
func answering(t *testing.T, entries int, bind func() int64) string {
	return listenSocket(t, filepath.Join(t.TempDir(), "ldapi"), func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			p, err := ber.ReadPacket(r)
			if err != nil || len(p.Children) < 2 {
				return
			}
			w := bufio.NewWriter(c)
			answer, code := ber.Tag(goldap.ApplicationBindResponse), int64(goldap.LDAPResultSuccess)
			if op := p.Children[1]; op.Tag == goldap.ApplicationBindRequest && op.Children[1].Value != testenv.ServiceDN {
				code = bind()
			} else if op.Tag == goldap.ApplicationSearchRequest {
				answer = goldap.ApplicationSearchResultDone
				for range entries {
					w.Write(message(p, goldap.ApplicationSearchResultEntry, text("uid=bob,ou=people,dc=example,dc=test"), bobsUID()))
				}
			}
			w.Write(message(p, answer, ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""), text(""), text("")))
			w.Flush()
		}
	})
}

// message is one with the number of a request, and an operation.
func message(request *ber.Packet, op ber.Tag, fields ...*ber.Packet) []byte {
	m, o := ber.NewSequence(""), ber.Encode(ber.ClassApplication, ber.TypeConstructed, op, nil, "")
	for _, f := range fields {
		o.AppendChild(f)
	}
	m.AppendChild(request.Children[0])
	m.AppendChild(o)
	return m.Bytes()
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// bobsUID is the list of the one attribute uid: bob.
func bobsUID() *ber.Packet {
	list, attr := ber.NewSequence(""), ber.NewSequence("")
	values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	values.AppendChild(text("bob"))
	attr.AppendChild(text("uid"))
	attr.AppendChild(values)
	list.AppendChild(attr)
	return list
}

// garbage serves, on a Unix socket, what is no LDAP.
func garbage(t *testing.T) string {
	return listenSocket(t, filepath.Join(t.TempDir(), "ldapi"), func(c net.Conn) {
		c.Read(make([]byte, 1))
		io.WriteString(c, "220 mail.example.test ESMTP\r\n"+strings.Repeat("0\x80", 1000))
	})
}

func listenSocket(t *testing.T, path string, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() }) // the daemon, stopped before, has hung up
	return socketURL(path)
}

func socketURL(path string) string { return "ldapi://" + url.PathEscape(path) }

// TestHostileDirectory: whatever a directory does, a login has its answer, true
// and in time; where the first server is out of order, the next is asked.
func TestHostileDirectory(t *testing.T) {
	t.Parallel()
	w := testenv.Start(t)
	dir := w.LDAP(t)
	_, plain, _ := strings.Cut(dir.URL, "//")
	_, secure, _ := strings.Cut(dir.TLSURL, "//")
	const temp, auth = "-ERR [SYS/TEMP]", "-ERR [AUTH]"
	for _, c := range []struct {
		name   string
		url    func(*testing.T) string
		answer string // if there is no other server; temp: where there is one, it is asked
	}{
		{"absent", func(t *testing.T) string { return socketURL(filepath.Join(t.TempDir(), "none")) }, temp},
		{"hangs", func(t *testing.T) string { return "ldaps://" + testenv.Fault{CutDown: 1, Stall: true}.Proxy(t, secure) }, temp},
		{"hangs in the middle", func(t *testing.T) string {
			return "ldaps://" + testenv.Fault{CutUp: 700, Stall: true}.Proxy(t, secure)
		}, temp},
		{"resets", func(t *testing.T) string { return "ldaps://" + testenv.Fault{CutDown: 1, Reset: true}.Proxy(t, secure) }, temp},
		{"goes in the middle", func(t *testing.T) string { return "ldap://" + testenv.Fault{CutUp: 700}.Proxy(t, plain) }, temp},
		{"garbage", garbage, temp},
		{"knows nobody", func(t *testing.T) string { return agreeable(t, 0) }, auth},
		{"10,000 entries", func(t *testing.T) string { return agreeable(t, 10_000) }, auth},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.deliver(t, "shared-bob", 1)
			first := c.url(t)
			d := s.startLDAP(t, "", first)
			for _, password := range []string{w.Password("bob"), "wrong", ""} {
				want := c.answer
				if password == "" {
					want = auth // it goes nowhere
				}
				if reply := pass(t, d, "bob", password); !strings.HasPrefix(reply, want) {
					t.Errorf("alone, with the password %q: %s", password, reply)
				}
			}
			d.stop(t)
			d.calm(t)
			d = s.startLDAP(t, "", first, dir.TLSURL)
			if reply := pass(t, d, "bob", "wrong"); !strings.HasPrefix(reply, auth) {
				t.Errorf("before another, with a wrong password: %s", reply)
			}
			want := c.answer
			if want == temp {
				want = "+OK 1 "
			}
			if reply := pass(t, d, "bob", w.Password("bob")); !strings.HasPrefix(reply, want) {
				t.Errorf("before another: %s", reply)
			}
			d.stop(t)
			d.calm(t)
		})
	}
}

// pass returns the reply to PASS.
func pass(t *testing.T, d *daemon, user, password string) string {
	t.Helper()
	c := dial(t, d.addrs["clear"])
	defer c.Close()
	c.line()
	c.ok("USER %s", user)
	reply := c.say("PASS %s", password)
	c.ok("QUIT")
	io.Copy(io.Discard, c) // behind the end, the maildrop is free
	return reply
}

// TestAgreeableDirectory: one that takes every password takes none that is
// empty or cannot be one.
func TestAgreeableDirectory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.startLDAP(t, "", agreeable(t, 1))
	if reply := pass(t, d, "bob", "any"); !strings.HasPrefix(reply, "+OK ") {
		t.Errorf("it takes no password: %s", reply)
	}
	for _, password := range []string{"", "\x00", "any\x00", strings.Repeat("x", 1025)} {
		c := dial(t, d.addrs["clear"])
		c.line()
		if reply := c.say("AUTH PLAIN %s", base64Of("\x00bob\x00"+password)); !strings.HasPrefix(reply, "-ERR") || strings.Contains(reply, "SYS/TEMP") {
			t.Errorf("PLAIN with %.10q: %s", password, reply)
		}
		c.Close()
	}
	if reply := pass(t, d, "bob", ""); !strings.HasPrefix(reply, "-ERR [AUTH]") {
		t.Errorf("PASS with nothing: %s", reply)
	}
	d.stop(t)
}

// TestDirectoryForgotten: a right password is remembered, and so is a wrong one,
// but not over a reload of the configuration.
func TestDirectoryForgotten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var code, binds atomic.Int64
	d := s.startLDAP(t, "filter = \"(uid=${user})\"\n  cache = \"1h\"\n  cache_negative = \"1h\"", answering(t, 1, func() int64 {
		binds.Add(1)
		return code.Load()
	}))
	try := func(password, want string, asked int64) {
		t.Helper()
		before := binds.Load()
		if reply := pass(t, d, "bob", password); !strings.HasPrefix(reply, want) {
			t.Errorf("%s: %s, want %s", password, reply, want)
		}
		if n := binds.Load() - before; n != asked {
			t.Errorf("%s: %d binds, want %d", password, n, asked)
		}
	}
	reload := func() {
		t.Helper()
		mark := d.log.mark()
		d.signal(t, syscall.SIGHUP)
		d.log.awaitFrom(t, mark, "configuration reloaded", nil)
	}
	try("first", "+OK ", 1)
	code.Store(goldap.LDAPResultInvalidCredentials) // it has been changed
	try("first", "+OK ", 0)
	try("second", "-ERR [AUTH]", 1)
	try("second", "-ERR [AUTH]", 0)
	reload()
	try("first", "-ERR [AUTH]", 1)
	code.Store(goldap.LDAPResultSuccess)
	try("second", "+OK ", 1)
	d.stop(t)
}

// TestDirectoryReturns: logins go back to the preferred server when it returns.
func TestDirectoryReturns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.world
	_, plain, _ := strings.Cut(w.LDAP(t).URL, "//")
	preferred := filepath.Join(t.TempDir(), "preferred")
	d := s.startLDAP(t, "", socketURL(preferred), w.LDAP(t).TLSURL)
	if reply := pass(t, d, "bob", w.Password("bob")); !strings.HasPrefix(reply, "+OK ") {
		t.Errorf("by the second server: %s", reply)
	}
	d.log.await(t, "directory server is down", nil)
	var taken atomic.Int64
	listenSocket(t, preferred, func(c net.Conn) {
		server, err := net.Dial("tcp", plain)
		if err != nil {
			return
		}
		taken.Add(1)
		var wg sync.WaitGroup
		wg.Go(func() { io.Copy(server, c); server.Close() })
		io.Copy(c, server)
		c.Close()
		wg.Wait()
	})
	d.log.await(t, "directory server is back", nil)
	before := taken.Load()                                                                    // of the probe; the connections of binds are others
	if reply := pass(t, d, "alice", w.Password("alice")); !strings.HasPrefix(reply, "+OK ") { // bob's is remembered
		t.Errorf("by the first server: %s", reply)
	}
	if taken.Load() == before {
		t.Error("the first server, which is back, is not asked")
	}
	d.stop(t)
}
