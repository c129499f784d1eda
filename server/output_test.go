package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/server"
)

// Who reads slowly has the WriteTimeout for each 64 KiB, however much is written
// at once; who reads more slowly than that is cut.
func TestSlowReaders(t *testing.T) {
	text := strings.Repeat("0123456789\n", 100_000)
	wire, _ := naiveWireText([]byte(text))
	for _, protection := range []string{"none", "layer"} {
		for _, tt := range []struct {
			name string
			read int // each 100 s, of the 2 min of WriteTimeout
			want error
		}{{"slow", 70 << 10, nil}, {"too slow", 20 << 10, server.ErrSlowReader}} {
			t.Run(protection+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var err error
					f := newFixture(func(_ context.Context, c *server.Conn) error {
						c.LoggedIn()
						if protection == "layer" {
							if err = c.StartLayer(rot{1 << 20, 1 << 20}); err != nil {
								return err
							}
						}
						c.WriteText(strings.NewReader(text), -1, false)
						err = c.Flush()
						return err
					})
					c, _ := f.connect("192.0.2.1")
					var got int
					for buf := make([]byte, tt.read); ; time.Sleep(100 * time.Second) {
						n, err := io.ReadFull(c, buf)
						if got += n; err != nil {
							break
						}
					}
					f.sessions.Wait()
					if !errors.Is(err, tt.want) || tt.want == nil && got < len(wire)+3 {
						t.Errorf("%d octets of %d; ended with %v, want %v", got, len(wire)+3, err, tt.want)
					}
				})
			})
		}
	}
}

// Under TLS the records of a reply share a write, and are as large as they can be
// from the first one on.
func TestRecordsShareWrites(t *testing.T) {
	for size, most := range map[int]int{4 << 10: 1, 50 << 10: 1, 1 << 20: 17} {
		text := strings.Repeat("0123456789abcde\n", size/16)
		wire, _ := naiveWireText([]byte(text))
		var socket *counted
		before := make(chan int, 2)
		nc, ended := overSocket(t, "tcp", func(c net.Conn) net.Conn {
			socket = &counted{Conn: c}
			return socket
		}, func(c *server.Conn) error {
			if _, err := c.ReadLine(100); err != nil { // the session tickets are out
				return err
			}
			before <- socket.writes
			written := socket.written
			_, err := c.WriteText(strings.NewReader(text), -1, false)
			err = errors.Join(err, c.Flush())
			records := (len(wire) + 3 + 16<<10 - 1) / (16 << 10)
			if over := socket.written - written - len(wire) - 3; over > 22*(records+12) {
				t.Errorf("%d octets: %d of protection", size, over)
			}
			before <- socket.writes
			return err
		}, func(e *server.Endpoint) { e.TLS, e.Implicit = server.TLSConfig(pairs, 0), true })
		c := tls.Client(nc, &tls.Config{RootCAs: authority.Pool(), ServerName: "one.example"})
		io.WriteString(c, "go\r\n")
		if got, err := io.ReadAll(c); string(got) != string(wire)+".\r\n" || err != nil {
			t.Errorf("%d octets: %d came, or others: %v", size, len(got), err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		} else if n := -<-before + <-before; n > most {
			t.Errorf("%d octets: %d writes, want at most %d", size, n, most)
		}
	}
}
