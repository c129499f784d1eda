package migrate_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"kpopd/maildrop/migrate"
)

// hostile is a server that answers each command as answers has it by the first
// word, "" being the greeting, and -ERR to all others. It returns its address
// and, once the client has gone, what that said.
func hostile(t *testing.T, answers map[string]string) (addr string, heard func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	said := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		l.Close()
		if err != nil {
			said <- err.Error()
			return
		}
		defer conn.Close()
		io.WriteString(conn, answers[""])
		all := ""
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			all += lines.Text() + "\n"
			word, _, _ := strings.Cut(lines.Text(), " ")
			answer, ok := answers[word]
			if !ok {
				answer = "-ERR what?\r\n"
			}
			io.WriteString(conn, answer)
		}
		said <- all
	}()
	return l.Addr().String(), func() string { l.Close(); return <-said }
}

const secret = "tanstaaf"

func dialHostile(t *testing.T, addr string, change func(*migrate.Login)) (*migrate.Client, error) {
	t.Helper()
	login := migrate.Login{URL: &url.URL{Scheme: "pop3", Host: addr}, User: "alice", Password: secret, Timeout: 30 * time.Second}
	if change != nil {
		change(&login)
	}
	c, err := migrate.Dial(t.Context(), login)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	} else if strings.Contains(err.Error(), secret) {
		t.Errorf("the password is in %q", err)
	}
	return c, err
}

// The password is sent under TLS, or where it may cross in the clear, or not at
// all, and no error repeats it.
func TestLogin(t *testing.T) {
	clear := func(l *migrate.Login) { l.Clear = true }
	authzid := func(l *migrate.Login) { l.Clear, l.Authzid = true, "bob" }
	hello := map[string]string{"": "+OK hello\r\n", "USER": "+OK\r\n", "PASS": "+OK\r\n", "AUTH": "+OK\r\n"}
	with := func(more ...string) map[string]string {
		m := map[string]string{"": "+OK hello\r\n", "USER": "+OK\r\n", "PASS": "+OK\r\n"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	for name, c := range map[string]struct {
		answers map[string]string
		change  func(*migrate.Login)
		err     string // "": none
		heard   string
	}{
		"no TLS":          {hello, nil, "no TLS: STLS: the server says", "CAPA\nSTLS\n"},
		"clear":           {hello, clear, "", "CAPA\nUSER alice\nPASS tanstaaf\nCAPA\n"},
		"authzid":         {hello, authzid, "", "CAPA\nAUTH PLAIN Ym9iAGFsaWNlAHRhbnN0YWFm\n"},
		"TLS or nothing":  {with("CAPA", "+OK\r\nSTLS\r\n.\r\n", "STLS", "-ERR no\r\n"), clear, "no TLS", "CAPA\nSTLS\n"},
		"text before TLS": {with("STLS", "+OK\r\n+OK me too\r\n"), nil, "the server sends text before TLS has begun", "CAPA\nSTLS\n"},
		"wrong password":  {with("PASS", "-ERR [AUTH] no\r\n"), func(l *migrate.Login) { clear(l); l.Password = "other" }, `PASS: the server says "-ERR [AUTH]`, "CAPA\nUSER alice\nPASS other\n"},
		"line end":        {hello, func(l *migrate.Login) { clear(l); l.User = "a\r\nDELE 1" }, "a user name or password with a line end", ""},
		"no greeting":     {map[string]string{"": "-ERR too many\r\n"}, clear, `the server says "-ERR too many"`, ""},
		"endless line":    {map[string]string{"": strings.Repeat("x", 100_000)}, clear, "buffer full", ""},
	} {
		t.Run(name, func(t *testing.T) {
			addr, heard := hostile(t, c.answers)
			client, err := dialHostile(t, addr, c.change)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if client != nil {
				client.Close()
			}
			if got := heard(); got != c.heard {
				t.Errorf("the server heard %q, want %q", got, c.heard)
			}
		})
	}
}

// A server that stops talking, or a caller that stops waiting, ends the session.
func TestDeadline(t *testing.T) {
	addr, _ := hostile(t, nil)
	_, err := dialHostile(t, addr, func(l *migrate.Login) { l.Timeout = 10 * time.Millisecond })
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		t.Errorf("%v, want a timeout", err)
	}
	addr, _ = hostile(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := migrate.Dial(ctx, migrate.Login{URL: &url.URL{Scheme: "pop3s", Host: addr}}); err == nil {
		t.Error("no error")
	}
	for _, text := range []string{"imap://x", "pop3:///x", "x"} {
		u, err := url.Parse(text)
		must(t, err)
		if _, err := migrate.Dial(t.Context(), migrate.Login{URL: u}); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// session is a client whose server says text, whatever it is asked.
func session(t testing.TB, text string, pipelining bool) *migrate.Client {
	t.Helper()
	here, there := net.Pipe()
	there.Close()
	c := migrate.Session(&script{here, strings.NewReader(text)}, 30*time.Second, pipelining)
	t.Cleanup(func() { c.Close() })
	return c
}

// A script is a connection to who says what was written before.
type script struct {
	net.Conn
	text *strings.Reader
}

func (s *script) Read(p []byte) (int, error)  { return s.text.Read(p) }
func (s *script) Write(p []byte) (int, error) { return len(p), nil }

// Lists that are not what they should be are errors.
func TestLists(t *testing.T) {
	for text, want := range map[string]string{
		"+OK\r\n1 a\r\n2 b\r\n.\r\n+OK\r\n1 10\r\n2 20 x\r\n.\r\n": "[{a 10   false} {b 20   false}]",
		"+OK\r\n.\r\n+OK\r\n.\r\n":                                 "[]",
		"+OK\r\n1 a\r\n3 b\r\n.\r\n":                               `UIDL: not understood: "3 b" where message 2 is due`,
		"+OK\r\n1\r\n.\r\n":                                        `UIDL: not understood: "1" where message 1 is due`,
		"+OK\r\n1 a\r\n.\r\n+OK\r\n.\r\n":                          "not understood: UIDL shows 1 messages, and LIST 0",
		"+OK\r\n1 a\r\n.\r\n+OK\r\n1 9\r\n2 9\r\n.\r\n":            `LIST: not understood: "2 9" where message 2 of 1 is due`,
		"+OK\r\n1 a\r\n.\r\n+OK\r\n1 x\r\n.\r\n":                   `LIST: not understood: "x" is no size`,
		"-ERR no\r\n":                                              `UIDL: the server says "-ERR no"`,
		"+OK\r\n1 a\r\n":                                           "unexpected EOF",
		"+OK\r\n1 " + strings.Repeat("a", 10_000) + "\r\n.\r\n":    "bufio.Scanner: token too long",
	} {
		all, err := session(t, text, false).Messages()
		got := fmt.Sprint(all)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.60q:\n got %s\nwant %s", text, got, want)
		}
	}
}

// Headers are those of the messages that have none yet, with commands sent
// ahead or not.
func TestHeaders(t *testing.T) {
	known := strings.Repeat("0", 32)
	for _, pipelining := range []bool{false, true} {
		text := ""
		all := []migrate.Old{{UID: "known", Header: known}}
		for i := range 200 {
			text += fmt.Sprintf("+OK\r\nSubject: %d\r\n..dot\r\n\r\nbody\r\n.\r\n", i)
			all = append(all, migrate.Old{UID: fmt.Sprint(i)})
		}
		n := 0
		must(t, session(t, text, pipelining).Headers(all, func(o *migrate.Old) error {
			n++
			if want, _ := migrate.DigestHeader(strings.NewReader("Subject: " + o.UID)); o.Header != want {
				t.Errorf("%s has %s", o.UID, o.Header)
			}
			return nil
		}))
		if n != 200 || all[0].Header != known {
			t.Errorf("%d headers, %v", n, all[0])
		}
	}
	err := session(t, "+OK\r\nSubject: x\r\n", true).Headers(make([]migrate.Old, 2), func(*migrate.Old) error { return nil })
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "TOP 1 0: ") {
		t.Errorf("cut: %v", err)
	}
}

func FuzzClient(f *testing.F) {
	f.Add("+OK\r\n1 a\r\n2 b\r\n.\r\n+OK\r\n1 10\r\n2 20 x\r\n.\r\n+OK\r\nSubject: x\r\n\r\n.\r\n+OK\r\nTo: y\r\n.\r\n")
	f.Add("+OK\r\n1 a\n.\n+OK\n1 10\n.\n-ERR\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := session(t, text, len(text)%2 == 0)
		all, err := c.Messages()
		if err != nil {
			return
		}
		for _, o := range all {
			if o.UID == "" || o.Size < 0 {
				t.Fatalf("%v", o)
			}
		}
		_ = c.Headers(all, func(*migrate.Old) error { return nil })
	})
}
