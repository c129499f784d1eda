package userfile

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1" // of SCRAM-SHA-1, where collisions do not matter (RFC 5802 §9)
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"kpopd/auth"
)

// Bounds on SCRAM's iteration count; RFC 7677 §4 asks for 4096 at least. The
// default takes some 3 ms.
const (
	minIterations     = 4096
	maxIterations     = 2_000_000
	defaultIterations = 4 * minIterations
	defaultSalt       = 16
)

// The hash functions of SCRAM, by the names of [auth.SCRAMSalt].
const (
	scramSHA1   = "SHA-1"
	scramSHA256 = "SHA-256"
)

// A scramSecret is what a server keeps for SCRAM with a hash (RFC 5802 §3).
type scramSecret struct {
	hash string
	auth.SCRAMKeys
}

// parseSCRAM parses Dovecot's "iterations,salt,StoredKey,ServerKey", the last
// three in base64.
func parseSCRAM(hash string) scheme {
	return func(value string) (secret, error) {
		fields := strings.Split(value, ",")
		if len(fields) != 4 {
			return nil, errHash
		}
		iterations, err := strconv.ParseUint(fields[0], 10, 32)
		if err != nil {
			return nil, errHash
		}
		if iterations < minIterations || iterations > maxIterations {
			return nil, fmt.Errorf("iterations are not from %d to %d", minIterations, maxIterations)
		}
		var decoded [3][]byte
		for i, field := range fields[1:] {
			if decoded[i], err = base64.StdEncoding.Strict().DecodeString(field); err != nil {
				return nil, errHash
			}
		}
		keys := auth.SCRAMKeys{Iterations: int(iterations), Salt: decoded[0], StoredKey: decoded[1], ServerKey: decoded[2]}
		size := newHash(hash)().Size()
		// 64 octets of salt are what auth.SCRAMSalt can feign.
		if n := len(keys.Salt); n < 8 || n > 64 || len(keys.StoredKey) != size || len(keys.ServerKey) != size {
			return nil, errHash
		}
		return scramSecret{hash, keys}, nil
	}
}

func (s scramSecret) memory() int64 { return 1 << 10 }
func (s scramSecret) kind() string  { return "SCRAM-" + s.hash + " " + strconv.Itoa(s.Iterations) }

func (s scramSecret) matches(password string) bool {
	got, err := deriveSCRAM(s.hash, password, s.Salt, s.Iterations)
	return err == nil && subtle.ConstantTimeCompare(got.StoredKey, s.StoredKey) == 1
}

// deriveSCRAM makes the secret of a password (RFC 5802 §3).
func deriveSCRAM(hash, password string, salt []byte, iterations int) (scramSecret, error) {
	h := newHash(hash)
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		return scramSecret{}, fmt.Errorf("derive SCRAM keys: %w", err)
	}
	stored := h()
	stored.Write(mac(h, salted, "Client Key"))
	return scramSecret{hash, auth.SCRAMKeys{
		Iterations: iterations, Salt: salt, StoredKey: stored.Sum(nil), ServerKey: mac(h, salted, "Server Key"),
	}}, nil
}

func newHash(name string) func() hash.Hash {
	if name == scramSHA1 {
		return sha1.New
	}
	return sha256.New
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func (s scramSecret) encode() string {
	enc := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%d,%s,%s,%s", s.Iterations, enc(s.Salt), enc(s.StoredKey), enc(s.ServerKey))
}

// SCRAM returns the keys of user for SCRAM with a hash, "SHA-1" or "SHA-256",
// and the identity that they prove at p. Who has no secret of that scheme and
// no PLAIN one is refused as one without keys, [auth.ErrCredentials] with the
// reason "no-scram-keys"; allow_nets refuses as it does with passwords.
//
// Keys of PLAIN secrets are derived anew each time, with the iteration count
// and the length of the salt that most keys in the file have, and a salt made
// of SCRAMSecret. Where the file has any PLAIN secret the same work is done
// for everybody, so that the time does not tell who has one, or exists.
func (f *File) SCRAM(ctx context.Context, p auth.Peer, user, hash string) (auth.Identity, auth.SCRAMKeys, error) {
	if err := ctx.Err(); err != nil {
		return auth.Identity{}, auth.SCRAMKeys{}, unavailable(err)
	}
	users := f.current()
	e := users.find(user)
	derived, err := f.derive(ctx, users, e, hash)
	switch {
	case err != nil:
		return auth.Identity{}, auth.SCRAMKeys{}, unavailable(err)
	case e == nil:
		return auth.Identity{}, auth.SCRAMKeys{}, auth.ErrUnknown
	}
	keys := derived
	switch s := e.secret.(type) {
	case plainSecret:
	case scramSecret:
		keys = s
	default:
		keys = scramSecret{}
	}
	if keys.hash != hash {
		return auth.Identity{}, auth.SCRAMKeys{}, auth.Refuse(auth.ErrCredentials, "no-scram-keys")
	}
	id, err := f.admit(e, p)
	return id, keys.SCRAMKeys, err
}

// derive makes the keys of e's PLAIN secret, or of nothing where e has none.
func (f *File) derive(ctx context.Context, t *table, e *entry, hash string) (scramSecret, error) {
	if t.scram.plain == 0 {
		return scramSecret{}, nil
	}
	user, password := "nobody", "placeholder"
	if e != nil {
		user = e.user
		if s, ok := e.secret.(plainSecret); ok {
			password = s[len(s)-1] // as prepared
		}
	}
	if err := f.memory.Acquire(ctx, f.share); err != nil {
		return scramSecret{}, err
	}
	defer f.memory.Release(f.share)
	like := t.scram.parameters(hash)
	return deriveSCRAM(hash, password, auth.SCRAMSalt(f.SCRAMSecret, hash, user, like.salt), like.iterations)
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
	switch s := s.(type) {
	case plainSecret:
		c.plain++
	case scramSecret:
		if c.users == nil {
			c.users, c.likes, c.common = map[string]int{}, map[scramLike]int{}, map[string]scramLike{}
		}
		like := scramLike{s.hash, s.Iterations, len(s.Salt)}
		c.users[s.hash]++
		c.likes[like]++
		if c.likes[like] > c.likes[c.common[s.hash]] {
			c.common[s.hash] = like
		}
	}
}

func (c *scramCensus) parameters(hash string) scramLike {
	if like, ok := c.common[hash]; ok {
		return like
	}
	return scramLike{hash, defaultIterations, defaultSalt}
}
