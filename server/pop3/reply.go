package pop3

import (
	"context"
	"errors"
	"fmt"

	"kpopd/auth"
	"kpopd/maildrop"
)

// A Code is an extended response code (RFC 2449 §8), without its brackets.
type Code string

// The codes that this server sends.
const (
	CodeInUse      Code = "IN-USE"      // RFC 2449 §8.1.2
	CodeLoginDelay Code = "LOGIN-DELAY" // RFC 2449 §8.1.1
	CodeAuth       Code = "AUTH"        // RFC 3206 §5
	CodeSysTemp    Code = "SYS/TEMP"    // RFC 3206 §4
	CodeSysPerm    Code = "SYS/PERM"    // RFC 3206 §4
	CodeUTF8       Code = "UTF8"        // RFC 6856 §5
)

// An Error is a negative reply. The client is told Code and Text; Err is for
// the operator.
type Error struct {
	Code Code // empty: none
	Text Text // less than 500 octets, not beginning with '['
	Err  error
}

func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.says(string(e.Text))
	case e.Text == "":
		return e.Err.Error()
	}
	return e.says(string(e.Text)) + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// says puts the numbers that Err has into words, of Text or of its translation.
func (e *Error) says(words string) string {
	if t, ok := errors.AsType[*maildrop.TooSoonError](e.Err); ok {
		return fmt.Sprintf(words, seconds(t.Delay), seconds(t.Left))
	}
	return words
}

func refuse(code Code, text Text) *Error { return &Error{Code: code, Text: text} }

// ended is an error after which nothing more can be said.
type ended struct{ error }

func (e ended) Unwrap() error { return e.error }

// The texts of a refused login. fetchmail takes "lock", "wait" and "service
// unavailable" in such a text for a server that is busy, so that no text but
// that of IN-USE has them.
const (
	textAuth    = "Authentication failed"
	textInUse   = "Maildrop is in use by another session, it is locked"
	textSysTemp = "Temporary failure, try again later"
)

// asReply turns any error into the reply that it deserves. This is the one
// place where errors of the other packages become words of the protocol.
func asReply(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[*maildrop.TooSoonError](err); ok {
		return &Error{CodeLoginDelay, "Minimum time between logins is %d seconds, log in again in %d", err}
	}
	switch {
	case errors.Is(err, maildrop.ErrNoMessage):
		return &Error{Text: "No such message", Err: err}
	case errors.Is(err, maildrop.ErrDeleted):
		return &Error{Text: "Message is deleted", Err: err}
	case errors.Is(err, maildrop.ErrVanished):
		return &Error{CodeSysTemp, "Message is gone or has changed", err}
	case errors.Is(err, maildrop.ErrLocked):
		return &Error{CodeInUse, textInUse, err}
	case errors.Is(err, maildrop.ErrName), errors.Is(err, maildrop.ErrNotExist):
		return &Error{CodeSysPerm, "This account has no maildrop here", err}
	case errors.Is(err, auth.ErrUnavailable):
		return &Error{CodeSysTemp, textSysTemp, err}
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrDenied), errors.Is(err, auth.ErrUnknown):
		return &Error{CodeAuth, textAuth, err}
	}
	return &Error{CodeSysTemp, textSysTemp, err}
}

// ok begins or is a positive reply.
func (s *session) ok(format Text, a ...any) error {
	s.c.WriteString("+OK ")
	if words := s.words(format); len(a) == 0 {
		s.c.WriteString(words)
	} else {
		s.c.Printf(words, a...)
	}
	s.c.WriteString("\r\n")
	return nil
}

// err sends a negative reply.
func (s *session) err(e *Error) {
	s.c.WriteString("-ERR ")
	if e.Code != "" {
		s.c.Printf("[%s] ", e.Code)
	}
	s.c.WriteString(e.says(s.words(e.Text)))
	s.c.WriteString("\r\n")
}

// reply answers a command that ended with err. It returns an error when the
// session is over.
func (s *session) reply(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[ended](err); ok {
		return e.error
	}
	e := asReply(err)
	if e.Code == CodeSysTemp && e.Err != nil && s.state == transaction {
		s.c.Log().ErrorContext(ctx, "command failed", "maildrop", s.drop.Name(), "err", e.Err)
	}
	s.err(e)
	return nil
}
