package maildrop

import (
	"bytes"
	"io"
	"sync"
)

// bufferSize is what one read of a message asks for: few system calls, and
// small enough to stay in a core's cache.
const bufferSize = 64 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Measure reads a stored message and returns its size in octets on the wire
// and whether it is wire-ready as it stands; see [Message] and [Content].
//
// The rule, for any octets at all: an LF that no CR precedes becomes CRLF, and
// a text that is not empty and does not end in LF gets a final CRLF. All else,
// a bare CR and NUL too, goes out as it is. Dot-stuffing is not counted.
func Measure(r io.Reader) (size int64, wireReady bool, err error) {
	var m Meter
	if _, err := m.ReadFrom(r); err != nil {
		return 0, false, err
	}
	return m.Size(), m.WireReady(), nil
}

// A Meter applies the rule of [Measure] to a text written to it piece by
// piece. The zero value has seen an empty text.
type Meter struct {
	octets int64 // as stored
	bare   int64 // LFs that no CR precedes
	last   byte  // the last octet; meaningless while octets is 0
	dot    bool  // a line begins with a dot; not looked for once bare > 0
}

// Write adds p to the text. It always succeeds.
func (m *Meter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	first := m.octets == 0
	m.bare += int64(bytes.Count(p, lf))
	// Mail at rest has LF or CRLF throughout: without a CR there is no pair to
	// look for, and Count of one octet is many times as fast as of two.
	if bytes.IndexByte(p, '\r') >= 0 {
		m.bare -= int64(bytes.Count(p, crlf))
	}
	if p[0] == '\n' && !first && m.last == '\r' {
		m.bare--
	}
	if m.bare == 0 && !m.dot {
		m.dot = p[0] == '.' && (first || m.last == '\n') || bytes.Contains(p, lfDot)
	}
	m.octets += int64(len(p))
	m.last = p[len(p)-1]
	return len(p), nil
}

var lf, crlf, lfDot = []byte("\n"), []byte("\r\n"), []byte("\n.")

// ReadFrom adds all that r yields, through one buffer of fixed size.
func (m *Meter) ReadFrom(r io.Reader) (int64, error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	var total int64
	for idle := 0; ; {
		n, err := r.Read(buf[:])
		m.Write(buf[:n])
		total += int64(n)
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		case n > 0:
			idle = 0
		default:
			if idle++; idle == 100 {
				return total, io.ErrNoProgress
			}
		}
	}
}

// Octets returns the length of the text as it was written.
func (m *Meter) Octets() int64 { return m.octets }

// Size returns the octets of the text on the wire.
func (m *Meter) Size() int64 {
	size := m.octets + m.bare
	if m.octets > 0 && m.last != '\n' {
		size += int64(len(crlf))
	}
	return size
}

// WireReady reports whether the text is wire-ready; see [Content].
func (m *Meter) WireReady() bool {
	return m.bare == 0 && !m.dot && (m.octets == 0 || m.last == '\n')
}
