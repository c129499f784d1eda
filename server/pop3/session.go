package pop3

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"kpopd/auth"
	"kpopd/maildrop"
	"kpopd/server"
)

const (
	// lineMax is the longest command, its end included. RFC 2449 §4 asks for
	// 255 octets; long user names and app passwords get some more.
	lineMax = 512
	// saslMax is the longest line of an AUTH command and its answers. An
	// Active Directory ticket of 64 KB makes about 88,000 characters.
	saslMax = 128 << 10
	// badMax is how many commands that fail a client may send before it logs
	// in. fetchmail probes with a few.
	badMax = 20
	// failMax is how many refused logins one connection gets.
	failMax = 5
	// updateTimeout bounds the removal of messages at QUIT.
	updateTimeout = 5 * time.Minute
)

// A session is one client's conversation, owned by one goroutine.
type session struct {
	h *Handler
	c *server.Conn

	state    state
	greeting string         // the timestamp of APOP, "" for none
	proven   *auth.Identity // by KPOP, before the greeting
	name     string         // USER's argument, "" for none
	bad      int            // commands that failed before login
	failures int            // refused logins
	over     bool           // the client has quit, or is sent away
	utf8     bool           // the client has asked for UTF-8 mode
	lang     language       // of replies

	id    auth.Identity // from login on
	drop  *maildrop.Drop
	stats stats
}

// stats are what a session did, for the event at its end.
type stats struct {
	retrieved, deleted int
	octets             int64
	quit               bool  // by the client
	cut                cause // by us
}

// peer describes the connection as it is now, and whom KPOP has proven on it.
func (s *session) peer() auth.Peer {
	p := s.h.peer(s.c)
	p.Proven = s.proven
	return p
}

// greet sends the one line that opens the session (RFC 1939 §4).
func (s *session) greet() {
	s.state = authorization
	if s.h.Timestamp != nil && s.h.Auth != nil && s.proven == nil {
		s.greeting = s.h.Timestamp()
	}
	s.c.Printf("+OK %s\r\n", strings.TrimSpace(s.h.Hostname+" POP3 server ready "+s.greeting))
}

// run answers one command after the other.
func (s *session) run(ctx context.Context) error {
	for !s.over {
		line, err := s.c.ReadLineFunc(s.limit)
		switch {
		case err == nil:
			err = s.dispatch(ctx, line)
		case errors.Is(err, server.ErrLineTooLong):
			err = s.count(&Error{Text: "Line is too long", Err: err})
		case errors.Is(err, server.ErrNoMemory):
			err = noMemory(err)
		default:
			return err
		}
		if err := s.reply(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// limit is the longest line that may begin like this: SASL's initial response
// needs more than a command (RFC 5034 §4), but only before login.
func (s *session) limit(start []byte) int {
	if s.state == authorization && len(start) >= 5 && strings.EqualFold(string(start[:5]), "AUTH ") {
		return saslMax
	}
	return lineMax
}

// dispatch runs the command on a line. One without arguments allocates nothing
// here.
func (s *session) dispatch(ctx context.Context, line []byte) error {
	if err := s.stillLocked(); err != nil {
		return err
	}
	keyword, behind, _ := bytes.Cut(line, []byte(" "))
	cmd, ok := commandFor(keyword)
	if !ok || keyword[0] == '*' && s.h.SDPS == "" {
		return s.unknown(keyword)
	}
	if cmd.in&s.state == 0 {
		return s.count(refuse("", "Command is not valid in this state"))
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return s.count(refuse("", "Command contains NUL"))
	}
	args, bad := cmd.arguments(string(behind))
	if bad != nil {
		return s.count(bad)
	}
	return cmd.run(s, ctx, args)
}

func (s *session) unknown(keyword []byte) error {
	// fetchmail cancels an AUTH exchange that has been refused already.
	if string(keyword) == "*" {
		return refuse("", "Nothing to cancel")
	}
	return s.count(errUnknownCommand)
}

var errUnknownCommand = refuse("", "Unknown command")

// count counts a command that failed and ends a conversation that leads
// nowhere.
func (s *session) count(e *Error) *Error {
	if s.bad++; s.bad >= badMax && s.state == authorization {
		s.dismiss()
		return refuse("", "Too many commands that fail")
	}
	return e
}

func (s *session) dismiss() {
	s.over = true
	s.c.Linger()
}

// stillLocked ends the session as soon as it has lost its maildrop.
func (s *session) stillLocked() error {
	if s.drop == nil {
		return nil
	}
	select {
	case <-s.drop.Lost():
		s.dismiss()
		return s.taken(maildrop.ErrStale)
	default:
		return nil
	}
}

// taken answers who no longer has the maildrop.
func (s *session) taken(err error) *Error {
	s.stats.cut = cause{"lock-lost"}
	return &Error{CodeSysTemp, "The maildrop was taken from this session", err}
}

// quit ends the session. In the TRANSACTION state it enters UPDATE, the only
// place where anything is removed (RFC 1939 §6). Once QUIT has been read the
// update is done, whether or not the client hears of it.
func (s *session) quit(ctx context.Context, _ []string) error {
	s.over, s.stats.quit = true, true
	if s.state == authorization {
		return s.ok("Bye")
	}
	switch err := s.update(ctx); {
	case errors.Is(err, maildrop.ErrStale):
		return s.taken(err)
	case err != nil:
		return &Error{CodeSysTemp, "Some deleted messages not removed", err}
	}
	return s.ok("Bye")
}

func (s *session) update(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), updateTimeout)
	defer cancel()
	before := s.drop.Count()
	left, _ := s.drop.Stat()
	err := s.drop.Update(ctx)
	if err := s.drop.MarkSeen(ctx); err != nil {
		s.c.Log().WarnContext(ctx, "messages could not be marked as seen", "maildrop", s.drop.Name(), "err", err)
	}
	// The lock is free before the client hears of it: it may come right back.
	s.release()
	if before == left && err == nil {
		return nil
	}
	outcome := "marked" // how many of them are gone is not known
	if err == nil {
		outcome, s.stats.deleted = "deleted", before-left
	}
	s.c.Record(ctx, server.Event{Kind: server.EventUpdate, User: s.id.User, Maildrop: s.drop.Name(),
		Err: err, Attrs: []slog.Attr{slog.Int(outcome, before-left)}})
	return err
}

// close ends the session, whichever way it came. It removes nothing.
func (s *session) close(ctx context.Context) {
	if s.drop == nil {
		return
	}
	s.release()
	s.c.Record(ctx, server.Event{Kind: server.EventEnd, User: s.id.User, Maildrop: s.drop.Name(),
		Reason: s.stats.cut.reason, Attrs: []slog.Attr{
			slog.Bool("quit", s.stats.quit), slog.Int("retrieved", s.stats.retrieved),
			slog.Int64("octets", s.stats.octets), slog.Int("deleted", s.stats.deleted),
		}})
}

// release closes the maildrop. An error of it changes nothing for the client:
// what was removed is removed.
func (s *session) release() {
	s.c.Vacate()
	if err := s.drop.Close(); err != nil {
		s.c.Log().Error("closing the maildrop", "maildrop", s.drop.Name(), "err", err)
	}
}
