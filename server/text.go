package server

import (
	"bytes"
	"errors"
	"io"
)

var (
	// ErrTextSize means that a text is not as long on the wire as was
	// announced: it shrank or grew.
	ErrTextSize = errors.New("server: text is not as long as announced")
	// ErrPart is how a reader says that it ends, but the text goes on: a part
	// was asked for.
	ErrPart = errors.New("server: the text goes on")
)

// pieceSize is how much of a text is brought into wire form before the output
// is looked at: at worst it doubles.
const pieceSize = 16 << 10

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
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	for c.err == nil { // sticky: the next ReadLine reports it
		n, err := r.Read(*buf)
		if errText := c.appendText(&t, (*buf)[:n]); errText != nil {
			return t.octets, errText
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

func (c *Conn) appendText(t *wireText, p []byte) error {
	for len(p) > 0 && c.err == nil {
		n := min(len(p), pieceSize)
		b := c.buffer()
		*b = t.append(*b, p[:n])
		if t.most >= 0 && t.octets > t.most {
			return ErrTextSize
		}
		p = p[n:]
		c.flushIfLarge()
	}
	return nil
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
	c.flushIfLarge()
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

// append appends p to dst in wire form. It looks for line ends by IndexByte
// and copies line by line; a loop over octets is eight times slower.
func (t *wireText) append(dst, p []byte) []byte {
	if t.ready {
		return t.appendReady(dst, p)
	}
	before, dots := len(dst), 0
	for len(p) > 0 {
		if t.start && p[0] == '.' {
			dst = append(dst, '.') // RFC 1939 §3: byte-stuffed
			dots++
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			dst = append(dst, p...)
			t.start, t.cr = false, p[len(p)-1] == '\r'
			break
		}
		if (i > 0 && p[i-1] == '\r') || (i == 0 && t.cr) {
			dst = append(dst, p[:i+1]...)
		} else {
			dst = append(append(dst, p[:i]...), '\r', '\n')
		}
		t.start, t.cr = true, false
		p = p[i+1:]
	}
	t.some = true
	t.octets += int64(len(dst) - before - dots)
	return dst
}

func (t *wireText) appendReady(dst, p []byte) []byte {
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
