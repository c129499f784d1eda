package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"kpopd/auth"
	"kpopd/maildrop"
	"kpopd/server"
)

// passwords reports whether USER and PASS may be used now. In a KPOP session
// they carry no password, but the name of the maildrop and a word that does
// not matter.
func (s *session) passwords() bool {
	if s.proven != nil {
		return s.peer().Tickets
	}
	return s.h.Auth != nil && !s.h.NoUser && s.peer().Protected
}

// noPasswords says why USER, PASS and APOP cannot be used.
func (s *session) noPasswords() *Error {
	if s.proven == nil && (s.h.Auth == nil || s.h.NoUser) {
		return unoffered("Passwords are not accepted here, use another mechanism")
	}
	return s.needTLS()
}

func (s *session) needTLS() *Error {
	e := &Error{CodeSysPerm, "TLS is required here", auth.Refuse(auth.ErrDenied, "tls-required")}
	if s.c.OffersTLS() {
		e.Text = "TLS is required here, use STLS first"
	}
	return e
}

func unoffered(text Text) *Error {
	return &Error{CodeSysPerm, text, auth.Refuse(auth.ErrDenied, "not-offered")}
}

// barred records that somebody would log in by what he may not use, so that
// the log says why, and returns the reply.
func (s *session) barred(ctx context.Context, user, mechanism string, e *Error) error {
	s.c.Record(ctx, server.Event{Kind: server.EventRefused, User: clip(user), Mechanism: mechanism, Reason: auth.Reason(e), Err: e})
	return s.count(e)
}

// firstWord is what the log may have of a name that nobody asked for: what is
// behind may be a password in the wrong place.
func firstWord(name string) string {
	first, _, _ := strings.Cut(name, " ")
	return first
}

// user takes the name for PASS. It answers the same for every name, so that
// nobody learns which of them exist (RFC 1939 §13).
func (s *session) user(ctx context.Context, args []string) error {
	name := strings.TrimRight(args[0], " ")
	if !s.passwords() {
		return s.barred(ctx, firstWord(name), "USER", s.noPasswords())
	}
	if name == "" {
		return s.count(refuse("", "USER needs a name"))
	}
	s.name = name
	return s.ok("Send PASS")
}

// pass takes the password, inner and trailing spaces included (RFC 1939 §7).
func (s *session) pass(ctx context.Context, args []string) error {
	name := s.name
	s.name = ""
	switch {
	case !s.passwords():
		return s.count(s.noPasswords())
	case name == "":
		return s.count(refuse("", "USER comes first"))
	case s.proven != nil:
		return s.passKPOP(ctx, name)
	}
	secret := auth.Secret(strings.Join(args, ""))
	if s.utf8 && auth.IsProhibited(string(secret)) {
		secret = noPassword // RFC 6856 §2.2
	}
	return s.login(ctx, "USER", name, auth.Password{User: name, Secret: secret})
}

// noPassword is nobody's. A client in UTF-8 mode that sends what is none there
// is answered as for any other wrong password, at the price of one. Without that
// mode octets are octets: there are passwords from before UTF-8.
const noPassword auth.Secret = "\x00"

// apop takes a name and the digest of the greeting's timestamp and a shared
// secret (RFC 1939 §7).
func (s *session) apop(ctx context.Context, args []string) error {
	name, digest := cutLast(strings.TrimRight(args[0], " "))
	if s.greeting == "" {
		return s.barred(ctx, firstWord(name), "APOP", unoffered("APOP is not offered here"))
	}
	if !s.peer().Protected {
		return s.barred(ctx, firstWord(name), "APOP", s.needTLS())
	}
	if name == "" || len(digest) != 32 {
		return s.count(refuse("", "APOP needs a name and a digest"))
	}
	return s.login(ctx, "APOP", name, auth.APOP{User: name, Timestamp: s.greeting, Digest: digest})
}

func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", s
	}
	return strings.TrimRight(s[:i], " "), s[i+1:]
}

// login checks a credential and opens the maildrop.
func (s *session) login(ctx context.Context, mechanism, name string, cred auth.Credential) error {
	return s.c.Deep(func() error {
		ctx, cancel := context.WithDeadline(ctx, s.c.LoginDeadline())
		defer cancel()
		id, err := s.h.Auth.Authenticate(ctx, s.peer(), cred)
		if err != nil {
			return s.refused(ctx, auth.Identity{User: name, Mechanism: mechanism}, err)
		}
		id.Mechanism = mechanism
		return s.enter(ctx, id)
	})
}

// enter opens the maildrop of a proven identity and begins the TRANSACTION
// state.
func (s *session) enter(ctx context.Context, id auth.Identity) error {
	grant, err := s.h.Grant(ctx, id, s.peer())
	if err == nil && grant.Impersonates {
		err = s.impersonate(ctx, id, grant)
	}
	if err != nil {
		return s.refused(ctx, id, err)
	}
	if !s.c.Occupy(occupant(id, grant)) {
		return s.refused(ctx, id, errTooManySessions)
	}
	drop, err := s.h.Open(maildrop.WithHolder(ctx, s.holder(id)), grant)
	if err != nil {
		s.c.Vacate()
		return s.refused(ctx, id, unopened{err})
	}
	s.id, s.drop, s.state, s.name = id, drop, transaction, ""
	s.c.LoggedIn()
	n, octets := drop.Stat()
	s.c.Record(ctx, server.Event{Kind: server.EventLogin, User: id.User, Maildrop: drop.Name(),
		Mechanism: id.Mechanism, Source: id.Source, Attrs: append(proof(id),
			slog.String("tls", s.tlsVersion()), slog.Int("messages", n))})
	return s.ok("%d messages (%d octets)", n, octets)
}

// An unopened is why a maildrop could not be opened.
type unopened struct{ error }

func (u unopened) Unwrap() error { return u.error }

// holder says for whom a maildrop is locked.
func (s *session) holder(id auth.Identity) maildrop.Holder {
	return maildrop.Holder{User: id.User, Mechanism: id.Mechanism, Client: s.c.Client(), Listener: s.c.Listener(), Conn: s.c.ID}
}

// occupant is whose connection it is, of those that are counted by user. Who acts
// as others has as many for each of them: webmail does it for everybody.
func occupant(id auth.Identity, g auth.Grant) string {
	if g.Impersonates {
		return strings.ToLower(id.User) + "\x00" + strings.ToLower(id.Authzid)
	}
	return strings.ToLower(id.User)
}

// errTooManySessions answers a user who has as many connections as he may.
var errTooManySessions = &Error{CodeSysTemp, "Too many connections of this user, try again later",
	auth.Refuse(auth.ErrUnavailable, "too-many-sessions")}

// impersonate records that somebody acts as another, before he does. What
// cannot be recorded does not happen.
func (s *session) impersonate(ctx context.Context, id auth.Identity, g auth.Grant) error {
	err := s.c.Record(ctx, server.Event{Kind: server.EventImpersonation, User: id.User, Maildrop: g.Maildrop,
		Mechanism: id.Mechanism, Source: id.Source, Attrs: append(proof(id), slog.String("rule", g.Rule))})
	if err != nil {
		return auth.Refuse(fmt.Errorf("%w: the record of an impersonation: %w", auth.ErrUnavailable, err), "audit-unavailable")
	}
	return nil
}

// tlsVersion is for the log: who still uses what.
func (s *session) tlsVersion() string {
	if state := s.c.TLS(); state != nil {
		return tls.VersionName(state.Version)
	}
	return "none"
}

// proof tells what proved somebody, and what he asked for.
func proof(id auth.Identity) []slog.Attr {
	var attrs []slog.Attr
	for _, key := range []string{"principal", "subject", "serial"} {
		if value := id.Attrs[key]; value != "" {
			attrs = append(attrs, slog.String(key, server.Clip(value, len(value))))
		}
	}
	if id.Recipient != "" {
		attrs = append(attrs, slog.String("recipient", clip(id.Recipient)))
	}
	if id.Authzid != "" {
		attrs = append(attrs, slog.String("authzid", clip(id.Authzid)))
	}
	return attrs
}

// refused records a login that failed and returns its reply. The client learns
// the code; the operator learns the cause.
func (s *session) refused(ctx context.Context, id auth.Identity, err error) error {
	reply := asReply(err)
	reason := auth.Reason(err)
	switch {
	case reply.Code == CodeInUse:
		reason = "in-use"
	case reply.Code == CodeLoginDelay:
		reason = "login-delay"
	case errors.Is(err, maildrop.ErrStorm):
		reason = "unique-ids-would-change"
	case reason == "internal" && errors.As(err, new(unopened)):
		reason = "maildrop-unreadable"
	}
	s.c.Record(ctx, server.Event{Kind: server.EventRefused, User: clip(id.User), Mechanism: id.Mechanism,
		Source: id.Source, Reason: reason, Err: err, Attrs: proof(id)})
	// A maildrop in use or an outage is not the client's guess.
	if reply.Code == CodeAuth {
		if s.failures++; s.failures >= failMax {
			s.dismiss()
		}
		s.hold(ctx, id.User)
	}
	return reply
}

// hold holds the reply to a refused login back, so that guessing is slow. It
// looks the same whether or not the user exists. What was said before goes out
// at once, and a client that leaves meanwhile, or says that it will send no
// more, has lost its turn. KPOP, which has one try a connection, is answered at
// once.
func (s *session) hold(ctx context.Context, user string) {
	if s.h.Hold == nil || s.state != authorization {
		return
	}
	_, account := auth.SplitLogin(user, s.h.SDPS)
	d, done, ok := s.h.Hold(s.peer(), account)
	defer done()
	if !ok || d > 0 && !s.c.Pause(ctx, d) {
		s.dismiss()
	}
}

// clip makes a name that a client made up fit for the log.
func clip(name string) string { return server.Clip(name, 128) }

// stls begins TLS (RFC 2595 §4). Whatever the client said before has no
// effect any more: it comes from nobody. What the transport proved, the ticket
// of KPOP, stays.
func (s *session) stls(ctx context.Context, _ []string) error {
	if !s.c.OffersTLS() {
		if s.c.TLS() != nil {
			return s.count(refuse("", "TLS is in use already"))
		}
		return s.count(refuse("", "TLS is not offered here"))
	}
	line := "+OK " + s.words("Begin TLS")
	s.name, s.bad, s.failures, s.utf8, s.lang = "", 0, 0, false, language{}
	if err := s.c.StartTLS(ctx, line); err != nil {
		return ended{err}
	}
	return nil
}
