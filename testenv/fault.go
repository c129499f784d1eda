package testenv

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Fault is a bad network between a client and a server. The zero Fault is a
// good one. What the fields say holds for each connection by itself.
type Fault struct {
	// Delay is how long every piece of data is under way, in either
	// direction.
	Delay time.Duration
	// Segment is the most octets in one piece; 1 brings every octet by
	// itself. 0: as the data comes.
	Segment int
	// CutUp and CutDown end the connection behind that many octets from the
	// client and from the server. 0: never.
	CutUp, CutDown int64
	// Reset makes the end of a cut connection a reset (RFC 9293 §3.5.2)
	// rather than a close.
	Reset bool
	// Stall makes a cut a silence instead: nothing passes any more and both
	// ends stay open, as when a cable is pulled, until the test ends.
	Stall bool
}

// Proxy listens on the loopback interface and passes each connection on to
// target through the fault. It ends with the test.
func (f Fault) Proxy(t TB, target string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { f.accept(ctx, l, target, &wg) })
	t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

func (f Fault) accept(ctx context.Context, l net.Listener, target string, wg *sync.WaitGroup) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { f.carry(ctx, client.(*net.TCPConn), target) })
	}
}

// A link is one connection through a Fault.
type link struct {
	Fault
	ctx            context.Context // ends with the test
	client, server *net.TCPConn
	parted         atomic.Bool // cut by a close: what still comes is dropped
}

// carry serves one connection until both directions have ended, it was reset
// or the test is over.
func (f Fault) carry(ctx context.Context, client *net.TCPConn, target string) {
	defer client.Close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer conn.Close()
	k := &link{Fault: f, ctx: ctx, client: client, server: conn.(*net.TCPConn)}
	defer context.AfterFunc(ctx, k.close)()
	var wg sync.WaitGroup
	wg.Go(func() { k.pass(k.server, k.client, f.CutUp) })
	wg.Go(func() { k.pass(k.client, k.server, f.CutDown) })
	wg.Wait()
}

// pass copies one direction to its end, or to the cut.
func (k *link) pass(dst, src *net.TCPConn, cut int64) {
	buf := make([]byte, 32<<10)
	if k.Segment > 0 {
		buf = buf[:k.Segment]
	}
	for sent := int64(0); ; {
		piece := buf
		if cut > 0 {
			piece = buf[:min(int64(len(buf)), cut-sent)]
		}
		n, err := src.Read(piece)
		if n > 0 && !k.send(dst, piece[:n]) {
			break
		}
		if sent += int64(n); cut > 0 && sent >= cut {
			k.cut()
			break
		}
		if err != nil {
			k.ended(dst, err)
			return
		}
	}
	if k.parted.Load() {
		// A close over unread data would be a reset (RFC 1122 §4.2.2.13).
		_, _ = io.Copy(io.Discard, src)
		return
	}
	k.close()
}

// send writes a piece after its delay and reports whether it was written.
func (k *link) send(dst net.Conn, piece []byte) bool {
	if k.Delay > 0 {
		timer := time.NewTimer(k.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-k.ctx.Done():
			return false
		}
	}
	_, err := dst.Write(piece)
	return err == nil
}

// ended hands the end of one direction on, as the end of that direction, or a
// failure, as the end of both.
func (k *link) ended(dst *net.TCPConn, err error) {
	if err != io.EOF || dst.CloseWrite() != nil && !k.parted.Load() {
		k.close()
	}
}

// cut does to both directions what the Fault says.
func (k *link) cut() {
	switch {
	case k.Stall:
		<-k.ctx.Done()
	case k.Reset:
		_ = k.client.SetLinger(0)
		_ = k.server.SetLinger(0)
		k.close()
	default:
		k.parted.Store(true)
		_ = k.client.CloseWrite()
		_ = k.server.CloseWrite()
	}
}

// close ends both connections.
func (k *link) close() {
	k.client.Close()
	k.server.Close()
}
