package userfile

import (
	"errors"
	"fmt"
	"strconv"
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

// hashSchemes are those that keep of a password what only the password proves.
var hashSchemes = map[string]scheme{
	"ARGON2ID":     only(parseArgon2, "$argon2id$"),
	"ARGON2I":      only(parseArgon2, "$argon2i$"),
	"BLF-CRYPT":    parseBcrypt,
	"BCRYPT":       parseBcrypt,
	"SHA512-CRYPT": only(parseSHACrypt, "$6$"),
	"SHA256-CRYPT": only(parseSHACrypt, "$5$"),
	"CRYPT":        parseCrypt,
}

// refusedSchemes are names that other servers know. Only names from here and
// from schemes are repeated in an error: what stands in braces on a line may
// be part of a password.
const refusedSchemes = " MD5 MD5-CRYPT LDAP-MD5 PLAIN-MD5 SMD5 DIGEST-MD5 HMAC-MD5 SHA SHA1 SSHA SHA256 SSHA256" +
	" SHA512 SSHA512 DES-CRYPT NTLM LANMAN LM NT OTP RPA SKEY PBKDF2 PLAIN-TRUNC "

// parseSecret parses {SCHEME}value and {SCHEME.encoding}value. Scheme names
// have no case.
func parseSecret(s string) (secret, error) {
	name, value, err := auth.CutScheme(s)
	if err != nil {
		return nil, err
	}
	secret, err := parseValue(name, value)
	switch {
	case errors.Is(err, auth.ErrScheme) && strings.Contains(refusedSchemes, " "+name+" "):
		return nil, fmt.Errorf("scheme %s is not supported", name)
	case errors.Is(err, auth.ErrScheme):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("scheme %s: %w", name, err)
	}
	return secret, nil
}

func parseValue(name, value string) (secret, error) {
	if parse := hashSchemes[name]; parse != nil {
		return parse(value)
	}
	s, err := auth.NewStored(name, value)
	return stored{s}, err
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

// A stored secret proves more than passwords.
type stored struct{ auth.Stored }

func (s stored) matches(password string) bool { return s.Matches(password) }

func (s stored) memory() int64 {
	if s.iterations() > 0 {
		return 1 << 10
	}
	return 0
}

func (s stored) kind() string { return s.Scheme() + " " + strconv.Itoa(s.iterations()) }

// iterations is the iteration count of keys for SCRAM; 0: it has none.
func (s stored) iterations() int {
	keys, _ := s.SCRAM(strings.TrimPrefix(s.Scheme(), "SCRAM-"))
	return keys.Iterations
}
