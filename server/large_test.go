package server_test

import (
	"context"
	"crypto/sha256"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"kpopd/server"
)

// A roomy reader knows the most that it was asked for at a time.
type roomy struct {
	io.Reader
	most *atomic.Int64
}

func (r roomy) Read(p []byte) (int, error) {
	r.most.Store(max(r.most.Load(), int64(len(p))))
	return r.Reader.Read(p)
}

// However many read slowly, no more than some have a large buffer for it. The
// others get their texts too, and the buffers are free again behind them.
func TestLargeBuffers(t *testing.T) {
	text := strings.Repeat("0123456789\n", 12_000)
	wire, _ := naiveWireText([]byte(text))
	want := sha256.Sum256([]byte("+OK\r\n" + string(wire) + ".\r\n"))
	synctest.Test(t, func(t *testing.T) {
		var most [server.LargeMost + 20]atomic.Int64
		var next atomic.Int32
		f := newFixture(func(_ context.Context, c *server.Conn) error {
			c.LoggedIn()
			c.Printf("+OK\r\n")
			_, err := c.WriteText(roomy{strings.NewReader(text), &most[next.Add(1)-1]}, -1, false)
			return err
		})
		large := func(n int) (large int) {
			var clients [len(most)]net.Conn
			next.Store(0)
			for i := range n {
				most[i].Store(0)
				clients[i], _ = f.connect("192.0.2.1")
			}
			synctest.Wait() // all of them wait for a client that does not read
			for i := range n {
				if most[i].Load() > 64<<10 {
					large++
				}
			}
			var all sync.WaitGroup
			for _, c := range clients[:n] {
				all.Go(func() {
					got := sha256.New()
					if n, err := io.Copy(got, c); [32]byte(got.Sum(nil)) != want || err != nil {
						t.Errorf("%d octets of %d came, or others: %v", n, len(wire)+8, err)
					}
				})
			}
			all.Wait()
			f.sessions.Wait()
			return large
		}
		if n := large(len(most)); n != server.LargeMost {
			t.Errorf("%d of %d have large buffers, want %d", n, len(most), server.LargeMost)
		}
		if n := large(3); n != 3 {
			t.Errorf("%d of 3 have large buffers", n)
		}
	})
}
