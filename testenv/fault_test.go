package testenv_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"kpopd/testenv"
)

// echo serves connections that get back what they send, and returns what the
// server read of each when it has ended.
func echo(t *testing.T) (addr string, ended <-chan []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(20 * time.Second))
			var all []byte
			buf := make([]byte, 1024)
			for err == nil {
				var n int
				n, err = c.Read(buf)
				all = append(all, buf[:n]...)
				c.Write(buf[:n])
			}
			c.Close()
			got <- all
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String(), got
}

// talk sends text through a proxy, ends its direction and reads to the end.
func talk(t *testing.T, addr, text string) (string, error) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c)
	return string(b), err
}

func TestFault(t *testing.T) {
	const text = "CAPA\r\nUSER alice\r\n"
	for _, test := range []struct {
		name     string
		fault    testenv.Fault
		up, down string
		err      error
	}{
		{"none", testenv.Fault{}, text, text, nil},
		{"octets", testenv.Fault{Segment: 1}, text, text, nil},
		{"delay", testenv.Fault{Delay: 10 * time.Millisecond, Segment: 8}, text, text, nil},
		{"cut up", testenv.Fault{CutUp: 6}, "CAPA\r\n", "", nil},
		{"cut down", testenv.Fault{CutDown: 4}, text, "CAPA", nil},
		{"reset", testenv.Fault{CutDown: 4, Reset: true}, text, "", syscall.ECONNRESET},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr, ended := echo(t)
			start := time.Now()
			down, err := talk(t, test.fault.Proxy(t, addr), text)
			if !errors.Is(err, test.err) {
				t.Errorf("the client gets %v, want %v", err, test.err)
			}
			if test.err == nil && test.down != "" && down != test.down {
				t.Errorf("the client gets %q, want %q", down, test.down)
			}
			if up := string(<-ended); up != test.up {
				t.Errorf("the server gets %q, want %q", up, test.up)
			}
			// Three pieces go up and three come down, after a delay each.
			if took := time.Since(start); took < 4*test.fault.Delay {
				t.Errorf("it took %v with a delay of %v", took, test.fault.Delay)
			}
		})
	}
}

// TestFaultStall: a stalled connection neither passes anything nor ends.
func TestFaultStall(t *testing.T) {
	addr, _ := echo(t)
	c, err := net.Dial("tcp", testenv.Fault{CutUp: 6, Stall: true}.Proxy(t, addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "CAPA\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 6)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "CAPA\r\n" {
		t.Fatalf("%q, %v", buf, err)
	}
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	var timeout net.Error
	if n, err := c.Read(buf); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a stalled connection gives %q, %v", buf[:n], err)
	}
}
