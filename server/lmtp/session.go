package lmtp

import (
	"context"
	"errors"
	"strings"

	"kpopd/auth"
	"kpopd/server"
)

const (
	// lineMax is the longest command, its end included: RFC 5321 §4.5.3.1.4
	// has 512 octets, RFC 1870 and 6531 add to it.
	lineMax = 2048
	// badMax is how many commands that make no sense a client may send.
	badMax = 20
)

// A session is one client's conversation, owned by one goroutine.
type session struct {
	h *Handler
	c *server.Conn

	client string // its name for itself, "" before LHLO
	bad    int    // commands that make no sense
	over   bool   // the client has quit, or is sent away
	mail   *transaction
}

// A command is a method that does it and writes the positive reply; an error
// that it returns becomes the negative one.
type command func(s *session, ctx context.Context, args string) error

// commandFor returns the command that a verb, in upper case, means.
func commandFor(verb string) command {
	switch verb {
	case "LHLO":
		return (*session).lhlo
	case "MAIL":
		return (*session).mailFrom
	case "RCPT":
		return (*session).rcptTo
	case "DATA":
		return (*session).data
	case "BDAT":
		return (*session).bdat
	case "RSET":
		return (*session).rset
	case "NOOP":
		return (*session).noop
	case "VRFY":
		return (*session).vrfy
	case "STARTTLS":
		return (*session).startTLS
	case "QUIT":
		return (*session).quit
	}
	return nil
}

// run answers one command after the other.
func (s *session) run(ctx context.Context) error {
	for !s.over {
		if s.leave() {
			return s.c.Flush()
		}
		line, err := s.c.ReadLine(lineMax)
		switch {
		case err == nil && s.leave(): // it changed while the client was silent
			return s.c.Flush()
		case err == nil:
			s.c.Idle(false)
			err = s.dispatch(ctx, string(line))
		case errors.Is(err, server.ErrLineTooLong), errors.Is(err, server.ErrNoMemory):
			err = s.wrong(bad(500, "5.5.2", "Line is too long"))
		default:
			return err
		}
		if err := s.reply(err); err != nil {
			return err
		}
	}
	return nil
}

// leave ends the session, between two messages, where the server stops or its
// configuration is another by now (RFC 5321 §3.8).
func (s *session) leave() bool {
	if s.mail != nil || s.c.Idle(true) && !s.h.retired.Load() {
		return false
	}
	s.c.Printf("421 4.3.2 %s closes this connection, come again\r\n", s.h.Hostname)
	s.c.Linger()
	return true
}

// ended is an error after which nothing more can be said.
type ended struct{ error }

func (e ended) Unwrap() error { return e.error }

// reply answers a command that ended with err. It returns an error when the
// session is over.
func (s *session) reply(err error) error {
	if e, ok := errors.AsType[ended](err); ok {
		return e.error
	}
	if err != nil {
		s.err(AsError(err, s.h.OverQuota))
	}
	return nil
}

// dispatch runs the command on a line.
func (s *session) dispatch(ctx context.Context, line string) error {
	verb, args, _ := strings.Cut(line, " ")
	verb, args = strings.ToUpper(verb), strings.TrimSpace(args)
	cmd := commandFor(verb)
	switch {
	case strings.IndexByte(line, 0) >= 0:
		return s.wrong(bad(500, "5.5.2", "Command contains NUL"))
	case verb == "HELO" || verb == "EHLO": // RFC 2033 §4.1
		return s.wrong(bad(500, "5.5.1", "This is LMTP: say LHLO"))
	case cmd == nil:
		return s.unknown()
	case s.client == "" && verb != "LHLO" && verb != "NOOP" && verb != "RSET" && verb != "QUIT":
		return s.wrong(bad(503, "5.5.1", "Say LHLO first"))
	case s.h.NeedsTLS && s.c.TLS() == nil && !clearVerb(verb): // RFC 3207 §4
		return s.wrong(bad(530, "5.7.0", "Start TLS first"))
	}
	return cmd(s, ctx, args)
}

func clearVerb(verb string) bool {
	return verb == "LHLO" || verb == "NOOP" || verb == "RSET" || verb == "QUIT" || verb == "STARTTLS"
}

// unknown answers what is no command. Before LHLO it is no client of ours, but
// a browser perhaps, which somebody has send commands in a form.
func (s *session) unknown() error {
	if s.client == "" {
		s.dismiss()
	}
	return s.wrong(bad(500, "5.5.1", "Unknown command"))
}

// wrong counts a command that makes no sense and ends a conversation that leads
// nowhere.
func (s *session) wrong(e *Error) *Error {
	if s.bad++; s.bad >= badMax {
		s.dismiss()
		return bad(421, "4.7.0", "Too many commands that make no sense")
	}
	return e
}

func (s *session) dismiss() {
	s.over = true
	s.c.Linger()
}

// peer describes the connection to the account rules.
func (s *session) peer() auth.Peer {
	return auth.Peer{Addr: s.c.Addr, Local: s.c.Local, Unix: s.c.Unix, TLS: s.c.TLS(), Certificate: s.c.Certificate()}
}

func (s *session) lhlo(_ context.Context, name string) error {
	if name == "" {
		return s.wrong(bad(501, "5.5.4", "LHLO needs a name"))
	}
	s.client, s.mail = name, nil
	s.c.LoggedIn()
	s.c.Printf("250-%s\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n", s.h.Hostname)
	if s.c.OffersTLS() {
		s.c.Printf("250-STARTTLS\r\n")
	}
	s.c.Printf("250-LIMITS RCPTMAX=%d\r\n250 SIZE %d\r\n", s.h.maxRecipients(), s.h.MaxSize) // RFC 9422, RFC 1870 §3
	return nil
}

func (s *session) rset(_ context.Context, _ string) error {
	s.mail = nil
	return s.ok(250, "2.0.0", "Forgotten")
}

func (s *session) noop(_ context.Context, _ string) error { return s.ok(250, "2.0.0", "Done nothing") }

// vrfy says nothing of anybody (RFC 5321 §7.3).
func (s *session) vrfy(_ context.Context, _ string) error {
	return s.ok(252, "2.5.2", "RCPT will tell")
}

func (s *session) quit(_ context.Context, _ string) error {
	s.over, s.mail = true, nil
	return s.ok(221, "2.0.0", "Bye")
}

// startTLS switches to TLS. What was said before is forgotten (RFC 3207 §4.2).
func (s *session) startTLS(ctx context.Context, args string) error {
	switch {
	case args != "":
		return s.wrong(bad(501, "5.5.4", "STARTTLS has no arguments"))
	case !s.c.OffersTLS():
		return s.wrong(bad(503, "5.5.1", "There is no TLS here, or it has begun"))
	}
	s.client, s.mail = "", nil
	if err := s.c.StartTLS(ctx, "220 2.0.0 Go ahead"); err != nil {
		return ended{err}
	}
	return nil
}
