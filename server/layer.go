package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// A SecurityLayer protects buffers, as a SASL mechanism negotiated it
// (RFC 4422 §3.7). auth.SecurityLayer satisfies it.
type SecurityLayer interface {
	Wrap(plain []byte) ([]byte, error)
	Unwrap(token []byte) ([]byte, error)
	MaxPlain() int
	MaxToken() int
}

// StartLayer flushes, and puts all that follows, both ways, in l. Input that
// is pending already is ErrPipelined and ends the connection: it was said
// before the layer. So does a layer whose buffers have no room for an octet.
func (c *Conn) StartLayer(l SecurityLayer) error {
	if len(c.in.pending()) > 0 {
		c.Abort(ErrPipelined)
		return ErrPipelined
	}
	if l.MaxPlain() < 1 {
		c.Abort(errLayer)
		return errLayer
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if c.records == nil {
		c.records = &records{Conn: c.raw, c: c}
		c.conn = c.records
	}
	c.conn = &layer{Conn: c.conn, l: l}
	c.in.reset(c.conn)
	return nil
}

// A layer is a connection whose octets travel in protected buffers, each
// behind its length in four octets.
type layer struct {
	net.Conn
	l     SecurityLayer
	plain []byte // received and not read yet
}

var errLayer = errors.New("server: bad buffer in the security layer")

func (y *layer) Read(p []byte) (int, error) {
	for len(y.plain) == 0 {
		if err := y.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, y.plain)
	y.plain = y.plain[n:]
	return n, nil
}

func (y *layer) receive() error {
	var head [4]byte
	if _, err := io.ReadFull(y.Conn, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || uint64(n) > uint64(y.l.MaxToken()) {
		return fmt.Errorf("%w: %d octets announced", errLayer, n)
	}
	token := make([]byte, n)
	if _, err := io.ReadFull(y.Conn, token); err != nil {
		return err
	}
	plain, err := y.l.Unwrap(token)
	if err != nil {
		return fmt.Errorf("%w: %w", errLayer, err)
	}
	y.plain = plain
	return nil
}

func (y *layer) Write(p []byte) (int, error) {
	var out []byte
	for rest := p; len(rest) > 0; {
		n := min(len(rest), y.l.MaxPlain())
		token, err := y.l.Wrap(rest[:n])
		if err != nil {
			return 0, err
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(token)))
		out = append(out, token...)
		rest = rest[n:]
		if len(out) < flushAt && len(rest) > 0 {
			continue // a client may have asked for buffers that are mostly overhead
		}
		if _, err := y.Conn.Write(out); err != nil {
			return 0, err
		}
		out = out[:0]
	}
	return len(p), nil
}
