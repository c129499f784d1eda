package lmtp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest parts of an address that are taken; RFC 5321 §4.5.3.1 wants 64
// octets of local part and 255 of domain.
const (
	maxLocal  = 255
	maxDomain = 255
)

// An Address is a mailbox of an envelope (RFC 5321 §4.1.2), unquoted. The zero
// Address is the null reverse-path.
type Address struct {
	Local  string
	Domain string // empty: none was written, as in <Postmaster>
}

// String returns the address as it stands in an envelope, without brackets.
func (a Address) String() string {
	local := a.Local
	if !isDotString(local) && local != "" {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// IsASCII reports whether the address needs no SMTPUTF8 (RFC 6531).
func (a Address) IsASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// ParsePath parses a path in angle brackets, <local@domain> or <>, and returns
// what follows it. A source route is passed over (RFC 5321 §4.1.2).
func ParsePath(s string) (a Address, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, "<")
	if !ok {
		return a, "", false
	}
	if rest, ok = strings.CutPrefix(s, ">"); ok {
		return a, rest, true
	}
	if strings.HasPrefix(s, "@") {
		if _, s, ok = strings.Cut(s, ":"); !ok {
			return a, "", false
		}
	}
	if a.Local, s, ok = cutLocal(s); !ok {
		return a, "", false
	}
	if behind, at := strings.CutPrefix(s, "@"); at {
		end := strings.IndexByte(behind, '>')
		if end < 0 || !isDomain(behind[:end]) {
			return a, "", false
		}
		a.Domain, s = behind[:end], behind[end:]
	}
	rest, ok = strings.CutPrefix(s, ">")
	return a, rest, ok
}

// ParseAddress parses an address without brackets, or in them.
func ParseAddress(s string) (Address, bool) {
	if !strings.HasPrefix(s, "<") {
		s = "<" + s + ">"
	}
	a, rest, ok := ParsePath(s)
	return a, ok && rest == ""
}

// cutLocal cuts the local part from s, and unquotes it.
func cutLocal(s string) (local, rest string, ok bool) {
	if s, quoted := strings.CutPrefix(s, `"`); quoted {
		return cutQuoted(s)
	}
	end := strings.IndexAny(s, "@>")
	if end < 0 || !isDotString(s[:end]) || end > maxLocal {
		return "", "", false
	}
	return s[:end], s[end:], true
}

// cutQuoted cuts the rest of a quoted string.
func cutQuoted(s string) (local, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() <= maxLocal; i++ {
		switch s[i] {
		case '"':
			local = b.String()
			return local, s[i+1:], local != "" && isPrintable(local)
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// isDotString is as lenient about dots as the mailboxes that exist: "a..b" and
// "a." are taken.
func isDotString(s string) bool {
	return s != "" && isPrintable(s) && !strings.ContainsAny(s, " \"(),:;<>@[\\]")
}

// isDomain takes host names and address literals. Underscores occur.
func isDomain(s string) bool {
	if s == "" || len(s) > maxDomain || !isPrintable(s) {
		return false
	}
	if inner, literal := strings.CutPrefix(s, "["); literal {
		inner, closed := strings.CutSuffix(inner, "]")
		return closed && inner != "" && strings.Trim(inner, "0123456789abcdefABCDEFIPv:.") == ""
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._", r)
	}) < 0
}

// isPrintable: UTF-8 of which nothing breaks a line, ends a string, or turns
// the direction of what follows.
func isPrintable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }) < 0
}
