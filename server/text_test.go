package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"kpopd/server"
)

// FuzzWireText compares the wire form of any octets, in chunks of any size,
// with an implementation that looks at one octet after the other.
func FuzzWireText(f *testing.F) {
	for _, s := range []string{"", ".", "\r", "\n", "a\nb", "a\r\n.b\r\n", "\n.\n..\n", "a\r\r\n", ".\r.\n", "a\x00\xff\n"} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 1000)
	}
	f.Fuzz(func(t *testing.T, text []byte, chunk int) {
		chunk = 1 + chunk&0xfff
		want, octets := naiveWireText(text)
		got, n := server.WireText(nil, text, chunk, false)
		if !bytes.Equal(got, want) || n != octets {
			t.Errorf("chunks of %d: %q becomes %q (%d octets), want %q (%d)", chunk, text, got, n, want, octets)
		}
		// What is on the wire without its dots is ready for it.
		if !bytes.HasPrefix(want, []byte(".")) && !bytes.Contains(want, []byte("\n.")) {
			again, n := server.WireText(nil, want, chunk, true)
			if !bytes.Equal(again, want) || n != octets {
				t.Errorf("chunks of %d: %q, which is ready, becomes %q (%d octets)", chunk, want, again, n)
			}
		}
	})
}

func naiveWireText(text []byte) (wire []byte, octets int64) {
	last := byte('\n')
	for i, b := range text {
		if b == '.' && last == '\n' {
			wire = append(wire, '.')
			octets--
		}
		if b == '\n' && (i == 0 || last != '\r') {
			wire = append(wire, '\r')
		}
		wire, last = append(wire, b), b
	}
	if last != '\n' {
		wire = append(wire, "\r\n"...)
	}
	return wire, octets + int64(len(wire))
}

// writeText has a session that sends r as a reply of as many octets as
// announced, and returns what comes of it on both sides.
func writeText(r io.Reader, ready bool, announced int64) (got string, octets int64, err error) {
	f := newFixture(func(_ context.Context, c *server.Conn) error {
		octets, err = c.WriteText(r, announced, ready)
		return err
	})
	c, _ := f.connect("192.0.2.1")
	data, _ := io.ReadAll(c)
	f.sessions.Wait()
	return string(data), octets, err
}

func TestWriteText(t *testing.T) {
	large := strings.Repeat("0123456789abcdef\n.\n", 20_000)
	for _, text := range []string{"", "x", "a\n.b\nc\n", large} {
		want, octets := naiveWireText([]byte(text))
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(text), "halves": iotest.HalfReader(strings.NewReader(text)),
			"data with EOF": iotest.DataErrReader(strings.NewReader(text)),
		} {
			got, n, err := writeText(r, false, -1)
			if got != string(want)+".\r\n" || n != octets || err != nil {
				t.Errorf("%s: %d octets of %d, %v", name, n, octets, err)
			}
		}
	}
	ready := strings.Repeat("0123456789abcdef\r\n", 20_000)
	if got, n, err := writeText(strings.NewReader(ready), true, -1); got != ready+".\r\n" || n != int64(len(ready)) || err != nil {
		t.Errorf("ready: %d octets, %v", n, err)
	}
}

// A reader that fails leaves the reply without its end.
func TestWriteTextFails(t *testing.T) {
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader("one\n"), iotest.ErrReader(broken))
	if got, n, err := writeText(r, false, -1); !errors.Is(err, broken) || n != 5 || strings.Contains(got, ".") {
		t.Errorf("%q, %d, %v", got, n, err)
	}
}

// A client that is gone ends the reading of what nobody will get.
func TestWriteTextToNobody(t *testing.T) {
	ended := make(chan error, 1)
	f := newFixture(func(_ context.Context, c *server.Conn) error {
		r := io.LimitReader(forever{}, 1<<40)
		if _, err := c.WriteText(r, -1, false); err != nil {
			t.Error(err)
		}
		_, err := c.ReadLine(100)
		ended <- err
		return err
	})
	c, _ := f.connect("192.0.2.1")
	c.Close()
	if err := <-ended; err == nil {
		t.Error("no error after a write to nobody")
	}
	f.sessions.Wait()
}

type forever struct{}

func (forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func BenchmarkWireText(b *testing.B) {
	text := []byte(strings.Repeat(strings.Repeat("x", 75)+"\n", 65536/76))
	for name, t := range map[string][]byte{"LF": text, "CRLF": bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(t)))
			out := make([]byte, 0, 2*len(t))
			for b.Loop() {
				server.WireText(out, t, len(t), false)
			}
		})
	}
}
