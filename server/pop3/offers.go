package pop3

import (
	"errors"

	"kpopd/auth"
)

// ErrNeedsTLS means that a way to log in is there under TLS only.
var ErrNeedsTLS = errors.New("it needs TLS")

// The other reasons for which a way to log in is not there.
var (
	errNotOffered = errors.New("it is not offered here")
	errKPOP       = errors.New("the listener speaks KPOP: the ticket comes first")
)

// Offers says whether a client may prove itself by a mechanism: SASL's name of
// one, or "USER", "APOP" or "KPOP". nil: it may; else why not. Whether its
// proof is right is not asked.
func (h *Handler) Offers(mechanism string, p auth.Peer) error {
	switch {
	case mechanism == "KPOP":
		return offered(h.Admit != nil, p.Tickets)
	case h.Admit != nil:
		return errKPOP
	case mechanism == "USER":
		return offered(h.Auth != nil && !h.NoUser, p.Protected)
	case mechanism == "APOP":
		return offered(h.Auth != nil && h.Timestamp != nil, p.Protected)
	case h.Mechanisms.Find(mechanism, p) != nil:
		return nil
	}
	for _, m := range h.Mechanisms {
		if m.Name() != mechanism {
			continue
		}
		if mechanism == "EXTERNAL" { // for who shows a certificate
			return offered(true, p.TLS != nil)
		}
		return offered(!p.Protected, false) // or nobody can use it
	}
	return errNotOffered
}

func offered(there, usable bool) error {
	switch {
	case !there:
		return errNotOffered
	case !usable:
		return ErrNeedsTLS
	}
	return nil
}
