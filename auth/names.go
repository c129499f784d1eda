package auth

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/unicode/norm"
)

// Bounds on what a client may show. RFC 4616 §2 wants 255 octets of each
// accepted; the longer passwords are for machines.
const (
	maxName     = 255
	maxSecret   = 1024
	maxMaildrop = 1024
)

// Prepare returns s prepared by SASLprep (RFC 4013), as RFC 4616 §2 asks
// before a name or password is compared. It reports false, and s as it is,
// where SASLprep forbids s: eight-bit text that is not UTF-8, characters newer
// than its tables, or nothing left. Whoever compares secrets tries the
// prepared form first and then s itself, because hashes made by other software
// are of the octets that were typed.
func Prepare(s string) (string, bool) {
	if isPrintableASCII(s) {
		return s, s != "" // SASLprep maps none of them
	}
	if !utf8.ValidString(s) {
		return s, false
	}
	prepared, err := stringprep.SASLprep.Prepare(s)
	if err != nil || prepared == "" {
		return s, false
	}
	return prepared, true
}

// IsProhibited reports whether s is no UTF-8 (RFC 3629) or has a character that
// SASLprep prohibits (RFC 4013 §2.3), private ones and those that turn the
// direction of a text among them. RFC 6856 §2.2 has such names refused, and such
// passwords in UTF-8. Characters newer than its tables are not prohibited: what
// a client writes is a query (RFC 3454 §7).
func IsProhibited(s string) bool {
	return !isPrintableASCII(s) && (!utf8.ValidString(s) || strings.ContainsFunc(s, isProhibited))
}

func isProhibited(r rune) bool {
	if _, nothing := stringprep.TableB1[r]; nothing {
		return false // it is mapped away before
	}
	for _, t := range [...]stringprep.Set{stringprep.TableC2_1, stringprep.TableC2_2, stringprep.TableC3, stringprep.TableC4,
		stringprep.TableC5, stringprep.TableC6, stringprep.TableC7, stringprep.TableC8, stringprep.TableC9} {
		if t.Contains(r) {
			return true
		}
	}
	return false
}

// Loose returns what all spellings have in common that a directory may take for
// one name. Active Directory compares by the sort keys of Windows, to which
// case, width and accents do not matter, nor what has no weight, so that Álice
// binds as alice. It is for counting by, and says nothing of who is who: two
// people may have the same.
func Loose(name string) string {
	letters := strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return -1 // above all the accents that NFKD takes off
		}
		return r
	}, strings.ToLower(norm.NFKD.String(name)))
	return likeASCII.Replace(letters)
}

// likeASCII are the letters that have no decomposition, and the weight of others.
var likeASCII = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "þ", "th", "ø", "o", "đ", "d", "ð", "d", "ł", "l", "ħ", "h", "ŧ", "t", "ı", "i", "ĸ", "k", "ŋ", "n")

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// IsName reports whether s may be the name of somebody, as a client writes it:
// UTF-8 of 1 to 255 octets without control characters or line separators.
func IsName(s string) bool { return isName(s, maxName) }

// isName reports whether s may be a name at all: not empty, UTF-8, at most max
// octets, and nothing that breaks a line of a log or ends a C string.
func isName(s string, max int) bool {
	return s != "" && len(s) <= max && IsText(s)
}

// IsText reports whether s may be shown to rules and in logs: UTF-8 without
// control characters or line separators. It may be empty.
func IsText(s string) bool { return utf8.ValidString(s) && strings.IndexFunc(s, breaksText) < 0 }

func breaksText(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp)
}

// UnescapeName returns the name that a saslname of a GS2 header stands for (RFC
// 5801 §4): a comma is =2C and an equals sign =3D, and nothing else is escaped.
// It reports false for any other escape, and for what is no name.
func UnescapeName(s string) (string, bool) {
	name := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s)
	escapes := strings.Count(s, "=2C") + strings.Count(s, "=3D")
	return name, strings.Count(s, "=") == escapes && IsName(name)
}
