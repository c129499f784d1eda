package maildrop

import "io"

// Measure reads a stored message and returns its size in octets on the wire
// and whether it is wire-ready as it stands; see [Message] and [Content].
//
// The rule, for any octets at all: an LF that no CR precedes becomes CRLF, and
// a text that is not empty and does not end in LF gets a final CRLF. All else,
// a bare CR and NUL too, goes out as it is. Dot-stuffing is not counted.
func Measure(r io.Reader) (size int64, wireReady bool, err error) {
	panic("to be written")
}
