package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// flushAt is where output is sent, if it is not sent before. It is what a client
// has the endpoint's WriteTimeout for, too.
const flushAt = 64 << 10

// heldMax is how much of what protects the output is held back.
const heldMax = 96 << 10

// Write buffers p. Like Printf it reports no error.
func (c *Conn) Write(p []byte) (int, error) {
	b := c.buffer()
	*b = append(*b, p...)
	c.flushIfLarge()
	return len(p), nil
}

// WriteString is Write of a text.
func (c *Conn) WriteString(text string) (int, error) {
	b := c.buffer()
	*b = append(*b, text...)
	c.flushIfLarge()
	return len(text), nil
}

// Printf buffers formatted output.
func (c *Conn) Printf(format string, a ...any) {
	b := c.buffer()
	*b = fmt.Appendf(*b, format, a...)
	c.flushIfLarge()
}

func (c *Conn) buffer() *[]byte {
	if c.out == nil {
		c.out = getBuffer()
	}
	return c.out
}

func (c *Conn) flushIfLarge() {
	if len(*c.out) >= flushAt {
		c.Flush()
	}
}

// Err returns the error that output met, which the next read reports; nil:
// none so far.
func (c *Conn) Err() error { return c.err }

// Flush sends what is buffered. A client that does not take 64 KiB of it, or all
// that is left, within the endpoint's WriteTimeout is ErrSlowReader.
func (c *Conn) Flush() error {
	if c.out == nil {
		return c.err
	}
	b := c.out
	c.out = nil
	defer c.giveBack(b)
	if c.err != nil {
		return c.err
	}
	if err := c.write(*b); err != nil {
		c.err = c.writeError(err)
	}
	return c.err
}

func (c *Conn) giveBack(b *[]byte) {
	if c.large {
		c.large = false
		c.srv.large.Add(-1)
	}
	putBuffer(b)
}

func (c *Conn) write(p []byte) error {
	if c.records == nil {
		return c.send(p)
	}
	c.records.hold()
	_, err := c.conn.Write(p)
	return c.records.release(err)
}

// send writes p to the socket.
func (c *Conn) send(p []byte) error {
	for {
		c.raw.SetWriteDeadline(c.writeDeadline())
		n, err := c.raw.Write(p)
		if n < flushAt || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		p = p[n:] // it is slow, but it reads
	}
}

// writeDeadline is when a client must have taken what is sent now. One that
// has not logged in gains no time by not reading.
func (c *Conn) writeDeadline() time.Time {
	end := time.Now().Add(orDefault(c.endpoint.WriteTimeout, 2*time.Minute))
	if login := c.LoginDeadline().Add(lastWord); !c.loggedIn.Load() && login.Before(end) {
		return login
	}
	return end
}

func (c *Conn) writeError(err error) error {
	if cause := c.aborted.Load(); cause != nil {
		return *cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrSlowReader
	}
	return err
}

// records are the socket as TLS has it, or a security layer: they write each
// record of 16 KiB by itself. One system call for several costs less, and wakes
// the client less often.
type records struct {
	net.Conn // the socket
	c        *Conn
	held     *[]byte // from a pool; nil: they are not held back
}

// hold holds back what is written from here on.
func (r *records) hold() { r.held = getBuffer() }

// release writes what is held back still, unless err says that it is of no use,
// and returns err or its own error.
func (r *records) release(err error) error {
	held := r.held
	r.held = nil
	defer putBuffer(held)
	if err != nil {
		return err
	}
	return r.c.send(*held)
}

// Write implements [net.Conn].
func (r *records) Write(p []byte) (int, error) {
	if r.held == nil {
		return r.Conn.Write(p)
	}
	if len(*r.held) > 0 && len(*r.held)+len(p) > heldMax {
		if err := r.c.send(*r.held); err != nil {
			return 0, err
		}
		*r.held = (*r.held)[:0]
	}
	if len(p) > heldMax {
		return len(p), r.c.send(p)
	}
	*r.held = append(*r.held, p...)
	return len(p), nil
}
