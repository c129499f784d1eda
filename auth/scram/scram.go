// Package scram is the server's side of SCRAM, the Salted Challenge Response
// Authentication Mechanism (RFC 5802), with SHA-1 and with SHA-256 (RFC 7677),
// without and with channel binding (-PLUS): tls-exporter (RFC 9266), tls-unique
// and tls-server-end-point (RFC 5929).
//
// The client proves that it knows the password, and the server that it knows
// the keys which were made of it; neither shows them. What crosses the wire
// suffices, though, to try a dictionary on it, so that on a connection without
// TLS the mechanisms are subject to the rule for passwords, not to that for
// tickets.
//
// A client cannot tell who exists: whoever has no keys here gets a salt and an
// iteration count all the same, the same ones each time, and is refused where
// a wrong password is, in the same words and after the same work.
//
// The name is one that SASLprep allows (RFC 5802 §5.1), and all that SASLprep
// makes the same are one to a feigned salt; whose keys there are, Keys finds as
// it does for a password. Mandatory extensions, of
// which none is defined, end an exchange; optional ones are passed over. The
// server's errors of RFC 5802 §7 ("e=") are not sent: RFC 5034 has an error
// reply of its own.
package scram

import (
	"context"

	"kpopd/auth"
)

// The hash functions, by the names that the mechanisms have them by.
const (
	SHA1   = "SHA-1"
	SHA256 = "SHA-256"
)

// Keys is where the keys are. It is safe for concurrent use.
type Keys interface {
	// SCRAM returns the keys of user, whose name is not prepared, for a hash,
	// and what admits at p who has proven to know the password. An error wraps
	// auth.ErrUnavailable where nobody can say, and else says why user is
	// refused in the end: auth.ErrUnknown, or auth.ErrCredentials for a user
	// without keys for the hash. The work, and so the time, is the same for all
	// but outages.
	SCRAM(ctx context.Context, p auth.Peer, user, hash string) (auth.SCRAMUser, error)
	// SCRAMParameters returns the iteration count and the length of the salt
	// that most keys for a hash have. All others are told by theirs.
	SCRAMParameters(hash string) (iterations, salt int)
}

// A Throttle bounds the guessing of passwords. [auth.Throttle] is one.
type Throttle interface {
	Allowed(p auth.Peer, user string) bool
	Failed(p auth.Peer, user string)
	Succeeded(p auth.Peer, user string)
}

// A Mechanism is one of SCRAM-SHA-1, SCRAM-SHA-1-PLUS, SCRAM-SHA-256 and
// SCRAM-SHA-256-PLUS.
type Mechanism struct {
	Hash string // SHA1 or SHA256
	// Plus: the client must bind its proof to the TLS connection. Without, it
	// must not.
	Plus bool
	// PlusOffered reports whether a mechanism of SCRAM with channel binding is
	// offered at p beside this one, so that a client which can bind and
	// believes that the server cannot has been lied to (RFC 5802 §6). It need
	// not have the same hash: whoever hides one mechanism can hide two. nil:
	// there is none.
	PlusOffered func(p auth.Peer) bool
	Keys        Keys
	// Offered reports whether there is anybody who could use the mechanism.
	// nil: there is.
	Offered func() bool
	// Secret makes the salts of those who have no keys. It stays the same over
	// restarts, and among servers that share their names.
	Secret []byte
	// Throttle bounds guessing, and the looking up of keys: an exchange whose
	// ctx ends before it has come to a proof counts as a failure, since keys may
	// have been derived for it. nil: nothing does.
	Throttle Throttle

	nonce func() string // for tests; nil: a random one
}

var _ auth.Mechanism = (*Mechanism)(nil)

// Name implements [auth.Mechanism].
func (m *Mechanism) Name() string {
	if m.Plus {
		return "SCRAM-" + m.Hash + "-PLUS"
	}
	return "SCRAM-" + m.Hash
}

// Usable implements [auth.Mechanism]. Who hears an exchange can try a
// dictionary on it, so it must not cross in the clear any more than a password;
// -PLUS needs a TLS connection that has a channel binding.
func (m *Mechanism) Usable(p auth.Peer) bool {
	if !p.Protected || m.Plus && !canBind(p) {
		return false
	}
	return m.Offered == nil || m.Offered()
}

// Start implements [auth.Mechanism].
func (m *Mechanism) Start(ctx context.Context, p auth.Peer) auth.Exchange {
	return &exchange{m: m, ctx: ctx, peer: p}
}

// bindingTypes are the types of channel binding that clients may choose.
var bindingTypes = []string{auth.BindingExporter, auth.BindingUnique, auth.BindingEndPoint}

func canBind(p auth.Peer) bool {
	for _, kind := range bindingTypes {
		if len(p.Bindings(kind)) > 0 {
			return true
		}
	}
	return false
}
