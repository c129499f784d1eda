package krb5

import (
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/types"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// What every login sends is encoded here, without reflection.

// marshal returns the message (RFC 4120 §5.5.1).
func (m *apReqMsg) marshal() []byte {
	const around = 64 // tags, lengths and numbers
	return marshalMessage(asnAppTag.APREQ, len(m.Ticket.Bytes)+len(m.Authenticator.Cipher)+around, func(e *encoder) {
		e.integer(0, int64(m.PVNO))
		e.integer(1, int64(m.MsgType))
		e.element(fieldTag(2), func() { e.primitive(tags.BIT_STRING, "\x00", m.Options.Bytes) }) // of whole octets
		e.element(fieldTag(3), func() { e.b = append(e.b, m.Ticket.Bytes...) })
		e.encrypted(4, m.Authenticator)
	})
}

// marshal returns what is sealed in the message (RFC 4120 §5.5.1).
func (m *authenticatorMsg) marshal() []byte {
	return marshalMessage(asnAppTag.Authenticator, 256, func(e *encoder) {
		e.integer(0, int64(m.VNO))
		e.text(1, m.CRealm)
		e.name(2, m.CName)
		if m.Cksum.CksumType != 0 || m.Cksum.Checksum != nil {
			e.typed(3, m.Cksum.CksumType, m.Cksum.Checksum)
		}
		e.integer(4, int64(m.Cusec))
		e.time(5, m.CTime)
		if m.Subkey.KeyType != 0 || m.Subkey.KeyValue != nil {
			e.typed(6, m.Subkey.KeyType, m.Subkey.KeyValue)
		}
		if m.Seq != nil {
			e.integer(7, m.Seq.Int64())
		}
		if len(m.AuthData) > 0 {
			e.sequence(8, func() {
				for _, a := range m.AuthData {
					e.element(tags.SEQUENCE, func() { e.typedBody(a.ADType, a.ADData) })
				}
			})
		}
	})
}

// marshal returns the message (RFC 4120 §5.5.2).
func (m *apRepMsg) marshal() []byte {
	return marshalMessage(asnAppTag.APREP, 256, func(e *encoder) {
		e.integer(0, int64(m.PVNO))
		e.integer(1, int64(m.MsgType))
		e.encrypted(2, m.EncPart)
	})
}

// marshal returns what is sealed in the message.
func (m *encAPRepPart) marshal() []byte {
	return marshalMessage(asnAppTag.EncAPRepPart, 128, func(e *encoder) {
		e.time(0, m.CTime)
		e.integer(1, int64(m.Cusec))
		if m.Subkey.KeyType != 0 || m.Subkey.KeyValue != nil {
			e.typed(2, m.Subkey.KeyType, m.Subkey.KeyValue)
		}
		if m.Seq != nil {
			e.integer(3, m.Seq.Int64())
		}
	})
}

// marshalMessage encodes a message with an application tag, in some size octets.
func marshalMessage(tag, size int, fields func(*encoder)) []byte {
	e := encoder{make([]byte, 0, size)}
	e.element(tags.Tag(tag)|applicationTag, func() {
		e.element(tags.SEQUENCE, func() { fields(&e) })
	})
	return e.b
}

// An encoder writes DER behind what it has. The fields of a SEQUENCE have a
// number each, their explicit tag.
type encoder struct{ b []byte }

// element writes an element around what content writes.
func (e *encoder) element(tag tags.Tag, content func()) {
	e.b = append(e.b, byte(tag), 0)
	start := len(e.b)
	content()
	var length [4]byte
	e.b = slices.Replace(e.b, start-1, start, appendDERLength(length[:0], len(e.b)-start)...)
}

func (e *encoder) primitive(tag tags.Tag, before string, content []byte) {
	e.b = append(appendDERLength(append(e.b, byte(tag)), len(before)+len(content)), before...)
	e.b = append(e.b, content...)
}

func (e *encoder) sequence(n uint8, fields func()) {
	e.element(fieldTag(n), func() { e.element(tags.SEQUENCE, fields) })
}

// integer writes an INTEGER in as few octets as hold its sign too.
func (e *encoder) integer(n uint8, v int64) {
	size := 1
	for rest := v; rest < -128 || rest > 127; rest >>= 8 {
		size++
	}
	e.b = append(e.b, byte(fieldTag(n)), byte(size+2), byte(tags.INTEGER), byte(size))
	for size--; size >= 0; size-- {
		e.b = append(e.b, byte(v>>(8*size)))
	}
}

func (e *encoder) octets(n uint8, v []byte) {
	e.element(fieldTag(n), func() { e.primitive(tags.OCTET_STRING, "", v) })
}

func (e *encoder) text(n uint8, s string) {
	e.element(fieldTag(n), func() { e.primitive(tags.GeneralString, s, nil) })
}

// time writes a KerberosTime, which has no fraction (RFC 4120 §5.2.3).
func (e *encoder) time(n uint8, t time.Time) {
	e.element(fieldTag(n), func() {
		e.element(tags.GeneralizedTime, func() { e.b = t.UTC().AppendFormat(e.b, kerberosTime) })
	})
}

func (e *encoder) name(n uint8, name types.PrincipalName) {
	e.sequence(n, func() {
		e.integer(0, int64(name.NameType))
		e.sequence(1, func() {
			for _, part := range name.NameString {
				e.primitive(tags.GeneralString, part, nil)
			}
		})
	})
}

func (e *encoder) encrypted(n uint8, d types.EncryptedData) {
	e.sequence(n, func() {
		e.integer(0, int64(d.EType))
		if d.KVNO != 0 {
			e.integer(1, int64(d.KVNO))
		}
		e.octets(2, d.Cipher)
	})
}

func (e *encoder) typed(n uint8, kind int32, v []byte) {
	e.sequence(n, func() { e.typedBody(kind, v) })
}

func (e *encoder) typedBody(kind int32, v []byte) {
	e.integer(0, int64(kind))
	e.octets(1, v)
}
