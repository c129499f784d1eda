package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"

	"github.com/emersion/go-sasl"
)

// External is the SASL mechanism EXTERNAL (RFC 4422 appendix A): who the client
// is has been proven before, and it only says that it wants to log in. In a
// KPOP session the ticket proves it, and elsewhere the certificate that the
// client showed when TLS began. Where there is both, the ticket wins: the
// session is its principal's whatever else is shown.
//
// The identity's Mechanism is "EXTERNAL" with a certificate; with a ticket it
// stays "KPOP", which proved it.
type External struct {
	// Auth checks a [Certificate]. nil: none is taken.
	Auth Authenticator
}

var _ Advertiser = External{}

// Name implements [Mechanism].
func (External) Name() string { return sasl.External }

// Usable implements [Mechanism]: a ticket where tickets may be used, or any
// certificate.
func (m External) Usable(p Peer) bool {
	if p.Proven != nil {
		return p.Tickets
	}
	return m.Auth != nil && len(shown(p)) > 0
}

// Advertised implements [Advertiser]: a certificate must be good, or nobody can
// say just now that it is not.
func (External) Advertised(p Peer) bool {
	return p.Proven != nil || p.ClientError == nil || errors.Is(p.ClientError, ErrUnavailable)
}

// Start implements [Mechanism].
func (m External) Start(ctx context.Context, p Peer) Exchange {
	return &externalExchange{ctx: ctx, peer: p, auth: m.Auth}
}

// shown returns the certificates that the client showed, its own first.
func shown(p Peer) []*x509.Certificate {
	if p.TLS == nil {
		return nil
	}
	return p.TLS.PeerCertificates
}

// externalExchange is the one message of EXTERNAL: an authorization identity,
// which is empty for the client's own.
type externalExchange struct {
	oneMessage
	ctx  context.Context
	peer Peer
	auth Authenticator
	id   Identity
}

var _ Claimant = (*externalExchange)(nil)

// Claimed implements [Claimant] with the ticket's user or the certificate's
// subject.
func (x *externalExchange) Claimed() string {
	if x.peer.Proven != nil {
		return x.peer.Proven.User
	}
	// Package pkix takes seconds for the longest name that fits into a
	// certificate, which anybody can make.
	const longest = 4096
	if chain := shown(x.peer); len(chain) > 0 && len(chain[0].RawSubject) <= longest {
		return chain[0].Subject.String()
	}
	return ""
}

// Next implements [Exchange]. go-sasl's server is not used because it takes
// any number of absent responses, and any authorization identity.
func (x *externalExchange) Next(response []byte) (challenge []byte, done bool, err error) {
	if challenge, err = x.take(response); challenge != nil || err != nil {
		return challenge, false, err
	}
	// RFC 4422 §A.2: UTF-8 without NUL.
	if len(response) > 0 && !isName(string(response), maxName) {
		return nil, false, Refuse(ErrCredentials, "malformed")
	}
	id, err := x.prove()
	if err != nil {
		return nil, false, err
	}
	id.Authzid = string(response)
	x.id = id
	return nil, true, nil
}

func (x *externalExchange) prove() (Identity, error) {
	switch {
	case x.peer.Proven != nil:
		return *x.peer.Proven, nil
	case x.auth == nil:
		return Identity{}, Refuse(ErrCredentials, "no-certificate")
	}
	id, err := x.auth.Authenticate(x.ctx, x.peer, Certificate{shown(x.peer)})
	id.Mechanism = sasl.External
	return id, err
}

// Identity implements [Exchange].
func (x *externalExchange) Identity() Identity { return x.id }

// Fingerprint is the SHA-256 of a certificate, in lower-case hexadecimal.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

func fingerprintOf(c Certificate) string {
	if len(c.Chain) == 0 {
		return ""
	}
	return Fingerprint(c.Chain[0])
}
