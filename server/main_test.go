package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kpopd/server"
	"kpopd/testenv"
)

func TestMain(m *testing.M) {
	setUpTLS() // by the real clock: certificates have dates
	goleak.VerifyTestMain(m)
}

// authority and certificates are made once; under synctest the year is 2000.
var (
	authority *testenv.CA
	realTime  time.Time
	pairs     []tls.Certificate // for one.example and two.example
)

func setUpTLS() {
	var err error
	if authority, err = testenv.NewCA(); err != nil {
		panic(err)
	}
	for _, name := range []string{"one.example", "two.example"} {
		c, err := authority.Server(name)
		if err != nil {
			panic(err)
		}
		pair, err := tls.X509KeyPair(c.Cert, c.Key)
		if err != nil {
			panic(err)
		}
		pairs = append(pairs, pair)
	}
	realTime = time.Now()
}

// A handler is a function that speaks on a connection.
type handler func(ctx context.Context, c *server.Conn) error

func (h handler) Serve(ctx context.Context, c *server.Conn) error { return h(ctx, c) }

// echo answers each line with itself, and ends at QUIT.
func echo(ctx context.Context, c *server.Conn) error {
	c.Printf("hello\r\n")
	for {
		line, err := c.ReadLine(100)
		switch {
		case err == server.ErrLineTooLong:
			c.Printf("too long\r\n")
			continue
		case err != nil:
			return err
		}
		if string(line) == "login" {
			c.LoggedIn()
		}
		c.Printf("%s\r\n", line)
		if string(line) == "QUIT" {
			return nil
		}
	}
}

// A pipe is one end of a connection in memory, with addresses.
type pipe struct {
	net.Conn
	remote net.Addr
}

func (p pipe) RemoteAddr() net.Addr { return p.remote }
func (p pipe) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 110}
}

// A fixture is a server with one endpoint and what it logs.
type fixture struct {
	server.Server
	endpoint server.Endpoint
	log      syncBuffer
	sessions sync.WaitGroup
}

func newFixture(h handler) *fixture {
	f := &fixture{endpoint: server.Endpoint{Name: "test", Handler: h, Busy: "-ERR busy"}}
	f.Log = slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return f
}

// connect serves a connection from addr, and returns the client's end and
// where the handler's error will be; it is closed without one where the
// connection was not admitted.
func (f *fixture) connect(addr string) (net.Conn, <-chan error) {
	near, far := net.Pipe()
	ended := make(chan error, 1)
	e := f.endpoint
	inner := e.Handler
	e.Handler = handler(func(ctx context.Context, c *server.Conn) error {
		err := inner.Serve(ctx, c)
		ended <- err
		return err
	})
	remote := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 40000))
	f.sessions.Go(func() {
		defer close(ended)
		f.ServeConn(context.Background(), pipe{far, remote}, &e)
	})
	return near, ended
}

// A syncBuffer may be written and read at the same time.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// expect reads a line and compares it.
func expect(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	got, err := r.ReadString('\n')
	if err != nil || strings.TrimRight(got, "\r\n") != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// expectEnd expects that the server has nothing more to say.
func expectEnd(t *testing.T, r io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Fatalf("got %q, %v, want the end", rest, err)
	}
}
