package pop3

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"kpopd/auth"
	"kpopd/maildrop"
	"kpopd/server"
)

// A Clear says what may prove somebody on a connection without TLS.
type Clear int

// The values of Clear. Passwords never cross in the clear by default
// (RFC 8314 §4.1); a Kerberos ticket reveals nothing and may.
const (
	ClearTickets Clear = iota
	ClearNone
	ClearAny
)

// A Handler is the POP3 service of one listener. All fields are set before it
// serves.
type Handler struct {
	// Hostname stands in the greeting.
	Hostname string
	// Grant says which maildrop a proven identity may open: it applies the
	// account rules. Its errors are those of auth.
	Grant func(context.Context, auth.Identity, auth.Peer) (auth.Grant, error)
	// Open takes the lock of a maildrop and opens the store, or the part of it
	// that is granted. Its errors are those of maildrop.
	Open func(context.Context, auth.Grant) (*maildrop.Drop, error)
	// Auth checks the credentials of USER and PASS, and of APOP. nil: neither
	// is offered.
	Auth auth.Authenticator
	// NoUser: USER and PASS are not offered, though there is an Auth.
	NoUser bool
	// Mechanisms are what AUTH offers.
	Mechanisms auth.Mechanisms
	// Timestamp makes the greeting's timestamp. nil: no APOP. See
	// [NewTimestamp].
	Timestamp func() string
	// Admit, where it is set, proves the client before the greeting: KPOP. An
	// *Error of its own is sent as it is, and one without a text closes the
	// connection without a word.
	Admit func(context.Context, *server.Conn, auth.Peer) (auth.Identity, error)
	// Clear says what may be used without TLS.
	Clear Clear
	// SDPS is what divides user and host in a login name of Demon's Standard
	// Dial-up POP3 Service, such as "@+". Empty: it is not spoken.
	SDPS string
	// Language is the tag of the language that LANG * selects, one for which
	// [IsLanguage] holds. Empty: "en".
	Language string
	// UTF8Messages is what clients without UTF-8 mode get of messages that need
	// it.
	UTF8Messages UTF8Policy
	// Policies are those on which somebody may have a maildrop, for what CAPA
	// says before it is known who logs in. nil: there are no terms.
	Policies []maildrop.Policy
	// Hold says how long the answer to a refused login of a user, as far as he
	// is known, is held back; done ends that time. ok is false where the client
	// should be answered and sent away instead. nil: none is held back.
	Hold func(p auth.Peer, user string) (d time.Duration, done func(), ok bool)
}

var _ server.Handler = (*Handler)(nil)

// Serve speaks POP3 on c until the client quits or the connection ends.
func (h *Handler) Serve(ctx context.Context, c *server.Conn) error {
	s := &session{h: h, c: c}
	defer s.close(ctx)
	if err := s.admit(ctx); err != nil {
		return err
	}
	s.greet()
	return s.run(ctx)
}

// peer describes the connection as it is now to the authentication chain.
func (h *Handler) peer(c *server.Conn) auth.Peer {
	p := h.PeerOf(c.TLS() != nil)
	p.Addr, p.Local, p.Unix = c.Addr, c.Local, c.Unix
	p.TLS, p.Certificate, p.ClientError = c.TLS(), c.Certificate(), c.ClientError()
	return p
}

// PeerOf describes a client of whom no more is known than whether its
// connection has TLS.
func (h *Handler) PeerOf(secure bool) auth.Peer {
	return auth.Peer{
		Separators: h.SDPS,
		Protected:  secure || h.Clear == ClearAny,
		Tickets:    secure || h.Clear != ClearNone,
	}
}

// NewTimestamp returns a Timestamp for [Handler]: an RFC 822 msg-id that
// nobody can predict and that no two connections share (RFC 1939 §7). What a
// client may be led to answer is the point of attacks on APOP's MD5, so it
// holds 128 random bits.
func NewTimestamp(hostname string) func() string {
	return func() string {
		return fmt.Sprintf("<%s.%d@%s>", rand.Text(), time.Now().Unix(), hostname)
	}
}
