package pop3

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kpopd/auth"
	"kpopd/server"
)

// roundsMax bounds an exchange that does not end. GSSAPI takes three rounds.
const roundsMax = 10

// auth is the AUTH command (RFC 5034 §4): without an argument it lists the
// mechanisms, as Outlook and old clients ask.
func (s *session) auth(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return s.listMechanisms()
	}
	name := strings.Map(upperASCII, args[0])
	mech := s.h.Mechanisms.Find(name, s.peer())
	if mech == nil {
		return s.barred(ctx, "", namable(name), s.noMechanism(name))
	}
	var first []byte // nil: no initial response
	if len(args) == 2 {
		var err error
		if first, err = decode(args[1]); err != nil {
			return s.count(malformed(textBase64, err))
		}
	}
	return s.c.Deep(func() error { return s.converse(ctx, mech, name, first) })
}

// converse has a mechanism prove the client, and opens the maildrop.
func (s *session) converse(ctx context.Context, mech auth.Mechanism, name string, first []byte) error {
	ctx, cancel := context.WithDeadline(ctx, s.c.LoginDeadline())
	defer cancel()
	ex := mech.Start(ctx, s.peer())
	if err := s.exchange(ex, first); err != nil {
		return s.notProven(ctx, ex, name, err)
	}
	id := ex.Identity()
	if s.proven == nil { // else it was proven before, by KPOP, and rules go by that
		id.Mechanism = name
	}
	if err := s.enter(ctx, id); err != nil {
		return err
	}
	return s.startLayer(ex)
}

// mechanisms are those that the log names though they are not offered.
var mechanisms = []string{"ANONYMOUS", "CRAM-MD5", "DIGEST-MD5", "EXTERNAL", "GSS-SPNEGO", "GSSAPI", "LOGIN", "NTLM", "OAUTHBEARER",
	"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", "XOAUTH2"}

// namable returns a mechanism's name for the log. Any other word may be a
// password in the wrong place.
func namable(mechanism string) string {
	if slices.Contains(mechanisms, mechanism) {
		return mechanism
	}
	return "AUTH"
}

// noMechanism says why a mechanism cannot be used.
func (s *session) noMechanism(name string) *Error {
	e := unoffered("This mechanism is not offered here")
	if errors.Is(s.h.Offers(name, s.peer()), ErrNeedsTLS) {
		e.Err = s.needTLS().Err
	}
	return e
}

func (s *session) listMechanisms() error {
	s.ok("Mechanisms follow")
	for _, name := range s.h.Mechanisms.Usable(s.peer()) {
		s.c.Printf("%s\r\n", name)
	}
	s.c.Printf(".\r\n")
	return nil
}

// exchange carries challenges and responses until the mechanism is done.
func (s *session) exchange(ex auth.Exchange, response []byte) error {
	for range roundsMax {
		challenge, done, err := ex.Next(response)
		if err != nil {
			return err
		}
		// POP3 has no data with success: it goes as one more challenge, whose
		// answer is empty (RFC 5034 §4).
		if done && len(challenge) == 0 {
			return nil
		}
		if response, err = s.ask(challenge); err != nil {
			return orRejection(ex, err)
		}
		if done {
			if len(response) > 0 {
				return auth.Refuse(auth.ErrCredentials, "answer-to-success")
			}
			return nil
		}
	}
	return auth.Refuse(auth.ErrCredentials, "too-many-rounds")
}

// orRejection is err, of the answer to a challenge, unless the exchange was
// refused before. RFC 7628 §3.2.3 has a client answer that challenge, but some
// cancel, some send what is no base64, and some go away.
func orRejection(ex auth.Exchange, err error) error {
	r, ok := ex.(auth.Rejecter)
	if !ok || r.Rejected() == nil {
		return err
	}
	if e, ok := errors.AsType[ended](err); ok {
		return rejected{r.Rejected(), e}
	}
	return r.Rejected()
}

// rejected is a refusal that nobody is there to hear.
type rejected struct {
	refusal error
	ended
}

// ask sends a challenge and returns the client's response. The space behind
// "+" is there without a challenge too: several clients insist on it.
func (s *session) ask(challenge []byte) ([]byte, error) {
	s.c.Printf("+ %s\r\n", base64.StdEncoding.EncodeToString(challenge))
	line, err := s.c.ReadLine(saslMax)
	if err != nil {
		switch {
		case errors.Is(err, server.ErrLineTooLong):
			return nil, malformed("Response is too long", err)
		case errors.Is(err, server.ErrNoMemory):
			return nil, noMemory(err)
		}
		return nil, ended{err}
	}
	if string(line) == "*" {
		return nil, &Error{CodeAuth, "Authentication cancelled", auth.Refuse(auth.ErrCredentials, "cancelled")}
	}
	response, err := decode(string(line))
	if err != nil {
		return nil, malformed(textBase64, err)
	}
	return response, nil
}

// decode decodes a response. An empty one is an empty line, or "=" as in an
// initial response: curl sends that in both places. It is not nil.
func decode(text string) ([]byte, error) {
	if text == "" || text == "=" {
		return []byte{}, nil
	}
	if i := strings.IndexByte(text, '\r'); i >= 0 { // which the decoder passes over
		return nil, base64.CorruptInputError(i)
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

// noMemory answers a line that so many other clients' lines leave no room for.
func noMemory(err error) *Error {
	return &Error{CodeSysTemp, textSysTemp, auth.Refuse(fmt.Errorf("%w: %w", auth.ErrUnavailable, err), "no-memory")}
}

const textBase64 = "Response is not valid base64"

func malformed(text Text, err error) *Error {
	return &Error{CodeAuth, text, auth.Refuse(fmt.Errorf("%w: %w", auth.ErrCredentials, err), "malformed")}
}

// notProven answers an exchange that did not end well.
func (s *session) notProven(ctx context.Context, ex auth.Exchange, mechanism string, err error) error {
	if e, ok := errors.AsType[ended](err); ok {
		return e
	}
	id := auth.Identity{Mechanism: mechanism}
	if c, ok := ex.(auth.Claimant); ok {
		id.User = c.Claimed()
	}
	if r, ok := errors.AsType[rejected](err); ok {
		s.refused(ctx, id, r.refusal)
		return r.ended
	}
	return s.refused(ctx, id, err)
}

// startLayer puts the session in the security layer that was negotiated. It
// begins right behind the +OK (RFC 5034 §4), which is still to be flushed.
func (s *session) startLayer(ex auth.Exchange) error {
	layered, ok := ex.(auth.LayeredExchange)
	if !ok || layered.Layer() == nil {
		return nil
	}
	if err := s.c.StartLayer(layered.Layer()); err != nil {
		return ended{err}
	}
	return nil
}
