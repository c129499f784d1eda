package auth

import (
	"bytes"
	"context"
	"fmt"

	"github.com/emersion/go-sasl"
)

// A CRAM is the SASL mechanism CRAM-MD5 (RFC 2195): the client answers a
// challenge with its HMAC under the shared secret, which Auth checks as a
// [CRAMMD5]. Who hears an answer can try a dictionary on it, so that it may be
// used only where a password may. It has no authorization identity.
type CRAM struct {
	Auth Authenticator
	// Challenge returns an RFC 822 msg-id that nobody can predict and that no
	// two exchanges share (RFC 2195 §2).
	Challenge func() string
}

var _ Mechanism = CRAM{}

// Name implements [Mechanism].
func (CRAM) Name() string { return "CRAM-MD5" }

// Usable implements [Mechanism].
func (CRAM) Usable(p Peer) bool { return p.Protected }

// Start implements [Mechanism].
func (m CRAM) Start(ctx context.Context, p Peer) Exchange {
	return &cramExchange{ctx: ctx, peer: p, m: m}
}

// cramExchange is one challenge and its answer.
type cramExchange struct {
	ctx       context.Context
	peer      Peer
	m         CRAM
	challenge string // "": it is not out yet
	finished  bool   // no second answer on one exchange
	claimed   string
	id        Identity
}

// Claimed implements [Claimant].
func (x *cramExchange) Claimed() string { return x.claimed }

// Identity implements [Exchange].
func (x *cramExchange) Identity() Identity { return x.id }

// Next implements [Exchange]. The server speaks first: an initial response is an
// error, be it empty (RFC 5034 §4).
func (x *cramExchange) Next(response []byte) (challenge []byte, done bool, err error) {
	if !x.finished && x.challenge == "" && response == nil {
		x.challenge = x.m.Challenge()
		return []byte(x.challenge), false, nil
	}
	unexpected := x.finished || x.challenge == "" || response == nil
	x.finished = true
	if unexpected {
		return nil, false, Refuse(fmt.Errorf("%w: %w", ErrCredentials, sasl.ErrUnexpectedClientResponse), "malformed")
	}
	user, digest, ok := parseCRAMResponse(response)
	if !ok {
		return nil, false, Refuse(ErrCredentials, "malformed")
	}
	x.claimed = user
	id, err := x.m.Auth.Authenticate(x.ctx, x.peer, CRAMMD5{User: user, Challenge: x.challenge, Digest: digest})
	if err != nil {
		return nil, false, err
	}
	id.Mechanism = "CRAM-MD5"
	x.id = id
	return nil, true, nil
}

// parseCRAMResponse parses a name, which may hold spaces, one space, and 32
// lower-case hexadecimal digits (RFC 2195 §2).
func parseCRAMResponse(b []byte) (user, digest string, ok bool) {
	i := bytes.LastIndexByte(b, ' ')
	if i < 0 || len(b) > maxName+1+32 {
		return "", "", false
	}
	user, digest = string(b[:i]), string(b[i+1:])
	return user, digest, isName(user, maxName) && isDigest(digest)
}
