package krb5

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// The cipher of all enctypes here is AES in CBC mode with ciphertext stealing
// and an IV of zeros (RFC 3962 §5): the last two blocks change places, and the
// one that is last then is cut to the plaintext's length. The library's
// version copies each message several times.

// ctsTail returns where the last block of n octets begins, whole or not.
func ctsTail(n int) int { return (n - 1) / aes.BlockSize * aes.BlockSize }

// twoBlocks returns two blocks of zeros.
func twoBlocks() (a, b []byte) {
	both := make([]byte, 2*aes.BlockSize)
	return both[:aes.BlockSize], both[aes.BlockSize:]
}

// ctsEncrypt encrypts b, which is at least a block, in place. One block alone
// has nothing to steal from.
func ctsEncrypt(block cipher.Block, b []byte) {
	iv, last := twoBlocks()
	at := ctsTail(len(b))
	if at == 0 {
		block.Encrypt(b, b)
		return
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(b[:at], b[:at])
	stolen := b[at-aes.BlockSize : at]
	copy(last, b[at:])
	subtle.XORBytes(last, last, stolen)
	block.Encrypt(last, last)
	copy(b[at:], stolen)
	copy(stolen, last)
}

// ctsDecrypt decrypts b, which is at least a block, in place.
func ctsDecrypt(block cipher.Block, b []byte) {
	iv, last := twoBlocks()
	at := ctsTail(len(b))
	if at == 0 {
		block.Decrypt(b, b)
		return
	}
	stolen := b[at-aes.BlockSize : at]
	block.Decrypt(last, stolen)
	copy(stolen, last)
	n := copy(stolen, b[at:])
	subtle.XORBytes(b[at:], last[:n], b[at:])
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(b[:at], b[:at])
}
