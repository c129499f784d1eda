package mbox

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"hash"
)

// An imitator computes the unique-id that another server gave a message. It is
// written all of it: the From_ line and the blank line at the end, too.
type imitator interface {
	Write(p []byte) (int, error) // never fails
	// uid returns what the server showed, be it valid or not; "": nothing.
	uid() string
}

// imitator returns what computes unique-ids as u says; nil: none is to be
// computed.
func (u UIDs) imitator() imitator {
	switch u {
	case ByPopa3d:
		return &popa3d{sum: md5.New()}
	case ByTpop3d:
		return &tpop3d{sum: md5.New(), left: 512}
	case ByQpopper:
		return &qpopper{sum: md5.New()}
	}
	return nil
}

// tpop3d hashes the beginning of the message, From_ line and Status included.
type tpop3d struct {
	sum  hash.Hash
	left int
}

func (t *tpop3d) Write(p []byte) (int, error) {
	n := min(len(p), t.left)
	t.left -= n
	t.sum.Write(p[:n])
	return len(p), nil
}

func (t *tpop3d) uid() string { return hex.EncodeToString(t.sum.Sum(nil)) }

// A cutter cuts what is written to it into lines, and long ones into pieces.
type cutter struct {
	buf  []byte // of the piece that is not whole
	more bool   // it does not begin a line
}

// pieceSize is of qpopper's pieces. Whoever looks at beginnings only can have
// any size.
const pieceSize = 1023

// cut calls emit with each piece that is whole, and whether it begins a line,
// until that returns false.
func (c *cutter) cut(p []byte, emit func(piece []byte, first bool) bool) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		if n == 0 {
			n = len(p)
		}
		n = min(n, pieceSize-len(c.buf))
		c.buf = append(c.buf, p[:n]...)
		p = p[n:]
		if end := c.buf[len(c.buf)-1] == '\n'; end || len(c.buf) == pieceSize {
			if !emit(c.buf, !c.more) {
				return
			}
			c.buf, c.more = c.buf[:0], !end
		}
	}
}

// popa3d hashes some fields of the header: the first Received, Date and
// Message-ID only before that, and what local delivery agents write.
type popa3d struct {
	cutter
	sum      hash.Hash
	body     bool // the header is over
	fields   bool // the From_ line is over
	received bool
	hashed   bool // the line is
}

func (s *popa3d) Write(p []byte) (int, error) {
	if !s.body {
		s.cut(p, s.piece)
	}
	return len(p), nil
}

func (s *popa3d) piece(p []byte, first bool) bool {
	if first && p[0] == '\n' {
		s.body = true
		return false
	}
	if first && p[0] != ' ' && p[0] != '\t' {
		s.hashed = s.fields && s.field(p)
	}
	if s.hashed {
		s.sum.Write(p)
	}
	s.fields = s.fields || p[len(p)-1] == '\n'
	return true
}

// field reports whether a field is hashed.
func (s *popa3d) field(line []byte) bool {
	switch {
	case isField(line, "Received:"):
		before := s.received
		s.received = true
		return !before
	case isField(line, "Date:"), isField(line, "Message-ID:"):
		return !s.received
	case isField(line, "Delivered-To:"):
		return true
	}
	return line[0] == 'X' && isField(line, "X-Delivery-ID:")
}

// uid returns two numbers of 32 bits, the least octet first.
func (s *popa3d) uid() string {
	if !s.body && len(s.buf) > 0 { // the header has no end
		s.piece(s.buf, !s.more)
	}
	d := s.sum.Sum(nil)
	return hex.EncodeToString([]byte{d[3], d[2], d[1], d[0], d[7], d[6], d[5], d[4]})
}

func isField(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}

// qpopper takes X-UIDL, or hashes the From_ line, some fields as far as they
// stand in the first piece of a line, and the From_ line again.
type qpopper struct {
	cutter
	sum   hash.Hash
	from  []byte
	taken string // from X-UIDL
	body  bool   // the header is over
}

func (q *qpopper) Write(p []byte) (int, error) {
	if !q.body {
		q.cut(p, q.piece)
	}
	return len(p), nil
}

// piece takes a piece, each as if it were a line.
func (q *qpopper) piece(p []byte, _ bool) bool {
	p = bytes.ReplaceAll(p, []byte{0}, []byte(" "))
	switch {
	case q.from == nil:
		q.from = p
		q.sum.Write(p)
	case p[0] == '\n':
		q.sum.Write(q.from)
		q.body = true
		return false
	case q.taken != "": // and nothing else counts
	case isField(p, "Received:"), isField(p, "Date:"), isField(p, "Message-Id:"), isField(p, "Subject:"):
		q.sum.Write(p)
	case isField(p, "X-UIDL:"):
		const least, most = 12, 33 // with the line end
		if v := bytes.TrimLeft(p[len("X-UIDL:"):], " \t"); len(v) >= least && len(v) <= most {
			q.taken = string(bytes.TrimSuffix(v, []byte("\n")))
		}
	}
	return true
}

func (q *qpopper) uid() string {
	if q.taken != "" || !q.body {
		return q.taken
	}
	return base80(q.sum.Sum(nil))
}

// base80 is how qpopper writes a digest: four octets are five characters, the
// least digit first, and no dots.
func base80(digest []byte) string {
	text := make([]byte, 0, 20)
	for four := range len(digest) / 4 {
		n := 0
		for _, c := range digest[4*four : 4*four+4] {
			n = n<<4 + int(c)
		}
		for range 5 {
			c := byte(0x21 + n%80)
			if c == '.' {
				c = '~'
			}
			text, n = append(text, c), n/80
		}
	}
	return string(text)
}
