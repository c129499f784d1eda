package krb5

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/types"
)

// usagePAC is the key usage of signatures in a PAC ([MS-KILE] §3.1.5.9).
const usagePAC = 17

var errPACSignature = errors.New("krb5: the server's signature does not fit")

// pacChecksum returns the type of checksum that belongs to an enctype
// (RFC 3962 §7, RFC 8009 §6), and the octets of a signature of that type. No
// other is taken: HMAC-MD5 could be made with a key of any kind.
func pacChecksum(etype int32) (kind int32, size int) {
	switch etype {
	case etypeID.AES128_CTS_HMAC_SHA1_96:
		return chksumtype.HMAC_SHA1_96_AES128, 12
	case etypeID.AES256_CTS_HMAC_SHA1_96:
		return chksumtype.HMAC_SHA1_96_AES256, 12
	case etypeID.AES128_CTS_HMAC_SHA256_128:
		return chksumtype.HMAC_SHA256_128_AES128, 16
	case etypeID.AES256_CTS_HMAC_SHA384_192:
		return chksumtype.HMAC_SHA384_192_AES256, 24
	}
	return 0, 0
}

// verify checks the signature that only the KDC, and who holds key, can make:
// a checksum of the whole PAC in which it and the KDC's own signature are zero
// ([MS-PAC] §2.8.1). The KDC's cannot be checked here.
func (p *pacType) verify(key types.EncryptionKey) error {
	server, ok := p.find(pacServerChecksum)
	kdc, has := p.find(pacKDCChecksum)
	kind, size := pacChecksum(key.KeyType)
	const head = 4 // SignatureType
	if size == 0 || !ok || !has || server.end-server.start < head+size || kdc.end-kdc.start < head {
		return errPACSignature
	}
	if int32(binary.LittleEndian.Uint32(p.raw[server.start:])) != kind {
		return errPACSignature
	}
	signature := p.raw[server.start+head:][:size]
	zeroed := slices.Clone(p.raw)
	// A read-only domain controller's number may stand behind a signature
	// ([MS-PAC] §2.8, RODCIdentifier); it counts as part of it, as in MIT
	// Kerberos, Heimdal and Samba.
	clear(zeroed[server.start+head : server.end])
	clear(zeroed[kdc.start+head : kdc.end])
	if !hmac.Equal(keyedChecksum(key, usagePAC, zeroed), signature) {
		return errPACSignature
	}
	return nil
}

// keyedChecksum is the checksum of RFC 3961 §5.4 and RFC 8009 §6 over data,
// nil for a key that is not well formed.
func keyedChecksum(key types.EncryptionKey, usage uint32, data []byte) []byte {
	base, err := newBaseKey(key)
	if err != nil {
		return nil
	}
	return base.kind.mac(base.hmac(usage, deriveKc), data)
}
