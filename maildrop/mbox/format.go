package mbox

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// A Format is a dialect of mbox: how a line of a message that begins with
// "From " is told from the From_ line that begins the next message.
type Format string

// The formats. Which one a file has cannot be seen in it.
const (
	// RD quotes lines that are "From " behind any number of ">" by one ">"
	// more, which is taken away when the message is read. The empty Format is
	// this one.
	RD Format = "mboxrd"
	// O quotes lines that begin with "From ", and takes no ">" away.
	O Format = "mboxo"
	// CL is O with a Content-Length that says where the body ends.
	CL Format = "mboxcl"
	// CL2 quotes nothing in bodies: a Content-Length says where they end. One
	// that leads neither to a From_ line nor to the end of the file does not
	// count.
	CL2 Format = "mboxcl2"
)

// Formats are the formats, the default first.
var Formats = []Format{RD, O, CL, CL2}

// counted: messages have a Content-Length.
func (f Format) counted() bool { return f == CL || f == CL2 }

// quotes reports whether a line gets a ">" when it is written: from begins with
// "From ", behind ran, whether there was a ">" before.
func (f Format) quotes(ran, header bool) bool {
	switch f {
	case O, CL:
		return !ran
	case CL2:
		return header
	}
	return true
}

// unquotes reports whether a ">" of such a line is taken away.
func (f Format) unquotes(header bool) bool {
	switch f {
	case O, CL:
		return false
	case CL2:
		return header
	}
	return true
}

// control are the header fields in which mail programs keep what is theirs
// about a message, and may change, add or remove at any time. They are no part
// of the message: a client is not shown them, and a unique-id does not depend
// on them.
var control = []string{
	"Status", "X-Status", "X-UID", "X-UIDL", "X-IMAP", "X-IMAPbase", "X-Keywords", "Content-Length", "Lines",
}

// controlField returns which of the control fields a header line is; "": none.
func controlField(line []byte) string {
	if len(line) == 0 {
		return ""
	}
	switch line[0] | 0x20 {
	case 's', 'x', 'c', 'l':
	default:
		return ""
	}
	name, _, ok := bytes.Cut(line[:min(len(line), 40)], []byte(":"))
	if !ok {
		return ""
	}
	name = bytes.TrimRight(name, " \t")
	for _, field := range control {
		if len(field) == len(name) && strings.EqualFold(field, string(name)) {
			return field
		}
	}
	return ""
}

// blankLine: the line is empty, whichever its end.
func blankLine(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

var from = []byte("From ")

// maxFrom is the longest From_ line.
const maxFrom = 1024

// fromLine reports whether line is a From_ line: "From ", a sender, which may
// hold spaces or be missing, and a date like that of asctime(3), with or
// without seconds and time zone, or one like that of RFC 822. What follows the
// date, such as "remote from host", does not matter.
//
// So do UW's c-client, mutt and Dovecot; like them it asks for no blank line
// before. A line of text that begins with "From " has no date where one belongs.
func fromLine(line []byte) bool {
	if len(line) > maxFrom || !bytes.HasPrefix(line, from) || line[len(line)-1] != '\n' {
		return false
	}
	words := bytes.Fields(line[len(from):])
	for i := range words {
		if date(words[i:]) {
			return true
		}
	}
	return false
}

// date reports whether words begin with a date.
func date(words [][]byte) bool {
	if len(words) < 4 || !oneOf(bytes.TrimSuffix(words[0], []byte(",")), "Sun Mon Tue Wed Thu Fri Sat") {
		return false
	}
	const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
	switch {
	case oneOf(words[1], months) && number(words[2], 1, 31, 2): // Tue Nov 24 12:10:45 [zone] 2026
		return clock(words[3]) && year(words[4:])
	case len(words) >= 5 && number(words[1], 1, 31, 2) && oneOf(words[2], months): // Tue, 24 Nov 2026 12:10:45
		return number(words[3], 0, 9999, 4) && clock(words[4])
	}
	return false
}

// year: a year is one of the next three words; time zones may stand before it.
func year(words [][]byte) bool {
	for _, w := range words[:min(len(words), 3)] {
		if len(w) == 4 && number(w, 1900, 9999, 4) {
			return true
		}
	}
	return false
}

// clock: hh:mm or hh:mm:ss.
func clock(w []byte) bool {
	parts := bytes.Split(w, []byte(":"))
	if len(parts) != 2 && len(parts) != 3 {
		return false
	}
	most := []int{23, 59, 61}
	for i, p := range parts {
		if !number(p, 0, most[i], 2) {
			return false
		}
	}
	return true
}

func number(w []byte, least, most, digits int) bool {
	if len(w) == 0 || len(w) > digits {
		return false
	}
	n := 0
	for _, c := range w {
		if c < '0' || c > '9' {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return n >= least && n <= most
}

func oneOf(w []byte, names string) bool {
	if len(w) != 3 {
		return false
	}
	for name := range strings.SplitSeq(names, " ") {
		if strings.EqualFold(name, string(w)) {
			return true
		}
	}
	return false
}

// newFrom returns the From_ line of a message that arrives now from sender; the
// date is UTC, as most would read it.
func newFrom(sender string, now time.Time) []byte {
	if sender == "" || len(sender) > maxFrom/2 {
		sender = "MAILER-DAEMON"
	}
	return fmt.Appendf(nil, "From %s %s\n", sender, now.UTC().Format(time.ANSIC))
}
