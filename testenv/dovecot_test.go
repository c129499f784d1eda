package testenv_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/testenv"
)

// A popClient is a session with a POP3 server.
type popClient struct {
	testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// dialPOP3 connects, and logs in where there is a user.
func dialPOP3(t testing.TB, addr string, config *tls.Config, user, password string) *popClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		conn = tls.Client(conn, config)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	c := &popClient{t, conn, bufio.NewReader(conn)}
	c.line()
	c.cmd("USER " + user)
	c.cmd("PASS " + password)
	return c
}

func (c *popClient) line() string {
	c.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.Fatal(err)
	}
	return strings.TrimRight(line, "\r\n")
}

// cmd sends a command and returns the reply, which is +OK.
func (c *popClient) cmd(text string) string {
	c.Helper()
	fmt.Fprintf(c.conn, "%s\r\n", text)
	line := c.line()
	if !strings.HasPrefix(line, "+OK") {
		c.Fatalf("%s: %s", strings.Fields(text)[0], line)
	}
	return line
}

// list sends a command and returns the lines of its reply.
func (c *popClient) list(text string) (all []string) {
	c.Helper()
	c.cmd(text)
	for {
		line := c.line()
		if line == "." {
			return all
		}
		all = append(all, line)
	}
}

// putMail writes n messages into a new Maildir.
func putMail(t testing.TB, maildir string, n int) {
	t.Helper()
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(maildir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		name := fmt.Sprintf("new/17000000%02d.M%dP1.old.example", i, i)
		text := fmt.Sprintf("From: a@example.test\nMessage-ID: <%d@example.test>\nSubject: %d\n\nbody\n.dot\n", i, i)
		if err := os.WriteFile(filepath.Join(maildir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDovecot: it serves Maildirs, in the clear, with STLS and over TLS, and
// prints its own unique-ids.
func TestDovecot(t *testing.T) {
	t.Parallel()
	mail := t.TempDir()
	putMail(t, filepath.Join(mail, "alice", "Maildir"), 3)
	d := testenv.StartDovecot(t, testenv.DovecotConfig{Mail: mail, Users: map[string]string{"alice": "sesam"}, Extra: "pop3_uidl_format = %g\n"})
	want := "1 1700000000.M0P1.old.example 2 1700000001.M1P1.old.example 3 1700000002.M2P1.old.example"
	for addr, config := range map[string]*tls.Config{d.POP3: nil, d.POP3S: {RootCAs: d.CA.Pool(), ServerName: "localhost"}} {
		c := dialPOP3(t, addr, config, "alice", "sesam")
		if got := strings.Join(c.list("UIDL"), " "); got != want {
			t.Errorf("UIDL: %s", got)
		}
		c.cmd("QUIT")
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", d.Pid()))
	if n := len(strings.Fields(string(children))); err != nil || n < 3 {
		t.Errorf("%d processes, %v", n, err)
	}
}
