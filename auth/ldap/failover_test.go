package ldap_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"kpopd/auth"
	"kpopd/testenv"
)

// A gate is a way to a server that can be shut and opened again.
type gate struct {
	addr, target string

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
	taken int
	wg    sync.WaitGroup
}

func newGate(t testing.TB, target string) *gate {
	t.Helper()
	g := &gate{addr: "127.0.0.1:0", target: target}
	g.open(t)
	t.Cleanup(g.shut)
	return g
}

func (g *gate) open(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.l, g.addr = l, l.Addr().String()
	g.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.carry(c)
		}
	})
}

func (g *gate) carry(c net.Conn) {
	s, err := net.Dial("tcp", g.target)
	if err != nil {
		c.Close()
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken++
	g.conns = append(g.conns, c, s)
	for _, pair := range [][2]net.Conn{{c, s}, {s, c}} {
		g.wg.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := pair[0].Read(buf)
				pair[1].Write(buf[:n])
				if err != nil {
					pair[1].Close()
					return
				}
			}
		})
	}
}

// shut breaks all connections, and takes no more.
func (g *gate) shut() {
	g.mu.Lock()
	g.l.Close()
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
	g.mu.Unlock()
	g.wg.Wait()
}

// passed returns how many connections there were.
func (g *gate) passed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.taken
}

// A watcher is a log that tells when a message comes.
type watcher struct {
	slog.Handler
	seen chan string
}

func (watcher) Enabled(context.Context, slog.Level) bool { return true }
func (w watcher) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		w.seen <- r.Message
	}
	return nil
}

func (w watcher) await(t testing.TB, message string) {
	t.Helper()
	select {
	case m := <-w.seen:
		if m != message {
			t.Fatalf("the log says %q, want %q", m, message)
		}
	case <-time.After(50 * time.Second):
		t.Fatalf("the log does not say %q", message)
	}
}

// TestFailover: when the preferred server goes away, also in the middle, the
// next one takes over; when it returns, logins return to it.
func TestFailover(t *testing.T) {
	w := testenv.Start(t)
	target := strings.TrimPrefix(w.LDAP(t).TLSURL, "ldaps://")
	first, second := newGate(t, target), newGate(t, target)
	conf := config(t, w, testenv.PeopleDN)
	conf.URLs = []string{"ldaps://" + first.addr, "ldaps://" + second.addr}
	log := watcher{slog.DiscardHandler, make(chan string, 100)}
	conf.Log = slog.New(log)
	d := open(t, conf)
	login := func() {
		t.Helper()
		if _, err := try(t, d, "alice", w.Password("alice")); err != nil {
			t.Fatal(err)
		}
		if _, err := try(t, d, "alice", "wrong"); !errors.Is(err, auth.ErrCredentials) {
			t.Fatal(err)
		}
	}
	login()
	if first.passed() == 0 || second.passed() != 0 {
		t.Fatalf("connections: %d to the first, %d to the second", first.passed(), second.passed())
	}
	first.shut()
	login()
	log.await(t, "directory server is down")
	if second.passed() == 0 {
		t.Fatal("the second server was not asked")
	}
	first.open(t)
	log.await(t, "directory server is back")
	before := second.passed()
	second.shut() // and who still needs it will fail
	login()
	if second.passed() != before || len(log.seen) != 0 {
		t.Error("logins do not return to the first server")
	}
}

// TestSilentFirst: behind a first server that hangs, only the first login
// waits for it.
func TestSilentFirst(t *testing.T) {
	s := &stub{}
	conf := stubConfig(silent(t), s.start(t))
	conf.Timeout = 2 * time.Second
	d := open(t, conf)
	for i := range 20 {
		begun := time.Now()
		if _, err := try(t, d, "alice", "x"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); i > 0 && took >= conf.Timeout {
			t.Errorf("login %d took %v", i, took)
		}
	}
}

// TestAllDown fails at once, and works again when a server does.
func TestAllDown(t *testing.T) {
	w := testenv.Start(t)
	g := newGate(t, strings.TrimPrefix(w.LDAP(t).TLSURL, "ldaps://"))
	g.shut()
	conf := config(t, w, testenv.PeopleDN)
	conf.URLs = []string{"ldaps://" + g.addr}
	log := watcher{slog.DiscardHandler, make(chan string, 100)}
	conf.Log = slog.New(log)
	d := open(t, conf)
	for range 3 {
		if _, err := try(t, d, "alice", w.Password("alice")); !errors.Is(err, auth.ErrUnavailable) {
			t.Error(err)
		}
	}
	log.await(t, "directory server is down")
	g.open(t)
	log.await(t, "directory server is back")
	if _, err := try(t, d, "alice", w.Password("alice")); err != nil {
		t.Error(err)
	}
}

// TestWrongIsFinal: what one server says of a password is not asked of
// another, which shares its count of failures.
func TestWrongIsFinal(t *testing.T) {
	no := func(string, string) (int, string, *ber.Packet) { return 49, "", nil }
	a, b := &stub{bind: no}, &stub{bind: no}
	d := open(t, stubConfig(a.start(t), b.start(t)))
	if _, err := try(t, d, "alice", "wrong"); !errors.Is(err, auth.ErrCredentials) {
		t.Error(err)
	}
	if len(a.sent()) != 1 || len(b.sent()) != 0 {
		t.Errorf("binds at the first: %q, at the second: %q", a.sent(), b.sent())
	}
	busy := &stub{bind: func(string, string) (int, string, *ber.Packet) { return 51, "", nil }}
	d = open(t, stubConfig(busy.start(t), b.start(t)))
	if _, err := try(t, d, "alice", "wrong"); !errors.Is(err, auth.ErrCredentials) || len(b.sent()) != 1 {
		t.Errorf("behind a busy server: %v", err)
	}
}

// TestAfterClose: a login that outlives its configuration is still answered.
func TestAfterClose(t *testing.T) {
	s := &stub{}
	d := open(t, stubConfig(s.start(t)))
	for range 2 {
		if _, err := try(t, d, "alice", "x"); err != nil {
			t.Error(err)
		}
		d.Close()
	}
}

// TestPoolIsBounded: more logins than connections take turns.
func TestPoolIsBounded(t *testing.T) {
	w := testenv.Start(t)
	g := newGate(t, strings.TrimPrefix(w.LDAP(t).TLSURL, "ldaps://"))
	conf := config(t, w, testenv.PeopleDN)
	conf.URLs, conf.PoolSize = []string{"ldaps://" + g.addr}, 2
	d := open(t, conf)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, err := try(t, d, "bob", w.Password("bob")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := g.passed(); n > 4 {
		t.Errorf("%d connections, want 2 for searches and 2 for binds", n)
	}
}
