// Package server accepts connections and moves lines.
//
// A [Server] carries all listeners of a process, so that limits, the list of
// connections and the drain at shutdown are global. What is spoken on a
// connection is a [Handler]'s business; a [Conn] gives it bounded lines,
// deadlines on every wait and the switch to TLS.
//
// The package knows no protocol and none of our other packages.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ErrServerClosed is what Serve returns after Shutdown, and the cause with
// which the connections that Shutdown had to cut are aborted.
var ErrServerClosed = errors.New("server: closed")

// A Handler speaks a protocol on one connection. Serve returns nil when both
// sides parted in good order; the connection is flushed and closed behind it.
// ctx ends when the connection is aborted.
type Handler interface {
	Serve(ctx context.Context, c *Conn) error
}

// An Endpoint is what a listener offers. It does not change once served; a
// reload makes a new one for the connections to come.
type Endpoint struct {
	// Name is the listener's label in the configuration.
	Name    string
	Handler Handler
	// TLS is the server's side of TLS; nil: none is offered.
	TLS *tls.Config
	// CheckClient judges the certificates that a client shows, its own first,
	// once TLS has begun; TLS says whether clients are asked for them. An error
	// is logged and remembered as [Conn.ClientError], and ends nothing. nil:
	// nobody judges them.
	CheckClient func([]*x509.Certificate) error
	// Implicit: TLS begins with the connection (RFC 8314 §3). Else it may be
	// started by [Conn.StartTLS].
	Implicit bool
	// LoginTimeout is the time from accept to [Conn.LoggedIn], however busy
	// the client keeps us until then. 0: one minute.
	LoginTimeout time.Duration
	// IdleTimeout is the longest wait for a whole line after login. 0: ten
	// minutes, the least that RFC 1939 §3 allows.
	IdleTimeout time.Duration
	// WriteTimeout is the longest wait for a client to take 64 KiB, or all that
	// there is. Before login it ends soon after LoginTimeout does. 0: two minutes.
	WriteTimeout time.Duration
	// AllowFrom are the networks that may connect; empty: all.
	AllowFrom []netip.Prefix
	// Busy is the line sent to a client that is turned away by a limit before
	// its Handler has run. Empty, or Implicit: it is cut without a word.
	Busy string
}

// Limits bound the connections of a [Server]. Zero: no limit.
type Limits struct {
	// Conns is the number of connections at a time.
	Conns int
	// PerAddress is the number from one IPv4 address or one IPv6 /64.
	PerAddress int
	// PerUser is the number of connections at a time that [Conn.Occupy] lets
	// one user have.
	PerUser int
	// Memory is what the long lines, and what is reserved by [Conn.Reserve], of
	// all connections may take, in octets.
	Memory int64
}

// A Server serves any number of listeners. Its zero value is ready.
type Server struct {
	// Log takes what developers want to know. nil: slog.Default().
	Log *slog.Logger
	// Recorder takes what operators want to know, which Log has as well.
	// nil: only Log.
	Recorder Recorder

	limits  atomic.Pointer[Limits]
	turned  turned
	closing atomic.Bool
	lastID  atomic.Uint64
	running sync.WaitGroup          // Serve, and sessions, added to under mu and not when closing; and what these begin
	memory  atomic.Int64            // reserved
	large   atomic.Int32            // buffers of connections that are large
	workers atomic.Pointer[workers] // nil: no Serve runs

	mu        sync.Mutex
	listeners map[net.Listener]context.CancelFunc
	conns     map[*Conn]bool
	perAddr   map[netip.Addr]int
	perUser   map[string]int
}

// SetLimits sets the limits for the connections to come.
func (s *Server) SetLimits(l Limits) { s.limits.Store(&l) }

// Serve accepts connections on l, for what endpoint returns at that moment,
// until l fails, ctx ends or Shutdown is called. It closes l. Sessions go on
// after it returns; Shutdown waits for them.
func (s *Server) Serve(ctx context.Context, l net.Listener, endpoint func() *Endpoint) error {
	defer l.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if !s.trackListener(l, stop) {
		return ErrServerClosed
	}
	defer s.forgetListener(l)
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var pause backoff
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause.reset()
			s.running.Go(func() { s.ServeConn(context.WithoutCancel(ctx), nc, endpoint()) })
		case s.closing.Load() || ctx.Err() != nil:
			return ErrServerClosed
		case isTemporary(err):
			s.log().Error("accept failed, trying again", "listener", l.Addr(), "err", err)
			if !pause.wait(ctx) {
				return ErrServerClosed
			}
		default:
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
	}
}

// ServeConn serves one connection until it ends, and closes it. A panic in the
// handler ends this connection alone.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn, e *Endpoint) {
	c := newConn(s, nc, e)
	ctx, c.cancel = context.WithCancel(ctx)
	defer c.cancel()
	if err := s.admit(c); err != nil {
		c.turnAway()
		s.logTurnedAway(c, err)
		return
	}
	defer s.forget(c)
	c.log.Debug("connection accepted")
	err := s.handle(ctx, c)
	c.close()
	c.logEnd(err)
}

func (s *Server) handle(ctx context.Context, c *Conn) (err error) {
	defer func() {
		if r := recover(); r != nil {
			p := relayed(r)
			c.log.Error("session panicked", "panic", p.value, "stack", string(p.stack))
			c.Abort(errors.New("server: internal error"))
			err = fmt.Errorf("panic: %v", p.value)
		}
	}()
	if c.endpoint.Implicit {
		if err := c.handshake(ctx); err != nil {
			return err
		}
	}
	return c.endpoint.Handler.Serve(ctx, c)
}

// Shutdown stops accepting, cuts the connections on which nobody has logged
// in or that are idle ([Conn.Idle]), and waits for the others until ctx ends; then it cuts them too, with
// ErrServerClosed as their cause, and returns ctx's error. It returns when
// every Serve and every session is over. A session that was cut has removed
// nothing.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closing.Store(true)
	s.mu.Lock()
	for l, stop := range s.listeners {
		stop()
		l.Close()
	}
	s.mu.Unlock()
	s.abort(func(c *Conn) bool { return !c.loggedIn.Load() || c.idle.Load() })
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.abort(func(*Conn) bool { return true })
	<-done
	return ctx.Err()
}

func (s *Server) abort(which func(*Conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if which(c) {
			c.Abort(ErrServerClosed)
		}
	}
}

// trackListener counts a Serve in, unless the server is closing. stop ends it
// while it waits to accept again.
func (s *Server) trackListener(l net.Listener, stop context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]context.CancelFunc)
	}
	if len(s.listeners) == 0 {
		s.workers.Store(newWorkers())
	}
	s.listeners[l] = stop
	s.running.Add(1)
	return true
}

func (s *Server) forgetListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.listeners, l); len(s.listeners) == 0 {
		close(s.workers.Swap(nil).stop)
	}
	s.running.Done()
}

func (s *Server) nextID() string { return strconv.FormatUint(s.lastID.Add(1), 36) }

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

// isTemporary reports whether accepting may work again soon, as after the
// process has run out of descriptors.
func isTemporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary() && !errors.Is(err, io.EOF)
}

// A backoff is the pause between failing accepts: 5 ms, doubled up to 1 s.
type backoff struct{ d time.Duration }

func (b *backoff) reset() { b.d = 0 }

func (b *backoff) wait(ctx context.Context) bool {
	b.d = min(max(2*b.d, 5*time.Millisecond), time.Second)
	t := time.NewTimer(b.d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
