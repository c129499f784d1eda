package server

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
)

var (
	// ErrTextSize means that a text is not as long on the wire as was
	// announced: it shrank or grew.
	ErrTextSize = errors.New("server: text is not as long as announced")
	// ErrPart is how a reader says that it ends, but the text goes on: a part
	// was asked for.
	ErrPart = errors.New("server: the text goes on")
)

// leastRead is the least that is read of a large text at a time: what is buffered
// is sent before there is less room.
const leastRead = 48 << 10

const cacheLine = 64

const (
	// largeMost is how many large buffers a server has in use: 64 MiB. Who reads
	// slowly has his for minutes, and there may be thousands of them.
	largeMost = 256
	leastRoom = 16 << 10 // of the buffer that is used instead
)

// WriteText sends a message as the body of a multi-line reply, its final dot
// included (RFC 1939 §3), and returns the octets sent before dot-stuffing and
// without the final dot. size is how many of those were announced; negative:
// none were. They are sent where r ends with EOF, and no more than they where it
// ends with ErrPart. An error is r's, or ErrTextSize: the reply is incomplete
// then, and the connection must end without the final dot, lest the client take
// a part for the whole.
//
// The rule, for any octets at all: an LF that no CR precedes becomes CRLF, and
// a text that is not empty and does not end in LF gets a final CRLF. All else,
// a bare CR and NUL too, goes out as it is. wireReady says that r is CRLF
// throughout and that no line begins with a dot.
//
// A text of up to 64 KiB goes out in one write with what is buffered before it
// and with its final dot, unless output is due anyhow. A large one that is
// wireReady, announced, and a file as [maildrop.File] has it goes by
// sendfile(2) where nothing protects the connection.
func (c *Conn) WriteText(r io.Reader, size int64, wireReady bool) (octets int64, err error) {
	t := wireText{start: true, ready: wireReady, most: size}
	if f := c.sendable(r, size, wireReady); f != nil {
		c.sendFile(&t, f)
	}
	for c.err == nil { // sticky: the next ReadLine reports it
		b := c.textBuffer(t.left())
		room := farHalf(*b)
		n, err := r.Read(room)
		*b = t.append(*b, room[:n])
		if t.most >= 0 && t.octets > t.most {
			return t.octets, ErrTextSize
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, ErrPart):
			err = c.endText(&t, errors.Is(err, ErrPart))
			return t.octets, err
		default:
			return t.octets, err
		}
	}
	return t.octets, nil
}

// textBuffer returns the buffer of the output, with room for what is read next of
// a text of which at most left octets are to come. Small texts share the buffer
// with all that is around them; a large one takes a large buffer.
func (c *Conn) textBuffer(left int64) *[]byte {
	b, room := c.buffer(), int(2*(min(left, leastRead)+cacheLine))
	switch free := cap(*b) - len(*b); {
	case free >= room && (left <= leastRead || c.large):
		return b
	case len(*b)+room <= flushAt:
		*b = slices.Grow(*b, room)
		return b
	}
	return c.largeBuffer(room)
}

// largeBuffer makes the buffer of the output a large one, or sends what it holds.
// Where too many connections have large ones, it has a small one instead.
func (c *Conn) largeBuffer(room int) *[]byte {
	if c.large {
		c.Flush()
	}
	if c.srv.large.Add(1) > largeMost {
		c.srv.large.Add(-1)
		c.Flush()
		b := c.buffer()
		*b = slices.Grow(*b, min(room, leastRoom))
		return b
	}
	large := texts.Get().(*[]byte)
	if c.out != nil {
		*large = append(*large, *c.out...)
		putBuffer(c.out)
	}
	c.out, c.large = large, true
	return large
}

// farHalf is where to read what is to be brought into wire form behind b: the
// farther half of the room that b has. Each octet may become two, and none of them
// reaches one that was not looked at.
//
// It begins at a cache line. Where the kernel copies a page to a place a few octets
// off its own in the page, some processors (AMD's Zen) take seven times as long.
func farHalf(b []byte) []byte {
	at := (len(b) + (cap(b)-len(b)+1)/2 + cacheLine - 1) &^ (cacheLine - 1)
	return b[:cap(b)][min(at, cap(b)):]
}

// endText ends the last line and, if that is what was announced, the reply.
func (c *Conn) endText(t *wireText, part bool) error {
	if c.err != nil {
		return nil
	}
	b := c.buffer()
	*b = t.finish(*b)
	if t.most >= 0 && (t.octets > t.most || t.octets < t.most && !part) {
		return ErrTextSize
	}
	*b = append(*b, ".\r\n"...)
	return nil
}

// A wireText turns a stored text into its lines on the wire, chunk by chunk.
type wireText struct {
	start  bool  // the next octet begins a line
	cr     bool  // the last octet was a CR
	some   bool  // there was an octet
	ready  bool  // it is CRLF throughout, and no line begins with a dot
	most   int64 // octets that were announced; negative: none
	octets int64 // appended, without the stuffed dots
}

// left is how many octets may come, at most, and one that would be too many.
func (t *wireText) left() int64 {
	if t.most < 0 {
		return math.MaxInt64
	}
	return t.most - t.octets + 1
}

// append appends p, from [farHalf] of dst, to dst in wire form. It looks for line
// ends by IndexByte and copies line by line; a loop over octets is eight times
// slower.
func (t *wireText) append(dst, p []byte) []byte {
	if len(p) == 0 || t.ready {
		return t.appendReady(dst, p)
	}
	before, n, dots := len(dst), len(dst), 0
	dst = dst[:cap(dst)]
	for len(p) > 0 {
		if t.start && p[0] == '.' {
			dst[n] = '.' // RFC 1939 §3: byte-stuffed
			n++
			dots++
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			t.start, t.cr = false, p[len(p)-1] == '\r'
			n += copy(dst[n:], p)
			break
		}
		bare := i > 0 && p[i-1] != '\r' || i == 0 && !t.cr // the copy may go over it
		n += copy(dst[n:], p[:i])
		if bare {
			dst[n] = '\r'
			n++
		}
		dst[n] = '\n'
		n++
		t.start, t.cr = true, false
		p = p[i+1:]
	}
	t.some = true
	t.octets += int64(n - before - dots)
	return dst[:n]
}

func (t *wireText) appendReady(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	t.some, t.start = true, p[len(p)-1] == '\n'
	t.octets += int64(len(p))
	return append(dst, p...)
}

// finish ends the last line.
func (t *wireText) finish(dst []byte) []byte {
	if !t.some || t.start {
		return dst
	}
	t.octets += 2
	return append(dst, '\r', '\n')
}
