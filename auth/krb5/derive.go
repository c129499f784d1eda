package krb5

import (
	"crypto/aes"
	"crypto/hmac"
	"encoding/binary"
	"sync"

	"github.com/jcmturner/gokrb5/v8/crypto/rfc3961"
)

// The keys that are derived for one usage, by the last octet of the constant
// (RFC 3961 §5.3, RFC 8009 §5).
const (
	deriveKc = 0x99 // for checksums alone
	deriveKe = 0xaa // for encryption
	deriveKi = 0x55 // for its integrity
)

// maxUsage is the largest key usage that this package knows (RFC 4121 §2).
const maxUsage = 25

// derive derives a key from a well-formed one. The library's own way computes
// the same folded constant for every message, bit by bit, which takes longer
// than all the rest of it.
func (k *cfxKind) derive(key []byte, usage uint32, part byte) []byte {
	if k.macCipher {
		return k.deriveSHA2(key, usage, part)
	}
	// RFC 3961 §5.1: one block encrypts to the next, and RFC 3962 §6 takes the
	// octets as they are.
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // well-formed keys have AES's lengths
	}
	folded := foldedConstants()[usage]
	from := folded.of(part)
	out := make([]byte, (len(key)+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize)
	for to := out; len(to) > 0; to = to[aes.BlockSize:] {
		block.Encrypt(to, from)
		from = to[:aes.BlockSize]
	}
	return out[:len(key)]
}

// deriveSHA2 is KDF-HMAC-SHA2 of RFC 8009 §3, one round of which is enough for
// every key.
func (k *cfxKind) deriveSHA2(key []byte, usage uint32, part byte) []byte {
	size := k.macSize
	if part == deriveKe {
		size = len(key)
	}
	in := []byte{0, 0, 0, 1}
	in = binary.BigEndian.AppendUint32(in, usage)
	in = append(in, part, 0)
	in = binary.BigEndian.AppendUint32(in, uint32(size)*8)
	h := hmac.New(k.hash, key)
	h.Write(in)
	return h.Sum(nil)[:size]
}

// A folded holds the constants of one key usage, each folded to a block
// (RFC 3961 §5.1).
type folded struct{ kc, ke, ki [aes.BlockSize]byte }

func (f *folded) of(part byte) []byte {
	switch part {
	case deriveKc:
		return f.kc[:]
	case deriveKe:
		return f.ke[:]
	}
	return f.ki[:]
}

var foldedConstants = sync.OnceValue(func() *[maxUsage + 1]folded {
	var all [maxUsage + 1]folded
	for usage := range all {
		for _, part := range []byte{deriveKc, deriveKe, deriveKi} {
			constant := append(binary.BigEndian.AppendUint32(nil, uint32(usage)), part)
			copy(all[usage].of(part), rfc3961.Nfold(constant, aes.BlockSize*8))
		}
	}
	return &all
})
