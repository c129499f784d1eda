package userfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// Bounds on the parameters of hashes, so that no line of the file can stall
// the server: each is about a second on one processor. They take in what
// doveadm, libsodium, passlib, htpasswd and the RFCs make by default, except
// the 2 GiB of RFC 9106's first choice.
const (
	maxHashMemory = 256 << 20 // octets
	maxArgon2Work = 1 << 20   // KiB times passes
	maxArgon2Lane = 16
	minBcryptCost = 4 // the library takes less for 10
	maxBcryptCost = 15
	minSHARounds  = 1000 // crypt(3) takes less for 1000
	maxSHARounds  = 1_000_000
)

// errHash repeats nothing of the hash, as the library's errors do.
var errHash = errors.New("malformed hash")

const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// A hashed secret is a hash in crypt(3)'s or the PHC's form.
type hashed struct {
	digest algorithm.Digest
	octets int64
	params string
}

func (h hashed) matches(password string) bool { return h.digest.Match(password) }
func (h hashed) memory() int64                { return h.octets }
func (h hashed) kind() string                 { return h.params }

// parseArgon2 parses $argon2id$v=19$m=65536,t=3,p=4$salt$key, the parameters
// in this order, which is the only one that the reference code writes.
func parseArgon2(value string) (secret, error) {
	parts := strings.Split(value, "$")
	if len(parts) != 6 || parts[2] != "v=19" || parts[1] != "argon2id" && parts[1] != "argon2i" {
		return nil, errHash
	}
	m, t, p, err := argon2Params(parts[3])
	if err != nil {
		return nil, err
	}
	digest, err := argon2.Decode(value)
	if err != nil {
		return nil, errHash
	}
	if n := len(digest.Salt()); n < 8 || n > 64 { // RFC 9106 §3.1
		return nil, errors.New("salt is not of 8 to 64 octets")
	}
	if n := len(digest.Key()); n < 16 || n > 64 {
		return nil, errors.New("hash is not of 16 to 64 octets")
	}
	return hashed{digest, m << 10, fmt.Sprintf("%s m=%d,t=%d,p=%d", parts[1], m, t, p)}, nil
}

func argon2Params(s string) (m, t, p int64, err error) {
	fields := strings.Split(s, ",")
	if len(fields) != 3 {
		return 0, 0, 0, errHash
	}
	for i, field := range []struct {
		name string
		n    *int64
	}{{"m=", &m}, {"t=", &t}, {"p=", &p}} {
		digits, ok := strings.CutPrefix(fields[i], field.name)
		if *field.n, err = strconv.ParseInt(digits, 10, 32); !ok || err != nil {
			return 0, 0, 0, errHash
		}
	}
	switch {
	case p < 1 || t < 1 || m < 8*p: // RFC 9106 §3.1
		return 0, 0, 0, errHash
	case m<<10 > maxHashMemory || m*t > maxArgon2Work || p > maxArgon2Lane:
		return 0, 0, 0, fmt.Errorf("costs more than m=%d,t=%d,p=%d", maxHashMemory>>10, maxArgon2Work/(maxHashMemory>>10), maxArgon2Lane)
	}
	return m, t, p, nil
}

// parseBcrypt parses $2y$10$ and 53 characters. $2x$, the hash of a faulty
// program, is not taken for $2y$, as the library would.
func parseBcrypt(value string) (secret, error) {
	parts := strings.Split(value, "$")
	if len(parts) != 4 || len(parts[2]) != 2 || len(parts[3]) != 53 || strings.Trim(parts[3], cryptAlphabet) != "" {
		return nil, errHash
	}
	if v := parts[1]; v != "2a" && v != "2b" && v != "2y" {
		return nil, errHash
	}
	cost, err := strconv.ParseUint(parts[2], 10, 8)
	if err != nil {
		return nil, errHash
	}
	if cost < minBcryptCost || cost > maxBcryptCost {
		return nil, fmt.Errorf("cost is not from %d to %d", minBcryptCost, maxBcryptCost)
	}
	digest, err := bcrypt.DecodeVariant(bcrypt.VariantStandard)(value)
	if err != nil {
		return nil, errHash
	}
	return hashed{digest, 4 << 10, "bcrypt " + parts[2]}, nil
}

// parseSHACrypt parses $6$salt$key and $6$rounds=5000$salt$key, and the same
// with $5$.
func parseSHACrypt(value string) (secret, error) {
	parts := strings.Split(value, "$")
	if len(parts) < 4 || parts[0] != "" || parts[1] != "5" && parts[1] != "6" {
		return nil, errHash
	}
	rounds := uint64(shacrypt.IterationsDefaultOmitted)
	rest := parts[2:]
	if digits, ok := strings.CutPrefix(rest[0], "rounds="); ok {
		var err error
		if rounds, err = strconv.ParseUint(digits, 10, 32); err != nil {
			return nil, errHash
		}
		rest = rest[1:]
	}
	if rounds < minSHARounds || rounds > maxSHARounds {
		return nil, fmt.Errorf("rounds are not from %d to %d", minSHARounds, maxSHARounds)
	}
	if len(rest) != 2 || !isSHACrypt(parts[1], rest[0], rest[1]) {
		return nil, errHash
	}
	digest, err := shacrypt.Decode(value)
	if err != nil {
		return nil, errHash
	}
	return hashed{digest, 4 << 10, fmt.Sprintf("$%s$ %d", parts[1], rounds)}, nil
}

// isSHACrypt checks salt and key; crypt(3) cuts a longer salt to 16.
func isSHACrypt(kind, salt, key string) bool {
	length := 86
	if kind == "5" {
		length = 43
	}
	return len(salt) >= 1 && len(salt) <= 16 && len(key) == length && strings.Trim(key, cryptAlphabet) == ""
}
