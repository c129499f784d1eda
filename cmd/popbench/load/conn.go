package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"
)

var (
	errLong  = errors.New("a line without an end")
	errReply = errors.New("the server says")
	errForm  = errors.New("not a reply of POP3")
)

// A conn is the client's end of a connection. It reads into a buffer of its
// owner's and hands out parts of it, so that a line costs no allocation.
type conn struct {
	net.Conn
	timeout time.Duration // of each wait
	until   time.Time     // the deadline that is set

	buf  []byte
	r, w int // unread is buf[r:w]
}

// use begins with a connection, or goes on with it under TLS.
func (c *conn) use(nc net.Conn) {
	c.Conn, c.r, c.w, c.until = nc, 0, 0, time.Time{}
}

// send sends commands with one write. The wait for their replies begins.
func (c *conn) send(commands []byte) error {
	c.wait(time.Now())
	_, err := c.Conn.Write(commands)
	return err
}

// wait moves the deadline on, where that makes a difference: it is no cheap
// call.
func (c *conn) wait(now time.Time) {
	if until := now.Add(c.timeout); until.Sub(c.until) > c.timeout/8 {
		c.until = until
		_ = c.Conn.SetDeadline(until) // the read that follows says what is wrong
	}
}

// fill reads more, behind what is unread.
func (c *conn) fill() error {
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		return errLong
	}
	n, err := c.Conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// line reads a line and returns it without its end. It is good until the next
// read.
func (c *conn) line() ([]byte, error) {
	for from := c.r; ; {
		if i := bytes.IndexByte(c.buf[from:c.w], '\n'); i >= 0 {
			line := c.buf[c.r : from+i]
			c.r = from + i + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		from = c.w - c.r // where the unread end will be
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// ok reads a status line and returns what stands behind +OK.
func (c *conn) ok() ([]byte, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	if rest, ok := bytes.CutPrefix(line, []byte("+OK")); ok {
		return bytes.TrimPrefix(rest, []byte(" ")), nil
	}
	if bytes.HasPrefix(line, []byte("-ERR")) {
		return nil, fmt.Errorf("%w %.200q", errReply, line)
	}
	return nil, fmt.Errorf("%w: %.200q", errForm, line)
}

// number reads the digits at the beginning of b and returns what follows them
// and a space.
func number(b []byte) (n int64, rest []byte, err error) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		if n > (1<<62)/10 {
			return 0, nil, fmt.Errorf("%w: %.40q is no number", errForm, b)
		}
		n = n*10 + int64(b[i]-'0')
	}
	if i == 0 || i < len(b) && b[i] != ' ' {
		return 0, nil, fmt.Errorf("%w: %.40q is no number", errForm, b)
	}
	return n, bytes.TrimLeft(b[i:], " "), nil
}
