package maildrop

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Escape maps s to a text of octets that keep accepts, '%', and upper-case
// hexadecimal digits: every other octet, and '%' itself, becomes %XX. Two
// different texts never meet. A result longer than max octets gives way to
// "%-" and the SHA-256 of s in hexadecimal, 66 octets, which no escaped text
// begins with, because a digit follows every '%' in those. An s that needs no
// escape is returned as it is, without a copy.
//
// keep must accept the digits, 'A' to 'F' and, where s may be long, '-' and
// 'a' to 'f'; max is at least 66.
func Escape(s string, max int, keep func(byte) bool) string {
	n := len(s)
	for i := range len(s) {
		if s[i] == '%' || !keep(s[i]) {
			n += 2
		}
	}
	switch {
	case n > max:
		sum := sha256.Sum256([]byte(s))
		return "%-" + hex.EncodeToString(sum[:])
	case n == len(s):
		return s
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(n)
	for i := range len(s) {
		if c := s[i]; c == '%' || !keep(c) {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
