package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kpopd/auth/userfile"
)

// An mboxSite is a directory with what a server of alice's mbox needs.
type mboxSite struct {
	*testing.T
	dir string
}

func newMboxSite(t *testing.T, mail string) *mboxSite {
	t.Helper()
	s := &mboxSite{t, t.TempDir()}
	hash, err := userfile.Hash("SHA512-CRYPT", "secret")
	if err != nil {
		t.Fatal(err)
	}
	s.write("users", "alice:"+hash+"\n")
	s.write("mail/alice", mail)
	return s
}

func (s *mboxSite) write(name, text string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// config writes a configuration with unique-ids from there, and returns its path.
func (s *mboxSite) config(uidl string) string {
	s.Helper()
	return s.write("kpopd.hcl", fmt.Sprintf(`hostname = "localhost"
state_dir = "%[1]s/state"
listener "pop3" {
  address           = "127.0.0.1:0"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}
authenticator "file" "users" {
  path = "%[1]s/users"
}
account {
  maildrop = user
}
maildrop "mbox" {
  path = "%[1]s/mail/${maildrop}"
  uidl = "%[2]s"
}
log {
  format = "json"
}
`, s.dir, uidl))
}

// A session over POP3 with an mbox: what is listed, retrieved and deleted, and
// what becomes of the file.
func TestServeMbox(t *testing.T) {
	s := newMboxSite(t, "From a@example.test Tue Nov 24 12:10:45 2026\nSubject: one\nX-UIDL: first\nStatus: RO\n\n>From here\n.dot\n\n"+
		"From b@example.test Tue Nov 24 12:11:45 2026\nSubject: two\n\nbody\n\n")
	d := startDaemon(t, s.config("x-uidl"))
	c := dial(t, d.addrs["pop3"])
	c.line()
	c.ok("USER alice")
	c.ok("PASS secret")
	if got := c.ok("STAT"); got != "+OK 2 55" {
		t.Errorf("STAT: %s", got)
	}
	if got := c.ok("UIDL 1"); got != "+OK 1 first" {
		t.Errorf("UIDL: %s", got)
	}
	c.ok("RETR 1")
	if got := multiline(t, c.r); got != "Subject: one\r\n\r\nFrom here\r\n..dot\r\n" {
		t.Errorf("RETR: %q", got)
	}
	c.ok("DELE 1")
	c.ok("QUIT")
	want := "From b@example.test Tue Nov 24 12:11:45 2026\nSubject: two\n\nbody\n\n"
	if text, err := os.ReadFile(filepath.Join(s.dir, "mail/alice")); err != nil || string(text) != want {
		t.Errorf("the file holds %q, %v", text, err)
	}
	d.stop(t)
}

// multiline reads a response to its end, which it leaves out.
func multiline(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var text strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ".\r\n" {
			return text.String()
		}
		text.WriteString(line)
	}
}

// TestUIDLStormOfMbox takes unique-ids from elsewhere, as an administrator may
// configure it: nobody is let in until it is as it was, or accepted.
func TestUIDLStormOfMbox(t *testing.T) {
	var mail strings.Builder
	for i := range 12 {
		fmt.Fprintf(&mail, "From a@example.test Tue Nov 24 12:10:45 2026\nX-UIDL: id-%d\nSubject: %[1]d\n\nbody\n\n", i)
	}
	s := newMboxSite(t, mail.String())
	conf := s.config("x-uidl")
	d := startDaemon(t, conf)
	login := func() string {
		c := dial(t, d.addrs["pop3"])
		defer c.Close()
		c.line()
		c.ok("USER alice")
		got := c.say("PASS secret")
		if strings.HasPrefix(got, "+OK") {
			c.ok("QUIT")
		}
		return got
	}
	use := func(uidl string) {
		s.config(uidl)
		mark := d.log.mark()
		d.signal(t, syscall.SIGHUP)
		d.log.awaitFrom(t, mark, "configuration reloaded", nil)
	}
	if got := login(); !strings.HasPrefix(got, "+OK") {
		t.Fatal(got)
	}
	use("digest")
	if got := login(); !strings.HasPrefix(got, "-ERR [SYS/TEMP]") {
		t.Errorf("with digests: %s", got)
	}
	rec := d.log.await(t, "refused", func(rec map[string]any) bool { return rec["reason"] == "unique-ids-would-change" })
	if err, _ := rec["err"].(string); !strings.Contains(err, "12 of the 12") {
		t.Errorf("the log says %v", rec)
	}
	use("x-uidl")
	if got := login(); !strings.HasPrefix(got, "+OK") {
		t.Errorf("as before: %s", got)
	}
	use("digest")
	for _, want := range []string{"alice: its next session is served", "alice: nothing is remembered"} {
		var out, stderr strings.Builder
		if code := run([]string{"kpopd", "uidl", "accept", "-config", conf, "alice"}, &out, &stderr); code != exitOK || !strings.HasPrefix(out.String(), want) {
			t.Fatalf("uidl accept: %d, %s%s, want %s", code, &out, &stderr, want)
		}
	}
	if got := login(); !strings.HasPrefix(got, "+OK") {
		t.Errorf("accepted: %s", got)
	}
	d.stop(t)
}
