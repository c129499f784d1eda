package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// start serves messages to alice, and returns a connection to the server.
func start(t *testing.T, messages ...string) net.Conn {
	mail := t.TempDir()
	cur := filepath.Join(mail, "alice", "Maildir", "cur")
	if err := os.MkdirAll(cur, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, text := range messages {
		if err := os.WriteFile(filepath.Join(cur, fmt.Sprintf("%d.mail:2,S", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	drops, err := load(mail)
	if err != nil {
		t.Fatal(err)
	}
	client, conn := net.Pipe()
	s := &session{server: &server{drops: drops, password: "sesam"}, conn: conn}
	ended := make(chan struct{})
	go func() { defer close(ended); s.serve() }()
	t.Cleanup(func() { client.Close(); <-ended })
	return client
}

func TestSession(t *testing.T) {
	c := textproto.NewConn(start(t, "one\n.\n..dots\n", "two"))
	for _, step := range [][2]string{
		{"", "+OK ready"},
		{"STAT", "-ERR"},
		{"USER alice", "+OK"},
		{"PASS wrong", "-ERR [AUTH]"},
		{"PASS sesam", "+OK"},
		{"STAT", "+OK 2 21"},
		{"LIST", "+OK\n1 16\n2 5"},
		{"UIDL", "+OK\n1 0.mail\n2 1.mail"},
		{"LIST 1", "+OK 1 16"},
		{"RETR 1", "+OK\none\n.\n..dots"},
		{"RETR 3", "-ERR"},
		{"DELE 1", "+OK"},
		{"QUIT", "+OK"},
	} {
		if step[0] != "" {
			c.PrintfLine("%s", step[0])
		}
		got, err := c.ReadLine()
		if strings.Contains(step[1], "\n") {
			rest, _ := c.ReadDotLines()
			got = strings.Join(append([]string{got}, rest...), "\n")
		}
		if err != nil || got != step[1] {
			t.Errorf("%s: %q, %v, not %q", step[0], got, err, step[1])
		}
	}
	if b, err := c.R.ReadByte(); err != io.EOF {
		t.Errorf("behind QUIT: %q, %v", b, err)
	}
}

// TestPipelined has large and small answers between one another, all commands in
// one packet but for the end of the last.
func TestPipelined(t *testing.T) {
	large := strings.Repeat("Sphinx of black quartz\n", 100_000)
	c := start(t, "small\n", large)
	want := "+OK ready\r\n+OK\r\n+OK\r\n" + strings.Repeat(string(wire([]byte("small\n")))+string(wire([]byte(large))), 3) + "+OK\r\n"
	go func() {
		io.WriteString(c, "USER alice\r\nPASS sesam\r\n"+strings.Repeat("RETR 1\r\nRETR 2\r\n", 3)+"QU")
		io.WriteString(c, "IT\r\n")
	}()
	if got, err := io.ReadAll(c); err != nil || string(got) != want {
		t.Errorf("%d octets, not %d, %v", len(got), len(want), err)
	}
}

func TestLongLine(t *testing.T) {
	c := start(t)
	go c.Write(bytes.Repeat([]byte("x"), 1000))
	if got, _ := io.ReadAll(c); string(got) != "+OK ready\r\n" {
		t.Errorf("%q", got)
	}
}

func TestPlain(t *testing.T) {
	c := textproto.NewConn(start(t, "one\n"))
	c.ReadLine()
	for _, step := range [][2]string{
		{"AUTH PLAIN AGFsaWNlAHdyb25n", "-ERR [AUTH]"},
		{"AUTH PLAIN !", "-ERR"},
		{"AUTH PLAIN AGFsaWNlAHNlc2Ft", "+OK"},
	} {
		c.PrintfLine("%s", step[0])
		if got, err := c.ReadLine(); err != nil || got != step[1] {
			t.Errorf("%s: %q, %v", step[0], got, err)
		}
	}
}
