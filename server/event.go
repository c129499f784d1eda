package server

import (
	"context"
	"log/slog"
	"strings"
	"unicode"
)

// An EventKind names what happened.
type EventKind string

// The events of a mail session.
const (
	EventTLS     EventKind = "tls"     // a TLS handshake succeeded; Err: but the client's certificate is not good
	EventLogin   EventKind = "login"   // somebody was proven and has a maildrop
	EventRefused EventKind = "refused" // somebody was not let in
	EventUpdate  EventKind = "update"  // QUIT removed messages, or could not
	EventEnd     EventKind = "end"     // a session with a maildrop is over
	// EventImpersonation is that somebody is about to open the maildrop of
	// somebody else. Who cannot be recorded doing so may not.
	EventImpersonation EventKind = "impersonation"
	// EventDelivery is that a message was delivered to a recipient, or with an
	// Err was not.
	EventDelivery EventKind = "delivery"
	// EventExpired is that a message was removed because it was too old, and
	// EventPurged because its time in quarantine was over; EventRestored that one
	// came back from there. They happen on no connection.
	EventExpired  EventKind = "expired"
	EventPurged   EventKind = "purged"
	EventRestored EventKind = "restored"
	// EventAccepted is that an administrator has accepted other unique-ids in a
	// maildrop than were served last.
	EventAccepted EventKind = "accepted"
)

// An Event is something that an operator wants to know, once. No field may
// hold a secret.
type Event struct {
	Kind EventKind
	// User is the proven or, in a refusal, the claimed name; Maildrop the name
	// of the maildrop.
	User, Maildrop string
	// Mechanism and Source say how the user was proven and by whom.
	Mechanism, Source string
	// Reason is why not, in a short stable word; Err in full.
	Reason string
	Err    error
	// Attrs are further facts, of the kind.
	Attrs []slog.Attr
}

// A Recorder takes events, those of no connection with a nil Conn. It is safe
// for concurrent use and does not wait, but for an EventImpersonation and what
// happens on no connection, until it is written or ctx ends. An error says that
// the event is not kept; the Recorder has reported it.
type Recorder interface {
	Record(ctx context.Context, c *Conn, e Event) error
}

// Record logs e for this connection and gives it to the server's Recorder,
// whose error it returns.
func (c *Conn) Record(ctx context.Context, e Event) error {
	c.logEvent(ctx, e)
	if r := c.srv.Recorder; r != nil {
		return r.Record(ctx, c, e)
	}
	return nil
}

// LogAttrs returns what is set in e as log attributes.
func (e Event) LogAttrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 8+len(e.Attrs))
	for _, f := range [...]struct{ key, value string }{
		{"user", e.User}, {"maildrop", e.Maildrop}, {"mechanism", e.Mechanism},
		{"source", e.Source}, {"reason", e.Reason},
	} {
		if f.value != "" {
			attrs = append(attrs, slog.String(f.key, f.value))
		}
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("err", e.Err.Error()))
	}
	return append(attrs, e.Attrs...)
}

// Clip makes text that a client made up fit for a record of one line: it is cut
// at max octets, and what does not print, or turns the direction of what
// follows, is replaced.
func Clip(text string, max int) string {
	if len(text) > max {
		text = text[:max] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

func (c *Conn) logEvent(ctx context.Context, e Event) {
	level := slog.LevelInfo
	switch {
	case e.Kind == EventRefused || e.Err != nil:
		level = slog.LevelWarn
	case e.Kind == EventTLS:
		level = slog.LevelDebug // the login says it again
	}
	c.log.LogAttrs(ctx, level, string(e.Kind), e.LogAttrs()...)
}
