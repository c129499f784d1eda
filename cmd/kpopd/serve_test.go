package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A client is a POP3 client with a deadline on everything.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c)
}

func newClient(t testing.TB, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(60 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

// line reads one line.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading a line: %v (got %q)", err, s)
	}
	return strings.TrimRight(s, "\r\n")
}

// ok sends a command and expects +OK.
func (c *client) ok(format string, a ...any) string {
	c.t.Helper()
	cmd := fmt.Sprintf(format, a...)
	s := c.say("%s", cmd)
	if !strings.HasPrefix(s, "+OK") {
		c.t.Fatalf("%s: %s", cmd, s)
	}
	return s
}

func (c *client) say(format string, a ...any) string {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format+"\r\n", a...); err != nil {
		c.t.Fatal(err)
	}
	return c.line()
}

// login greets and logs in with USER and PASS.
func (c *client) login(user, password string) {
	c.t.Helper()
	c.line()
	c.ok("USER %s", user)
	c.ok("PASS %s", password)
}

func TestReloadKeepsSessions(t *testing.T) {
	s := newSite(t)
	s.deliver(t, "bob", 2)
	d := s.start(t)
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	c.ok("DELE 1")

	// A wrong configuration changes nothing.
	s.write(t, "kpopd.hcl", "hostname = 5 {\n")
	d.signal(t, syscall.SIGHUP)
	d.log.await(t, "the new configuration is wrong, the old one stays", nil)
	other := dial(t, d.addrs["clear"])
	other.line()
	other.ok("CAPA")

	// A right one adds a listener, and its users; the session goes on.
	s.Extra = "listener \"more\" {\n address = \"127.0.0.1:0\"\n protocol = \"pop3\"\n login_without_tls = \"any\"\n}\n"
	s.config(t)
	s.write(t, "users", "carol:{PLAIN}secret\n")
	d.signal(t, syscall.SIGHUP)
	rec := d.log.await(t, "configuration reloaded", nil)
	more := dial(t, rec["listeners"].(map[string]any)["more"].(string))
	more.login("carol", "secret")
	more.ok("STAT")
	more.ok("QUIT")
	c.ok("QUIT")
	if n := len(s.messages(t, "bob")); n != 1 {
		t.Errorf("after DELE and QUIT across a reload: %d messages, want 1", n)
	}
	d.stop(t)
}

func TestDrain(t *testing.T) {
	s := newSite(t)
	s.deliver(t, "bob", 2)
	d := s.start(t)
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	c.ok("DELE 1")
	waiting := dial(t, d.addrs["clear"])
	waiting.line()
	d.signal(t, syscall.SIGTERM)
	d.log.await(t, "stopping", nil)
	if s, err := waiting.r.ReadString('\n'); err == nil {
		t.Errorf("a session without a login got %q at the end of the server", s)
	}
	c.ok("QUIT")
	<-d.ended
	if d.err != nil {
		t.Errorf("kpopd: %v\n%s", d.err, d.log)
	}
	if n := len(s.messages(t, "bob")); n != 1 {
		t.Errorf("after QUIT during the drain: %d messages, want 1", n)
	}
}

func TestDrainIsCutBySecondSignal(t *testing.T) {
	s := newSite(t)
	s.deliver(t, "bob", 1)
	d := s.start(t)
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	c.ok("DELE 1")
	d.signal(t, syscall.SIGTERM)
	d.log.await(t, "stopping", nil)
	d.signal(t, syscall.SIGTERM)
	<-d.ended
	if n := len(s.messages(t, "bob")); n != 1 {
		t.Errorf("a session that was cut removed its messages: %d left, want 1", n)
	}
}

func TestLogFileIsReopened(t *testing.T) {
	s := newSite(t)
	config := s.config(t)
	d := startDaemon(t, config)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	name := s.Dir + "/kpopd.log"
	s.write(t, "kpopd.hcl", strings.Replace(string(text), "log {", "log {\n  file = \""+name+"\"", 1))
	d.signal(t, syscall.SIGHUP)
	awaitFile(t, name, "configuration reloaded")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	d.signal(t, syscall.SIGHUP)
	awaitFile(t, name, "configuration reloaded")
	d.stop(t)
}

// awaitFile waits until the file holds text. A file has no event that says
// so on every file system, so it looks again and again, within a deadline.
func awaitFile(t *testing.T, name, text string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not say %q", name, text)
		}
	}
}

func TestPOP3S(t *testing.T) {
	s := newSite(t)
	s.deliver(t, "alice", 1)
	d := s.start(t)
	conn, err := tls.Dial("tcp", d.addrs["pop3s"], &tls.Config{RootCAs: s.world.CA.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	c := &client{t, conn, bufio.NewReader(conn)}
	c.login("alice", alicePassword)
	if got := c.ok("STAT"); !strings.HasPrefix(got, "+OK 1 ") {
		t.Errorf("STAT: %s", got)
	}
	c.ok("QUIT")
	d.stop(t)
}

// TestOnePlaceOneSession leads two names to one Maildir: they are one maildrop.
func TestOnePlaceOneSession(t *testing.T) {
	s := newSite(t)
	s.write(t, "users", "bob:{PLAIN}"+bobPassword+"\nBob:{PLAIN}"+bobPassword+"\n")
	s.deliver(t, "bob", 1)
	text, err := os.ReadFile(s.config(t))
	if err != nil {
		t.Fatal(err)
	}
	path := "/mail/${maildrop}/Maildir"
	d := startDaemon(t, s.write(t, "kpopd.hcl", strings.Replace(string(text), path, "/mail/${lower(maildrop)}/Maildir", 1)))
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	other := dial(t, d.addrs["clear"])
	other.line()
	other.ok("USER Bob")
	if got := other.say("PASS %s", bobPassword); !strings.HasPrefix(got, "-ERR [IN-USE]") {
		t.Errorf("the same Maildir under another name: %s", got)
	}
	c.ok("QUIT")
	other.ok("USER Bob")
	other.ok("PASS %s", bobPassword)
	other.ok("QUIT")
}

// TestFolder logs in to a folder of a Maildir, beside a session with its inbox.
// It is a maildrop with a lock of its own, and nobody gets there by his name.
func TestFolder(t *testing.T) {
	s := newSite(t)
	s.write(t, "users", "bob:{PLAIN}"+bobPassword+"\nlists:{PLAIN}"+bobPassword+"\nbob+Junk:{PLAIN}"+bobPassword+"\n")
	s.deliver(t, "bob", 1)
	for _, folder := range []string{".Lists.Go/cur", ".Junk/cur"} {
		dir := filepath.Join(s.Dir, "mail/bob/Maildir", folder)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "1.a:2,S"), []byte("one\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(s.config(t))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "${maildrop}/Maildir\"\n", "${maildrop}/Maildir\"\n  folder_separator = \"+\"\n", 1)
	d := startDaemon(t, s.write(t, "kpopd.hcl", config+"\naccount {\n  when = user == \"lists\"\n  maildrop = \"bob+Lists.Go\"\n}\n"))
	inbox := dial(t, d.addrs["clear"])
	inbox.login("bob", bobPassword)
	folder := dial(t, d.addrs["clear"])
	folder.login("lists", bobPassword)
	if got := folder.ok("UIDL 1"); got != "+OK 1 1.a" {
		t.Errorf("UIDL of the folder: %s", got)
	}
	other := dial(t, d.addrs["clear"])
	other.line()
	other.ok("USER lists")
	if got := other.say("PASS %s", bobPassword); !strings.HasPrefix(got, "-ERR [IN-USE]") {
		t.Errorf("the folder again: %s", got)
	}
	other.ok("USER bob+Junk")
	if got := other.say("PASS %s", bobPassword); !strings.HasPrefix(got, "-ERR [AUTH]") {
		t.Errorf("a user who is called like a folder: %s", got)
	}
	d.log.await(t, "refused", func(rec map[string]any) bool { return rec["reason"] == "unacceptable-maildrop" })
	folder.ok("DELE 1")
	folder.ok("QUIT")
	if got := inbox.ok("STAT"); !strings.HasPrefix(got, "+OK 1 ") {
		t.Errorf("STAT of the inbox: %s", got)
	}
	inbox.ok("QUIT")
	if left, err := filepath.Glob(filepath.Join(s.Dir, "mail/bob/Maildir/.*/cur/*")); err != nil || len(left) != 1 {
		t.Errorf("left in folders: %q, %v", left, err)
	}
}

// TestUIDLStorm renames all files of a maildrop, as no client could bear: it is
// refused and the log says why, until they are back or it is accepted.
func TestUIDLStorm(t *testing.T) {
	s := newSite(t)
	s.write(t, "users", "bob:{PLAIN}"+bobPassword+"\n")
	s.deliver(t, "bob", 12)
	conf := s.config(t)
	d := startDaemon(t, conf)
	session := func() string {
		c := dial(t, d.addrs["clear"])
		defer c.Close()
		c.line()
		c.ok("USER bob")
		got := c.say("PASS %s", bobPassword)
		if strings.HasPrefix(got, "+OK") {
			c.ok("QUIT")
		}
		return got
	}
	session()
	rename := func(from, to string) {
		files, err := filepath.Glob(filepath.Join(s.Dir, "mail/bob/Maildir/*/*"))
		if err != nil || len(files) != 12 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if err := os.Rename(file, strings.Replace(file, from, to, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	rename(",S=", ",X,S=")
	for range 2 {
		if got := session(); !strings.HasPrefix(got, "-ERR [SYS/TEMP]") {
			t.Errorf("with other names: %s", got)
		}
	}
	rec := d.log.await(t, "refused", func(rec map[string]any) bool { return rec["reason"] == "unique-ids-would-change" })
	if err, _ := rec["err"].(string); !strings.Contains(err, "12 of the 12") {
		t.Errorf("the log says %v", rec)
	}
	rename(",X,S=", ",S=")
	if got := session(); !strings.HasPrefix(got, "+OK") {
		t.Errorf("with the old names again: %s", got)
	}
	rename(",S=", ",X,S=")
	if got := session(); !strings.HasPrefix(got, "-ERR [SYS/TEMP]") {
		t.Errorf("with other names again: %s", got)
	}
	for _, want := range []string{"bob: its next session is served", "bob: nothing is remembered"} {
		var out, stderr strings.Builder
		if code := run([]string{"kpopd", "uidl", "accept", "-config", conf, "bob"}, &out, &stderr); code != exitOK || !strings.HasPrefix(out.String(), want) {
			t.Fatalf("uidl accept: %d, %s%s, want %s", code, &out, &stderr, want)
		}
	}
	if got := session(); !strings.HasPrefix(got, "+OK") {
		t.Errorf("accepted: %s", got)
	}
}

// TestStateStays moves the state directory at a reload, which is refused.
func TestStateStays(t *testing.T) {
	s := newSite(t)
	text, err := os.ReadFile(s.config(t))
	if err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, s.Dir+"/kpopd.hcl")
	s.write(t, "kpopd.hcl", strings.Replace(string(text), s.Dir+"/state", s.Dir+"/elsewhere", 1))
	d.signal(t, syscall.SIGHUP)
	d.log.await(t, "the new configuration is wrong, the old one stays", nil)
	if _, err := os.Stat(s.Dir + "/elsewhere"); err == nil {
		t.Error("the new state directory was made")
	}
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	c.ok("QUIT")
}
