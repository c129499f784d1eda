package maildir

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"kpopd/maildrop"
)

// maxUID is the longest unique-id that RFC 1939 §7 allows.
const maxUID = 70

// baseOf returns the part of a file's name that stays while the message lives:
// all before the first colon, behind which the flags are.
func baseOf(name string) string {
	base, _, _ := strings.Cut(name, ":")
	return base
}

func baseOfBytes(name []byte) []byte {
	base, _, _ := bytes.Cut(name, []byte(":"))
	return base
}

// uidOf returns the unique-id of the message with this base name: the base
// name itself where it fits RFC 1939 §7, else as [maildrop.Escape] maps it. Two
// base names never share one.
func uidOf(base string) string {
	if isPlain(base) {
		return base
	}
	return maildrop.Escape(base, maxUID, func(c byte) bool { return c >= 0x21 && c <= 0x7e })
}

// isPlain reports whether a base name is a unique-id as it stands. Of a million
// nearly all are.
func isPlain(base string) bool {
	if len(base) > maxUID {
		return false
	}
	for i := range len(base) {
		if c := base[i]; c < 0x21 || c > 0x7e || c == '%' {
			return false
		}
	}
	return true
}

// timeOf returns the delivery time in seconds that a Maildir name begins with;
// 0 where it begins with something else.
func timeOf(base string) uint64 {
	end := 0
	for end < len(base) && base[end] >= '0' && base[end] <= '9' {
		end++
	}
	if end == 0 {
		return 0
	}
	n, err := strconv.ParseUint(base[:end], 10, 64)
	if err != nil {
		return math.MaxUint64 // only out of range is left
	}
	return n
}

// sizesOf returns what a base name tells in its fields S=, octets as stored,
// and W=, octets on the wire, which those write who delivered and counted:
// Dovecot, Courier, [Store.Deliver]. -1: it does not. ok is false where there is
// no W, or none to believe: it must lie between S and what S octets can at most
// become.
func sizesOf(base string) (stored, size int64, ok bool) {
	stored, size = -1, -1
	for _, rest, more := strings.Cut(base, ","); more; {
		var field string
		field, rest, more = strings.Cut(rest, ",")
		switch {
		case strings.HasPrefix(field, "W=") && size < 0:
			size = octets(field[2:])
		case strings.HasPrefix(field, "S=") && stored < 0:
			stored = octets(field[2:])
		case strings.HasPrefix(field, "W="), strings.HasPrefix(field, "S="):
			return stored, size, false // which of the two?
		}
	}
	switch {
	case size < 0:
		return stored, size, false
	case stored == 0:
		return stored, size, size == 0
	case stored > 0:
		return stored, size, size >= stored && size <= 2*stored+2
	}
	return stored, size, true
}

// readyField, in a base name beside S= and W= that are the same, says that
// dot-stuffing adds no octets. Only [Store.Deliver] writes it, where all line
// ends are CRLF too: the text is wire-ready.
const readyField = ",D=0"

// readyOf reports whether a base name, whose size is believed, says that the
// text is wire-ready.
func readyOf(base string) bool {
	var s, w string
	ready := false
	_, fields, _ := strings.Cut(base, ",")
	for field := range strings.SplitSeq(fields, ",") {
		switch {
		case strings.HasPrefix(field, "S="):
			s = field[2:]
		case strings.HasPrefix(field, "W="):
			w = field[2:]
		case field == readyField[1:]:
			ready = true
		}
	}
	return ready && s != "" && s == w
}

// octets parses a size of at most 11 decimal digits, of which as many as a
// listing has room for have a sum; -1: it is none.
func octets(s string) int64 {
	if len(s) == 0 || len(s) > 11 {
		return -1
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}
