package lmtp

import (
	"io"

	"kpopd/server"
)

// A decoder turns the octets of a message on the wire into those that are
// stored: CRLF becomes LF, and dots are unstuffed. Only CRLF ends a line: what
// another server on the way took for a part of the text, such as LF "." LF,
// is none of our protocol, whoever wants it to be (so-called smuggling). A bare
// LF is a line end of the text nevertheless, for POP3 will send it as one. A
// bare CR stays, and CR CR LF too.
type decoder struct {
	chunked bool // BDAT: nothing is stuffed, and no dot ends the text
	state   byte
}

const (
	lineStart byte = iota
	dot            // "." at the start of a line
	dotCR
	middle
	cr   // held back
	crCR // a CR held back, another one written
)

// decode appends the text of src to dst, and returns how much of src it took.
// That is all of it, unless the text ended: what follows is the next command.
// At most one octet is longer than src.
func (d *decoder) decode(dst, src []byte) (out []byte, n int, ended bool) {
	for i, c := range src {
		switch {
		case d.state == dotCR && c == '\n':
			return dst, i + 1, true
		case d.state == lineStart && c == '.' && !d.chunked:
			d.state = dot
		case d.state == dot && c == '\r':
			d.state = dotCR
		default:
			dst = d.plain(dst, c)
		}
	}
	return dst, len(src), false
}

// plain is decode for an octet that is about no dot.
func (d *decoder) plain(dst []byte, c byte) []byte {
	held := d.state == cr || d.state == dotCR || d.state == crCR
	switch {
	case held && c == '\r':
		d.state = crCR
		return append(dst, '\r')
	case c == '\r':
		d.state = cr
		return dst
	case held && c == '\n':
		if d.state == crCR {
			dst = append(dst, '\r')
		}
		d.state = lineStart
		return append(dst, '\n')
	case held:
		dst = append(dst, '\r')
	}
	d.state = middle
	return append(dst, c)
}

// end appends what is held back at the end of the last chunk.
func (d *decoder) end(dst []byte) []byte {
	if d.state == cr || d.state == crCR {
		dst = append(dst, '\r')
	}
	return dst
}

// dataText is the text behind a DATA command, up to its final dot.
type dataText struct {
	c     *server.Conn
	d     decoder
	ended bool
}

// Read implements [io.Reader]. The connection's errors are its own.
func (t *dataText) Read(p []byte) (int, error) {
	out := p[:0]
	if len(p) < 2 { // a CR that was held back may come with what follows it
		return 0, io.ErrShortBuffer
	}
	for len(out) == 0 && !t.ended {
		src, err := t.c.Peek()
		if err != nil {
			return 0, brokenOff(err)
		}
		n := 0
		out, n, t.ended = t.d.decode(out, src[:min(len(src), len(p)-1)])
		t.c.Discard(n)
	}
	if len(out) == 0 && t.ended {
		return 0, io.EOF
	}
	return len(out), nil
}

// brokenOff is the error of a connection in the middle of a text, where its end
// is never a good one.
func brokenOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A limited text fails with ErrTooLarge behind its limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}
