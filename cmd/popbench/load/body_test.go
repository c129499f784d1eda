package load

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// A fakeNet is a connection of which only what is read matters.
type fakeNet struct {
	net.Conn
	io.Reader
}

func (f fakeNet) Read(p []byte) (int, error) { return f.Reader.Read(p) }
func (fakeNet) SetDeadline(time.Time) error  { return nil }
func (fakeNet) Write(p []byte) (int, error)  { return len(p), nil }
func reads(r io.Reader, size int) *conn {
	c := &conn{buf: make([]byte, size), timeout: time.Minute}
	c.use(fakeNet{Reader: r})
	return c
}

// checkMessage compares message with net/textproto's reading of the same.
func checkMessage(t *testing.T, wire string, size int, slow bool) {
	t.Helper()
	var r io.Reader = strings.NewReader(wire)
	if slow {
		r = iotest.OneByteReader(r)
	}
	c := reads(r, size)
	sum := sha256.New()
	m, err := c.message(sum)
	i := strings.Index("\r\n"+wire, "\r\n.\r\n")
	if i < 0 {
		if err == nil {
			t.Fatalf("%q: no end, and no error", wire)
		}
		return
	}
	if err != nil {
		t.Fatalf("%q: %v", wire, err)
	}
	want := strings.TrimPrefix(strings.ReplaceAll(("\r\n" + wire)[:i+2], "\r\n.", "\r\n"), "\r\n")
	if got := int64(len(want)); m.octets != got || m.wire != int64(i) {
		t.Fatalf("%q: %+v, want %d octets, %d of them on the wire", wire, m, got, i)
	}
	if w := sha256.Sum256([]byte(want)); !bytes.Equal(sum.Sum(nil), w[:]) {
		t.Fatalf("%q: another digest", wire)
	}
	rest, _ := io.ReadAll(io.MultiReader(bytes.NewReader(c.buf[c.r:c.w]), r))
	if string(rest) != wire[i+3:] {
		t.Fatalf("%q: it leaves %q", wire, rest)
	}
}

var messages = []string{
	".\r\n", "..\r\n.\r\n", "a\r\n.\r\n", "a\r\n..\r\n.\r\n+OK\r\n", "..a\r\n..b\r\n...\r\n\r\n\r\n.\r\n", "a.\r\n.b\r\n.\r\n",
	"a\n.\n.\r\n.\r\n", "\r\n.\r\n.\r\n", "a\r\n.", "", "\r\n..\r\r\n.\r\n",
}

func TestMessage(t *testing.T) {
	for _, wire := range messages {
		for _, size := range []int{8, 64} {
			checkMessage(t, wire, size, false)
			checkMessage(t, wire, size, true)
		}
	}
}

// bodies are replies of many lines, taken apart by net/textproto for comparison.
func TestRows(t *testing.T) {
	for _, wire := range []string{".\r\n", "1 a\r\n.\r\n", "1 a\r\n2 b\r\n.\r\n", "1 a.\r\n2 .\r\n.\r\n"} {
		want, err := textproto.NewReader(bufio.NewReader(strings.NewReader(wire))).ReadDotLines()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []io.Reader{strings.NewReader(wire), iotest.OneByteReader(strings.NewReader(wire))} {
			lines, octets, err := reads(r, 8).rows()
			if err != nil || lines != len(want) || octets != int64(len(wire)-3) {
				t.Errorf("%q: %d lines, %d octets, %v", wire, lines, octets, err)
			}
		}
	}
	if _, _, err := reads(strings.NewReader("1 a\r\n"), 8).rows(); !errors.Is(err, io.EOF) {
		t.Errorf("without an end: %v", err)
	}
}

func TestSame(t *testing.T) {
	const wire = "a\r\n..b\r\n.\r\n"
	for _, c := range []struct {
		wire int64
		want error
	}{{8, nil}, {7, errContent}, {9, io.EOF}} {
		err := reads(iotest.HalfReader(strings.NewReader(wire)), 8).same(message{wire: c.wire})
		if !errors.Is(err, c.want) {
			t.Errorf("%d octets: %v", c.wire, err)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, wire := range messages {
		f.Add(wire, 8)
	}
	f.Fuzz(func(t *testing.T, wire string, size int) {
		checkMessage(t, wire, 8+max(0, size)%100, size%2 == 0)
	})
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		text, rest string
		n          int64
	}{{"1", "", 1}, {"12 34", "34", 12}, {"0  x", "x", 0}, {"", "", -1}, {"x", "", -1}, {"1x", "", -1}, {"-1", "", -1}, {"99999999999999999999", "", -1}} {
		n, rest, err := number([]byte(c.text))
		if (err != nil) != (c.n < 0) || err == nil && (n != c.n || string(rest) != c.rest) {
			t.Errorf("%q: %d %q %v", c.text, n, rest, err)
		}
	}
}

func TestReply(t *testing.T) {
	c := reads(iotest.OneByteReader(strings.NewReader("+OK\r\n+OK hello\n-ERR no\r\n* what\r\n"+strings.Repeat("x", 99))), 64)
	for _, want := range []struct {
		text string
		err  error
	}{{"", nil}, {"hello", nil}, {"", errReply}, {"", errForm}, {"", errLong}} {
		if text, err := c.ok(); string(text) != want.text || !errors.Is(err, want.err) {
			t.Errorf("%q, %v", text, err)
		}
	}
}
