package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
)

// bufferSize bounds what is kept of a line.
const bufferSize = 64 << 10

// A piece is a part of a line.
type piece struct {
	text []byte // until the next piece is asked for
	// first: the line begins here.
	first bool
	// quotes: it is a run of ">" from the line's beginning, or a part of one.
	quotes bool
	// head: the line begins here, but for a run of ">"; there was one if ran.
	// Text is the whole line with its end, or at least 5 octets, or the last.
	head, ran bool
}

// A lexer cuts a text into pieces, however long its lines are.
type lexer struct {
	r   *bufio.Reader
	mid bool // within a line, behind its head
	ran bool // behind a run of ">"
}

var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }}

// newLexer returns a lexer of r, which is freed after use.
func newLexer(r io.Reader) *lexer {
	l := &lexer{r: buffers.Get().(*bufio.Reader)}
	l.r.Reset(r)
	return l
}

// free gives the buffer back. It is idempotent.
func (l *lexer) free() {
	if l.r == nil {
		return
	}
	l.r.Reset(nil)
	buffers.Put(l.r)
	l.r = nil
}

// next returns the next piece; io.EOF after the last.
func (l *lexer) next() (piece, error) {
	if !l.mid {
		if run, err := l.run(); run > 0 || err != nil {
			return l.quotes(run, err)
		}
	}
	text, err := l.r.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) && (len(text) == 0 || err != io.EOF) {
		return piece{}, err
	}
	p := piece{text: text, first: !l.mid && !l.ran, head: !l.mid, ran: l.ran}
	l.mid = text[len(text)-1] != '\n'
	l.ran = false
	return p, nil
}

// run returns how many of the buffered octets are ">".
func (l *lexer) run() (int, error) {
	if b, err := l.r.Peek(1); err != nil || b[0] != '>' {
		return 0, err
	}
	b, _ := l.r.Peek(l.r.Buffered())
	return len(b) - len(bytes.TrimLeft(b, ">")), nil
}

func (l *lexer) quotes(run int, err error) (piece, error) {
	if err != nil {
		return piece{}, err
	}
	text, _ := l.r.Peek(run)
	l.r.Discard(run)
	p := piece{text: text, first: !l.ran, quotes: true}
	l.ran = true
	return p, nil
}
