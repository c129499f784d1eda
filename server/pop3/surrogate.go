package pop3

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/mail"
	"regexp"
	"slices"
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
// and nobody has to read a message to know its size. Encoded words are longer than
// what they stand for: signatures, which hold no more anyway, and traces make
// room for them, where they are needed. Where there is no more room, a field has
// an underscore for each octet beyond ASCII. A header that became shorter is
// filled up.

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
	all, end := splitHeader(h.text)
	size := total(all)
	fields := make([][]byte, len(all))
	for i, f := range all {
		fields[i] = maskField(bytes.Clone(f))
	}
	encodeFields(fields, all, size-total(fields)+total(fields, isSpare))
	fields = makeRoom(fields, size)
	return append(bytes.Join(fill(fields, size-total(fields)), nil), end...), true
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

// total is the size of those of fields that which holds for, of all without it.
func total(fields [][]byte, which ...func([]byte) bool) (n int) {
	for _, f := range fields {
		if len(which) == 0 || which[0](f) {
			n += len(f)
		}
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

// addressed are the fields of RFC 6858 §2.1, and readable those of them and of
// §2.3, with what a person looks at first.
var (
	addressed = []string{"from", "to", "cc", "reply-to", "sender", "bcc", "resent-from", "resent-to", "resent-cc", "resent-sender", "resent-bcc", "return-path"}
	readable  = append([]string{"subject"}, addressed...)
)

// encodeFields writes those of all that are not ASCII into fields, in the words of
// RFC 2047, as far as there is room for more octets.
func encodeFields(fields, all [][]byte, room int) {
	for _, name := range readable {
		for i, f := range all {
			if fieldName(f) != name || isASCII(f) {
				continue
			}
			encoded := encodeField(f, name)
			if more := len(encoded) - len(fields[i]); more <= room {
				fields[i] = encoded
				room -= more
			}
		}
	}
}

func encodeField(f []byte, name string) []byte {
	if name == "subject" {
		return writeField(f, encodeWords(unfold(f)))
	}
	return writeField(f, encodeAddresses(unfold(f), name == "return-path"))
}

// maskField makes a field ASCII where it stands, or nothing of it where RFC 6858
// §2.4 removes it. Parameters are masked too (§2.2).
func maskField(f []byte) []byte {
	name := fieldName(f)
	switch {
	case isASCII(f), name == "", name == "subject", strings.HasPrefix(name, "content-"):
		return mask(f)
	case slices.Contains(addressed, name):
		return mask(address.ReplaceAllFunc(f, maskAddress))
	}
	return nil
}

// address is what may be an address, without the signs around it. Octets that are
// no UTF-8 belong to it as well.
var address = regexp.MustCompile(`[^\x00- <>,;:()"@]+@[^\x00- <>,;:()"@]+`)

// maskAddress makes an address nobody's, of the same length, if it is not ASCII.
func maskAddress(a []byte) []byte {
	const at = "@invalid" // RFC 2606 §2
	switch {
	case isASCII(a):
		return a
	case len(a) <= len(at):
		return bytes.Repeat([]byte("_"), len(a))
	}
	return append(mask(bytes.ReplaceAll(a[:len(a)-len(at)], []byte("@"), []byte("_"))), at...)
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

func isSpare(f []byte) bool {
	return slices.ContainsFunc(spare, func(prefix string) bool { return strings.HasPrefix(fieldName(f), prefix) })
}

// makeRoom takes away as many spare fields as there are too many octets, those
// that are missed least first.
func makeRoom(fields [][]byte, size int) [][]byte {
	over := total(fields) - size
	for _, prefix := range spare {
		fields = slices.DeleteFunc(fields, func(f []byte) bool {
			if over <= 0 || !strings.HasPrefix(fieldName(f), prefix) {
				return false
			}
			over -= len(f)
			return true
		})
	}
	return fields
}

// fill adds n octets to a header: a field, or where they are too few for one,
// spaces behind the colon of one. Where no field is left, one of at least five
// octets has gone.
func fill(fields [][]byte, n int) [][]byte {
	const name = "X-Padding: " // says the client nothing
	switch i := slices.IndexFunc(fields, func(f []byte) bool { return fieldName(f) != "" }); {
	case n == 0:
		return fields
	case n > len(name)+len("\r\n"):
		return append(fields, padding(name, n))
	case i < 0:
		return append(fields, []byte("X:"+strings.Repeat(" ", n-len("X:\r\n"))+"\r\n"))
	default:
		at := bytes.IndexByte(fields[i], ':') + 1
		fields[i] = slices.Concat(fields[i][:at], bytes.Repeat([]byte(" "), n), fields[i][at:])
		return fields
	}
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
