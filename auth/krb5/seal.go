package krb5

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"errors"

	"github.com/jcmturner/gokrb5/v8/types"
)

var (
	errKeyLength  = errors.New("krb5: the length of a key does not fit its enctype")
	errCiphertext = errors.New("krb5: ciphertext does not open")
)

// sealKeys are what messages of one key and one usage are sealed with. They
// are safe for concurrent use.
type sealKeys struct {
	kind *cfxKind
	ke   cipher.Block
	ki   []byte
}

// sealKeys derives the keys of a usage (RFC 4120 §7.5.1).
func (b *baseKey) sealKeys(usage uint32) (s sealKeys, err error) {
	s.kind = b.kind
	if s.ke, err = b.encryption(usage); err == nil {
		s.ki = b.derive(usage, deriveKi)
	}
	return s, err
}

// newSealKeys derives the keys of a usage of a key that is used for nothing else.
func newSealKeys(k types.EncryptionKey, usage uint32) (sealKeys, error) {
	b, err := newBaseKey(k)
	if err != nil {
		return sealKeys{}, err
	}
	return b.sealKeys(usage)
}

// seal encrypts plain behind a random block, and appends the integrity check.
func (s *sealKeys) seal(plain []byte) []byte {
	b := make([]byte, cfxConfounder, cfxConfounder+len(plain)+s.kind.macSize)
	_, _ = rand.Read(b) // never fails
	b = append(b, plain...)
	return append(b, s.kind.encrypt(s.ke, hmac.New(s.kind.hash, s.ki), b)...)
}

// open is the reverse. It leaves its argument alone.
func (s *sealKeys) open(sealed []byte) ([]byte, error) {
	n := len(sealed) - s.kind.macSize
	if n < cfxConfounder {
		return nil, errCiphertext
	}
	inner := append(make([]byte, 0, n), sealed[:n]...)
	if !s.kind.decrypt(s.ke, hmac.New(s.kind.hash, s.ki), inner, sealed[n:]) {
		return nil, errCiphertext
	}
	return inner[cfxConfounder:], nil
}

// seal encrypts plain for a key usage (RFC 4120 §7.5.1). A kvno of 0 is left
// out of the result.
func seal(k types.EncryptionKey, usage uint32, kvno int, plain []byte) (types.EncryptedData, error) {
	keys, err := newSealKeys(k, usage)
	if err != nil {
		return types.EncryptedData{}, err
	}
	return types.EncryptedData{EType: k.KeyType, KVNO: kvno, Cipher: keys.seal(plain)}, nil
}

// unseal decrypts e for a key usage and checks its integrity.
func unseal(k types.EncryptionKey, usage uint32, e types.EncryptedData) ([]byte, error) {
	keys, err := newSealKeys(k, usage)
	if err != nil || k.KeyType != e.EType {
		return nil, errCiphertext
	}
	return keys.open(e.Cipher)
}
