package auth

import (
	"crypto/hmac"
	"crypto/sha512"
)

// SCRAMKeys are what a server keeps of a password for SCRAM (RFC 5802 §3):
// enough to check a proof of it, not enough to make one.
type SCRAMKeys struct {
	Iterations                 int
	Salt, StoredKey, ServerKey []byte
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
