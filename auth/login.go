package auth

import (
	"context"
	"fmt"

	"github.com/emersion/go-sasl"
)

// Login is the SASL mechanism LOGIN (draft-murchison-sasl-login-00): a name and a
// password, each asked for, checked by Auth. It does nothing that PLAIN does not
// do better, and is for clients that know no other. It may be used only on a
// protected connection. It has no authorization identity.
type Login struct {
	Auth Authenticator
}

var _ Mechanism = Login{}

// The challenges of LOGIN. Clients compare them.
const (
	loginUser     = "Username:"
	loginPassword = "Password:"
)

// Name implements [Mechanism].
func (Login) Name() string { return sasl.Login }

// Usable implements [Mechanism]: the password must not cross in the clear.
func (Login) Usable(p Peer) bool { return p.Protected }

// Start implements [Mechanism].
func (m Login) Start(ctx context.Context, p Peer) Exchange {
	return &loginExchange{ctx: ctx, peer: p, auth: m.Auth}
}

// loginExchange is the two answers of LOGIN. The draft knows no initial
// response; clients send the name as one.
type loginExchange struct {
	ctx     context.Context
	peer    Peer
	auth    Authenticator
	step    func(response []byte) (challenge []byte, done bool, err error) // nil: the first or none
	begun   bool
	claimed string
	id      Identity
}

// Claimed implements [Claimant].
func (x *loginExchange) Claimed() string { return x.claimed }

// Identity implements [Exchange].
func (x *loginExchange) Identity() Identity { return x.id }

// Next implements [Exchange].
func (x *loginExchange) Next(response []byte) (challenge []byte, done bool, err error) {
	step := x.step
	if !x.begun {
		x.begun, step = true, x.user
		if response == nil {
			x.step = x.user
			return []byte(loginUser), false, nil
		}
	}
	x.step = nil // no second guess on one exchange
	if step == nil || response == nil {
		return nil, false, Refuse(fmt.Errorf("%w: %w", ErrCredentials, sasl.ErrUnexpectedClientResponse), "malformed")
	}
	return step(response)
}

func (x *loginExchange) user(response []byte) ([]byte, bool, error) {
	if !isName(string(response), maxName) {
		return nil, false, Refuse(ErrCredentials, "malformed")
	}
	x.claimed, x.step = string(response), x.password
	return []byte(loginPassword), false, nil
}

func (x *loginExchange) password(response []byte) ([]byte, bool, error) {
	if unfitSecret(string(response)) != "" {
		return nil, false, Refuse(ErrCredentials, "malformed")
	}
	id, err := x.auth.Authenticate(x.ctx, x.peer, Password{User: x.claimed, Secret: Secret(response)})
	if err != nil {
		return nil, false, err
	}
	id.Mechanism = sasl.Login
	x.id = id
	return nil, true, nil
}
