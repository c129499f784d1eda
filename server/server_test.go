package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/server"
)

// A panic ends its connection, and no other; its room is free again.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(func(ctx context.Context, c *server.Conn) error {
			line, err := c.ReadLine(100)
			if err == nil && string(line) == "panic" {
				var nobody *server.Server
				nobody.SetLimits(server.Limits{})
			}
			c.Printf("%s\r\n", line)
			return err
		})
		f.SetLimits(server.Limits{Conns: 2})
		other, _ := f.connect("192.0.2.1")
		c, _ := f.connect("192.0.2.1")
		io.WriteString(c, "panic\r\n")
		expectEnd(t, c)
		synctest.Wait()
		if log := f.log.String(); !strings.Contains(log, "panicked") || !strings.Contains(log, "TestPanic") {
			t.Errorf("log: %s", log)
		}
		third, _ := f.connect("192.0.2.1")
		for _, c := range []net.Conn{other, third} {
			io.WriteString(c, "hello\r\n")
			expect(t, bufio.NewReader(c), "hello")
			c.Close()
		}
		f.sessions.Wait()
	})
}

func TestServe(t *testing.T) {
	f := newFixture(echo)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.Serve(ctx, l, func() *server.Endpoint { return &f.endpoint }) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	expect(t, r, "hello")
	// The end of Serve's context stops the accepting, and not the sessions.
	cancel()
	if err := <-served; err != server.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
	io.WriteString(c, "QUIT\r\n")
	expect(t, r, "QUIT")
	expectEnd(t, r)
	c.Close()
	if err := f.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// Shutdown cuts who has not logged in, waits for who has, and cuts them too
// when its context ends. Nobody comes in meanwhile.
func TestShutdown(t *testing.T) {
	for _, patient := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(echo)
			idle, idleEnded := f.connect("192.0.2.1")
			busy, busyEnded := f.connect("192.0.2.2")
			r := bufio.NewReader(busy)
			expect(t, bufio.NewReader(idle), "hello")
			expect(t, r, "hello")
			io.WriteString(busy, "login\r\n")
			expect(t, r, "login")

			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			stopped := make(chan error, 1)
			go func() { stopped <- f.Shutdown(ctx) }()
			if err := <-idleEnded; err != server.ErrServerClosed {
				t.Errorf("idle session: %v", err)
			}
			late, _ := f.connect("192.0.2.3")
			expect(t, bufio.NewReader(late), "-ERR busy")
			io.WriteString(busy, "still served\r\n")
			expect(t, r, "still served")

			want, wantBusy := context.DeadlineExceeded, server.ErrServerClosed
			if patient {
				want, wantBusy = nil, nil
				io.WriteString(busy, "QUIT\r\n")
				expect(t, r, "QUIT")
			}
			if err := <-busyEnded; err != wantBusy {
				t.Errorf("busy session: %v, want %v", err, wantBusy)
			}
			if err := <-stopped; err != want {
				t.Errorf("Shutdown: %v, want %v", err, want)
			}
			idle.Close()
			busy.Close()
			f.sessions.Wait()
		})
	}
}

// After Shutdown there is no more serving.
func TestServeAfterShutdown(t *testing.T) {
	f := newFixture(echo)
	if err := f.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Serve(context.Background(), l, func() *server.Endpoint { return &f.endpoint }); err != server.ErrServerClosed {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

// A scripted listener accepts what its script says, then waits for its end.
type scripted struct {
	script []error // nil: a connection
	times  []time.Time
	once   sync.Once
	closed chan struct{}
}

func (l *scripted) Accept() (net.Conn, error) {
	l.times = append(l.times, time.Now())
	if len(l.script) == 0 {
		<-l.closed
		return nil, net.ErrClosed
	}
	err := l.script[0]
	l.script = l.script[1:]
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	near.Close()
	return pipe{far, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}, nil
}

func (l *scripted) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *scripted) Addr() net.Addr { return &net.TCPAddr{} }

// When accepting fails for the moment, it is tried again, ever later, and soon
// again once it has worked.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := &net.OpError{Op: "accept", Err: syscall.EMFILE}
		l := &scripted{closed: make(chan struct{})}
		for range 10 {
			l.script = append(l.script, full)
		}
		l.script = append(l.script, nil, full)
		f := newFixture(echo)
		served := make(chan error, 1)
		go func() { served <- f.Serve(context.Background(), l, func() *server.Endpoint { return &f.endpoint }) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := f.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != server.ErrServerClosed {
			t.Error(err)
		}
		const ms = time.Millisecond
		want := []time.Duration{5 * ms, 10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 640 * ms, 1000 * ms, 1000 * ms, 0, 5 * ms}
		if len(l.times) != len(want)+1 {
			t.Fatalf("%d accepts, want %d", len(l.times), len(want)+1)
		}
		for i, w := range want {
			if got := l.times[i+1].Sub(l.times[i]); got != w {
				t.Errorf("pause %d is %v, want %v", i+1, got, w)
			}
		}
	})
}

// Shutdown does not wait for a pause to end.
func TestShutdownDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &scripted{closed: make(chan struct{})}
		for range 10 {
			l.script = append(l.script, syscall.EMFILE)
		}
		f := newFixture(echo)
		served := make(chan error, 1)
		go func() { served <- f.Serve(context.Background(), l, func() *server.Endpoint { return &f.endpoint }) }()
		time.Sleep(700 * time.Millisecond)
		start := time.Now()
		if err := f.Shutdown(context.Background()); err != nil || time.Since(start) > 0 {
			t.Errorf("Shutdown: %v after %v", err, time.Since(start))
		}
		if err := <-served; err != server.ErrServerClosed {
			t.Error(err)
		}
	})
}

// When accepting fails for good, Serve says so.
func TestServeFails(t *testing.T) {
	f := newFixture(echo)
	l := &scripted{closed: make(chan struct{}), script: []error{syscall.EINVAL}}
	err := f.Serve(context.Background(), l, func() *server.Endpoint { return &f.endpoint })
	if !errors.Is(err, syscall.EINVAL) || errors.Is(err, server.ErrServerClosed) {
		t.Error(err)
	}
	<-l.closed
}

// Connections come and go while the server shuts down: none is lost sight of.
func TestShutdownRace(t *testing.T) {
	for range 20 {
		f := newFixture(echo)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- f.Serve(context.Background(), l, func() *server.Endpoint { return &f.endpoint }) }()
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return // the listener is closed
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				io.Copy(io.Discard, c) // until the server cuts it
			})
		}
		if err := f.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != server.ErrServerClosed {
			t.Error(err)
		}
		clients.Wait()
	}
}
