package krb5

import (
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// What every login sends is encoded here, without reflection.

// marshal returns the message (RFC 4120 §5.5.2).
func (m apRepMsg) marshal() ([]byte, error) {
	return marshalMessage(asnAppTag.APREP, func(b *cryptobyte.Builder) {
		addInteger(b, 0, int64(m.PVNO))
		addInteger(b, 1, int64(m.MsgType))
		b.AddASN1(fieldTag(2), func(b *cryptobyte.Builder) {
			b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
				addInteger(b, 0, int64(m.EncPart.EType))
				if m.EncPart.KVNO != 0 {
					addInteger(b, 1, int64(m.EncPart.KVNO))
				}
				addOctets(b, 2, m.EncPart.Cipher)
			})
		})
	})
}

// marshal returns what is sealed in the message.
func (m encAPRepPart) marshal() ([]byte, error) {
	return marshalMessage(asnAppTag.EncAPRepPart, func(b *cryptobyte.Builder) {
		addTime(b, 0, m.CTime)
		addInteger(b, 1, int64(m.Cusec))
		if len(m.Subkey.KeyValue) > 0 {
			addKey(b, 2, m.Subkey)
		}
		if m.Seq != nil {
			b.AddASN1(fieldTag(3), func(b *cryptobyte.Builder) { b.AddASN1BigInt(m.Seq) })
		}
	})
}

func marshalMessage(tag int, fields cryptobyte.BuilderContinuation) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 256))
	b.AddASN1(tags.Tag(tag)|applicationTag, func(b *cryptobyte.Builder) { b.AddASN1(tags.SEQUENCE, fields) })
	return b.Bytes()
}

func addInteger(b *cryptobyte.Builder, n uint8, v int64) {
	b.AddASN1(fieldTag(n), func(b *cryptobyte.Builder) { b.AddASN1Int64(v) })
}

func addOctets(b *cryptobyte.Builder, n uint8, v []byte) {
	b.AddASN1(fieldTag(n), func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
}

// addTime adds a KerberosTime, which has no fraction (RFC 4120 §5.2.3).
func addTime(b *cryptobyte.Builder, n uint8, t time.Time) {
	b.AddASN1(fieldTag(n), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(t.UTC().Truncate(time.Second)) })
}

func addKey(b *cryptobyte.Builder, n uint8, k types.EncryptionKey) {
	b.AddASN1(fieldTag(n), func(b *cryptobyte.Builder) {
		b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
			addInteger(b, 0, int64(k.KeyType))
			addOctets(b, 1, k.KeyValue)
		})
	})
}
