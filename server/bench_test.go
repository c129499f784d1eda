package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kpopd/server"
)

// cpu is the CPU time that the process has had.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// swallow receives so many octets without copying them, so that what is
// measured is the sender's work.
func swallow(b *testing.B, c net.Conn, buf []byte, octets int) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	for octets > 0 {
		var n int
		var errRecv error
		err := raw.Read(func(fd uintptr) bool {
			n, _, errRecv = syscall.Recvfrom(int(fd), buf, syscall.MSG_TRUNC|syscall.MSG_DONTWAIT)
			return errRecv != syscall.EAGAIN
		})
		if err != nil || errRecv != nil || n == 0 {
			b.Fatal(err, errRecv, n)
		}
		octets -= n
	}
}

// BenchmarkWriteText sends a file: by sendfile(2), read and written in wire
// form, and brought into it. Beside, turn about, what is ready in memory.
func BenchmarkWriteText(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10, 1 << 20, 5 << 20} {
		for _, way := range []string{"sendfile", "ready", "LF"} {
			if way == "sendfile" && size < 256<<10 {
				continue
			}
			b.Run(fmt.Sprintf("%dKB/%s", size>>10, way), func(b *testing.B) { benchmarkWriteText(b, size, way) })
		}
	}
}

func benchmarkWriteText(b *testing.B, size int, way string) {
	end := "\r\n"
	if way == "LF" {
		end = "\n"
	}
	text := strings.Repeat(strings.Repeat("x", 74)+end, size/76)
	wire, _ := naiveWireText([]byte(text))
	wire = append(wire, ".\r\n"...)
	path := filepath.Join(b.TempDir(), "text")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	turns := make(chan int)
	c := benchSession(b, func(c *server.Conn) error {
		for turn := range turns {
			if turn == 1 {
				for rest := wire; len(rest) > 0; {
					n := min(len(rest), 64<<10)
					c.Write(rest[:n])
					rest = rest[n:]
				}
			} else {
				file.Seek(0, io.SeekStart)
				r := io.Reader(&rest{File: file, left: int64(len(text))})
				if way == "ready" {
					r = struct{ io.Reader }{r}
				}
				if _, err := c.WriteText(r, int64(len(wire)-3), way != "LF"); err != nil {
					return err
				}
			}
			c.Flush()
		}
		return nil
	})
	defer close(turns)
	var took [2]time.Duration
	buf := make([]byte, 1<<20)
	b.SetBytes(int64(size))
	for b.Loop() {
		for turn := range 2 {
			start := cpu()
			for range 8 {
				turns <- turn
				swallow(b, c, buf, len(wire))
			}
			took[turn] += cpu() - start
		}
	}
	b.ReportMetric(float64(took[0].Nanoseconds())/float64(b.N)/8/1000, "µs/text")
	b.ReportMetric(float64(took[0])/float64(took[1]), "x-ready-made")
}

// benchSession has a session call fn on a connection over TCP.
func benchSession(b *testing.B, fn func(*server.Conn) error) net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	nc, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	f := newFixture(func(_ context.Context, c *server.Conn) error { return fn(c) })
	go f.ServeConn(context.Background(), nc, &f.endpoint)
	b.Cleanup(func() { c.Close() })
	return c
}
