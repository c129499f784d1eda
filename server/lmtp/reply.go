package lmtp

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"kpopd/auth"
	"kpopd/maildrop"
)

// An Error is a negative reply. The client is told Code, Status and Text; Err
// is for the operator.
type Error struct {
	Code   int    // 4xx or 5xx (RFC 5321 §4.2.1)
	Status string // enhanced (RFC 3463), such as "5.1.1"
	Text   string // one line
	// Reason is for the log: a short stable word. Empty: what [auth.Reason]
	// says of Err.
	Reason string
	Err    error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// reason returns the word for the log.
func (e *Error) reason() string {
	if e.Reason != "" || e.Err == nil {
		return e.Reason
	}
	return auth.Reason(e.Err)
}

// Temporary reports whether the client shall try again.
func (e *Error) Temporary() bool { return e.Code < 500 }

// bad is a command that is refused for what it is.
func bad(code int, status, format string, a ...any) *Error {
	return &Error{Code: code, Status: status, Text: fmt.Sprintf(format, a...)}
}

// The errors of a text on its way.
var (
	// ErrTooLarge is a message beyond [Handler.MaxSize].
	ErrTooLarge = errors.New("lmtp: message is too large")
	// ErrSlow means that a message did not come within [Handler.DataTimeout].
	ErrSlow = errors.New("lmtp: the message took too long")
	// ErrLoop means that a message has been here before.
	ErrLoop = errors.New("lmtp: mail loop")
	// errReset is a message that the client gave up.
	errReset = errors.New("lmtp: given up by the client")
)

// AsError turns any error of a recipient or a delivery into the reply that it
// deserves. This is the one place where errors of the other packages become
// words of the protocol. overQuota is the reply to a maildrop that is full.
func AsError(err error, overQuota Error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	for _, r := range []struct {
		is    error
		reply Error
	}{
		{ErrTooLarge, Error{552, "5.3.4", "Message is too large", "message-too-large", err}},
		{ErrLoop, Error{554, "5.4.6", "Mail loop: this message was here before", "mail-loop", err}},
		{maildrop.ErrTooLarge, Error{552, "5.2.3", "Message is larger than the maildrop may be", "over-quota", err}},
		{maildrop.ErrQuota, Error{overQuota.Code, overQuota.Status, overQuota.Text, "over-quota", err}},
		{syscall.EDQUOT, Error{overQuota.Code, overQuota.Status, overQuota.Text, "over-quota", err}},
		{syscall.ENOSPC, Error{452, "4.3.1", "Not enough room on the disk", "disk-full", err}}, // RFC 3463 §3.4
		{maildrop.ErrName, Error{550, "5.1.1", "No such user here", "unacceptable-maildrop", err}},
		{auth.ErrUnavailable, Error{451, "4.3.0", "Temporary failure, try again later", "", err}},
		{auth.ErrCredentials, Error{451, "4.3.0", "Temporary failure, try again later", "", err}}, // a name of several people
		{auth.ErrDenied, Error{550, "5.1.1", "No such user here", "", err}},
		{auth.ErrUnknown, Error{550, "5.1.1", "No such user here", "", err}},
		{context.DeadlineExceeded, Error{451, "4.3.0", "Temporary failure, try again later", "delivery-timeout", err}},
	} {
		if errors.Is(err, r.is) {
			return &r.reply
		}
	}
	return &Error{451, "4.3.0", "Temporary failure, try again later", "delivery-failed", err}
}

// Full is the reply to a maildrop over its quota: temporary, so that the sender
// tries again until there is room, or for good.
func Full(permanent bool) Error {
	if permanent {
		return Error{Code: 552, Status: "5.2.2", Text: "The maildrop is full"}
	}
	return Error{Code: 452, Status: "4.2.2", Text: "The maildrop is full, try again later"}
}

// ok is a positive reply of one line.
func (s *session) ok(code int, status, format string, a ...any) error {
	s.c.Printf("%d %s %s\r\n", code, status, fmt.Sprintf(format, a...))
	return nil
}

// err sends a negative reply.
func (s *session) err(e *Error) { s.c.Printf("%d %s %s\r\n", e.Code, e.Status, e.Text) }
