package maildrop

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxName bounds the length of a maildrop's name in octets.
const maxName = 512

// CheckName returns nil for a name that every store takes, else an error that
// wraps ErrName. A name is UTF-8 of at most 512 octets without control
// characters: components of at most 200 octets separated by single slashes,
// none of which is empty or begins with a dot. So it is a local path without
// "." and "..", and cannot mean a hidden directory or the folders that Maildir
// users keep beside their inbox (".Sent").
func CheckName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("%w: %d octets", ErrName, len(name))
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, control) {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	for component := range strings.SplitSeq(name, "/") {
		if component == "" || component[0] == '.' || len(component) > maxComponent {
			return fmt.Errorf("%w: %q", ErrName, name)
		}
	}
	return nil
}

// maxComponent leaves room below NAME_MAX, 255 octets.
const maxComponent = 200

// control: C0, DEL and C1.
func control(r rune) bool { return r < 0x20 || r >= 0x7f && r <= 0x9f }
