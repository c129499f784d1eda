package krb5

import (
	"math/big"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/types"
)

// FuzzEncode demands the library's octets of any message, and that what was
// encoded is read here as the library reads it.
func FuzzEncode(f *testing.F) {
	f.Add(int64(1<<31), int32(-138), 999999, int64(1<<40), "EXAMPLE.TEST", "alice", []byte("key"), []byte{})
	f.Add(int64(-1<<63), int32(-1<<31), -129, int64(-62167219200), "", "", []byte{}, make([]byte, 1<<16))
	f.Fuzz(func(t *testing.T, seq int64, kind int32, n int, unix int64, realm, name string, a, b []byte) {
		at := time.Unix(unix%(1<<37), 0).UTC()
		if at.Year() < 0 || at.Year() > 9999 {
			t.Skip() // no KerberosTime
		}
		key, sealed := types.EncryptionKey{KeyType: kind, KeyValue: a}, types.EncryptedData{EType: kind, KVNO: n, Cipher: b}
		proof := authenticatorMsg{VNO: n, CRealm: realm, CName: types.PrincipalName{NameType: kind, NameString: []string{name, realm}},
			Cksum: types.Checksum{CksumType: kind, Checksum: b}, Cusec: n, CTime: at, Subkey: key, Seq: big.NewInt(seq), AuthData: data(kind, name)}
		part := encAPRepPart{CTime: at, Cusec: n, Subkey: key, Seq: big.NewInt(seq)}
		rep := apRepMsg{PVNO: n, MsgType: int(kind), EncPart: sealed}
		req := apReqMsg{PVNO: n, MsgType: int(kind), Options: bits(uint32(kind)), Authenticator: sealed,
			Ticket: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, IsCompound: true, Bytes: a}}
		encodesAs(t, proof.marshal(), asnAppTag.Authenticator, proof)
		encodesAs(t, part.marshal(), asnAppTag.EncAPRepPart, part)
		encodesAs(t, rep.marshal(), asnAppTag.APREP, rep)
		encodesAs(t, req.marshal(), asnAppTag.APREQ, req)
		for _, own := range [][]byte{proof.marshal(), part.marshal(), rep.marshal(), req.marshal()} {
			if !sameAsLibrary(t, own) {
				t.Errorf("%x is not read", own)
			}
		}
	})
}
