package mbox

import (
	"bytes"
	"errors"
	"io"
)

// A filter turns the text of a message as it is stored into the message: it
// leaves out control fields, and takes quotes away.
type filter struct {
	format  Format
	body    bool // the header has ended
	hidden  bool // the line belongs to a control field
	length  bool // and that is Content-Length
	held    bool // the first ">" of the line is kept back
	changed bool // something was left out
}

// visible calls out with what is to be seen of a piece.
func (f *filter) visible(p piece, out func([]byte)) {
	if p.first && !f.body {
		f.field(p)
	}
	switch {
	case f.hidden:
		f.changed = true
		return
	case p.first && p.quotes && f.format.unquotes(!f.body):
		f.held = true
		p.text = p.text[1:]
	case p.head && f.held:
		f.held = false
		if bytes.HasPrefix(p.text, from) {
			f.changed = true
		} else {
			out(quote)
		}
	}
	out(p.text)
}

var quote = []byte(">")

// field looks at the beginning of a line in the header.
func (f *filter) field(p piece) {
	switch {
	case p.head && blankLine(p.text):
		f.body, f.hidden = true, false
	case p.head && (p.text[0] == ' ' || p.text[0] == '\t'): // RFC 5322 §2.2.3
		// Nobody folds a length, and a message that begins with a space may
		// follow the one that a delivery put on top.
		f.hidden = f.hidden && !f.length
	default:
		name := ""
		if p.head {
			name = controlField(p.text)
		}
		f.hidden, f.length = name != "", name == "Content-Length"
	}
}

// end is called at the end of the text.
func (f *filter) end(out func([]byte)) {
	if f.held {
		out(quote)
		f.held = false
	}
}

// A reader reads a message through a filter.
type reader struct {
	filter
	lex *lexer
	buf []byte // all that was filtered last
	out []byte // what of it is to be read yet
	err error
}

func newReader(text io.Reader, format Format) *reader {
	return &reader{filter: filter{format: format}, lex: newLexer(text)}
}

// Close frees the reader, not what it reads. It is idempotent.
func (r *reader) Close() error {
	r.lex.free()
	r.err = io.ErrClosedPipe
	return nil
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	for len(r.out) == 0 && r.err == nil {
		r.fill()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	if n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}

// fill filters a few lines.
func (r *reader) fill() {
	r.buf = r.buf[:0]
	keep := func(text []byte) { r.buf = append(r.buf, text...) }
	for len(r.buf) < bufferSize/2 && r.err == nil {
		p, err := r.lex.next()
		if err != nil {
			r.err = err
			if errors.Is(err, io.EOF) {
				r.end(keep)
			}
			break
		}
		r.visible(p, keep)
	}
	r.out = r.buf
}
