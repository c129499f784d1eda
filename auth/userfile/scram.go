package userfile

import (
	"context"
	"strings"

	"kpopd/auth"
)

// SCRAM returns the keys of user for SCRAM with a hash, "SHA-1" or "SHA-256",
// and what admits him at p. Who has no secret of that scheme and no PLAIN one is
// refused as one without keys, [auth.ErrCredentials] with the reason
// "no-scram-keys"; allow_nets refuses as it does with passwords.
//
// Keys of PLAIN secrets are derived anew each time, with the iteration count
// and the length of the salt that most keys in the file have, and a salt made
// of SCRAMSecret. Where the file has any PLAIN secret the same work is done
// for everybody, so that the time does not tell who has one, or exists.
func (f *File) SCRAM(ctx context.Context, p auth.Peer, user, hash string) (auth.SCRAMUser, error) {
	if err := ctx.Err(); err != nil {
		return auth.SCRAMUser{}, unavailable(err)
	}
	users := f.current()
	e := users.find(user)
	keys, err := f.derive(ctx, users, e, hash)
	switch {
	case err != nil:
		return auth.SCRAMUser{}, unavailable(err)
	case e == nil:
		return auth.SCRAMUser{}, auth.ErrUnknown
	}
	s, _ := e.secret.(stored)
	if _, plain := s.Plain(); !plain {
		var ok bool
		if keys, ok = s.SCRAM(hash); !ok {
			return auth.SCRAMUser{}, auth.Refuse(auth.ErrCredentials, "no-scram-keys")
		}
	}
	return auth.SCRAMUser{Keys: keys, Admit: func(context.Context) (auth.Identity, error) { return f.admit(e, p) }}, nil
}

// derive makes the keys of e's PLAIN secret, or of nothing where e has none.
// What the iterations of all that are under way cost is bounded like hashes.
func (f *File) derive(ctx context.Context, t *table, e *entry, hash string) (auth.SCRAMKeys, error) {
	if t.scram.plain == 0 {
		return auth.SCRAMKeys{}, nil
	}
	user, password := "nobody", auth.Secret("placeholder")
	if e != nil {
		user = e.user
		if s, ok := e.secret.(stored); ok && s.Scheme() == "PLAIN" {
			password, _ = s.Plain()
		}
	}
	if err := f.memory.Acquire(ctx, f.share); err != nil {
		return auth.SCRAMKeys{}, err
	}
	defer f.memory.Release(f.share)
	like := t.scram.parameters(hash)
	return auth.DeriveSCRAM(hash, string(password), auth.SCRAMSalt(f.SCRAMSecret, hash, user, like.salt), like.iterations)
}

// SCRAMParameters returns the iteration count and the length of the salt that
// most secrets for a hash have.
func (f *File) SCRAMParameters(hash string) (iterations, salt int) {
	like := f.users.Load().scram.parameters(hash)
	return like.iterations, like.salt
}

// SCRAMUsers returns how many users can have keys for a hash, and how many
// there are.
func (f *File) SCRAMUsers(hash string) (have, all int) {
	t := f.current()
	return t.scram.plain + t.scram.users[hash], len(t.users)
}

// A scramCensus counts who has what for SCRAM.
type scramCensus struct {
	plain  int            // users with PLAIN secrets
	users  map[string]int // with secrets for a hash
	likes  map[scramLike]int
	common map[string]scramLike // by hash
}

// A scramLike is what a client learns of somebody's keys.
type scramLike struct {
	hash             string
	iterations, salt int
}

func (c *scramCensus) add(s secret) {
	own, _ := s.(stored)
	hash, ok := strings.CutPrefix(own.Scheme(), "SCRAM-")
	switch {
	case own.Scheme() == "PLAIN":
		c.plain++
	case ok:
		if c.users == nil {
			c.users, c.likes, c.common = map[string]int{}, map[scramLike]int{}, map[string]scramLike{}
		}
		keys, _ := own.SCRAM(hash)
		like := scramLike{hash, keys.Iterations, len(keys.Salt)}
		c.users[hash]++
		c.likes[like]++
		if c.likes[like] > c.likes[c.common[hash]] {
			c.common[hash] = like
		}
	}
}

func (c *scramCensus) parameters(hash string) scramLike {
	if like, ok := c.common[hash]; ok {
		return like
	}
	return scramLike{hash, auth.DefaultIterations, auth.DefaultSalt}
}
