package pop3

import (
	"bytes"
	"io"
	"mime"
	"slices"
	"strings"
)

// Parts reads the body of a message and writes an underscore for each octet
// beyond ASCII in the headers of its parts (RFC 2046 §5.1), and in that of a
// message in it: names of files most of all. No octet is added or taken away,
// and what parts hold stays as it is: 8bit is not bound to UTF-8 mode
// (RFC 6856 §2.1).
type parts struct {
	r          io.Reader
	delimiters []string // lines that begin a part
	line       []byte   // how the current line begins
	header     bool     // it is in the header of a part
	text       []byte   // of that header, as far as it is looked at
}

// newParts returns a reader of r, a body beneath header.
func newParts(r io.Reader, header []byte) *parts {
	p := &parts{r: r}
	p.begin(mask(bytes.Clone(header)))
	return p
}

// isOnlyOne reports whether the message has no parts but itself.
func (p *parts) isOnlyOne() bool { return len(p.delimiters) == 0 && !p.header }

// begin begins the body that is beneath header.
func (p *parts) begin(header []byte) {
	kind, boundary := contentType(header)
	p.header = strings.HasPrefix(kind, "message/") && kind != "message/partial" && kind != "message/external-body"
	if strings.HasPrefix(kind, "multipart/") && boundary != "" && len(boundary) < delimMax && len(p.delimiters) < partsMax {
		p.delimiters = append(p.delimiters, "--"+boundary)
	}
	p.text = p.text[:0]
}

// contentType returns the media type that a header announces, and its boundary.
func contentType(header []byte) (kind, boundary string) {
	fields, _ := splitHeader(header)
	for _, f := range fields {
		if fieldName(f) == "content-type" {
			kind, params, _ := mime.ParseMediaType(unfold(f))
			return kind, params["boundary"]
		}
	}
	return "", ""
}

// Read implements [io.Reader].
func (p *parts) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	for rest := b[:n]; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			p.take(rest)
			break
		}
		p.take(rest[:end])
		p.endLine()
		rest = rest[end:]
	}
	return n, err
}

// take takes some of a line.
func (p *parts) take(b []byte) {
	p.line = appendMost(p.line, b, delimMax)
	if p.header {
		p.text = appendMost(p.text, mask(b), partMax)
	}
}

func appendMost(dst, b []byte, most int) []byte {
	return append(dst, b[:min(len(b), most-len(dst))]...)
}

// endLine ends a line: a blank one ends a header, and a delimiter begins one.
func (p *parts) endLine() {
	line := p.line
	p.line = p.line[:0]
	if p.header && len(bytes.TrimRight(line, "\r\n")) == 0 {
		p.begin(p.text)
		return
	}
	if slices.Contains(p.delimiters, string(bytes.TrimRight(line, " \t\r\n"))) {
		p.header, p.text = true, p.text[:0]
	}
}
