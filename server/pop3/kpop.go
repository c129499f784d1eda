package pop3

import (
	"context"
	"errors"

	"kpopd/auth"
)

// admit proves the client before the greeting, where the listener speaks KPOP.
// There, the client speaks first. A refusal ends the connection with one line:
// fetchmail and the old clients show it to the user.
func (s *session) admit(ctx context.Context) error {
	if s.h.Admit == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, s.c.LoginDeadline())
	defer cancel()
	err := s.c.Deep(func() error {
		id, err := s.h.Admit(ctx, s.c, s.peer())
		if err == nil {
			s.proven = &id
		}
		return err
	})
	if err == nil {
		return nil
	}
	if !isVerdict(err) {
		return err // the connection ended
	}
	s.refused(ctx, auth.Identity{Mechanism: "KPOP"}, err)
	if e := asReply(err); e.Text != "" {
		s.err(e)
		s.c.Linger()
	}
	return err
}

// isVerdict reports whether err says something about the client, or about us,
// that it should be told.
func isVerdict(err error) bool {
	_, own := errors.AsType[*Error](err)
	return own || errors.Is(err, auth.ErrCredentials) || errors.Is(err, auth.ErrDenied) ||
		errors.Is(err, auth.ErrUnavailable)
}

// passKPOP opens the maildrop that USER named for the ticket's principal. The
// password is a word without a meaning: "krb_ticket" from fetchmail, "hej" from
// Heimdal's push, the user's name from movemail. It is never checked and never
// looked at; an old fetchmail sends the user's real one.
func (s *session) passKPOP(ctx context.Context, name string) error {
	return s.c.Deep(func() error {
		ctx, cancel := context.WithDeadline(ctx, s.c.LoginDeadline())
		defer cancel()
		id := *s.proven
		id.Authzid = name
		return s.enter(ctx, id)
	})
}
