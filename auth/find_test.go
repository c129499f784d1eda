package auth_test

import (
	"context"
	"errors"
	"testing"

	"kpopd/auth"
)

// finder knows one user, or fails.
type finder struct {
	user string
	err  error
}

func (f finder) Authenticate(context.Context, auth.Peer, auth.Credential) (auth.Identity, error) {
	return auth.Identity{}, auth.ErrUnknown
}

func (f finder) Find(_ context.Context, _ auth.Peer, user string) (auth.Identity, error) {
	switch {
	case f.err != nil:
		return auth.Identity{}, f.err
	case user != f.user:
		return auth.Identity{}, auth.ErrUnknown
	}
	return auth.Identity{User: user, Source: "of " + f.user}, nil
}

func TestFind(t *testing.T) {
	down := finder{err: auth.Refuse(auth.ErrUnavailable, "down")}
	for _, test := range []struct {
		chain auth.Chain
		user  string
		want  string // the source, or
		err   error
	}{
		{auth.Chain{finder{user: "alice"}, finder{user: "bob"}}, "bob", "of bob", nil},
		{auth.Chain{finder{user: "alice"}, down}, "alice", "of alice", nil},
		{auth.Chain{finder{user: "alice"}, down}, "bob", "", auth.ErrUnavailable},
		{auth.Chain{finder{user: "alice"}}, "eve", "", auth.ErrUnknown},
		{nil, "eve", "", auth.ErrUnknown},
		{auth.Chain{finder{user: "a\x00"}}, "a\x00", "", auth.ErrCredentials},
	} {
		id, err := test.chain.Find(t.Context(), auth.Peer{}, test.user)
		if id.Source != test.want || !errors.Is(err, test.err) {
			t.Errorf("%q in %v: %v, %v", test.user, test.chain, id, err)
		}
	}
}
