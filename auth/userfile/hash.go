package userfile

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"

	"kpopd/auth"
)

// Hash returns what follows the user and the colon on a line of the file,
// {SCHEME} included, for a password: with a fresh salt, of the password as
// SASLprep prepares it where it can (RFC 4616 §2). The schemes are ARGON2ID,
// which is the default for an empty one, BLF-CRYPT, SHA512-CRYPT,
// SHA256-CRYPT, SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5 and PLAIN. Passwords that no login can present
// are an error: empty ones, those above 1024 octets, those with a NUL, and for
// BLF-CRYPT those above 72 octets, of which it ignores the rest.
func Hash(scheme, password string) (string, error) {
	switch {
	case password == "":
		return "", errors.New("userfile: empty password")
	case len(password) > maxPassword:
		return "", fmt.Errorf("userfile: password longer than %d octets", maxPassword)
	case strings.IndexByte(password, 0) >= 0:
		return "", errors.New("userfile: a NUL in the password")
	}
	if scheme == "" {
		scheme = "ARGON2ID"
	}
	password, _ = auth.Prepare(password)
	name := strings.ToUpper(scheme)
	switch name {
	case "BCRYPT":
		name = "BLF-CRYPT" // Dovecot's name for it
	case "PLAIN", "CLEARTEXT":
		return hashPlain(password), nil
	case "SCRAM-SHA-256", "SCRAM-SHA-1":
		return hashSCRAM(name, password)
	case "CRAM-MD5":
		return "{CRAM-MD5}" + auth.EncodeCRAM(password), nil
	}
	hasher, err := newHasher(name)
	if err != nil {
		return "", err
	}
	digest, err := hasher.Hash(password)
	if err != nil {
		return "", fmt.Errorf("userfile: hash with %s: %w", name, err)
	}
	return "{" + name + "}" + digest.Encode(), nil
}

// newHasher returns the hasher of a scheme. SHA-crypt's rounds are ten times
// its default and take some 50 ms; bcrypt's cost is the least that OWASP asks for.
func newHasher(scheme string) (algorithm.Hash, error) {
	switch scheme {
	case "ARGON2ID":
		return argon2.New(argon2.WithProfileRFC9106LowMemory())
	case "BLF-CRYPT":
		return bcrypt.New(bcrypt.WithCost(10))
	case "SHA512-CRYPT":
		return shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithRounds(50_000))
	case "SHA256-CRYPT":
		return shacrypt.New(shacrypt.WithSHA256(), shacrypt.WithRounds(50_000))
	}
	return nil, errors.New("userfile: no such scheme to hash with")
}

// hashPlain encodes what would not survive on a line of its own.
func hashPlain(password string) string {
	if strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r > '~' || r == ':' }) {
		return "{PLAIN.b64}" + base64.StdEncoding.EncodeToString([]byte(password))
	}
	return "{PLAIN}" + password
}

func hashSCRAM(name, password string) (string, error) {
	salt := make([]byte, auth.DefaultSalt)
	_, _ = rand.Read(salt) // never fails
	keys, err := auth.DeriveSCRAM(strings.TrimPrefix(name, "SCRAM-"), password, salt, auth.DefaultIterations)
	if err != nil {
		return "", err
	}
	return "{" + name + "}" + keys.Encode(), nil
}
