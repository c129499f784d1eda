package lmtp

import (
	"bytes"
	"io"
	"strings"
)

const (
	// fieldMax is how much of a header's line is looked at.
	fieldMax = 1024
	// hopsMax is how many Received fields a message may have. RFC 5321 §6.3
	// wants at least 100 to be taken.
	hopsMax = 100
	// tracesMax is how many Delivered-To fields are remembered.
	tracesMax = 2 * hopsMax
)

// A Header is a text, its lines ended by LF, that passes through on its way to
// the disk: the Return-Path fields of its header are left out, for the final
// delivery adds its own (RFC 5321 §4.4), and those are remembered that tell
// where it has been. All else goes through as it is.
type Header struct {
	// Sender is the address of the line of an mbox, "From address date", that
	// the text began with and that is left out; From: it had one.
	Sender string
	From   bool
	// ReturnPath is the value of the first Return-Path; "": there was none.
	ReturnPath string

	r    io.Reader
	line []byte // the beginning of the line that is not over yet
	out  []byte // to be read
	err  error  // of r

	over   bool // the header is
	first  bool // the first line was seen
	drop   bool // the field is left out
	passed bool // the line is longer than fieldMax, and has been dealt with
	hops   int
	traces []string // addresses in Delivered-To, below a Received
}

// NewHeader returns a Header of the text that r reads.
func NewHeader(r io.Reader) *Header { return &Header{r: r} }

// CheckLoop returns ErrLoop if the text has gone through too many servers, or
// has been delivered to this address before; "": to none. It is for when all of
// the header has been read.
func (h *Header) CheckLoop(rcpt string) error {
	if h.hops > hopsMax {
		return ErrLoop
	}
	for _, t := range h.traces {
		if rcpt != "" && strings.EqualFold(t, rcpt) {
			return ErrLoop
		}
	}
	return nil
}

// Read implements [io.Reader].
func (h *Header) Read(p []byte) (int, error) {
	for len(h.out) == 0 && h.err == nil {
		if h.over {
			return h.r.Read(p)
		}
		n, err := h.r.Read(p)
		h.out = h.out[:0]
		h.scan(p[:n])
		if h.err = err; err == io.EOF && !h.over {
			h.endLine() // one without an end
		}
	}
	n := copy(p, h.out)
	h.out = h.out[n:]
	if n == 0 {
		return 0, h.err
	}
	return n, nil
}

// scan takes a piece of the text.
func (h *Header) scan(b []byte) {
	for len(b) > 0 && !h.over {
		end := bytes.IndexByte(b, '\n') + 1
		part := b
		if end > 0 {
			part = b[:end]
		}
		b = b[len(part):]
		h.add(part)
		if end > 0 {
			h.endLine()
		}
	}
	h.out = append(h.out, b...)
}

// add takes a piece of a line. What is beyond fieldMax is not kept.
func (h *Header) add(part []byte) {
	if !h.passed {
		room := min(len(part), fieldMax-len(h.line))
		h.line = append(h.line, part[:room]...)
		if part = part[room:]; len(part) == 0 {
			return
		}
		h.field(h.line)
		h.emit(h.line)
		h.passed = true
	}
	h.emit(part)
}

// endLine ends a line.
func (h *Header) endLine() {
	if !h.passed && len(h.line) > 0 {
		h.field(h.line)
		h.emit(h.line)
	}
	h.line, h.passed = h.line[:0], false
}

func (h *Header) emit(b []byte) {
	if !h.drop {
		h.out = append(h.out, b...)
	}
}

// field looks at a line, or its first octets, and decides what becomes of it.
func (h *Header) field(line []byte) {
	first := !h.first
	h.first = true
	name, value, isField := bytes.Cut(line, []byte(":"))
	switch {
	case first && bytes.HasPrefix(line, []byte("From ")):
		words := bytes.Fields(line)
		h.From, h.drop = true, true
		if len(words) > 1 {
			h.Sender = string(words[1])
		}
		return
	case line[0] == ' ' || line[0] == '\t':
		return // of the field before (RFC 5322 §2.2.3)
	}
	name = bytes.TrimRight(name, " \t") // RFC 5322 §4.5: obsolete, but it occurs
	if !isField || !isFieldName(name) {
		h.over, h.drop = true, false
		return
	}
	h.drop = false
	h.named(strings.ToLower(string(name)), strings.TrimSpace(string(value)))
}

// isFieldName: RFC 5322 §2.2.
func isFieldName(name []byte) bool {
	return len(name) > 0 && bytes.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// named takes note of a field.
func (h *Header) named(name, value string) {
	switch name {
	case "return-path":
		h.drop = true
		if h.ReturnPath == "" {
			h.ReturnPath = value
		}
	case "received":
		h.hops++
	case "delivered-to":
		switch {
		case h.hops == 0: // of this delivery, by the agent that calls us
		case len(h.traces) == tracesMax:
			h.hops = hopsMax + 1
		default:
			h.traces = append(h.traces, value)
		}
	}
}
