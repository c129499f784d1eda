package oauth

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-jose/go-jose/v4"
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

// Answers are kept answers, for tests of how long.
type Answers struct{ *answers }

// NewAnswers returns Answers that are good for so long.
func NewAnswers(life time.Duration) Answers { return Answers{newAnswers(life)} }

// Put keeps an answer about a token.
func (a Answers) Put(text string) { a.set(a.key(text), answer{}) }

// Has reports whether there is an answer about a token.
func (a Answers) Has(text string) bool {
	_, ok := a.get(a.key(text))
	return ok
}

// Len returns how many are kept.
func (a Answers) Len() int { return len(a.young) + len(a.old) }
