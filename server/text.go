package server

import (
	"bytes"
	"errors"
	"io"
)

// WriteText sends a message as the body of a multi-line reply, its final dot
// included (RFC 1939 §3), and returns the octets sent before dot-stuffing and
// without the final dot. An error is r's: the reply is incomplete then, and
// the connection must end without the final dot.
//
// The rule, for any octets at all: an LF that no CR precedes becomes CRLF, and
// a text that is not empty and does not end in LF gets a final CRLF. All else,
// a bare CR and NUL too, goes out as it is. wireReady says that r is CRLF
// throughout and that no line begins with a dot.
func (c *Conn) WriteText(r io.Reader, wireReady bool) (octets int64, err error) {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	t := wireText{start: true}
	for {
		n, err := r.Read(*buf)
		if n > 0 {
			c.appendText(&t, (*buf)[:n], wireReady)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t.octets, err
		}
		if c.err != nil {
			return t.octets, nil // sticky: the next ReadLine reports it
		}
	}
	b := c.buffer()
	*b = append(t.finish(*b), ".\r\n"...)
	c.flushIfLarge()
	return t.octets, nil
}

func (c *Conn) appendText(t *wireText, p []byte, wireReady bool) {
	b := c.buffer()
	if wireReady {
		*b = t.appendReady(*b, p)
	} else {
		*b = t.append(*b, p)
	}
	c.flushIfLarge()
}

// A wireText turns a stored text into its lines on the wire, chunk by chunk.
type wireText struct {
	start  bool  // the next octet begins a line
	cr     bool  // the last octet was a CR
	some   bool  // there was an octet
	octets int64 // appended, without the stuffed dots
}

// append appends p to dst in wire form. It looks for line ends by IndexByte
// and copies line by line; a loop over octets is eight times slower.
func (t *wireText) append(dst, p []byte) []byte {
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
