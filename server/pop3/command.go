package pop3

import (
	"context"
	"strings"
)

// A state is a set of the session states of RFC 1939 §3. UPDATE is none of
// ours: QUIT enters and leaves it.
type state uint8

const (
	authorization state = 1 << iota
	transaction
	anyState = authorization | transaction
)

// rest as the greatest number of arguments: one argument, which is all that
// stands behind the space, other spaces included.
const rest = -1

// A command is a row: where it is valid, how many arguments it takes, and the
// method that does it. The method writes the positive reply; an error that it
// returns becomes the negative one.
type command struct {
	in       state
	min, max int
	run      func(*session, context.Context, []string) error
}

// commandFor returns the command that a keyword means. Keywords are ASCII and
// case does not matter (RFC 1939 §3).
func commandFor(keyword []byte) (command, bool) {
	var upper [4]byte // as long as the longest
	if len(keyword) > len(upper) {
		return command{}, false
	}
	for i, octet := range keyword {
		upper[i] = byte(upperASCII(rune(octet)))
	}
	switch string(upper[:len(keyword)]) {
	case "CAPA":
		return command{anyState, 0, 0, (*session).capa}, true
	case "LANG":
		return command{anyState, 0, 1, (*session).language}, true
	case "UTF8":
		return command{authorization, 0, 0, (*session).utf8Mode}, true
	case "QUIT":
		return command{anyState, 0, 0, (*session).quit}, true
	case "USER":
		return command{authorization, 1, rest, (*session).user}, true
	case "PASS":
		return command{authorization, 0, rest, (*session).pass}, true
	case "APOP":
		return command{authorization, 1, rest, (*session).apop}, true
	case "AUTH":
		return command{authorization, 0, 2, (*session).auth}, true
	case "STLS":
		return command{authorization, 0, 0, (*session).stls}, true
	case "STAT":
		return command{transaction, 0, 0, (*session).stat}, true
	case "LIST":
		return command{transaction, 0, 1, (*session).list}, true
	case "UIDL":
		return command{transaction, 0, 1, (*session).uidl}, true
	case "RETR":
		return command{transaction, 1, 1, (*session).retr}, true
	case "TOP":
		return command{transaction, 2, 2, (*session).top}, true
	case "DELE":
		return command{transaction, 1, 1, (*session).dele}, true
	case "RSET":
		return command{transaction, 0, 0, (*session).rset}, true
	case "*ENV":
		return command{transaction, 1, 1, (*session).env}, true
	case "NOOP":
		return command{transaction, 0, 0, (*session).noop}, true
	}
	return command{}, false
}

func upperASCII(r rune) rune {
	if 'a' <= r && r <= 'z' {
		return r - ('a' - 'A')
	}
	return r
}

// arguments splits what stands behind the keyword. RFC 1939 §3 has one space
// between arguments; clients that send more, or one at the end, are served.
func (cmd command) arguments(behind string) ([]string, *Error) {
	var args []string
	switch {
	case cmd.max != rest:
		args = strings.Fields(behind)
	case behind != "":
		args = []string{behind}
	}
	if len(args) < cmd.min || cmd.max >= 0 && len(args) > cmd.max {
		return nil, refuse("", "Wrong number of arguments")
	}
	return args, nil
}
