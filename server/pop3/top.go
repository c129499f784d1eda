package pop3

import (
	"bytes"
	"io"

	"kpopd/server"
)

// A top reads a message's header, the blank line and a number of lines of the
// body (RFC 1939 §7), and ends with [server.ErrPart] where its source goes on.
// From that it takes at most readAhead more than twice what it passes on.
type top struct {
	r      io.Reader
	lines  int  // of the body, still to come
	body   bool // the blank line has been passed
	part   part // what the current line of the header holds so far
	passed int  // octets
	done   bool
}

// readAhead is enough for most headers at once.
const readAhead = 8 << 10

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
		return 0, server.ErrPart
	}
	n, err := t.r.Read(p[:min(len(p), readAhead+t.passed)])
	n = t.take(p[:n])
	t.passed += n
	if t.done {
		err = server.ErrPart // whatever is behind
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
