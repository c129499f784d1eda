package userfile

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Bounds on SCRAM's iteration count; RFC 7677 §4 asks for 4096 at least.
const (
	minIterations = 4096
	maxIterations = 2_000_000
)

// A scramSecret is what a server keeps for SCRAM-SHA-256 (RFC 5802 §3).
type scramSecret struct {
	iterations                 int
	salt, storedKey, serverKey []byte
}

// parseSCRAM parses Dovecot's "iterations,salt,StoredKey,ServerKey", the last
// three in base64.
func parseSCRAM(value string) (secret, error) {
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
	s := scramSecret{int(iterations), decoded[0], decoded[1], decoded[2]}
	if n := len(s.salt); n < 8 || n > 64 || len(s.storedKey) != sha256.Size || len(s.serverKey) != sha256.Size {
		return nil, errHash
	}
	return s, nil
}

func (s scramSecret) memory() int64 { return 1 << 10 }
func (s scramSecret) kind() string  { return "SCRAM " + strconv.Itoa(s.iterations) }

func (s scramSecret) matches(password string) bool {
	got, err := deriveSCRAM(password, s.salt, s.iterations)
	return err == nil && subtle.ConstantTimeCompare(got.storedKey, s.storedKey) == 1
}

// deriveSCRAM makes the secret of a password (RFC 5802 §3).
func deriveSCRAM(password string, salt []byte, iterations int) (scramSecret, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return scramSecret{}, fmt.Errorf("derive SCRAM keys: %w", err)
	}
	storedKey := sha256.Sum256(mac(salted, "Client Key"))
	return scramSecret{iterations, salt, storedKey[:], mac(salted, "Server Key")}, nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (s scramSecret) encode() string {
	enc := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%d,%s,%s,%s", s.iterations, enc(s.salt), enc(s.storedKey), enc(s.serverKey))
}
