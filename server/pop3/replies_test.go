package pop3_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/maildrop/memory"
	"kpopd/server"
	"kpopd/server/pop3"
)

// newPlainWorld is a world for sessions by the thousand: all is in the clear,
// and nothing but POP3's own lines comes from the server.
func newPlainWorld(t testing.TB) *world {
	w := newWorld(t)
	w.handler.Clear = pop3.ClearAny
	w.handler.Timestamp = func() string { return timestamp }
	w.handler.Mechanisms = auth.Mechanisms{toy{bare: true}, auth.Plain{Auth: w.handler.Auth}}
	return w
}

// renew forgets all that happened, and gives alice new mail.
func (w *world) renew(t testing.TB, messages ...string) {
	w.store = &brittle{Store: &memory.Store{}, Locker: &memory.Locker{}, fail: map[string]bool{}}
	w.mu.Lock()
	w.log.Reset()
	w.events = nil
	w.mu.Unlock()
	for _, m := range messages {
		w.deliver(t, "alice", m)
	}
}

// converse has a session in which the client sends input and closes its side,
// and returns all that the server sends.
func (w *world) converse(t testing.TB, input []byte) []byte {
	t.Helper()
	near, far := newDuplex()
	late := time.AfterFunc(20*time.Second, func() { near.Close() })
	defer late.Stop()
	var both sync.WaitGroup
	both.Go(func() { w.srv.ServeConn(context.Background(), timeless{far}, w.endpoint) })
	both.Go(func() {
		near.Write(input) // the server may hang up before the end
		near.CloseWrite()
	})
	output, err := io.ReadAll(near)
	if err != nil {
		t.Fatalf("no end of the session after %q: %v", input, err)
	}
	near.Close()
	both.Wait()
	return output
}

// A timeless connection has no deadlines: those of a pipe outlive it and keep
// its memory.
type timeless struct{ *duplex }

func (timeless) SetDeadline(time.Time) error      { return nil }
func (timeless) SetReadDeadline(time.Time) error  { return nil }
func (timeless) SetWriteDeadline(time.Time) error { return nil }

// check converses, and checks that the server keeps to the protocol whatever
// the client sends.
func (w *world) check(t testing.TB, input []byte) {
	t.Helper()
	output := w.converse(t, input)
	w.mu.Lock()
	defer w.mu.Unlock()
	cut := bytes.Contains(w.log.Bytes(), []byte(server.ErrPipelined.Error())) ||
		bytes.Contains(w.log.Bytes(), []byte(server.ErrEndlessLine.Error()))
	if err := followReplies(input, output, cut); err != nil {
		t.Errorf("%v\nsent %q\ngot  %q", err, input, output)
	}
	if bytes.Contains(w.log.Bytes(), []byte("panicked")) {
		t.Errorf("sent %q\n%s", input, w.log.Bytes())
	}
}

// followReplies checks that output is the greeting and one reply to each line
// of input, in order, as long as the server has reason to go on. cut: it has
// cut the connection, with what was not sent yet.
func followReplies(input, output []byte, cut bool) error {
	r := &replies{left: output, cut: cut}
	if line, ok := r.line(); !ok || !strings.HasPrefix(line, "+OK ") {
		return fmt.Errorf("greeting is %q", line)
	}
	exchange := false
	for raw := range bytes.Lines(input) {
		if raw[len(raw)-1] != '\n' {
			break // no line, and never answered
		}
		command := string(raw)
		first, ok := r.line()
		if !ok {
			return r.mayEnd(command)
		}
		r.last = first
		switch {
		case strings.HasPrefix(first, "-ERR "):
			exchange = false
		case strings.HasPrefix(first, "+ ") && (exchange || isCommand(command, "AUTH")):
			exchange = true
		case !strings.HasPrefix(first, "+OK "):
			return fmt.Errorf("%q is answered with %q", command, first)
		case exchange:
			exchange = false
		case isCommand(command, "STLS"):
			return nil // what follows is TLS's
		case isMultiLine(command):
			if err := r.body(); err != nil {
				return fmt.Errorf("%q: %w", command, err)
			}
		}
	}
	if len(r.left) > 0 {
		return fmt.Errorf("%q answers nothing", r.left)
	}
	return nil
}

// replies are what is left of a session's output.
type replies struct {
	left []byte
	last string // the first line of the last reply
	cut  bool
}

func (r *replies) line() (string, bool) {
	line, rest, ok := bytes.Cut(r.left, []byte("\r\n"))
	if !ok {
		return string(r.left), false
	}
	r.left = rest
	return string(line), true
}

// body reads a multi-line reply to its end.
func (r *replies) body() error {
	for {
		line, ok := r.line()
		switch {
		case !ok:
			return fmt.Errorf("reply ends in %q, without a final dot", line)
		case line == ".":
			return nil
		case line != "" && line[0] == '.' && line[1] != '.':
			return fmt.Errorf("line %q is not dot-stuffed", line)
		}
	}
}

// mayEnd returns nil if the server had reason to close instead of answering
// command.
func (r *replies) mayEnd(command string) error {
	switch {
	case len(r.left) > 0:
		return fmt.Errorf("half a line at the end: %q", r.left)
	case isBye(r.last), strings.HasPrefix(r.last, "-ERR "):
		return nil
	case r.cut:
		return nil
	}
	return fmt.Errorf("%q is not answered; the last reply was %q", command, r.last)
}

// isBye reports whether a reply is QUIT's, in any language.
func isBye(reply string) bool {
	for _, catalogue := range pop3.Catalogues() {
		if reply == "+OK "+catalogue["Bye"] {
			return true
		}
	}
	return reply == "+OK Bye"
}

func isCommand(line, keyword string) bool {
	got, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	return strings.EqualFold(got, keyword)
}

func isMultiLine(line string) bool {
	_, behind, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	args := strings.TrimSpace(behind) != ""
	switch {
	case isCommand(line, "CAPA"), isCommand(line, "RETR"), isCommand(line, "TOP"):
		return true
	case isCommand(line, "LIST"), isCommand(line, "UIDL"), isCommand(line, "AUTH"), isCommand(line, "LANG"):
		return !args
	}
	return false
}
