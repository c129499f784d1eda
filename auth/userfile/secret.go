package userfile

import (
	"crypto/md5" // RFC 1939 §7 knows no other digest
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"kpopd/auth"
)

const maxPassword = 1024

// A secret is what a line holds against which a password is checked.
type secret interface {
	// matches reports in constant time whether password is the secret.
	matches(password string) bool
	// memory is how many octets matches uses at one time; 0: it costs
	// nothing worth counting.
	memory() int64
	// kind is the scheme with its parameters: secrets of one kind cost the same.
	kind() string
}

// A scheme parses what stands behind {NAME}. An error repeats nothing of it.
type scheme func(value string) (secret, error)

// schemeOf returns the scheme of a name in upper case, or nil.
func schemeOf(name string) scheme {
	switch name {
	case "ARGON2ID":
		return only(parseArgon2, "$argon2id$")
	case "ARGON2I":
		return only(parseArgon2, "$argon2i$")
	case "BLF-CRYPT", "BCRYPT":
		return parseBcrypt
	case "SHA512-CRYPT":
		return only(parseSHACrypt, "$6$")
	case "SHA256-CRYPT":
		return only(parseSHACrypt, "$5$")
	case "CRYPT":
		return parseCrypt
	case "SCRAM-SHA-256":
		return parseSCRAM(scramSHA256)
	case "SCRAM-SHA-1":
		return parseSCRAM(scramSHA1)
	case "PLAIN", "CLEARTEXT":
		return parsePlain
	}
	return nil
}

// refusedSchemes are names that other servers know. Only names from here and
// from schemes are repeated in an error: what stands in braces on a line may
// be part of a password.
const refusedSchemes = " MD5 MD5-CRYPT LDAP-MD5 PLAIN-MD5 SMD5 CRAM-MD5 DIGEST-MD5 HMAC-MD5 SHA SHA1 SSHA SHA256 SSHA256" +
	" SHA512 SSHA512 DES-CRYPT NTLM LANMAN LM NT OTP RPA SKEY PBKDF2 PLAIN-TRUNC "

// parseSecret parses {SCHEME}value and {SCHEME.encoding}value. Scheme names
// have no case.
func parseSecret(s string) (secret, error) {
	if s == "" || s[0] != '{' {
		return nil, errors.New("no {SCHEME} before the hash")
	}
	name, value, ok := strings.Cut(s[1:], "}")
	if !ok {
		return nil, errors.New("no {SCHEME} before the hash")
	}
	name, encoding, _ := strings.Cut(strings.ToUpper(name), ".")
	parse := schemeOf(name)
	switch {
	case parse == nil && strings.Contains(refusedSchemes, " "+name+" "):
		return nil, fmt.Errorf("scheme %s is not supported", name)
	case parse == nil:
		return nil, errors.New("unknown scheme")
	}
	value, err := decode(value, encoding)
	if err != nil {
		return nil, fmt.Errorf("scheme %s: %w", name, err)
	}
	secret, err := parse(value)
	if err != nil {
		return nil, fmt.Errorf("scheme %s: %w", name, err)
	}
	return secret, nil
}

func decode(value, encoding string) (string, error) {
	var (
		b   []byte
		err error
	)
	switch encoding {
	case "":
		return value, nil
	case "B64", "BASE64":
		b, err = base64.StdEncoding.DecodeString(value)
	case "HEX":
		b, err = hex.DecodeString(value)
	default:
		return "", errors.New("unknown encoding")
	}
	if err != nil {
		return "", errors.New("wrongly encoded") // err may quote the value
	}
	return string(b), nil
}

// parseCrypt chooses the scheme as crypt(3) does, by the prefix.
func parseCrypt(value string) (secret, error) {
	switch {
	case strings.HasPrefix(value, "$argon2"):
		return parseArgon2(value)
	case strings.HasPrefix(value, "$2"):
		return parseBcrypt(value)
	case strings.HasPrefix(value, "$5$"), strings.HasPrefix(value, "$6$"):
		return parseSHACrypt(value)
	}
	return nil, errors.New("a hash of an unsupported kind")
}

// only restricts parse to values with a prefix.
func only(parse scheme, prefix string) scheme {
	return func(value string) (secret, error) {
		if !strings.HasPrefix(value, prefix) {
			return nil, fmt.Errorf("the hash does not begin with %s", prefix)
		}
		return parse(value)
	}
}

// A plainSecret is a password in the clear, kept as typed and as prepared, in
// that order where they differ.
type plainSecret []string

func parsePlain(value string) (secret, error) {
	switch {
	case value == "":
		return nil, errors.New("empty")
	case len(value) > maxPassword:
		return nil, fmt.Errorf("longer than %d octets", maxPassword)
	case strings.IndexByte(value, 0) >= 0:
		return nil, errors.New("a NUL")
	}
	return newPlain(value), nil
}

func newPlain(value string) plainSecret {
	if prepared, ok := auth.Prepare(value); ok && prepared != value {
		return plainSecret{value, prepared}
	}
	return plainSecret{value}
}

func (s plainSecret) memory() int64 { return 0 }
func (s plainSecret) kind() string  { return "PLAIN" }

// matches compares digests, for the sake of the length.
func (s plainSecret) matches(password string) bool {
	got, equal := sha256.Sum256([]byte(password)), 0
	for _, form := range s {
		want := sha256.Sum256([]byte(form))
		equal |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	return equal == 1
}

// proves reports whether c's digest is that of its timestamp and the secret
// (RFC 1939 §7), as it is or prepared (RFC 6856 §2.2).
func (s plainSecret) proves(c auth.APOP) bool {
	equal := 0
	for _, form := range s {
		sum := md5.Sum([]byte(c.Timestamp + form))
		equal |= subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(c.Digest))
	}
	return equal == 1
}
