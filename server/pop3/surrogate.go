package pop3

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/mail"
	"strings"
	"unicode/utf8"

	"kpopd/maildrop"
	"kpopd/server"
)

// A surrogate stands for a message that needs UTF-8 mode, as RFC 6858 has it:
// subjects and display names become encoded words (RFC 2047), addresses that
// mail without RFC 6531 cannot reach become invalid ones, and other fields that
// are not ASCII go.
//
// It has as many octets as the message itself. So LIST is right in either mode,
// and nobody has to read a message to know its size. The header is filled up
// where it became shorter; where it became longer, signatures, which hold no
// more anyway, and traces make room; and if they cannot, there is no surrogate.

const (
	headMax  = 64 << 10 // the longest header that is made over
	partMax  = 16 << 10 // of a part's header, that is looked at
	partsMax = 64       // multiparts in each other and in a row
	delimMax = 128      // of a line that may be a delimiter; RFC 2046 §5.1.1 has 74
)

// nobody is who stands for an address that cannot be written in ASCII.
const nobody = "invalid@internationalized-address.invalid"

// A head is the header of a message, with its blank line.
type head struct {
	text     []byte // as it is stored; no more than headMax
	whole    bool   // text is all of it
	eightBit bool   // it has octets beyond ASCII
}

func readHead(r io.Reader) (head, error) {
	h := head{whole: true}
	_, err := io.Copy(&h, newTop(r, 0))
	if errors.Is(err, server.ErrPart) {
		err = nil // the body
	}
	return h, err
}

// Write adds p to the header.
func (h *head) Write(p []byte) (int, error) {
	h.eightBit = h.eightBit || !isASCII(p)
	if h.whole = h.whole && len(h.text)+len(p) <= headMax; h.whole {
		h.text = append(h.text, p...)
	}
	return len(p), nil
}

func isASCII(p []byte) bool {
	for _, b := range p {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// surrogate makes a surrogate of c, whose header is h. It reports false where
// there is none.
func (h *head) surrogate(c maildrop.Content) (maildrop.Content, bool, error) {
	body := newParts(c, h.text)
	if !h.eightBit {
		if body.isOnlyOne() {
			return c, true, nil
		}
		c.ReadCloser = readCloser{body, c}
		return c, true, nil
	}
	top, ok := h.downgrade()
	if !ok {
		return c, false, nil
	}
	if _, err := io.CopyN(io.Discard, c, int64(len(h.text))); err != nil {
		return c, false, maildrop.ErrVanished // it is another than before
	}
	c.ReadCloser = readCloser{io.MultiReader(bytes.NewReader(top), body), c}
	return c, true, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// downgrade returns a header that takes the place of h: ASCII, with CRLF, and as
// long as h is on the wire.
func (h *head) downgrade() ([]byte, bool) {
	if !h.whole {
		return nil, false
	}
	var fields [][]byte
	all, end := splitHeader(h.text)
	for _, f := range all {
		if !isASCII(f) {
			f = downgradeField(f)
		}
		if f != nil {
			fields = append(fields, f)
		}
	}
	size := total(all)
	fields = makeRoom(fields, size)
	fields, ok := fill(fields, size-total(fields))
	return append(bytes.Join(fields, nil), end...), ok
}

// splitHeader splits a header into its fields, each with the lines that continue
// it, and its end, the blank line if it has one. All lines end in CRLF.
func splitHeader(text []byte) (fields [][]byte, end []byte) {
	for line := range bytes.Lines(text) {
		if bare := bytes.TrimSuffix(line, []byte("\n")); !bytes.HasSuffix(line, []byte("\r\n")) {
			line = append(bytes.Clone(bare), '\r', '\n')
		}
		switch n := len(fields) - 1; {
		case len(line) == 2:
			return fields, line
		case n >= 0 && (line[0] == ' ' || line[0] == '\t'):
			fields[n] = append(fields[n], line...)
		default:
			fields = append(fields, bytes.Clone(line))
		}
	}
	return fields, nil
}

func total(fields [][]byte) (n int) {
	for _, f := range fields {
		n += len(f)
	}
	return n
}

// fieldName is the name of a field in lower case, or "" where it is none.
func fieldName(f []byte) string {
	name, _, ok := bytes.Cut(f, []byte(":"))
	if !ok || bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return strings.ToLower(string(name))
}

// unfold is the body of a field on one line. What is no UTF-8 is taken for ISO
// 8859-1, as it was meant most often.
func unfold(f []byte) string {
	_, value, _ := bytes.Cut(f, []byte(":"))
	value = bytes.TrimSpace(bytes.ReplaceAll(value, []byte("\r\n"), nil))
	if utf8.Valid(value) {
		return string(value)
	}
	runes := make([]rune, len(value))
	for i, b := range value {
		runes[i] = rune(b)
	}
	return string(runes)
}

// downgradeField returns a field in ASCII, or nil where RFC 6858 §2.4 removes it.
func downgradeField(f []byte) []byte {
	name := fieldName(f)
	switch name {
	case "subject": // RFC 6858 §2.3
		return writeField(f, encodeWords(unfold(f)))
	case "from", "sender", "reply-to", "to", "cc", "bcc", "return-path",
		"resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc": // §2.1
		return writeField(f, encodeAddresses(unfold(f), name == "return-path"))
	}
	if name == "" || strings.HasPrefix(name, "content-") { // §2.2: parameters
		return mask(f)
	}
	return nil
}

// writeField writes a field with another value. A line with an encoded word has
// no more than 76 characters (RFC 2047 §2).
func writeField(f []byte, value string) []byte {
	name, _, _ := bytes.Cut(f, []byte(":"))
	first, _, _ := strings.Cut(value, "\r\n")
	between := ": "
	if len(name)+len(between)+len(first) > 76 {
		between = ":\r\n "
	}
	return []byte(string(name) + between + value + "\r\n")
}

// encodeWords encodes a text by RFC 2047, whichever way is shorter. Words that
// are encoded already are not encoded again.
func encodeWords(text string) string {
	if plain, err := new(mime.WordDecoder).DecodeHeader(text); err == nil {
		text = plain
	}
	q, b := mime.QEncoding.Encode("utf-8", text), mime.BEncoding.Encode("utf-8", text)
	if len(b) < len(q) {
		q = b
	}
	return foldWords(q)
}

// foldWords puts each encoded word on a line of its own. In a quoted string a line
// may be folded too (RFC 5322 §3.2.4).
func foldWords(s string) string {
	return strings.NewReplacer("?= =?", "?=\r\n =?", "?= <", "?=\r\n <").Replace(s)
}

// encodeAddresses writes a list of addresses in ASCII. An address that is not
// ASCII is shown as a name, in front of one that is nobody's. bare: without names.
func encodeAddresses(text string, bare bool) string {
	list, err := mail.ParseAddressList(text)
	if err != nil {
		list = []*mail.Address{{Name: text, Address: nobody}}
	}
	var out []string
	for _, a := range list {
		if !isASCII([]byte(a.Address)) {
			if a.Name == "" {
				a.Name = a.Address
			}
			a.Address = nobody
		}
		if bare {
			a.Name = ""
		}
		out = append(out, foldWords(a.String()))
	}
	return strings.Join(out, ",\r\n ")
}

// mask writes an underscore for each octet beyond ASCII.
func mask(p []byte) []byte {
	for i, b := range p {
		if b >= utf8.RuneSelf {
			p[i] = '_'
		}
	}
	return p
}

// spare are the beginnings of the names of fields that are missed least: a header
// that has been changed has none of its signatures any more.
var spare = []string{"dkim-", "domainkey-", "arc-", "authentication-results", "received-spf", "x-", "list-", "thread-", "received"}

// makeRoom takes away as many spare fields as it needs to have no more than size
// octets, if it can.
func makeRoom(fields [][]byte, size int) [][]byte {
	over := total(fields) - size
	for _, prefix := range spare {
		var kept [][]byte
		for _, f := range fields {
			if over > 0 && strings.HasPrefix(fieldName(f), prefix) {
				over -= len(f)
				continue
			}
			kept = append(kept, f)
		}
		fields = kept
	}
	return fields
}

// fill adds n octets to a header: a field, or where they are too few for one,
// spaces behind the colon of one.
func fill(fields [][]byte, n int) ([][]byte, bool) {
	const name = "X-Padding: " // says the client nothing
	switch {
	case n == 0:
		return fields, true
	case n > len(name)+len("\r\n"):
		return append(fields, padding(name, n)), true
	}
	for i, f := range fields {
		if at := bytes.IndexByte(f, ':') + 1; n > 0 && fieldName(f) != "" {
			fields[i] = bytes.Join([][]byte{f[:at], bytes.Repeat([]byte(" "), n), f[at:]}, nil)
			return fields, true
		}
	}
	return fields, false
}

// padding is a field of n octets in lines of no more than 78 characters.
func padding(name string, n int) []byte {
	const line = 60
	f := append(make([]byte, 0, n), name...)
	for n -= len(f) + len("\r\n"); n > line+len("\r\n "); n -= line + len("\r\n ") {
		f = append(append(f, strings.Repeat("-", line)...), "\r\n "...)
	}
	return append(append(f, strings.Repeat("-", n)...), "\r\n"...)
}
