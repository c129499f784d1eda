package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
)

// maxAnswer bounds what a server may send for one operation, in octets. It
// takes the place of go-ldap's bound on one packet, which is a global variable
// and says nothing of a search with ten thousand answers.
const maxAnswer = 4 << 20

// maxClear bounds what comes before TLS, from anybody on the way: a decoder
// makes a hundred times as much of it.
const maxClear = 64 << 10

var errTooMuch = errors.New("the server answers too much")

// A wire is a network connection that reads no more than it has left.
type wire struct {
	net.Conn
	left atomic.Int64
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if w.left.Add(-int64(n)) < 0 {
		return 0, errTooMuch
	}
	return n, err
}

// A link is a connection to a server, used by one operation at a time.
type link struct {
	*goldap.Conn
	wire  *wire
	born  time.Time
	since time.Time // idle since
	spent bool      // an operation was cut, nothing more can come of it
	end   *time.Timer
}

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }

// do runs op, which may use the connection until ctx ends. After an error that
// is not an answer of the server's the link is spent: an answer may still be
// under way, and for a bind nobody knows who is bound now.
func (c *link) do(ctx context.Context, op func(*goldap.Conn) error) (err error) {
	c.wire.left.Store(maxAnswer)
	deadline, _ := ctx.Deadline()
	_ = c.wire.SetDeadline(deadline) // of a closed connection, op will tell
	stop := context.AfterFunc(ctx, func() { _ = c.wire.SetDeadline(longAgo()) })
	defer func() {
		if r := recover(); r != nil { // go-ldap met an answer that it had not thought of
			err = fmt.Errorf("malformed answer: %v", r)
		}
		if err != nil && !isAnswer(err) && c.wire.left.Load() < 0 { // go-ldap says that the connection is closed
			err = errTooMuch
		}
		if !stop() || !isAnswer(err) {
			c.spent = true
			_ = c.wire.SetDeadline(longAgo())
			return
		}
		_ = c.wire.SetDeadline(time.Time{})
	}()
	return op(c.Conn)
}

// isAnswer reports whether err, nil included, is a result that a server sent
// (RFC 4511 §4.1.9), or no request was sent at all. go-ldap numbers its own
// errors from 200.
func isAnswer(err error) bool {
	if err == nil || errors.Is(err, auth.ErrBudget) {
		return true
	}
	e, ok := errors.AsType[*goldap.Error](err)
	return ok && e.ResultCode < goldap.ErrorNetwork
}

// usable reports whether another operation may use the link.
func (c *link) usable() bool { return !c.spent && !c.IsClosing() }

// hangUp closes the link, without waiting for the server.
func (c *link) hangUp() {
	_ = c.wire.SetDeadline(longAgo())
	_ = c.Close()
}
