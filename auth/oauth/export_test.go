package oauth

import (
	"context"
	"log/slog"

	"github.com/go-jose/go-jose/v4"

	"kpopd/auth"
)

// A Keys is a keySet for tests of when it fetches.
type Keys struct{ *keySet }

// NewKeys returns one that fetches by a function.
func NewKeys(fetch func(context.Context) ([]jose.JSONWebKey, error), log *slog.Logger) Keys {
	return Keys{newKeySet(fetch, "test", log)}
}

// Verify checks a token's signature.
func (k Keys) Verify(ctx context.Context, text string) error {
	t, err := parseToken(text)
	if err != nil {
		return err
	}
	return k.verify(ctx, t)
}

// Adopt takes over another's keys.
func (k Keys) Adopt(old Keys) { k.adopt(old.keySet) }

// Close ends a fetch that is under way.
func (k Keys) Close() { k.close() }

// Messages parses a message of either mechanism.
func Messages(kind string, b []byte) (user, token string, err error) {
	parse := parseOAuthBearer
	if kind == XOAuth2 {
		parse = parseXOAuth2
	}
	m, err := parse(b)
	return m.user, string(m.token), err
}

// Remember keeps an identity as what the issuer said of a token.
func (a *Authenticator) Remember(text string, id auth.Identity) {
	proof := a.verdicts.Proof(auth.Password{Secret: auth.Secret(text)})
	a.verdicts.Ask(context.Background(), proof, func() auth.Verdict { return auth.Verdict{Identity: id} })
}
