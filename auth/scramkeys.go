package auth

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1" // of SCRAM-SHA-1, where collisions do not matter (RFC 5802 §9)
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// Bounds on SCRAM's iteration count; RFC 7677 §4 asks for 4096 at least. The
// most take about a third of a second, the default some 3 ms. And what a salt is
// where none is stored.
const (
	MinIterations     = 4096
	MaxIterations     = 2_000_000
	DefaultIterations = 4 * MinIterations
	DefaultSalt       = 16 // octets
)

// The hash functions of SCRAM.
const (
	scramSHA1   = "SHA-1"
	scramSHA256 = "SHA-256"
)

// SCRAMKeys are what a server keeps of a password for SCRAM (RFC 5802 §3):
// enough to check a proof of it, not enough to make one.
type SCRAMKeys struct {
	Iterations                 int
	Salt, StoredKey, ServerKey []byte
}

// A SCRAMUser is somebody who can prove himself by SCRAM.
type SCRAMUser struct {
	Keys SCRAMKeys
	// Admit returns the identity that a proof for Keys proves, or why it is
	// not let in: an error as of an [Authenticator]. It is called once a proof
	// was right, and not before, so that what it takes tells nothing.
	Admit func(context.Context) (Identity, error)
}

// cutAuthPassword splits an authPassword of a mechanism of SCRAM (RFC 5803 §2,
// RFC 3112 §2.1) into the mechanism's name and four fields. ok: it looks like one.
func cutAuthPassword(s string) (scheme string, fields []string, ok bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 3 || strings.HasPrefix(s, "{") {
		return "", nil, false
	}
	for i, part := range parts {
		parts[i] = strings.Trim(part, " ")
	}
	return parts[0], append(strings.Split(parts[1], ":"), strings.Split(parts[2], ":")...), true
}

// newSCRAM parses iteration count, salt, StoredKey and ServerKey, the last three
// in base64.
func newSCRAM(scheme string, fields []string) (Stored, error) {
	hash, ok := strings.CutPrefix(scheme, "SCRAM-")
	switch {
	case !ok || hash != scramSHA1 && hash != scramSHA256:
		return Stored{}, ErrScheme
	case len(fields) != 4:
		return Stored{}, errStored
	}
	iterations, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return Stored{}, errStored
	}
	if iterations < MinIterations || iterations > MaxIterations {
		return Stored{}, fmt.Errorf("iterations are not from %d to %d", MinIterations, MaxIterations)
	}
	var decoded [3][]byte
	for i, field := range fields[1:] {
		if decoded[i], err = base64.StdEncoding.Strict().DecodeString(field); err != nil {
			return Stored{}, errStored
		}
	}
	keys := SCRAMKeys{Iterations: int(iterations), Salt: decoded[0], StoredKey: decoded[1], ServerKey: decoded[2]}
	size := newHash(hash)().Size()
	// 64 octets of salt are what SCRAMSalt can feign.
	if n := len(keys.Salt); n < 8 || n > 64 || len(keys.StoredKey) != size || len(keys.ServerKey) != size {
		return Stored{}, errStored
	}
	return Stored{scheme: scheme, scram: keys}, nil
}

// DeriveSCRAM makes the keys of a password for a hash, "SHA-1" or "SHA-256"
// (RFC 5802 §3).
func DeriveSCRAM(hash, password string, salt []byte, iterations int) (SCRAMKeys, error) {
	h := newHash(hash)
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		return SCRAMKeys{}, fmt.Errorf("derive SCRAM keys: %w", err)
	}
	stored := h()
	stored.Write(mac(h, salted, "Client Key"))
	return SCRAMKeys{
		Iterations: iterations, Salt: salt, StoredKey: stored.Sum(nil), ServerKey: mac(h, salted, "Server Key"),
	}, nil
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

// Encode returns what [NewStored] takes for these keys.
func (k SCRAMKeys) Encode() string {
	enc := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%d,%s,%s,%s", k.Iterations, enc(k.Salt), enc(k.StoredKey), enc(k.ServerKey))
}

// SCRAMSalt returns n octets, 64 at most, of the salt that user has for a hash
// where none is stored: because nobody is called so, or because a password is
// stored instead. Only who has the secret can tell it from a random one. It
// stays the same as long as secret does: a salt that changes, or one that does
// not where others do, tells who exists.
func SCRAMSalt(secret []byte, hash, user string, n int) []byte {
	h := hmac.New(sha512.New, secret)
	user, _ = Prepare(user)
	h.Write([]byte("SCRAM salt\x00" + hash + "\x00" + user))
	return h.Sum(nil)[:n]
}
