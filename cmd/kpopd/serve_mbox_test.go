package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kpopd/auth/userfile"
)

// A session over POP3 with an mbox: what is listed, retrieved and deleted, and
// what becomes of the file.
func TestServeMbox(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hash, err := userfile.Hash("SHA512-CRYPT", "secret")
	if err != nil {
		t.Fatal(err)
	}
	write("users", "alice:"+hash+"\n")
	box := write("mail/alice", "From a@example.test Tue Nov 24 12:10:45 2026\nSubject: one\nX-UIDL: first\nStatus: RO\n\n>From here\n.dot\n\n"+
		"From b@example.test Tue Nov 24 12:11:45 2026\nSubject: two\n\nbody\n\n")
	config := write("kpopd.hcl", fmt.Sprintf(`hostname = "localhost"
state_dir = "%s/state"
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
}
log {
  format = "json"
}
`, dir))
	d := startDaemon(t, config)
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
	if text, err := os.ReadFile(box); err != nil || string(text) != want {
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
