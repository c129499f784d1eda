package server_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"kpopd/server"
)

// A recorder keeps events with the names of their connections.
type recorder struct {
	mu     sync.Mutex
	events []string
}

func (r *recorder) Record(_ context.Context, c *server.Conn, e server.Event) error {
	text := c.ID + " " + c.Listener() + " " + c.Addr.String() + " " + c.Local.String() + " " + string(e.Kind)
	for _, a := range e.LogAttrs() {
		text += " " + a.String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, text)
	return nil
}

// record is a session that records two events and ends.
func record(ctx context.Context, c *server.Conn) error {
	c.Record(ctx, server.Event{Kind: server.EventLogin, User: "alice", Maildrop: "a/alice",
		Mechanism: "GSSAPI", Source: "kerberos", Attrs: []slog.Attr{slog.Int("messages", 3)}})
	c.Record(ctx, server.Event{Kind: server.EventRefused, User: "bob", Reason: "wrong-password",
		Err: errors.New("no")})
	c.Log().Info("a word from the session")
	c.Printf("done\r\n")
	return nil
}

func TestRecorder(t *testing.T) {
	f := newFixture(record)
	var r recorder
	f.Recorder = &r
	c, _ := f.connect("::ffff:192.0.2.7")
	expect(t, bufio.NewReader(c), "done")
	f.sessions.Wait()
	want := []string{
		"1 test 192.0.2.7:40000 192.0.2.2:110 login user=alice maildrop=a/alice mechanism=GSSAPI source=kerberos messages=3",
		"1 test 192.0.2.7:40000 192.0.2.2:110 refused user=bob reason=wrong-password err=no",
	}
	if strings.Join(r.events, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", r.events, want)
	}
}

// Events are log lines of the connection that they are about, whether or not
// there is a Recorder.
func TestEventsAreLogged(t *testing.T) {
	for _, r := range []server.Recorder{nil, &recorder{}} {
		testEventsAreLogged(t, r)
	}
}

func testEventsAreLogged(t *testing.T, r server.Recorder) {
	f := newFixture(record)
	f.Recorder = r
	c, _ := f.connect("192.0.2.7")
	expect(t, bufio.NewReader(c), "done")
	f.sessions.Wait()
	for _, want := range []string{
		"level=INFO msg=login conn=1 addr=192.0.2.7:40000 listener=test user=alice maildrop=a/alice mechanism=GSSAPI source=kerberos messages=3\n",
		"level=WARN msg=refused conn=1 addr=192.0.2.7:40000 listener=test user=bob reason=wrong-password err=no\n",
		`level=INFO msg="a word from the session" conn=1 addr=192.0.2.7:40000 listener=test` + "\n",
	} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("no %q in\n%s", want, f.log.String())
		}
	}
}
