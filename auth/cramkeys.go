package auth

import (
	"crypto/md5" // RFC 2195 §2 knows no other digest
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// cramKeys are the states of MD5 after the first block of HMAC's outer and of
// its inner hash (RFC 2104 §4): all that a secret is to HMAC-MD5, and so what
// Dovecot keeps for CRAM-MD5. The words of a state are little-endian, as in a
// digest of MD5.
type cramKeys [2 * md5.Size]byte

// parseCRAM parses Dovecot's 64 hexadecimal digits.
func parseCRAM(value string) (*cramKeys, error) {
	b, err := hex.DecodeString(value)
	if err != nil || len(b) != len(cramKeys{}) {
		return nil, errStored
	}
	return (*cramKeys)(b), nil
}

// newCRAMKeys makes the keys of a secret (RFC 2104 §2).
func newCRAMKeys(secret string) *cramKeys {
	key := []byte(secret)
	if len(key) > md5.BlockSize {
		sum := md5.Sum(key)
		key = sum[:]
	}
	key = append(slices.Clone(key), make([]byte, md5.BlockSize-len(key))...)
	var k cramKeys
	copy(k[:md5.Size], stateAfter(key, 0x5c))
	copy(k[md5.Size:], stateAfter(key, 0x36))
	return &k
}

// stateMagic begins what crypto/md5 marshals: this, the four words of the state
// in big-endian, a buffer of one block, and the length in octets.
const stateMagic = "md5\x01"

// stateAfter returns the state of MD5 after one block, of key and pad.
func stateAfter(key []byte, pad byte) []byte {
	block := make([]byte, md5.BlockSize)
	for i := range block {
		block[i] = key[i] ^ pad
	}
	h := md5.New()
	h.Write(block)
	b, err := h.(interface{ MarshalBinary() ([]byte, error) }).MarshalBinary()
	if err != nil || !strings.HasPrefix(string(b), stateMagic) {
		panic("auth: crypto/md5 marshals otherwise") // a test would have seen it
	}
	return swapWords(b[len(stateMagic):][:md5.Size])
}

// resume returns the digest of a block that left MD5 in state and of text.
func resume(state []byte, text []byte) []byte {
	b := append([]byte(stateMagic), swapWords(state)...)
	b = append(b, make([]byte, md5.BlockSize)...)
	b = binary.BigEndian.AppendUint64(b, md5.BlockSize)
	h := md5.New()
	if err := h.(interface{ UnmarshalBinary([]byte) error }).UnmarshalBinary(b); err != nil {
		panic("auth: crypto/md5 marshals otherwise") // a test would have seen it
	}
	h.Write(text)
	return h.Sum(nil)
}

func swapWords(b []byte) []byte {
	var out []byte
	for word := range slices.Chunk(b, 4) {
		out = binary.BigEndian.AppendUint32(out, binary.LittleEndian.Uint32(word))
	}
	return out
}

// mac is the HMAC-MD5 of text.
func (k *cramKeys) mac(text string) []byte {
	return resume(k[:md5.Size], resume(k[md5.Size:], []byte(text)))
}

// EncodeCRAM returns what [NewStored] takes for CRAM-MD5 of a secret.
func EncodeCRAM(secret string) string {
	k := newCRAMKeys(secret)
	return hex.EncodeToString(k[:])
}

// errStored repeats nothing of the value.
var errStored = errors.New("malformed hash")
