package load

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"
)

// dial connects, and begins a session up to the greeting, of which TLS is a
// part.
func (c *client) dial() error {
	tcp, err := connect(context.Background(), &c.dialer, c.source, c.run.o.Target)
	if err != nil {
		return err
	}
	c.use(tcp)
	c.tcp = tcp
	implicit := c.run.o.TLS == Implicit || c.run.o.TLS == Resumed
	if implicit {
		if err := c.secure(); err != nil {
			return err
		}
	}
	if c.run.w.mechanism == "kpop" {
		return nil // there, the client speaks first
	}
	return c.greet()
}

// greet reads the greeting, and begins TLS by STLS.
func (c *client) greet() error {
	c.wait(time.Now())
	greeting, err := c.ok()
	if err != nil {
		return err
	}
	c.greeting = append(c.greeting[:0], greeting...)
	if c.run.o.TLS != STLS {
		return nil
	}
	if _, err := c.one(stls); err != nil {
		return err
	}
	return c.secure()
}

// secure begins TLS. What the server sent before would be nobody's.
func (c *client) secure() error {
	if c.r < c.w {
		return errors.New("the server sends text before TLS has begun")
	}
	conn := tls.Client(c.tcp, c.config)
	c.wait(time.Now())
	if err := conn.Handshake(); err != nil {
		return err
	}
	until := c.until
	c.use(conn)
	c.until = until
	state := conn.ConnectionState()
	if c.handshakes++; state.DidResume {
		c.resumed++
	}
	c.suite = tls.CipherSuiteName(state.CipherSuite)
	return nil
}

// one sends a command whose reply is one line.
func (c *client) one(command []byte) ([]byte, error) {
	if err := c.send(command); err != nil {
		return nil, err
	}
	return c.ok()
}

var (
	capa = []byte("CAPA\r\n")
	stls = []byte("STLS\r\n")
	stat = []byte("STAT\r\n")
	uidl = []byte("UIDL\r\n")
	list = []byte("LIST\r\n")
	quit = []byte("QUIT\r\n")
)

// login begins a session of a user.
func (c *client) login(user int) error {
	if err := c.dial(); err != nil {
		return err
	}
	return c.run.login(c, user)
}

// quit ends a session. The connection ends without an alert of TLS: both sides
// know by then.
func (c *client) quit() error {
	_, err := c.one(quit)
	return errors.Join(err, c.end())
}

// end ends the connection, if there is one.
func (c *client) end() error {
	if c.tcp == nil {
		return nil
	}
	err := c.tcp.Close()
	c.tcp = nil
	return err
}

// stat returns how many messages there are, and how many octets. The command
// has been sent.
func (c *client) stat() (messages, octets int64, err error) {
	text, err := c.ok()
	if err != nil {
		return 0, 0, err
	}
	if messages, text, err = number(text); err == nil {
		octets, _, err = number(text)
	}
	return messages, octets, err
}

// source returns where client number id comes from.
func source(sources, id int) netip.AddrPort {
	if sources == 0 {
		return netip.AddrPort{}
	}
	n := 1 + id%sources
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)}), 0)
}

// connect connects from an address of ours, or whatever the system chooses: it then
// binds no port, which would be one less for all other connections.
func connect(ctx context.Context, d *net.Dialer, from, to netip.AddrPort) (*net.TCPConn, error) {
	if from.IsValid() {
		return d.DialTCP(ctx, "tcp", from, to)
	}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// newDialer returns who connects. Without keep-alive each connection takes four
// system calls less.
func newDialer(o *Options) net.Dialer {
	return net.Dialer{Timeout: o.Timeout, KeepAlive: -1}
}
