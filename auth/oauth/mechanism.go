package oauth

import (
	"context"
	"encoding/json"
	"errors"

	"kpopd/auth"
)

// The names of the mechanisms.
const (
	OAuthBearer = "OAUTHBEARER" // RFC 7628
	XOAuth2     = "XOAUTH2"     // Google's, older, and what most clients have
)

// A Mechanism is one of OAUTHBEARER and XOAUTH2: a bearer token in one message.
type Mechanism struct {
	Kind string // OAuthBearer or XOAuth2
	Auth auth.Authenticator
	// Hint is what a client is told whose token does not do.
	Hint Hint
}

// A Hint says where a token that does is to be had.
type Hint struct {
	Scope         string // that it must have; several with spaces between. "": any
	Configuration string // the URL of the issuer's discovery document. "": not known
}

var _ auth.Mechanism = (*Mechanism)(nil)

// Name implements [auth.Mechanism].
func (m *Mechanism) Name() string { return m.Kind }

// Usable implements [auth.Mechanism]. A token must not cross in the clear: who
// hears it can use it (RFC 7628 §5, RFC 6750 §5.3).
func (m *Mechanism) Usable(p auth.Peer) bool { return p.Protected }

// Start implements [auth.Mechanism].
func (m *Mechanism) Start(ctx context.Context, p auth.Peer) auth.Exchange {
	return &exchange{m: m, ctx: ctx, peer: p}
}

// An exchange is one message, with an empty challenge before it where the
// client sent no initial response, and with one more behind it that says why a
// token was refused.
type exchange struct {
	m        *Mechanism
	ctx      context.Context
	peer     auth.Peer
	step     int
	claimed  string
	id       auth.Identity
	rejected error
}

var (
	_ auth.Claimant = (*exchange)(nil)
	_ auth.Rejecter = (*exchange)(nil)
)

// The steps of an exchange.
const (
	atStart    = iota
	atAsked    // the empty challenge is out
	atRejected // the challenge that says why is out
	atEnd
)

// Next implements [auth.Exchange].
func (x *exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	step := x.step
	x.step = atEnd // no second guess on one exchange
	switch {
	case step == atStart && response == nil:
		x.step = atAsked
		return []byte{}, false, nil
	case step == atRejected:
		// RFC 7628 §3.2.3 has kvsep here; mpop sends nothing, others a NUL, and
		// it does not matter.
		return nil, false, x.rejected
	case step == atEnd || response == nil:
		return nil, false, errMalformed
	}
	if err = x.prove(response); err == nil {
		return nil, true, nil
	}
	if x.rejected == nil {
		return nil, false, err
	}
	x.step = atRejected
	return x.m.failure(x.rejected), false, nil
}

// prove checks the client's message. A refusal that the client is told of is in
// x.rejected; an outage, of which RFC 7628 knows nothing, is not.
func (x *exchange) prove(response []byte) error {
	parse := parseOAuthBearer
	if x.m.Kind == XOAuth2 {
		parse = parseXOAuth2
	}
	msg, err := parse(response)
	if err != nil {
		return err
	}
	x.claimed = msg.user
	if msg.token == "" {
		x.rejected = auth.Refuse(auth.ErrCredentials, "no-token")
		return x.rejected
	}
	id, err := x.m.Auth.Authenticate(x.ctx, x.peer, auth.Bearer{User: msg.user, Token: msg.token})
	if err != nil {
		if isRefusal(err) {
			x.rejected = err
		}
		return err
	}
	x.id = id
	x.id.Mechanism, x.id.Authzid = x.m.Kind, msg.user
	return nil
}

// isRefusal reports whether err is about the token. An error that joins an
// outage to something else is an outage.
func isRefusal(err error) bool {
	about := errors.Is(err, auth.ErrUnknown) || errors.Is(err, auth.ErrCredentials) || errors.Is(err, auth.ErrDenied)
	return about && !errors.Is(err, auth.ErrUnavailable)
}

// Identity implements [auth.Exchange].
func (x *exchange) Identity() auth.Identity { return x.id }

// Claimed implements [auth.Claimant].
func (x *exchange) Claimed() string { return x.claimed }

// Rejected implements [auth.Rejecter].
func (x *exchange) Rejected() error { return x.rejected }

// A failure is the server's error of RFC 7628 §3.2.2, and in XOAUTH2 one that
// looks much like it.
type failure struct {
	Status        string `json:"status"`
	Schemes       string `json:"schemes,omitempty"`
	Scope         string `json:"scope,omitempty"`
	Configuration string `json:"openid-configuration,omitempty"`
}

// failure says what the client can do about a refusal: get another token, or,
// with one that is right but does not reach so far, one with the scope. What
// was wrong with the token is for the log alone.
func (m *Mechanism) failure(err error) []byte {
	f := failure{Status: "invalid_token", Scope: m.Hint.Scope, Configuration: m.Hint.Configuration}
	switch {
	case m.Kind == XOAuth2:
		f = failure{Status: "400", Schemes: "Bearer", Scope: m.Hint.Scope}
	case errors.Is(err, auth.ErrDenied): // RFC 6750 §3.1
		f.Status = "insufficient_scope"
	}
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // four strings
	}
	return b
}
