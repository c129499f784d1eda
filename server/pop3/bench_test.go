package pop3_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/auth"
	"kpopd/maildrop"
	"kpopd/maildrop/maildir"
	"kpopd/maildrop/memory"
	"kpopd/server"
)

// A benchClient is logged in over a real socket, and allocates nothing.
type benchClient struct {
	net.Conn
	buf []byte
}

// listen returns a listener of loopback, and what dials it, with TLS or not.
func listen(b testing.TB, secure bool) (l net.Listener, dial func() net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return l, func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		if secure {
			return tls.Client(conn, clientTLS())
		}
		return conn
	}
}

func newBenchClient(b testing.TB, w *world) *benchClient {
	w.srv.Log = slog.New(slog.DiscardHandler)
	l, dial := listen(b, w.endpoint.Implicit)
	served := make(chan error, 1)
	go func() { served <- w.srv.Serve(context.Background(), l, func() *server.Endpoint { return w.endpoint }) }()
	b.Cleanup(func() { w.srv.Shutdown(context.Background()); <-served })
	conn := dial()
	r := bufio.NewReader(conn)
	io.WriteString(conn, "USER alice\r\nPASS wonderland\r\n")
	for range 3 {
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
			b.Fatal(line, err)
		}
	}
	return &benchClient{conn, make([]byte, 1<<20)}
}

// newNull returns a client of a server that answers each read of a command with
// the same octets: the cost of sockets, and of TLS, alone.
func newNull(b testing.TB, w *world, reply []byte) *benchClient {
	l, dial := listen(b, w.endpoint.Implicit)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.Close()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if w.endpoint.Implicit {
			conn = tls.Server(conn, w.endpoint.TLS)
		}
		for buf := make([]byte, 4096); ; {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			for rest := reply; len(rest) > 0; {
				n := min(len(rest), 128<<10)
				if _, err := conn.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		}
	}()
	b.Cleanup(func() { <-done })
	return &benchClient{dial(), make([]byte, 1<<20)}
}

// ask sends command and reads a reply of so many octets.
func (c *benchClient) ask(b testing.TB, command []byte, octets int) {
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

// beside measures command on c, and turn about on a null that answers with as
// many octets, and reports how many times the CPU time that takes.
func beside(b *testing.B, w *world, c *benchClient, command string, octets int) {
	null := newNull(b, w, []byte(strings.Repeat("x", octets)))
	b.SetBytes(int64(octets))
	var took [2]time.Duration
	for b.Loop() {
		for i, client := range []*benchClient{c, null} {
			start := cpu()
			for range 16 {
				client.ask(b, []byte(command), octets)
			}
			took[i] += cpu() - start
		}
	}
	b.ReportMetric(float64(took[0].Nanoseconds())/float64(b.N)/16/1000, "µs/reply")
	b.ReportMetric(float64(took[0])/float64(took[1]), "x-null")
}

// cpu is the CPU time that the process has had.
func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// withMaildir gives the world's alice a Maildir with one message.
func (w *world) withMaildir(b testing.TB, store *maildir.Store, text string) {
	store.Root = b.TempDir()
	if err := store.Deliver(context.Background(), "alice", strings.NewReader(text)); err != nil {
		b.Fatal(err)
	}
	locker := new(memory.Locker)
	w.handler.Open = func(ctx context.Context, g auth.Grant) (*maildrop.Drop, error) {
		return maildrop.Open(ctx, g.Maildrop, locker, store)
	}
}

func BenchmarkRETR(b *testing.B) {
	for _, end := range []string{"\n", "\r\n"} {
		for _, size := range []int{4 << 10, 50 << 10, 200 << 10, 5 << 20} {
			for _, secure := range []bool{false, true} {
				name := fmt.Sprintf("%s/%dKB/%s", map[string]string{"\n": "LF", "\r\n": "ready"}[end], size>>10,
					map[bool]string{false: "clear", true: "TLS"}[secure])
				b.Run(name, func(b *testing.B) { benchmarkRETR(b, end, size, secure) })
			}
		}
	}
}

func benchmarkRETR(b *testing.B, end string, size int, secure bool) {
	w := newPlainWorld(b)
	w.endpoint.Implicit = secure
	line := strings.Repeat("x", 75) + end
	text := "A: b" + end + end + strings.Repeat(line, size/len(line))
	w.withMaildir(b, &maildir.Store{SaveCRLF: end == "\r\n"}, text)
	c := newBenchClient(b, w)
	wire := len(naiveWire([]byte(text)))
	beside(b, w, c, "RETR 1\r\n", len(fmt.Sprintf("+OK %d octets\r\n", wire))+wire+3)
}

func BenchmarkLIST(b *testing.B) {
	const messages = 100_000
	for _, command := range []string{"LIST", "UIDL"} {
		b.Run(command, func(b *testing.B) {
			w := newPlainWorld(b)
			w.renew(b, slices.Repeat([]string{"A: b\n\nc\n"}, messages)...)
			c := newBenchClient(b, w)
			beside(b, w, c, command+"\r\n", listingSize(b, c, command))
		})
	}
}

// listingSize asks once, and returns how long the reply is.
func listingSize(b testing.TB, c *benchClient, command string) int {
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
