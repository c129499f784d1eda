package pop3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/auth/userfile"
	"kpopd/maildrop"
	"kpopd/maildrop/memory"
	"kpopd/maildrop/pace"
	"kpopd/server"
	"kpopd/server/pop3"
)

// timestamp is what every session greets with where APOP is offered. It is
// RFC 1939's own, with the secret "tanstaaf".
const timestamp = "<1896.697170952@dbc.mtview.ca.us>"

// users is the password file. Each password is a secret that no log may hold.
const users = `alice:{PLAIN}wonderland
bob:{PLAIN}  two words 
mrose:{PLAIN}tanstaaf
müller:{PLAIN}grüße
latin:{PLAIN}stra` + "\xdf" + `e
`

var secrets = []string{"wonderland", "two words", "tanstaaf", "krb_ticket", "grüße", "stra\xdf", "c4c9334bac560ecc979e58001b3e22fb"}

// A world is a server with one listener, its users and their mail.
type world struct {
	handler  *pop3.Handler
	endpoint *server.Endpoint
	srv      server.Server
	store    *brittle

	mu     sync.Mutex
	log    bytes.Buffer
	events []server.Event
	held   []string // what Handler.Hold was asked and told
	policy maildrop.Policy
	// unrecorded is what the recorder answers.
	unrecorded error
	outage     string // of the directory: "down", or "hang" where it never answers; else none
}

func newWorld(t testing.TB) *world {
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := userfile.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: &brittle{Store: &memory.Store{}, Locker: &memory.Locker{}, fail: map[string]bool{}}}
	logins, err := pace.Open(filepath.Join(t.TempDir(), "logins"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { logins.Close() })
	w.policy.Logins = logins
	w.srv.Log = slog.New(slog.NewTextHandler(writerFunc(w.writeLog), &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.srv.Recorder = w
	w.handler = &pop3.Handler{Hostname: "pop.example.test", Grant: grant, Open: w.open, Auth: auth.SDPS{Auth: auth.Chain{outage{w}, file}}}
	w.handler.Mechanisms = auth.Mechanisms{toy{}, auth.Plain{Auth: w.handler.Auth}}
	w.endpoint = &server.Endpoint{Name: "pop3", Handler: w.handler, TLS: tlsWorld.srv}
	return w
}

// rules let root act as anybody.
var rules = auth.Accounts{{
	Name:             "rules:1",
	When:             func(id auth.Identity, _ auth.Peer) (bool, error) { return id.User == "root", nil },
	Maildrop:         func(auth.Identity, auth.Peer) (string, error) { return "root", nil },
	AllowAuthzid:     func(auth.Identity, auth.Peer) (bool, error) { return true, nil },
	AllowAuthzidFrom: auth.Networks{Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}},
}}

func grant(_ context.Context, id auth.Identity, p auth.Peer) (auth.Grant, error) {
	id = id.Selected(p.Separators)
	g, err := rules.Decide(id, p, nil)
	if p.Separators != "" {
		g.Host, g.Recipient = id.User, id.Recipient
	}
	return g, err
}

func (w *world) open(ctx context.Context, g auth.Grant) (*maildrop.Drop, error) {
	if g.Host != "" {
		return w.policy.Open(ctx, g.Maildrop, w.store, &maildrop.Part{Store: w.store, Recipient: g.Recipient, Host: g.Host})
	}
	return w.policy.Open(ctx, g.Maildrop, w.store, w.store)
}

// outage is the first of the chain: a directory that knows nobody, or is out of
// order.
type outage struct{ w *world }

func (o outage) Authenticate(ctx context.Context, _ auth.Peer, _ auth.Credential) (auth.Identity, error) {
	switch o.w.outage {
	case "down":
		return auth.Identity{}, auth.Refuse(auth.ErrUnavailable, "directory-down")
	case "hang":
		return auth.Identity{}, hang(ctx)
	}
	return auth.Identity{}, auth.ErrUnknown
}

// connect begins a session.
func (w *world) connect(ctx context.Context) *client {
	near, far := newDuplex()
	c := newClient(near)
	e := *w.endpoint
	e.Handler = handlerFunc(func(ctx context.Context, sc *server.Conn) error {
		c.err = w.endpoint.Handler.Serve(ctx, sc)
		return c.err
	})
	go func() {
		defer close(c.ended)
		w.srv.ServeConn(ctx, far, &e)
	}()
	return c
}

type handlerFunc func(context.Context, *server.Conn) error

func (f handlerFunc) Serve(ctx context.Context, c *server.Conn) error { return f(ctx, c) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (w *world) writeLog(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) Record(_ context.Context, _ *server.Conn, e server.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	return w.unrecorded
}

// takeEvents returns the events since the last call, a line each.
func (w *world) takeEvents() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for _, e := range w.events {
		line := string(e.Kind)
		for _, a := range e.LogAttrs() {
			if a.Key != "cipher" {
				line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
			}
		}
		lines = append(lines, line)
	}
	w.events = nil
	return lines
}

// leaks returns the secrets that got into the log or an event.
func (w *world) leaks() []string {
	events := strings.Join(w.takeEvents(), "\n")
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []string
	for _, secret := range secrets {
		if strings.Contains(w.log.String()+events, secret) {
			found = append(found, secret)
		}
	}
	return found
}

func (w *world) deliver(t testing.TB, user, text string) {
	t.Helper()
	if err := w.store.Deliver(context.Background(), user, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// maildrop describes what user's maildrop holds now.
func (w *world) maildrop(user string) string {
	d, err := maildrop.Open(context.Background(), user, w.store.Locker, w.store.Store)
	if err != nil {
		return err.Error()
	}
	defer d.Close()
	text := fmt.Sprintf("%s holds", user)
	for _, m := range d.All() {
		text += fmt.Sprintf(" %s(%d)", m.UID, m.Size)
	}
	return text
}

// shutdown begins a Shutdown that waits for d.
func (w *world) shutdown(d time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		done <- w.srv.Shutdown(ctx)
	}()
	return done
}

var _ io.Writer = writerFunc(nil)

// tlsOptions applies words such as "sni=other" or "max=1.1" to a client's
// configuration.
func tlsOptions(words []string) *tls.Config {
	config := clientTLS()
	for _, word := range words {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "sni":
			config.ServerName = value
		case "alpn":
			config.NextProtos = []string{value}
		case "max":
			config.MinVersion = tls.VersionTLS10
			config.MaxVersion = map[string]uint16{"1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12}[value]
		}
	}
	return config
}
