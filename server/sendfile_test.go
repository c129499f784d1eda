package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/server"
)

// A rest is a text that is a file from where it is read on, as stores have it.
type rest struct {
	*os.File
	left  int64
	reads int // of octets, by us
}

func newRest(t *testing.T, path string) *rest {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return &rest{File: f, left: info.Size()}
}

func (r *rest) Len() int64   { return r.left }
func (r *rest) Skip(n int64) { r.left -= n }

func (r *rest) Read(p []byte) (int, error) {
	n, err := r.File.Read(p[:min(int64(len(p)), r.left)])
	if r.left -= int64(n); r.left == 0 {
		err = io.EOF
	}
	r.reads += n
	return n, err
}

// WriteTo hides that of os.File.
func (r *rest) WriteTo(io.Writer) (int64, error) { panic("not asked for") }

// overSocket has a session that calls fn on a connection over a real socket of
// a network, behind wrap, and returns the client's end.
func overSocket(t *testing.T, network string, wrap func(net.Conn) net.Conn, fn func(*server.Conn) error, set ...func(*server.Endpoint)) (net.Conn, <-chan error) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { c.Close() })
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		nc = wrap(nc)
	}
	ended := make(chan error, 1)
	f := newFixture(func(_ context.Context, c *server.Conn) error {
		err := fn(c)
		ended <- err
		return err
	})
	for _, set := range set {
		set(&f.endpoint)
	}
	t.Cleanup(f.sessions.Wait)
	f.sessions.Go(func() { f.ServeConn(context.Background(), nc, &f.endpoint) })
	return c, ended
}

// A counted connection wants to see what is written.
type counted struct {
	net.Conn
	written, writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.written += len(p)
	c.writes++
	return c.Conn.Write(p)
}

func readyFile(t *testing.T, lines int) (path, text string) {
	text = strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz 0123456789abcdefghijklmnopqrstuvwxyz ..\r\n", lines)
	path = filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, text
}

// A large text that is ready goes by sendfile(2), but for its last octets, where
// it can; everywhere else it is read, and the client cannot tell.
func TestSendfile(t *testing.T) {
	path, text := readyFile(t, 5000)
	small, smallText := readyFile(t, 100)
	size := int64(len(text))
	tests := []struct {
		name, network string
		path          string
		wrap          func(net.Conn) net.Conn
		size          int64
		ready         bool
		before        func(*server.Conn)
		want          string
		reads         int
	}{
		{"TCP", "tcp", path, nil, size, true, nil, text, 2},
		{"Unix", "unix", path, nil, size, true, nil, text, 2},
		{"with output before it", "tcp", path, nil, size, true, func(c *server.Conn) { c.Printf("+OK\r\n") }, "+OK\r\n" + text, 2},
		{"small", "tcp", small, nil, int64(len(smallText)), true, nil, smallText, len(smallText)},
		{"not announced", "tcp", path, nil, -1, true, nil, text, len(text)},
		{"not ready", "tcp", path, nil, size, false, nil, text, len(text)},
		{"wrapped", "tcp", path, func(c net.Conn) net.Conn { return &counted{Conn: c} }, size, true, nil, text, len(text)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRest(t, tt.path)
			c, ended := overSocket(t, tt.network, tt.wrap, func(c *server.Conn) error {
				if tt.before != nil {
					tt.before(c)
				}
				n, err := c.WriteText(r, tt.size, tt.ready)
				if fi, _ := r.Stat(); n != fi.Size() {
					t.Errorf("%d octets, want %d", n, fi.Size())
				}
				return errors.Join(err, c.Err())
			})
			got, err := io.ReadAll(c)
			if string(got) != tt.want+".\r\n" || err != nil {
				t.Errorf("%d octets came, or others, want %d: %v", len(got), len(tt.want)+3, err)
			}
			if err := <-ended; err != nil || r.reads != tt.reads {
				t.Errorf("%d octets were read, want %d; %v", r.reads, tt.reads, err)
			}
		})
	}
}

// TLS and a security layer see all of it.
func TestNoSendfile(t *testing.T) {
	path, text := readyFile(t, 5000)
	f := newFixture(func(_ context.Context, c *server.Conn) error {
		r := newRest(t, path)
		_, err := c.WriteText(r, r.left, true)
		return err
	})
	f.endpoint.TLS, f.endpoint.Implicit = server.TLSConfig(pairs, 0), true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f.sessions.Go(func() {
		nc, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		f.ServeConn(context.Background(), nc, &f.endpoint)
	})
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: authority.Pool(), ServerName: "one.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if got, err := io.ReadAll(c); string(got) != text+".\r\n" || err != nil {
		t.Errorf("TLS: %d octets came, or others: %v", len(got), err)
	}
	f.sessions.Wait()

	conn, ended := overSocket(t, "tcp", nil, func(c *server.Conn) error {
		if _, err := c.ReadLine(100); err != nil {
			return err
		}
		if err := c.StartLayer(rot{999, 100}); err != nil {
			return err
		}
		r := newRest(t, path)
		_, err := c.WriteText(r, r.left, true)
		return err
	})
	io.WriteString(conn, "go\r\n")
	var got bytes.Buffer
	for {
		plain, err := readFrame(conn)
		if got.WriteString(plain); err != nil {
			break
		}
	}
	if err := <-ended; err != nil || got.String() != text+".\r\n" {
		t.Errorf("layer: %v; %d octets, or others", err, got.Len())
	}
}

// A file that changes while it is sent: what is cut off ends the reply without
// its dot, what is appended is not of it.
func TestSendfileChanges(t *testing.T) {
	const large = 64 << 20 // more than the sockets take
	for _, change := range []struct {
		name  string
		size  int64
		whole bool
	}{{"shrinks", 1 << 20, false}, {"shrinks by an octet", large - 1, false}, {"grows", large + 100, true}} {
		t.Run(change.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "text")
			f, err := os.Create(path)
			if err == nil {
				_, err = f.WriteAt([]byte("\r\n"), large-2) // NULs before it
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c, ended := overSocket(t, "tcp", nil, func(c *server.Conn) error {
				_, err := c.WriteText(newRest(t, path), large, true)
				if err != nil {
					c.Abort(err)
				}
				return err
			})
			if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if err := f.Truncate(change.size); err != nil {
				t.Fatal(err)
			}
			n, last := countRest(c)
			err = <-ended
			if change.whole {
				if n += 1000; n != large+3 || last != "\r\n.\r\n" || err != nil {
					t.Errorf("%d octets, %q, %v", n, last, err)
				}
				return
			}
			if !errors.Is(err, server.ErrTextSize) || n >= large-1000 || strings.Contains(last, ".") {
				t.Errorf("%d octets, the last %q, %v", n, last, err)
			}
		})
	}
}

// countRest reads to the end, and returns how much there was and the last five
// octets.
func countRest(r io.Reader) (n int64, last string) {
	buf := make([]byte, 256<<10)
	for {
		m, err := r.Read(buf)
		if n += int64(m); m > 0 {
			last += string(buf[max(0, m-5):m])
			last = last[max(0, len(last)-5):]
		}
		if err != nil {
			return n, last
		}
	}
}

// A file that cannot be sent like this is read.
func TestSendfileUnable(t *testing.T) {
	path, text := readyFile(t, 5000)
	c, ended := overSocket(t, "tcp", nil, func(c *server.Conn) error {
		_, err := c.WriteText(&blind{newRest(t, path)}, int64(len(text)), true)
		return err
	})
	got, err := io.ReadAll(c)
	if string(got) != text+".\r\n" || err != nil {
		t.Errorf("%d octets came, or others: %v", len(got), err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A blind file has a descriptor that sendfile(2) does not take.
type blind struct{ *rest }

func (*blind) Fd() uintptr { return ^uintptr(0) }

// A patient connection counts how often the time to write begins anew.
type patient struct {
	*net.TCPConn
	deadlines int
}

func (p *patient) SetWriteDeadline(t time.Time) error {
	p.deadlines++
	return p.TCPConn.SetWriteDeadline(t)
}

// Who reads slowly has for each 64 KiB the time that others have for a buffer,
// and not for all of a large file; who does not read at all is cut.
func TestSendfileDeadlines(t *testing.T) {
	path, text := readyFile(t, 100_000) // 7.6 MB
	var p *patient
	c, ended := overSocket(t, "tcp", func(nc net.Conn) net.Conn {
		p = &patient{TCPConn: nc.(*net.TCPConn)}
		p.SetWriteBuffer(128 << 10)
		return p
	}, func(c *server.Conn) error {
		_, err := c.WriteText(newRest(t, path), int64(len(text)), true)
		return errors.Join(err, c.Err())
	})
	n, _ := countRest(c)
	if err := <-ended; err != nil || n != int64(len(text))+3 {
		t.Errorf("%d octets: %v", n, err)
	}
	if least, most := len(text)>>20, len(text)>>16+3; p.deadlines < least || p.deadlines > most {
		t.Errorf("%d deadlines, want from %d to %d", p.deadlines, least, most)
	}

	if err := os.Truncate(path, 64<<20); err != nil { // more than the sockets take
		t.Fatal(err)
	}
	_, ended = overSocket(t, "tcp", nil, func(c *server.Conn) error {
		_, err := c.WriteText(newRest(t, path), 64<<20, true)
		if err != nil {
			return err
		}
		return c.Err()
	}, func(e *server.Endpoint) { e.WriteTimeout = 100 * time.Millisecond })
	if err := <-ended; !errors.Is(err, server.ErrSlowReader) {
		t.Errorf("ended with %v, want ErrSlowReader", err)
	}
}
