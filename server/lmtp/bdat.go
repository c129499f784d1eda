package lmtp

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"kpopd/server"
)

// chunkMax is the largest chunk. One that is larger is not waited for.
const chunkMax = 1 << 40

// bdat takes the first chunk of a message, and all that follow it
// (RFC 3030 §2).
func (s *session) bdat(ctx context.Context, args string) error {
	size, last, ok := parseBDAT(args)
	if !ok { // and where the next command begins, nobody knows
		s.dismiss()
		return bad(501, "5.5.4", "BDAT needs a number of octets")
	}
	c := &chunks{s: s, left: size, last: last, d: decoder{chunked: true}}
	if err := s.ready(); err != nil {
		return c.skip(err)
	}
	s.mail.chunks = true
	return s.receive(ctx, c)
}

// skip reads past a chunk that is refused (RFC 3030 §2).
func (c *chunks) skip(refused *Error) error {
	if c.left > drainMin {
		return ended{ErrTooLarge}
	}
	c.last = true
	if _, err := io.Copy(io.Discard, c); err != nil {
		return ended{err}
	}
	return refused
}

// parseBDAT parses "SIZE" or "SIZE LAST".
func parseBDAT(args string) (size int64, last, ok bool) {
	number, word, two := strings.Cut(args, " ")
	if two && !strings.EqualFold(strings.TrimSpace(word), "LAST") {
		return 0, false, false
	}
	n, err := strconv.ParseUint(number, 10, 63)
	return int64(n), two, err == nil && n <= chunkMax
}

// chunks are a text that comes in chunks, each behind a command of its own and
// answered when it is there.
type chunks struct {
	s    *session
	left int64 // of this chunk
	last bool
	d    decoder
}

// Read implements [io.Reader]. errReset: the client gave up, and has its answer.
func (c *chunks) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, io.ErrShortBuffer
	}
	for {
		if c.left == 0 {
			if c.last {
				out := c.d.end(p[:0])
				c.d.state = lineStart
				if len(out) > 0 {
					return len(out), nil
				}
				return 0, io.EOF
			}
			c.s.ok(250, "2.0.0", "Go on")
			if err := c.next(); err != nil {
				return 0, err
			}
			continue
		}
		out, err := c.take(p)
		if err != nil || len(out) > 0 {
			return len(out), err
		}
	}
}

// take takes what has come of the chunk.
func (c *chunks) take(p []byte) ([]byte, error) {
	src, err := c.s.c.Peek()
	if err != nil {
		return nil, brokenOff(err)
	}
	src = src[:min(int64(len(src)), c.left, int64(len(p)-1))]
	out, n, _ := c.d.decode(p[:0], src)
	c.s.c.Discard(n)
	c.left -= int64(n)
	return out, nil
}

// next reads commands up to that of the next chunk.
func (c *chunks) next() error {
	for {
		line, err := c.s.c.ReadLine(lineMax)
		if errors.Is(err, server.ErrLineTooLong) {
			c.s.err(c.s.wrong(bad(500, "5.5.2", "Line is too long")))
			continue
		}
		if err != nil {
			return brokenOff(err)
		}
		verb, args, _ := strings.Cut(string(line), " ")
		switch verb = strings.ToUpper(verb); verb {
		case "BDAT":
			var ok bool
			if c.left, c.last, ok = parseBDAT(strings.TrimSpace(args)); ok {
				return nil
			}
			return c.giveUp(bad(501, "5.5.4", "BDAT needs a number of octets"))
		case "RSET":
			c.s.ok(250, "2.0.0", "Forgotten")
			return errReset
		case "QUIT":
			c.s.quit(context.Background(), "")
			return errReset
		case "NOOP":
			c.s.ok(250, "2.0.0", "Done nothing")
		default:
			e := c.s.wrong(bad(503, "5.5.1", "BDAT or RSET comes next"))
			if c.s.over {
				return c.giveUp(e)
			}
			c.s.err(e)
		}
	}
}

// giveUp ends a session that cannot go on.
func (c *chunks) giveUp(e *Error) error {
	c.s.err(e)
	c.s.dismiss()
	return errReset
}
