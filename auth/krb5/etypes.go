package krb5

import (
	"crypto/rand"
	"fmt"
	"slices"

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

// permits reports whether the acceptor takes an enctype.
func (a *Acceptor) permits(etype int32) bool {
	allowed := a.Etypes
	if allowed == nil {
		allowed = defaultEtypes
	}
	return keyLength(etype) != 0 && slices.Contains(allowed, etype)
}
