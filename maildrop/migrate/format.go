package migrate

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Format is Dovecot's setting pop3_uidl_format: text with variables, which
// are %u, the IMAP UID, %v, the UIDVALIDITY, %f, the base name, and %g, the
// GUID. Between the percent sign and the variable may stand an offset and a
// dot, a width, and modifiers, as the documentation of Dovecot 2.3 has it under
// "Variables". Of the language of Dovecot 2.4, %{uid}, %{uidvalidity},
// %{filename} and %{guid} are known, and " | hex(8)" in them.
//
// %m, which is for mboxes, is not known.
type Format struct{ parts []formatPart }

// DefaultFormat is Dovecot's default. %X gives lower-case letters.
const DefaultFormat = "%08Xu%08Xv"

// A formatPart is text, or a variable and what is done to it.
type formatPart struct {
	text, variable string
	modifiers      string
	offset, width  int
	pad            bool
	hex8           bool // Dovecot 2.4's
}

var formatVariables = map[string]string{"u": "uid", "v": "uidvalidity", "f": "filename", "g": "guid"}

// maxFormat bounds a format, and the numbers in it.
const maxFormat = 1000

// ParseFormat reads a format. What is not understood is an error.
func ParseFormat(s string) (f Format, err error) {
	if len(s) > maxFormat {
		return f, formatf("a pop3_uidl_format of %d octets", len(s))
	}
	for s != "" {
		text, rest, found := strings.Cut(s, "%")
		if text != "" {
			f.parts = append(f.parts, formatPart{text: text})
		}
		if s = rest; !found {
			break
		}
		p := formatPart{}
		if s, err = p.parse(s); err != nil {
			return Format{}, fmt.Errorf("pop3_uidl_format: %w", err)
		}
		f.parts = append(f.parts, p)
	}
	return f, nil
}

// parse reads [[-]offset.][width][modifiers]variable.
func (p *formatPart) parse(s string) (rest string, err error) {
	p.width, p.pad, s = number(s, "-0")
	if strings.HasPrefix(s, ".") {
		p.offset = p.width
		p.width, p.pad, s = number(s[1:], "0-")
	} else if p.width < 0 {
		p.width = -p.width // Dovecot does not look at the sign of a width alone
	}
	if max(p.width, -p.width, p.offset, -p.offset) > maxFormat {
		return "", formatf("a width or offset above %d", maxFormat)
	}
	end := 0
	for end < len(s) && end < 10 && strings.IndexByte("LUEXRHNMDT", s[end]) >= 0 {
		end++
	}
	p.modifiers = s[:end]
	return p.name(s[end:])
}

// number reads a number and what may stand before it, in the order of signs:
// a minus, and a zero, which means that a width pads.
func number(s, signs string) (n int, pad bool, rest string) {
	sign := 1
	for _, c := range []byte(signs) {
		if s == "" || s[0] != c {
			continue
		}
		if s = s[1:]; c == '-' {
			sign = -1
		} else {
			pad = true
		}
	}
	for s != "" && s[0] >= '0' && s[0] <= '9' && n <= maxFormat {
		n, s = 10*n+int(s[0]-'0'), s[1:]
	}
	return sign * n, pad, s
}

// name reads the variable.
func (p *formatPart) name(s string) (rest string, err error) {
	if s == "" {
		return "", formatf("it ends in a percent sign")
	}
	key, rest := s[:1], s[1:]
	switch key {
	case "%":
		p.text = "%"
		return rest, nil
	case "{":
		var ok bool
		if key, rest, ok = strings.Cut(rest, "}"); !ok {
			return "", formatf("there is no } behind %.40q", s)
		}
		if before, filter, piped := strings.Cut(key, "|"); piped && strings.TrimSpace(filter) == "hex(8)" {
			key, p.hex8 = strings.TrimSpace(before), true
		}
	default:
		key = formatVariables[key]
	}
	switch key {
	case "uid", "uidvalidity", "filename", "guid":
		p.variable = key
		return rest, nil
	}
	return "", formatf("no variable of Maildirs begins %.40q", "%"+s)
}

// expand makes the unique-id.
func (f Format) expand(values map[string]string) (string, error) {
	var b strings.Builder
	for i := range f.parts {
		p := &f.parts[i]
		b.WriteString(p.expand(p.text + values[p.variable]))
	}
	if b.Len() == 0 {
		return "", formatf("pop3_uidl_format makes an empty unique-id")
	}
	return b.String(), nil
}

func (p *formatPart) expand(v string) string {
	offset, width := p.offset, p.width
	if p.hex8 {
		n, _ := strconv.ParseUint(v, 10, 64)
		v = fmt.Sprintf("%08x", n)
	}
	for _, m := range []byte(p.modifiers) {
		v = modify(v, m, &offset, &width)
	}
	if offset < 0 && len(v) > -offset {
		v = v[len(v)+offset:]
	} else if offset > 0 {
		v = v[min(offset, len(v)):]
	}
	switch {
	case width == 0:
	case p.pad:
		if n := width - len(v); n > 0 {
			v = strings.Repeat("0", n) + v
		}
	case width < 0:
		v = v[:max(len(v)+width, 0)]
	default:
		v = v[:min(width, len(v))]
	}
	return v
}

// modify does what one modifier does. The hashes have a use of their own for
// offset and width: number of digits and modulus.
func modify(v string, m byte, offset, width *int) string {
	switch m {
	case 'L':
		return mapASCII(v, 'A', 'Z')
	case 'U':
		return mapASCII(v, 'a', 'z')
	case 'E':
		return strings.NewReplacer(`"`, `\"`, `'`, `\'`, `\`, `\\`).Replace(v)
	case 'X':
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			n = 0
		}
		return strconv.FormatUint(n, 16)
	case 'R':
		b := []byte(v)
		slices.Reverse(b)
		return string(b)
	case 'H':
		return hashed(uint64(oldHash(v)), offset, width)
	case 'N':
		sum := md5.Sum([]byte(v))
		return hashed(binary.BigEndian.Uint64(sum[:]), offset, width)
	case 'M':
		sum := md5.Sum([]byte(v))
		return hex.EncodeToString(sum[:])
	case 'D':
		return strings.ReplaceAll(v, ".", ",dc=")
	}
	return strings.TrimRight(v, " \t\n\v\f\r") // T
}

// mapASCII gives the letters of a range the other case.
func mapASCII(s string, from, to byte) string {
	b := []byte(s)
	for i, c := range b {
		if c >= from && c <= to {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

func hashed(n uint64, offset, width *int) string {
	if *width > 0 {
		n %= uint64(*width)
	}
	s := strconv.FormatUint(n&0xffffffff, 16)
	if pad := *offset - len(s); pad > 0 {
		s = strings.Repeat("0", pad) + s
	}
	*offset, *width = 0, 0
	return s
}

// oldHash is the hash of modifier H, P. J. Weinberger's.
func oldHash(s string) (h uint32) {
	for i := range len(s) {
		h = h<<4 + uint32(s[i])
		if g := h & 0xf0000000; g != 0 {
			h ^= g >> 24
			h ^= g
		}
	}
	return h
}
