package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"kpopd/server"
)

// A panic in a deep call, even within another, ends its connection and no
// other, and the log has the stack of where it was.
func TestDeepPanic(t *testing.T) {
	f := newFixture(func(ctx context.Context, c *server.Conn) error {
		return c.Deep(func() error {
			return c.Deep(func() error { return panics(c) })
		})
	})
	c, ended := f.connect("192.0.2.1")
	expectEnd(t, c)
	if err, ok := <-ended; ok {
		t.Errorf("it returned %v", err)
	}
	f.sessions.Wait()
	if log := f.log.String(); !strings.Contains(log, "oh dear") || !strings.Contains(log, "server_test.panics") {
		t.Errorf("log %s", log)
	}
}

func panics(*server.Conn) error { panic("oh dear") }

// A deep call that ends its goroutine, as a test does that fails, ends the
// connection.
func TestDeepExit(t *testing.T) {
	f := newFixture(func(ctx context.Context, c *server.Conn) error {
		return c.Deep(func() error { runtime.Goexit(); return nil })
	})
	c, ended := f.connect("192.0.2.1")
	expectEnd(t, c)
	if err := <-ended; err == nil {
		t.Error("it returned no error")
	}
}

// Deep calls return what they return, whether or not there are goroutines that
// wait for some; those end with the listener.
func TestDeep(t *testing.T) {
	want := errors.New("as it should be")
	f := newFixture(func(ctx context.Context, c *server.Conn) error {
		for range 3 {
			if err := c.Deep(func() error { return want }); err != want {
				t.Errorf("got %v", err)
			}
		}
		c.Printf("done\r\n")
		return nil
	})
	c, _ := f.connect("192.0.2.1")
	expect(t, bufio.NewReader(c), "done")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- f.Serve(t.Context(), l, func() *server.Endpoint { return &f.endpoint }) }()
	for range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(c); string(text) != "done\r\n" || err != nil {
			t.Errorf("got %q, %v", text, err)
		}
		c.Close()
	}
	if err := f.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-served
}
