package lmtp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth"
	"kpopd/maildrop"
	"kpopd/server"
	"kpopd/server/lmtp"
)

// A shelf is a store that keeps what is delivered, and whose maildrop "full" is
// full and "broken" broken.
type shelf struct {
	mu    sync.Mutex
	texts map[string][]string
}

func (s *shelf) Open(context.Context, maildrop.Lease) (maildrop.Box, error) {
	return nil, errors.New("nobody reads here")
}

func (s *shelf) Deliver(_ context.Context, name string, msg io.Reader) error {
	text, err := io.ReadAll(msg)
	switch {
	case err != nil:
		return err
	case name == "full":
		return maildrop.ErrQuota
	case name == "broken":
		return errors.New("it is broken")
	case name == "panics":
		panic("it panics")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[name] = append(s.texts[name], string(text))
	return nil
}

// A world is a server for one client.
type world struct {
	t       *testing.T
	shelf   *shelf
	handler *lmtp.Handler
	server  *server.Server
	end     *server.Endpoint
	log     bytes.Buffer // of the server, once it has ended

	mu     sync.Mutex
	said   bytes.Buffer // by the server
	closed bool
	client net.Conn
	over   chan struct{}
}

// people are who has mail here, and what a lookup of others says.
var people = map[string]error{
	"alice": nil, "bob": nil, "team": nil, "full": nil, "broken": nil, "panics": nil, "Postmaster": nil, "grün": nil, `a "b"`: nil,
	"gone": &lmtp.Error{Code: 550, Status: "5.2.1", Text: "This account is disabled"},
	"down": auth.Refuse(auth.ErrUnavailable, "directory-unavailable"),
	"kept": auth.Refuse(auth.ErrDenied, "no-maildrop"),
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, shelf: &shelf{texts: map[string][]string{}}}
	dir := t.TempDir()
	w.handler = &lmtp.Handler{
		Hostname: "mail.example.test", MaxSize: 2000, MaxRecipients: 4, OverQuota: lmtp.Full(false),
		Resolve: func(_ context.Context, a lmtp.Address, _ auth.Peer) (lmtp.Target, error) {
			err, known := people[a.Local]
			if !known {
				err = auth.Refuse(auth.ErrUnknown, "unknown-recipient")
			}
			name := map[string]string{"team": "alice"}[a.Local]
			if name == "" {
				name = a.Local
			}
			return lmtp.Target{Maildrop: name}, err
		},
		Distribute: func(ctx context.Context, all []maildrop.Delivery, text io.Reader) []error {
			return maildrop.Distribute(ctx, w.shelf, dir, all, text)
		},
	}
	w.server = &server.Server{Log: slog.New(slog.NewTextHandler(&w.log, nil))}
	w.end = &server.Endpoint{Name: "lmtp", Handler: w.handler, LoginTimeout: 5 * time.Minute, IdleTimeout: 5 * time.Minute}
	return w
}

// connect connects the client.
func (w *world) connect() {
	ours, theirs := net.Pipe()
	w.client, w.over = theirs, make(chan struct{})
	go func() {
		defer close(w.over)
		w.server.ServeConn(w.t.Context(), ours, w.end)
	}()
	go w.hear(theirs)
}

func (w *world) hear(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		w.mu.Lock()
		w.said.Write(buf[:n])
		w.closed = err != nil
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// heard returns what the server has said since it was asked last, once it has
// nothing more to say.
func (w *world) heard() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for line := range strings.Lines(w.said.String()) {
		lines = append(lines, "S: "+strings.TrimSuffix(line, "\r\n"))
	}
	w.said.Reset()
	if w.closed {
		lines = append(lines, "S.")
	}
	return lines
}

// mail returns what was delivered, by maildrop.
func (w *world) mail() []string {
	w.shelf.mu.Lock()
	defer w.shelf.mu.Unlock()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(w.shelf.texts)) {
		for _, text := range w.shelf.texts[name] {
			lines = append(lines, "= "+name)
			for line := range strings.Lines(text) {
				lines = append(lines, strings.TrimRight("= | "+quoted(strings.TrimSuffix(line, "\n")), " "))
			}
		}
	}
	clear(w.shelf.texts)
	return lines
}
