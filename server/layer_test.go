package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"kpopd/server"
)

// A rot layer adds one to each octet, and a sum at the end.
type rot struct{ maxPlain, maxToken int }

func (r rot) MaxPlain() int { return r.maxPlain }
func (r rot) MaxToken() int { return r.maxToken }

func (r rot) Wrap(plain []byte) ([]byte, error) {
	if len(plain) > r.maxPlain {
		return nil, errors.New("too much to wrap")
	}
	var sum byte
	token := make([]byte, 0, len(plain)+1)
	for _, b := range plain {
		token, sum = append(token, b+1), sum+b
	}
	return append(token, sum), nil
}

func (rot) Unwrap(token []byte) ([]byte, error) {
	var sum byte
	plain := make([]byte, 0, len(token))
	for _, b := range token[:len(token)-1] {
		plain, sum = append(plain, b-1), sum+b-1
	}
	if sum != token[len(token)-1] {
		return nil, errors.New("wrong sum")
	}
	return plain, nil
}

// framed wraps text for the server.
func framed(text string) string {
	token, err := rot{1 << 20, 0}.Wrap([]byte(text))
	if err != nil {
		panic(err)
	}
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(token)))) + string(token)
}

// readFrame reads a buffer that the server protected.
func readFrame(r io.Reader) (string, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	token := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, token); err != nil {
		return "", err
	}
	plain, err := rot{}.Unwrap(token)
	return string(plain), err
}

// layered is a session that goes into the layer at once, and echoes.
func layered(l rot) *fixture {
	return newFixture(func(ctx context.Context, c *server.Conn) error {
		if _, err := c.ReadLine(100); err != nil {
			return err
		}
		c.Printf("+OK\r\n")
		if err := c.StartLayer(l); err != nil {
			return err
		}
		return echo(ctx, c)
	})
}

func startLayer(t *testing.T, c net.Conn) *bufio.Reader {
	t.Helper()
	io.WriteString(c, "go\r\n")
	r := bufio.NewReader(c)
	expect(t, r, "+OK")
	return r
}

// Lines and buffers are independent of each other, and of the segments that
// carry them.
func TestLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := layered(rot{100, 50})
		c, _ := f.connect("192.0.2.1")
		r := startLayer(t, c)
		hello, err := readFrame(r)
		if hello != "hello\r\n" || err != nil {
			t.Fatalf("got %q, %v", hello, err)
		}
		input := framed("one\r\ntw") + framed("") + framed("o\r\n") + framed("three\r\nfour\r\nQUIT\r\n")
		go func() {
			for _, b := range []byte(input) {
				c.Write([]byte{b})
			}
		}()
		var got strings.Builder
		for {
			plain, err := readFrame(r)
			if got.WriteString(plain); err != nil {
				break
			}
		}
		if got.String() != "one\r\ntwo\r\nthree\r\nfour\r\nQUIT\r\n" {
			t.Errorf("got %q", got.String())
		}
		f.sessions.Wait()
	})
}

// No buffer that is sent is larger than what the peer takes.
func TestLayerSize(t *testing.T) {
	text := strings.Repeat("0123456789", 10_000)
	f := newFixture(func(_ context.Context, c *server.Conn) error {
		if _, err := c.ReadLine(100); err != nil {
			return err
		}
		c.Printf("+OK\r\n")
		if err := c.StartLayer(rot{999, 100}); err != nil {
			return err
		}
		_, err := c.WriteText(strings.NewReader(text), -1, false)
		return err
	})
	c, ended := f.connect("192.0.2.1")
	r := startLayer(t, c)
	var got bytes.Buffer
	for {
		plain, err := readFrame(r)
		if len(plain) > 999 {
			t.Fatalf("a buffer of %d octets", len(plain))
		}
		if got.WriteString(plain); err != nil {
			break
		}
	}
	if err := <-ended; err != nil || got.String() != text+"\r\n.\r\n" {
		t.Errorf("%v; %d octets", err, got.Len())
	}
	f.sessions.Wait()
}

// Buffers that cannot be are the end, before memory is taken for them.
func TestLayerErrors(t *testing.T) {
	tests := []struct{ name, input, want string }{
		{"no length", "", "EOF"},
		{"half a length", "\x00\x00", "unexpected EOF"},
		{"zero", "\x00\x00\x00\x00", "0 octets announced"},
		{"one too long", "\x00\x00\x00\x33" + strings.Repeat("x", 51), "51 octets announced"},
		{"four gigabytes", "\xff\xff\xff\xff", "4294967295 octets announced"},
		{"a POP3 line", "QUIT\r\n", "1364543828 octets announced"},
		{"cut", framed("one\r\n")[:8], "unexpected EOF"},
		{"changed", strings.Replace(framed("one\r\n"), "p", "q", 1), "wrong sum"},
		{"long enough", framed(strings.Repeat("x", 49)), "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := layered(rot{100, 50})
			c, ended := f.connect("192.0.2.1")
			r := startLayer(t, c)
			if _, err := readFrame(r); err != nil {
				t.Fatal(err)
			}
			go func() {
				io.WriteString(c, tt.input)
				c.Close()
			}()
			if err := <-ended; err == nil || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("ended with %v, want %q", err, tt.want)
			}
			f.sessions.Wait()
		})
	}
}

// What was sent before the layer is not protected by it.
func TestLayerPipelined(t *testing.T) {
	f := layered(rot{100, 50})
	c, ended := f.connect("192.0.2.1")
	go io.WriteString(c, "go\r\n"+framed("one\r\n"))
	if err := <-ended; err != server.ErrPipelined {
		t.Errorf("ended with %v", err)
	}
	expectEnd(t, c)
	f.sessions.Wait()
}

// A layer that cannot carry an octet is no layer.
func TestLayerWithoutRoom(t *testing.T) {
	for _, room := range []int{0, -1} {
		f := layered(rot{room, 50})
		c, ended := f.connect("192.0.2.1")
		go io.WriteString(c, "go\r\n")
		if err := <-ended; err == nil {
			t.Errorf("room %d: the layer began", room)
		}
		expectEnd(t, c)
		f.sessions.Wait()
	}
}
