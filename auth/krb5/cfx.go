package krb5

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Flags of a per-message token (RFC 4121 §4.2.2).
const (
	cfxSentByAcceptor = 1 << iota
	cfxSealed
	cfxAcceptorSubkey
)

// Key usages of Wrap tokens (RFC 4121 §2), for checksums as well as for
// encryption.
const (
	usageAcceptorSeal  = 22
	usageInitiatorSeal = 24
)

const (
	cfxHeaderSize = 16
	// cfxConfounder is one cipher block (RFC 3962 §6, RFC 8009 §5).
	cfxConfounder = 16
)

var zeroIV = make([]byte, aes.BlockSize)

var errWrapToken = errors.New("bad wrap token")

// A cfx makes and opens the Wrap tokens of one established context, in the
// format of RFC 4121 §4.2. Both directions are strictly in order: the tokens
// travel in one TCP stream. It is not safe for concurrent use.
type cfx struct {
	kind             *cfxKind
	base             baseKey
	send, recv       cfxKeys
	sendFlag         byte // of the direction and of the key
	recvFlag         byte
	sendSeq, recvSeq uint64
}

// A cfxKind is what an enctype means for tokens and messages.
type cfxKind struct {
	hash    func() hash.Hash
	macSize int
	// macCipher: the integrity check covers an all-zero IV and the ciphertext
	// (RFC 8009 §5), else the confounder and the plaintext (RFC 3961 §5.3).
	macCipher bool
}

// cfxKeys are the derived keys of one direction (RFC 3961 §5.3): for checksums
// of tokens that are not encrypted, once there is one, and for encryption and its
// integrity, once [cfx.prepare] was called. Most contexts never encrypt.
type cfxKeys struct {
	usage  uint32
	kc, ki hash.Hash
	ke     cipher.Block
}

var (
	kindSHA1   = &cfxKind{hash: sha1.New, macSize: 12}
	kindSHA256 = &cfxKind{hash: sha256.New, macSize: 16, macCipher: true}
	kindSHA384 = &cfxKind{hash: sha512.New384, macSize: 24, macCipher: true}
)

// cfxKindOf returns nil for an enctype that this package does not implement.
func cfxKindOf(etype int32) *cfxKind {
	switch etype {
	case etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA1_96:
		return kindSHA1
	case etypeID.AES128_CTS_HMAC_SHA256_128:
		return kindSHA256
	case etypeID.AES256_CTS_HMAC_SHA384_192:
		return kindSHA384
	}
	return nil
}

// newCFX returns the acceptor's side of a context. subkey: key is one that the
// acceptor asserted (RFC 4121 §4.2.2).
func newCFX(key types.EncryptionKey, subkey bool, sendSeq, recvSeq uint32) (*cfx, error) {
	if cfxKindOf(key.KeyType) == nil { // RC4 and 3DES use the token formats of RFC 1964 and RFC 4757
		return nil, fmt.Errorf("no wrap tokens for enctype %d", key.KeyType)
	}
	base, err := newBaseKey(key)
	if err != nil {
		return nil, err
	}
	c := &cfx{kind: base.kind, base: base, sendSeq: uint64(sendSeq), recvSeq: uint64(recvSeq), sendFlag: cfxSentByAcceptor}
	if subkey {
		c.sendFlag |= cfxAcceptorSubkey
		c.recvFlag |= cfxAcceptorSubkey
	}
	c.send.usage, c.recv.usage = usageAcceptorSeal, usageInitiatorSeal
	return c, nil
}

// newInitiatorCFX returns the initiator's side of a context.
func newInitiatorCFX(key types.EncryptionKey, subkey bool, sendSeq, recvSeq uint32) (*cfx, error) {
	c, err := newCFX(key, subkey, sendSeq, recvSeq)
	if err != nil {
		return nil, err
	}
	c.send, c.recv = c.recv, c.send
	c.sendFlag, c.recvFlag = c.recvFlag, c.sendFlag
	return c, nil
}

// prepare makes c ready for encryption. It may be called again.
func (c *cfx) prepare() error {
	for _, d := range []*cfxKeys{&c.send, &c.recv} {
		if d.ke != nil {
			continue
		}
		var err error
		if d.ke, err = c.base.encryption(d.usage); err != nil {
			return err
		}
		d.ki = c.base.hmac(d.usage, deriveKi)
	}
	return nil
}

// checksum is the checksum of a token of one direction that is not encrypted.
func (c *cfx) checksum(d *cfxKeys, parts ...[]byte) []byte {
	if d.kc == nil {
		d.kc = c.base.hmac(d.usage, deriveKc)
	} else {
		d.kc.Reset()
	}
	return c.kind.mac(d.kc, parts...)
}

// overhead is by how much a token is longer than what it wraps.
func (c *cfx) overhead(sealed bool) int {
	if sealed {
		return cfxHeaderSize + cfxConfounder + cfxHeaderSize + c.kind.macSize
	}
	return cfxHeaderSize + c.kind.macSize
}

// wrap returns the next token, encrypted if seal is set, which takes a call of
// prepare before.
func (c *cfx) wrap(plain []byte, seal bool) []byte {
	h := cfxHeader{flags: c.sendFlag, seq: c.sendSeq}
	if seal {
		h.flags |= cfxSealed
	}
	token := h.append(make([]byte, 0, len(plain)+c.overhead(seal)))
	c.sendSeq++
	if seal {
		return c.seal(token, plain)
	}
	// RFC 4121 §4.2.4: the checksum is over the data and the header, in which
	// EC and RRC are zero.
	mac := c.checksum(&c.send, plain, token)
	binary.BigEndian.PutUint16(token[4:], uint16(len(mac)))
	return append(append(token, plain...), mac...)
}

// seal appends {confounder | plain | header} encrypted and its integrity check
// to header. There is no filler, as none of the enctypes needs it.
func (c *cfx) seal(header, plain []byte) []byte {
	token := append(header, make([]byte, cfxConfounder)...)
	rand.Read(token[cfxHeaderSize:])
	token = append(append(token, plain...), header...)
	c.send.ki.Reset()
	return append(token, c.kind.encrypt(c.send.ke, c.send.ki, token[cfxHeaderSize:])...)
}

// unwrap opens the peer's next token and reports whether it was encrypted. An
// error ends the context: the stream cannot be in order after it.
func (c *cfx) unwrap(token []byte) (plain []byte, sealed bool, err error) {
	h, err := parseCFXHeader(token)
	if err != nil {
		return nil, false, err
	}
	if h.flags&(cfxSentByAcceptor|cfxAcceptorSubkey) != c.recvFlag {
		return nil, false, fmt.Errorf("%w: flags %#x", errWrapToken, h.flags)
	}
	sealed = h.flags&cfxSealed != 0
	body := unrotate(token[cfxHeaderSize:], h.rrc)
	if sealed {
		plain, err = c.unseal(h, body)
	} else {
		plain, err = c.verify(h, body)
	}
	if err != nil {
		return nil, sealed, err
	}
	if h.seq != c.recvSeq {
		return nil, sealed, fmt.Errorf("%w: out of sequence", errWrapToken)
	}
	c.recvSeq++
	return plain, sealed, nil
}

// verify opens {plain | checksum}. EC is the checksum's length.
func (c *cfx) verify(h cfxHeader, body []byte) ([]byte, error) {
	n := len(body) - c.kind.macSize
	if n < 0 || int(h.ec) != c.kind.macSize {
		return nil, fmt.Errorf("%w: length", errWrapToken)
	}
	h.ec, h.rrc = 0, 0
	if !hmac.Equal(c.checksum(&c.recv, body[:n], h.append(nil)), body[n:]) {
		return nil, fmt.Errorf("%w: checksum", errWrapToken)
	}
	return body[:n:n], nil
}

// unseal opens {confounder | plain | EC octets of filler | header} encrypted
// and its integrity check, in place. In the inner header RRC is zero
// (RFC 4121 §4.2.4).
func (c *cfx) unseal(h cfxHeader, body []byte) ([]byte, error) {
	if err := c.prepare(); err != nil {
		return nil, err
	}
	n := len(body) - c.kind.macSize
	if n < cfxConfounder+cfxHeaderSize+int(h.ec) {
		return nil, fmt.Errorf("%w: length", errWrapToken)
	}
	inner := body[:n]
	h.rrc = 0
	end := n - cfxHeaderSize
	c.recv.ki.Reset()
	whole := c.kind.decrypt(c.recv.ke, c.recv.ki, inner, body[n:])
	if !whole || !hmac.Equal(inner[end:], h.append(nil)) {
		return nil, fmt.Errorf("%w: integrity", errWrapToken)
	}
	end -= int(h.ec)
	return inner[cfxConfounder:end:end], nil
}

// encrypt encrypts {confounder | plaintext} in place and returns its integrity
// check.
func (k *cfxKind) encrypt(ke cipher.Block, ki hash.Hash, inner []byte) []byte {
	if k.macCipher {
		ctsEncrypt(ke, inner)
		return k.cipherMAC(ki, inner)
	}
	mac := k.mac(ki, inner)
	ctsEncrypt(ke, inner)
	return mac
}

// decrypt decrypts in place and reports whether the integrity check is right.
func (k *cfxKind) decrypt(ke cipher.Block, ki hash.Hash, inner, mac []byte) bool {
	if k.macCipher {
		whole := hmac.Equal(k.cipherMAC(ki, inner), mac)
		ctsDecrypt(ke, inner)
		return whole
	}
	ctsDecrypt(ke, inner)
	return hmac.Equal(k.mac(ki, inner), mac)
}

// cipherMAC is the integrity check where it covers an IV, which is all zero
// here, and the ciphertext.
func (k *cfxKind) cipherMAC(h hash.Hash, cipher []byte) []byte {
	return k.mac(h, zeroIV, cipher)
}

// mac takes a hash that is new or reset. To reset one that is used once would
// cost more than its use.
func (k *cfxKind) mac(h hash.Hash, parts ...[]byte) []byte {
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)[:k.macSize]
}
