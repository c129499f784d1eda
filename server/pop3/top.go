package pop3

import (
	"bytes"
	"io"
)

// A top reads a message's header, the blank line and a number of lines of the
// body, and no more than that from its source (RFC 1939 §7).
type top struct {
	r     io.Reader
	lines int  // of the body, still to come
	body  bool // the blank line has been passed
	part  part // what the current line of the header holds so far
	done  bool
}

// A part says what a line holds before its LF.
type part int

const (
	nothing part = iota
	onlyCR
	text
)

func newTop(r io.Reader, lines int) *top { return &top{r: r, lines: lines} }

func (t *top) Read(p []byte) (int, error) {
	if t.done {
		return 0, io.EOF
	}
	n, err := t.r.Read(p)
	n = t.take(p[:n])
	if t.done {
		err = io.EOF // whatever is behind
	}
	return n, err
}

// take returns how many octets of p belong to the top.
func (t *top) take(p []byte) int {
	for used := 0; used < len(p); {
		i := bytes.IndexByte(p[used:], '\n')
		if i < 0 {
			t.part = t.part.with(p[used:])
			return len(p)
		}
		t.endLine(p[used : used+i])
		used += i + 1
		if t.body && t.lines == 0 {
			t.done = true
			return used
		}
	}
	return len(p)
}

// endLine ends a line, whose last octets before the LF are end. The first line
// that is blank ends the header (RFC 5322 §2.1).
func (t *top) endLine(end []byte) {
	if t.body {
		t.lines--
		return
	}
	t.body = t.part.with(end) != text
	t.part = nothing
}

func (a part) with(p []byte) part {
	switch {
	case len(p) == 0:
		return a
	case a == nothing && len(p) == 1 && p[0] == '\r':
		return onlyCR
	}
	return text
}
