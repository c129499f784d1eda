// Package authtest holds the tests that every [auth.Authenticator] and every
// [auth.Mechanism] must pass, whatever they ask: a file, a directory, a KDC.
package authtest

import (
	"context"
	"crypto/subtle"

	"kpopd/auth"
)

// Users returns the accounts, user to password, that the Authenticator under
// [TestAuthenticator] must know, and no others. Among the passwords are those
// that software has been known to trim, split, expand or re-encode on the way
// to the check.
func Users() map[string]string {
	return map[string]string{
		"alice":           "correct horse battery staple",
		"bob":             "correct horse battery staple", // the same: nothing may mix them up
		"carol":           " leading and trailing ",
		"tab":             "tab\there",
		"latin1":          "stra\xdfe",
		"utf8":            "Stra\u00dfe 5\u20ac",
		"colon":           "a:b:c",
		"braces":          "{PLAIN}${user}%{user}%s",
		"quotes":          `"'` + "`" + `\(*)&|$(id)`,
		"user@host.test":  "at",
		"under_score-1.2": "*",
		"j\u00fcrgen":     "umlaut in the name",
	}
}

// Memory is an [auth.Authenticator] over a map from users to passwords, for
// tests of what stands before one. Its identities have the source "memory".
type Memory map[string]string

var _ auth.Authenticator = Memory(nil)

// Authenticate implements [auth.Authenticator] for passwords.
func (m Memory) Authenticate(ctx context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	if ctx.Err() != nil {
		return auth.Identity{}, auth.Refuse(auth.ErrUnavailable, "canceled")
	}
	shown, ok := c.(auth.Password)
	if !ok {
		return auth.Identity{}, auth.ErrUnknown
	}
	want, ok := m[shown.User]
	if !ok {
		return auth.Identity{}, auth.ErrUnknown
	}
	if want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(shown.Secret)) != 1 {
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "wrong-password")
	}
	return auth.Identity{User: shown.User, Source: "memory"}, nil
}
