package auth

import (
	"bytes"
	"context"

	"github.com/emersion/go-sasl"
)

// Plain is the SASL mechanism PLAIN (RFC 4616): a name and a password in one
// message, checked by Auth. It may be used only on a protected connection
// (RFC 4616 §4, RFC 8314 §4.1).
type Plain struct {
	Auth Authenticator
}

var _ Mechanism = Plain{}

// Name implements [Mechanism].
func (Plain) Name() string { return sasl.Plain }

// Usable implements [Mechanism]: the password must not cross in the clear.
func (Plain) Usable(p Peer) bool { return p.Protected }

// Start implements [Mechanism].
func (m Plain) Start(ctx context.Context, p Peer) Exchange {
	return &plainExchange{ctx: ctx, peer: p, auth: m.Auth}
}

// plainExchange is the one message of PLAIN, with an empty challenge before it
// where the client sent no initial response.
type plainExchange struct {
	oneMessage
	ctx     context.Context
	peer    Peer
	auth    Authenticator
	claimed string
	id      Identity
}

// Claimed implements [Claimant].
func (x *plainExchange) Claimed() string { return x.claimed }

// Next implements [Exchange]. go-sasl's server for PLAIN is not used because
// it takes an empty authcid, and any number of absent responses.
func (x *plainExchange) Next(response []byte) (challenge []byte, done bool, err error) {
	if challenge, err = x.take(response); challenge != nil || err != nil {
		return challenge, false, err
	}
	msg, ok := parsePlain(response)
	if !ok {
		return nil, false, Refuse(ErrCredentials, "malformed")
	}
	x.claimed = msg.authcid
	id, err := x.auth.Authenticate(x.ctx, x.peer, Password{User: msg.authcid, Secret: msg.passwd})
	if err != nil {
		return nil, false, err
	}
	id.Mechanism, id.Authzid = sasl.Plain, msg.authzid
	x.id = id
	return nil, true, nil
}

// Identity implements [Exchange].
func (x *plainExchange) Identity() Identity { return x.id }

// plainMessage is the message of RFC 4616 §2.
type plainMessage struct {
	authzid, authcid string
	passwd           Secret
}

// parsePlain parses [authzid] NUL authcid NUL passwd. The password is taken as
// any octets but NUL, for the sake of passwords set before UTF-8; names must
// be UTF-8 without control characters.
func parsePlain(b []byte) (plainMessage, bool) {
	if len(b) > 2*maxName+maxSecret+2 {
		return plainMessage{}, false
	}
	authzid, rest, ok := bytes.Cut(b, []byte{0})
	authcid, passwd, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 || len(passwd) == 0 || bytes.IndexByte(passwd, 0) >= 0 {
		return plainMessage{}, false
	}
	if !isName(string(authcid), maxName) || len(authzid) > 0 && !isName(string(authzid), maxName) {
		return plainMessage{}, false
	}
	return plainMessage{string(authzid), string(authcid), Secret(passwd)}, true
}
