package localname

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// compile compiles a POSIX extended regular expression, which finds the
// leftmost longest match. It is about octets, as in the C locale in which
// servers run; so is what it is matched with (toRunes).
func compile(expr string) (*regexp.Regexp, error) {
	text, err := translate(expr)
	if err != nil {
		return nil, fmt.Errorf("the regular expression %q: %w", expr, err)
	}
	re, err := regexp.CompilePOSIX(toRunes(text))
	if err != nil {
		return nil, fmt.Errorf("the regular expression %q cannot be used", expr)
	}
	return re, nil
}

// translate writes expr as package regexp reads it. In brackets, a backslash is
// one; outside, it is refused before letters and digits, to which POSIX gives
// no meaning, and others several.
func translate(expr string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; c {
		case '\\':
			i++
			if err := checkEscape(expr[i:]); err != nil {
				return "", err
			}
			b.WriteByte('\\')
			b.WriteByte(expr[i])
		case '[':
			end := bracketEnd(expr[i:])
			if end < 0 {
				return "", errors.New("a ] is missing")
			}
			b.WriteString(strings.ReplaceAll(expr[i:i+end], `\`, `\\`))
			i += end - 1
		case '{':
			if !interval.MatchString(expr[i:]) {
				return "", errors.New("a { that begins no {n}, {n,} or {n,m}")
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

var interval = regexp.MustCompile(`^\{[0-9]+(,[0-9]*)?\}`)

func checkEscape(s string) error {
	switch {
	case s == "":
		return errors.New("it ends in a backslash")
	case s[0] >= '1' && s[0] <= '9':
		return errors.New("back references are not supported")
	case s[0] >= 'a' && s[0] <= 'z', s[0] >= 'A' && s[0] <= 'Z', s[0] == '0', strings.IndexByte("<>`'", s[0]) >= 0, s[0] >= 0x80:
		return fmt.Errorf(`\%c has no meaning in POSIX`, s[0])
	}
	return nil
}

// bracketEnd is the length of the bracket expression that s begins with. A ]
// that comes first stands for itself, and [:class:] has one of its own. -1: it
// does not end.
func bracketEnd(s string) int {
	i := 1
	if strings.HasPrefix(s[i:], "^") {
		i++
	}
	if strings.HasPrefix(s[i:], "]") {
		i++
	}
	for i < len(s) {
		if s[i] == ']' {
			return i + 1
		}
		if s[i] == '[' && i+1 < len(s) && strings.IndexByte(":.=", s[i+1]) >= 0 {
			n := strings.Index(s[i+2:], s[i+1:i+2]+"]")
			if n < 0 {
				return -1
			}
			i += n + 4
			continue
		}
		i++
	}
	return -1
}

// toRunes makes a character of each octet, and toBytes an octet of each
// character.
func toRunes(s string) string {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

func toBytes(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteByte(byte(r))
	}
	return b.String()
}
