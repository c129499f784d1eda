package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"kpopd/server"
)

// awkward is what goes wrong where it is cut in two.
const awkward = "a\r\n.\r\n..b\n.\n\n.\r\r\n\r\n\x00.\n\r.\n"

// A text is the same on the wire wherever the pieces end in which it comes, and
// wherever the server takes it apart.
func TestWireTextBoundaries(t *testing.T) {
	want, octets := naiveWireText([]byte(awkward))
	for chunk := 1; chunk <= len(awkward); chunk++ {
		if got, n := server.WireText(nil, []byte(awkward), chunk, false); !bytes.Equal(got, want) || n != octets {
			t.Errorf("chunks of %d: %q, want %q", chunk, got, want)
		}
	}
	for _, edge := range []int{server.LeastRead, server.TextSize / 2, server.TextSize} {
		for before := edge - len(awkward) - 1; before <= edge+1; before++ {
			text := strings.Repeat("x", before) + awkward + "tail"
			want, octets := naiveWireText([]byte(text))
			got, n, err := writeText(strings.NewReader(text), false, octets)
			if got != string(want)+".\r\n" || n != octets || err != nil {
				t.Errorf("%d octets before it: %d octets of %d, or others: %v", before, n, octets, err)
			}
		}
	}
}

// Whatever way a text takes to the client, it gets what RFC 1939 §3 says, if it
// is as long as announced, and otherwise no final dot, and no octet more than
// announced.
func TestPathsAgree(t *testing.T) {
	long := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz\r\n", 10_000) // 380,000 octets
	for name, text := range map[string]string{"small": "A: b\r\n\r\nc\r\n", "64 KiB": long[:64<<10-2] + "\r\n", "large": long} {
		for _, ready := range []bool{false, true} {
			for _, off := range []int64{0, 1, -1, 2, -2, 5000, -5000} {
				size := int64(len(text)) + off
				if size < 0 {
					continue
				}
				for way, r := range ways(t, text) {
					got, _, err := writeTextTo(t, r, ready, size)
					what := fmt.Sprintf("%s, ready %v, announced %+d, %s", name, ready, off, way)
					switch {
					case off == 0 && (got != text+".\r\n" || err != nil):
						t.Errorf("%s: %d octets, %v", what, len(got), err)
					case off != 0 && (!errors.Is(err, server.ErrTextSize) || int64(len(got)) > size || !strings.HasPrefix(text, got)):
						t.Errorf("%s: %d octets, %v", what, len(got), err)
					}
				}
			}
		}
	}
}

// ways are readers of one text.
func ways(t *testing.T, text string) map[string]io.Reader {
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]io.Reader{
		"a file": newRest(t, path), "in one piece": strings.NewReader(text),
		"in halves": iotest.HalfReader(strings.NewReader(text)), "data with EOF": iotest.DataErrReader(strings.NewReader(text)),
	}
}

// writeTextTo has a session on a socket send r, and cut the connection where
// that fails.
func writeTextTo(t *testing.T, r io.Reader, ready bool, size int64) (got string, octets int64, err error) {
	c, ended := overSocket(t, "tcp", nil, func(c *server.Conn) error {
		var err error
		if octets, err = c.WriteText(r, size, ready); err != nil {
			c.Abort(err)
		}
		return err
	})
	data, _ := io.ReadAll(c)
	c.Close()
	return string(data), octets, <-ended
}

// Texts that are small share writes with what is around them; no write, and so
// no buffer, grows with their number or size.
func TestWritesOfTexts(t *testing.T) {
	writes := func(fn func(c *server.Conn)) []int {
		var s sizes
		near, far := newPipe(&s)
		f := newFixture(func(_ context.Context, c *server.Conn) error { fn(c); return nil })
		f.sessions.Go(func() { f.ServeConn(context.Background(), far, &f.endpoint) })
		io.Copy(io.Discard, near)
		f.sessions.Wait()
		return s.all
	}
	send := func(c *server.Conn, n int) {
		c.Printf("+OK\r\n")
		c.WriteText(strings.NewReader(strings.Repeat(".\n", n/2)), -1, false)
	}
	if got, want := writes(func(c *server.Conn) { send(c, 1000) }), []int{5 + 2000 + 3}; !slices.Equal(got, want) {
		t.Errorf("one small text: writes of %v, want %v", got, want)
	}
	if got, want := writes(func(c *server.Conn) { send(c, 1000); send(c, 1000) }), []int{2 * (5 + 2000 + 3)}; !slices.Equal(got, want) {
		t.Errorf("two small texts: writes of %v, want %v", got, want)
	}
	if got := writes(func(c *server.Conn) { send(c, 32<<10-10) }); len(got) != 1 {
		t.Errorf("a text of almost 64 KiB: writes of %v", got)
	}
	for name, fn := range map[string]func(*server.Conn){
		"a large text": func(c *server.Conn) { send(c, 5<<20) },
		"many texts": func(c *server.Conn) {
			for range 500 {
				send(c, 20_000)
			}
		},
	} {
		got := writes(fn)
		if most, least := slices.Max(got), slices.Min(got[:len(got)-1]); most > server.TextSize || least < 64<<10 {
			t.Errorf("%s: writes of %d to %d octets", name, least, most)
		}
	}
}

// Sending a small text takes no memory but what is pooled.
func TestWriteTextAllocates(t *testing.T) {
	text := []byte(strings.Repeat("0123456789\n", 400))
	r := bytes.NewReader(text)
	size := int64(len(text) + 400)
	done := make(chan float64, 1)
	c, _ := overSocket(t, "tcp", nil, func(c *server.Conn) error {
		done <- testing.AllocsPerRun(1000, func() {
			r.Reset(text)
			if n, err := c.WriteText(r, size, false); n != size || err != nil {
				t.Error(n, err)
			}
		})
		return nil
	})
	io.Copy(io.Discard, c)
	if n := <-done; n > 3 { // a collection empties the pools, and the race detector at times
		t.Errorf("%v allocations", n)
	}
}

// sizes are those of the writes to a connection.
type sizes struct {
	net.Conn
	all []int
}

func (s *sizes) Write(p []byte) (int, error) {
	s.all = append(s.all, len(p))
	return s.Conn.Write(p)
}

func newPipe(s *sizes) (near, far net.Conn) {
	near, s.Conn = net.Pipe()
	return near, pipe{s, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000}}
}
