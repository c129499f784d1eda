package auth

import (
	"crypto/md5" // RFC 1939 §7 and RFC 2195 §2 know no other digest
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// ErrScheme means that a notation names no scheme of [NewStored].
var ErrScheme = errors.New("unknown scheme")

// A Stored is what is kept of somebody's secret for the proofs that a hash of
// it does not suffice for: the secret itself, or keys made of it. The zero
// Stored is nobody's; it takes as long as any other. Like a [Secret] it prints
// and logs as "[redacted]".
type Stored struct {
	scheme string
	plain  []string // as typed and, where that differs, as prepared
	cram   *cramKeys
	scram  SCRAMKeys
}

// String, GoString and LogValue keep the secret out of logs.
func (Stored) String() string       { return redacted }
func (Stored) GoString() string     { return redacted }
func (Stored) LogValue() slog.Value { return slog.StringValue(redacted) }

// ParseStored parses a secret in one of two notations: {SCHEME}value, as
// [CutScheme] and [NewStored] take it, and that of LDAP's authPassword for SCRAM
// (RFC 5803), SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey. An error repeats
// nothing of s.
func ParseStored(s string) (Stored, error) {
	if scheme, fields, ok := cutAuthPassword(s); ok {
		return newSCRAM(scheme, fields)
	}
	scheme, value, err := CutScheme(s)
	if err != nil {
		return Stored{}, err
	}
	return NewStored(scheme, value)
}

// NewStored parses the value of a secret: the secret itself for PLAIN and
// CLEARTEXT; Dovecot's 64 hexadecimal digits for CRAM-MD5; for SCRAM-SHA-256 and
// SCRAM-SHA-1, Dovecot's "iterations,salt,StoredKey,ServerKey", the last three in
// base64. Any other scheme, which is upper case, is [ErrScheme]. An error
// repeats nothing of either.
func NewStored(scheme, value string) (Stored, error) {
	switch scheme {
	case "PLAIN", "CLEARTEXT":
		return newPlain(value)
	case "CRAM-MD5":
		keys, err := parseCRAM(value)
		return Stored{scheme: scheme, cram: keys}, err
	case "SCRAM-" + scramSHA256, "SCRAM-" + scramSHA1:
		return newSCRAM(scheme, strings.Split(value, ","))
	}
	return Stored{}, ErrScheme
}

// CutScheme splits {SCHEME}value, and {SCHEME.encoding}value, which it decodes,
// of which the encodings are b64 and hex. The scheme is upper case. An error
// repeats nothing of s.
func CutScheme(s string) (scheme, value string, err error) {
	name, value, ok := strings.Cut(s, "}")
	if name, ok2 := strings.CutPrefix(name, "{"); ok && ok2 {
		scheme, encoding, _ := strings.Cut(strings.ToUpper(name), ".")
		value, err = decodeStored(value, encoding)
		return scheme, value, err
	}
	return "", "", errors.New("no {SCHEME} before the hash")
}

func decodeStored(value, encoding string) (string, error) {
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
		return "", errors.New("the hash is wrongly encoded") // err may quote the value
	}
	return string(b), nil
}

func newPlain(value string) (Stored, error) {
	switch {
	case value == "":
		return Stored{}, errors.New("empty")
	case len(value) > maxSecret:
		return Stored{}, fmt.Errorf("longer than %d octets", maxSecret)
	case strings.IndexByte(value, 0) >= 0:
		return Stored{}, errors.New("a NUL")
	}
	forms := []string{value}
	if prepared, ok := Prepare(value); ok && prepared != value {
		forms = append(forms, prepared)
	}
	return Stored{scheme: "PLAIN", plain: forms}, nil
}

// Scheme is PLAIN, CRAM-MD5, SCRAM-SHA-256 or SCRAM-SHA-1.
func (s Stored) Scheme() string { return s.scheme }

// Plain returns the secret itself as SASLprep prepares it, if s has it.
func (s Stored) Plain() (Secret, bool) {
	if s.plain == nil {
		return "", false
	}
	return Secret(s.plain[len(s.plain)-1]), true
}

// SCRAM returns the keys for SCRAM with a hash, "SHA-1" or "SHA-256", if s has
// them.
func (s Stored) SCRAM(hash string) (SCRAMKeys, bool) {
	return s.scram, s.scheme == "SCRAM-"+hash
}

// Matches reports in constant time whether password, as it is, is the secret. It
// holds no NUL: to HMAC, and so to all schemes but PLAIN, a key with NULs behind
// it is the same key.
func (s Stored) Matches(password string) bool {
	switch hash, isSCRAM := strings.CutPrefix(s.scheme, "SCRAM-"); {
	case isSCRAM:
		got, err := DeriveSCRAM(hash, password, s.scram.Salt, s.scram.Iterations)
		return err == nil && subtle.ConstantTimeCompare(got.StoredKey, s.scram.StoredKey) == 1
	case s.cram != nil:
		got := newCRAMKeys(password)
		return subtle.ConstantTimeCompare(got[:], s.cram[:]) == 1
	}
	got, equal := sha256.Sum256([]byte(password)), 0 // digests, for the sake of the length
	for _, form := range s.plain {
		want := sha256.Sum256([]byte(form))
		equal |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	return equal == 1
}

// Proves reports whether the digest of c, an [APOP] or a [CRAMMD5], is that of
// its text and the secret, as it is or prepared (RFC 6856 §2.2); and whether s can
// prove such a credential at all. The work is the same if it cannot.
func (s Stored) Proves(c Credential) (proven, able bool) {
	switch c := c.(type) {
	case APOP:
		return s.anyForm(c.Digest, func(form string) []byte {
			sum := md5.Sum([]byte(c.Timestamp + form))
			return sum[:]
		})
	case CRAMMD5:
		if s.cram != nil {
			return isDigestOf(s.cram.mac(c.Challenge), c.Digest), true
		}
		return s.anyForm(c.Digest, func(form string) []byte { return newCRAMKeys(form).mac(c.Challenge) })
	}
	return false, false
}

// anyForm reports whether digest is that of any form of the secret, and whether
// there is one.
func (s Stored) anyForm(digest string, sum func(form string) []byte) (proven, able bool) {
	forms := s.plain
	if forms == nil {
		forms = []string{"decoy"}
	}
	for _, form := range forms {
		proven = isDigestOf(sum(form), digest) || proven
	}
	return proven && s.plain != nil, s.plain != nil
}

func isDigestOf(sum []byte, digest string) bool {
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum)), []byte(digest)) == 1
}
