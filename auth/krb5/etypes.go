package krb5

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/types"
)

// defaultEtypes are the enctypes that an [Acceptor] takes unless it is told
// otherwise: AES with SHA-1 (RFC 3962) and with SHA-2 (RFC 8009).
var defaultEtypes = []int32{
	etypeID.AES128_CTS_HMAC_SHA1_96,
	etypeID.AES256_CTS_HMAC_SHA1_96,
	etypeID.AES128_CTS_HMAC_SHA256_128,
	etypeID.AES256_CTS_HMAC_SHA384_192,
}

var (
	errKeyLength  = errors.New("krb5: the length of a key does not fit its enctype")
	errCiphertext = errors.New("krb5: ciphertext does not open")
)

// keyLength returns the octets of a key, 0 for an enctype that this package
// does not implement. It is a table of its own because the library's says 24
// for enctype 20.
func keyLength(etype int32) int {
	switch etype {
	case etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA256_128:
		return 16
	case etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA384_192:
		return 32
	}
	return 0
}

// leastCiphertext returns the octets of the shortest ciphertext: a confounder
// of one block and the checksum (RFC 3962 §6, RFC 8009 §5). The library slices
// by it unchecked.
func leastCiphertext(etype int32) int {
	switch etype {
	case etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA1_96:
		return 16 + 12
	case etypeID.AES128_CTS_HMAC_SHA256_128:
		return 16 + 16
	case etypeID.AES256_CTS_HMAC_SHA384_192:
		return 16 + 24
	}
	return 0
}

// wellFormedKey reports whether k has an enctype of this package and the
// length that belongs to it. The library makes checksums with keys of any
// length.
func wellFormedKey(k types.EncryptionKey) bool {
	n := keyLength(k.KeyType)
	return n != 0 && len(k.KeyValue) == n
}

// newSubkey returns a fresh random key of an enctype of this package.
func newSubkey(etype int32) (types.EncryptionKey, error) {
	n := keyLength(etype)
	if n == 0 {
		return types.EncryptionKey{}, fmt.Errorf("krb5: enctype %d is not implemented", etype)
	}
	k := types.EncryptionKey{KeyType: etype, KeyValue: make([]byte, n)}
	if _, err := rand.Read(k.KeyValue); err != nil {
		return types.EncryptionKey{}, fmt.Errorf("krb5: random key: %w", err)
	}
	return k, nil
}

// seal encrypts plain for a key usage (RFC 4120 §7.5.1). A kvno of 0 is left
// out of the result.
func seal(k types.EncryptionKey, usage uint32, kvno int, plain []byte) (types.EncryptedData, error) {
	if !wellFormedKey(k) {
		return types.EncryptedData{}, errKeyLength
	}
	return crypto.GetEncryptedData(plain, k, usage, kvno)
}

// unseal decrypts e for a key usage and checks its integrity. The library's
// errors may quote what it read, so they go no further.
func unseal(k types.EncryptionKey, usage uint32, e types.EncryptedData) ([]byte, error) {
	if !wellFormedKey(k) || k.KeyType != e.EType || len(e.Cipher) < leastCiphertext(e.EType) {
		return nil, errCiphertext
	}
	plain, err := crypto.DecryptMessage(e.Cipher, k, usage)
	if err != nil {
		return nil, errCiphertext
	}
	return plain, nil
}

// permits reports whether the acceptor takes an enctype.
func (a *Acceptor) permits(etype int32) bool {
	allowed := a.Etypes
	if allowed == nil {
		allowed = defaultEtypes
	}
	return keyLength(etype) != 0 && slices.Contains(allowed, etype)
}
