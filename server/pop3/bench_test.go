package pop3_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"kpopd/server"
)

// A benchClient is logged in over a real socket, and allocates nothing.
type benchClient struct {
	net.Conn
	buf []byte
}

func newBenchClient(b *testing.B, w *world) *benchClient {
	w.srv.Log = slog.New(slog.DiscardHandler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.srv.Serve(context.Background(), l, func() *server.Endpoint { return w.endpoint }) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.Close()
		w.srv.Shutdown(context.Background())
		<-served
	})
	r := bufio.NewReader(conn)
	io.WriteString(conn, "USER alice\r\nPASS wonderland\r\n")
	for range 3 {
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
			b.Fatal(line, err)
		}
	}
	return &benchClient{conn, make([]byte, 1<<20)}
}

// ask sends command and reads a reply of so many octets.
func (c *benchClient) ask(b *testing.B, command []byte, octets int) {
	if _, err := c.Write(command); err != nil {
		b.Fatal(err)
	}
	for octets > 0 {
		n, err := c.Read(c.buf)
		if err != nil {
			b.Fatal(err)
		}
		octets -= n
	}
	if octets < 0 {
		b.Fatalf("%d octets too many", -octets)
	}
}

func BenchmarkRETR(b *testing.B) {
	line := strings.Repeat("x", 75) + "\n"
	for _, size := range []int{4 << 10, 50 << 10, 5 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			w := newPlainWorld(b)
			text := "A: b\n\n" + strings.Repeat(line, size/len(line))
			w.renew(b, text)
			c := newBenchClient(b, w)
			reply := len(fmt.Sprintf("+OK %d octets\r\n", len(naiveWire([]byte(text))))) + len(naiveWire([]byte(text))) + 3
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				c.ask(b, []byte("RETR 1\r\n"), reply)
			}
		})
	}
}

func BenchmarkLIST(b *testing.B) {
	const messages = 10_000
	for _, command := range []string{"LIST", "UIDL"} {
		b.Run(command, func(b *testing.B) {
			w := newPlainWorld(b)
			w.renew(b, slices.Repeat([]string{"A: b\n\nc\n"}, messages)...)
			c := newBenchClient(b, w)
			reply := listingSize(b, c, command)
			b.ReportAllocs()
			for b.Loop() {
				c.ask(b, []byte(command+"\r\n"), reply)
			}
		})
	}
}

// listingSize asks once, and returns how long the reply is.
func listingSize(b *testing.B, c *benchClient, command string) int {
	io.WriteString(c, command+"\r\n")
	var size int
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		if size += len(line); line == ".\r\n" {
			return size
		}
	}
}

func BenchmarkNOOP(b *testing.B) {
	w := newPlainWorld(b)
	c := newBenchClient(b, w)
	command := []byte(strings.Repeat("NOOP\r\n", 16))
	reply := len("+OK Still here\r\n") * 16
	b.ReportAllocs()
	for b.Loop() {
		c.ask(b, command, reply)
	}
}
