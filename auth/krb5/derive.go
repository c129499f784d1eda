package krb5

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/jcmturner/gokrb5/v8/crypto/rfc3961"
	"github.com/jcmturner/gokrb5/v8/types"
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

// A baseKey is a key from which those of the usages are derived. It is safe for
// concurrent use.
type baseKey struct {
	kind  *cfxKind
	value []byte
	block cipher.Block // nil where HMAC derives
}

// newBaseKey takes well-formed keys only.
func newBaseKey(k types.EncryptionKey) (b baseKey, err error) {
	if !wellFormedKey(k) {
		return b, errKeyLength
	}
	b = baseKey{kind: cfxKindOf(k.KeyType), value: k.KeyValue}
	if !b.kind.macCipher {
		b.block, err = aes.NewCipher(k.KeyValue)
	}
	return b, err
}

// derive derives the key of a usage. The library's own way computes the same
// folded constant for every message, bit by bit, which takes longer than all the
// rest of it.
func (b *baseKey) derive(usage uint32, part byte) []byte {
	if b.kind.macCipher {
		return b.deriveSHA2(usage, part)
	}
	// RFC 3961 §5.1: one block encrypts to the next, and RFC 3962 §6 takes the
	// octets as they are. Keys are of one block or two.
	from := foldedConstants()[usage].of(part)
	out := make([]byte, len(b.value))
	for to := out; len(to) > 0; to = to[aes.BlockSize:] {
		b.block.Encrypt(to, from)
		from = to[:aes.BlockSize]
	}
	return out
}

// deriveSHA2 is KDF-HMAC-SHA2 of RFC 8009 §3, one round of which is enough for
// every key.
func (b *baseKey) deriveSHA2(usage uint32, part byte) []byte {
	size := b.kind.macSize
	if part == deriveKe {
		size = len(b.value)
	}
	in := append(make([]byte, 0, 16), 0, 0, 0, 1)
	in = binary.BigEndian.AppendUint32(in, usage)
	in = append(in, part, 0)
	in = binary.BigEndian.AppendUint32(in, uint32(size)*8)
	h := hmac.New(b.kind.hash, b.value)
	h.Write(in)
	return h.Sum(nil)[:size]
}

// encryption returns the cipher of a usage.
func (b *baseKey) encryption(usage uint32) (cipher.Block, error) {
	return aes.NewCipher(b.derive(usage, deriveKe))
}

// hmac returns a new HMAC under a key of a usage.
func (b *baseKey) hmac(usage uint32, part byte) hash.Hash {
	return hmac.New(b.kind.hash, b.derive(usage, part))
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
