package pop3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kpopd/server"
	"kpopd/testenv"
)

// A duplex is a full-duplex connection in memory that can be closed one way at
// a time, as TCP can.
type duplex struct {
	in, out       net.Conn
	local, remote net.Addr
	closed        atomic.Bool
}

func newDuplex() (client, srv *duplex) {
	c2s, fromClient := net.Pipe()
	s2c, fromServer := net.Pipe()
	a := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000}
	b := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 110}
	return &duplex{in: s2c, out: c2s, local: a, remote: b}, &duplex{in: fromClient, out: fromServer, local: b, remote: a}
}

func (d *duplex) CloseWrite() error                  { return d.out.Close() }
func (d *duplex) LocalAddr() net.Addr                { return d.local }
func (d *duplex) RemoteAddr() net.Addr               { return d.remote }
func (d *duplex) SetReadDeadline(t time.Time) error  { return d.in.SetReadDeadline(t) }
func (d *duplex) SetWriteDeadline(t time.Time) error { return d.out.SetWriteDeadline(t) }

// Close closes both ways at once: nothing is heard or said after it began.
func (d *duplex) Close() error {
	d.closed.Store(true)
	d.out.Close()
	return d.in.Close()
}

func (d *duplex) Read(p []byte) (int, error) {
	n, err := d.in.Read(p)
	if d.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	return n, err
}

func (d *duplex) Write(p []byte) (int, error) {
	if d.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	return d.out.Write(p)
}

func (d *duplex) SetDeadline(t time.Time) error {
	d.in.SetReadDeadline(t)
	return d.out.SetWriteDeadline(t)
}

// tlsWorld is what both sides of TLS need. It is made once, by the real clock:
// under synctest the year is 2000.
var tlsWorld struct {
	now  time.Time
	pool *x509.CertPool
	srv  *tls.Config
}

func setUpTLS() {
	ca, err := testenv.NewCA()
	if err != nil {
		panic(err)
	}
	c, err := ca.Server("pop.example.test")
	if err != nil {
		panic(err)
	}
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		panic(err)
	}
	tlsWorld.now, tlsWorld.pool = time.Now(), ca.Pool()
	tlsWorld.srv = server.TLSConfig([]tls.Certificate{pair}, 0)
}

func clientTLS() *tls.Config {
	return &tls.Config{
		ServerName: "pop.example.test", RootCAs: tlsWorld.pool,
		Time: func() time.Time { return tlsWorld.now },
	}
}

// A client is the other end of a session. What the server sends is read as it
// comes, unless the client is stalled.
type client struct {
	raw  *duplex
	conn net.Conn // raw, TLS on it, or a security layer

	writes  chan write
	writing sync.WaitGroup
	reading sync.WaitGroup

	mu   sync.Mutex
	got  bytes.Buffer
	gone error // the end of reading
	told bool  // the transcript has it that the server closed

	ended chan struct{} // closed when the server's side is over
	err   error         // what the handler returned, then
}

type write struct {
	conn net.Conn
	data []byte
}

func newClient(raw *duplex) *client {
	c := &client{raw: raw, conn: raw, writes: make(chan write, 64), ended: make(chan struct{})}
	c.writing.Go(func() {
		for w := range c.writes {
			w.conn.Write(w.data) // fails where the server has hung up
		}
	})
	c.read()
	return c
}

// write sends data in one piece, and does not wait until it is taken.
func (c *client) write(data []byte) { c.writes <- write{c.conn, data} }

func (c *client) read() {
	conn := c.conn
	conn.SetReadDeadline(time.Time{})
	c.reading.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			c.mu.Lock()
			c.got.Write(buf[:n])
			c.gone = err
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// stall stops reading.
func (c *client) stall() {
	c.conn.SetReadDeadline(time.Unix(1, 0))
	c.reading.Wait()
}

// take returns what has been received since the last call, and whether the
// server has closed the connection behind it.
func (c *client) take() (data []byte, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data = bytes.Clone(c.got.Bytes())
	c.got.Reset()
	ours := errors.Is(c.gone, os.ErrDeadlineExceeded) || errors.Is(c.gone, io.ErrClosedPipe)
	return data, c.gone != nil && !ours
}

// startTLS shakes hands, as after STLS.
func (c *client) startTLS(config *tls.Config) (*tls.ConnectionState, error) {
	c.stall()
	c.raw.SetReadDeadline(time.Time{})
	conn := tls.Client(c.raw, config)
	if err := conn.HandshakeContext(context.Background()); err != nil {
		c.raw.SetDeadline(time.Time{})
		c.read()
		return nil, err
	}
	c.conn = conn
	c.read()
	state := conn.ConnectionState()
	return &state, nil
}

// startLayer puts what follows in the toy security layer.
func (c *client) startLayer() {
	c.stall()
	c.conn = &toyConn{Conn: c.conn}
	c.read()
}

// close cuts the connection and waits for both sides to end.
func (c *client) close() {
	c.raw.Close()
	close(c.writes)
	c.writing.Wait()
	c.reading.Wait()
	<-c.ended
}
