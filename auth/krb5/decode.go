package krb5

import (
	"math"
	"math/big"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// What strangers send is decoded here, without reflection, which takes a fifth
// of what accepting a ticket costs. Octet strings share the memory of what they
// were read from. Elements behind the last known one of a sequence are passed
// over, as they are by the library: RFC 4120 §1.5.2 lets messages grow there.

// decode reads an AP-REQ.
func (m *apReqMsg) decode(b []byte) error {
	d := openMessage(b, asnAppTag.APREQ)
	m.PVNO = d.integer(0)
	m.MsgType = d.integer(1)
	m.Options = d.bits(2)
	m.Ticket = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, IsCompound: true, Bytes: d.explicit(3)}
	m.Authenticator = d.encrypted(4)
	return d.err()
}

// decode reads the part of a ticket that is in the clear.
func (m *ticketMsg) decode(b []byte) error {
	d := openMessage(b, asnAppTag.Ticket)
	m.VNO = d.integer(0)
	m.Realm = d.text(1)
	m.SName = d.name(2)
	m.EncPart = d.encrypted(3)
	return d.err()
}

// decode reads the part of a ticket that was sealed.
func (m *encTicketPart) decode(b []byte) error {
	d := openMessage(b, asnAppTag.EncTicketPart)
	m.Flags = d.bits(0)
	m.Key.KeyType, m.Key.KeyValue = d.typed(1)
	m.CRealm = d.text(2)
	m.CName = d.name(3)
	m.Transited.Type, m.Transited.Contents = d.typed(4)
	m.AuthTime = d.time(5)
	if d.has(6) {
		m.StartTime = d.time(6)
	}
	m.EndTime = d.time(7)
	if d.has(8) {
		m.RenewTill = d.time(8)
	}
	if d.has(9) {
		d.each(9, func(kind int32, b []byte) {
			m.CAddr = append(m.CAddr, types.HostAddress{AddrType: kind, Address: b})
		})
	}
	if d.has(10) {
		m.AuthData = d.authData(10)
	}
	return d.err()
}

// decode reads an opened authenticator.
func (m *authenticatorMsg) decode(b []byte) error {
	d := openMessage(b, asnAppTag.Authenticator)
	m.VNO = d.integer(0)
	m.CRealm = d.text(1)
	m.CName = d.name(2)
	if d.has(3) {
		m.Cksum.CksumType, m.Cksum.Checksum = d.typed(3)
	}
	m.Cusec = d.integer(4)
	m.CTime = d.time(5)
	if d.has(6) {
		m.Subkey.KeyType, m.Subkey.KeyValue = d.typed(6)
	}
	if d.has(7) {
		m.Seq = big.NewInt(int64(d.integer(7)))
	}
	if d.has(8) {
		m.AuthData = d.authData(8)
	}
	return d.err()
}

// decode reads an AP-REP.
func (m *apRepMsg) decode(b []byte) error {
	d := openMessage(b, asnAppTag.APREP)
	m.PVNO = d.integer(0)
	m.MsgType = d.integer(1)
	m.EncPart = d.encrypted(2)
	return d.err()
}

// decode reads the part of an AP-REP that was sealed.
func (m *encAPRepPart) decode(b []byte) error {
	d := openMessage(b, asnAppTag.EncAPRepPart)
	m.CTime = d.time(0)
	m.Cusec = d.integer(1)
	if d.has(2) {
		m.Subkey.KeyType, m.Subkey.KeyValue = d.typed(2)
	}
	if d.has(3) {
		m.Seq = big.NewInt(int64(d.integer(3)))
	}
	return d.err()
}

// A decoder reads the fields of one SEQUENCE, each under its own explicit tag.
// What it reads after a failure means nothing.
type decoder struct {
	s      cryptobyte.String
	failed bool
}

// openMessage returns the decoder of a message with an application tag and
// nothing behind it.
func openMessage(b []byte, tag tags.Tag) decoder {
	var d decoder
	s, inner := cryptobyte.String(b), cryptobyte.String(nil)
	d.failed = !s.ReadASN1(&inner, tag|applicationTag) || !s.Empty() ||
		!inner.ReadASN1(&d.s, tags.SEQUENCE) || !inner.Empty()
	return d
}

func (d *decoder) err() error {
	if !d.whole() {
		return errDER
	}
	return nil
}

// whole reports whether nothing failed. What is behind the last known field
// must be made of fields too: a known one in the guise of a primitive element,
// which has does not find, would otherwise be passed over.
func (d *decoder) whole() bool {
	var more cryptobyte.String
	var tag tags.Tag
	for !d.failed && !d.s.Empty() {
		d.require(d.s.ReadAnyASN1Element(&more, &tag) && tag&0xe0 == fieldTag(0))
	}
	return !d.failed
}

func (d *decoder) require(ok bool) { d.failed = d.failed || !ok }

// applicationTag makes a tag one of RFC 4120 §5.10's.
const applicationTag = 0x60 // of the class application, constructed

func fieldTag(n uint8) tags.Tag { return tags.Tag(n).ContextSpecific().Constructed() }

// has reports whether the optional field n is there.
func (d *decoder) has(n uint8) bool { return d.s.PeekASN1Tag(fieldTag(n)) }

func (d *decoder) explicit(n uint8) []byte {
	var inner cryptobyte.String
	d.require(d.s.ReadASN1(&inner, fieldTag(n)))
	return inner
}

// only returns the content of the one element that field n consists of.
func (d *decoder) only(n uint8, tag tags.Tag) cryptobyte.String {
	var content cryptobyte.String
	inner := cryptobyte.String(d.explicit(n))
	d.require(inner.ReadASN1(&content, tag) && inner.Empty())
	return content
}

func (d *decoder) sequence(n uint8) decoder { return decoder{s: d.only(n, tags.SEQUENCE)} }

// integer reads an INTEGER of at most 64 bits: old clients send a signed
// sequence number where RFC 4120 §5.5.1 has an unsigned one.
func (d *decoder) integer(n uint8) int {
	var v int64
	inner := cryptobyte.String(d.explicit(n))
	d.require(inner.ReadASN1Integer(&v) && inner.Empty())
	return int(v)
}

func (d *decoder) int32(n uint8) int32 {
	v := d.integer(n)
	d.require(math.MinInt32 <= v && v <= math.MaxInt32)
	return int32(v)
}

func (d *decoder) octets(n uint8) []byte { return d.only(n, tags.OCTET_STRING) }

func (d *decoder) text(n uint8) string { return string(d.only(n, tags.GeneralString)) }

// bits reads a BIT STRING: its first octet says how many bits of the last are
// unused, and those are zero (X.690 §11.2).
func (d *decoder) bits(n uint8) asn1.BitString {
	b := d.only(n, tags.BIT_STRING)
	if len(b) == 0 || b[0] > 7 || len(b) == 1 && b[0] > 0 || b[len(b)-1]&(1<<b[0]-1) != 0 && len(b) > 1 {
		d.failed = true
		return asn1.BitString{}
	}
	return asn1.BitString{Bytes: b[1:], BitLength: (len(b)-1)*8 - int(b[0])}
}

// kerberosTime is in UTC and without a fraction (RFC 4120 §5.2.3).
const kerberosTime = "20060102150405Z"

func (d *decoder) time(n uint8) time.Time {
	b := d.only(n, tags.GeneralizedTime)
	t, err := time.Parse(kerberosTime, string(b))
	d.require(err == nil && len(b) == len(kerberosTime)) // Parse takes a fraction
	return t
}

// name reads a PrincipalName (RFC 4120 §5.2.2).
func (d *decoder) name(n uint8) (p types.PrincipalName) {
	inner := d.sequence(n)
	p.NameType = inner.int32(0)
	parts := inner.sequence(1)
	p.NameString = make([]string, 0, 2) // of nearly all there are
	for !parts.s.Empty() && !parts.failed {
		var part cryptobyte.String
		parts.require(parts.s.ReadASN1(&part, tags.GeneralString))
		p.NameString = append(p.NameString, string(part))
	}
	d.require(inner.whole() && parts.whole())
	return p
}

// encrypted reads an EncryptedData (RFC 4120 §5.2.9).
func (d *decoder) encrypted(n uint8) (e types.EncryptedData) {
	inner := d.sequence(n)
	e.EType = inner.int32(0)
	if inner.has(1) {
		e.KVNO = inner.integer(1)
	}
	e.Cipher = inner.octets(2)
	d.require(inner.whole())
	return e
}

// typed reads what many things of RFC 4120 §5.2 are: a number that says of
// what type they are, and octets.
func (d *decoder) typed(n uint8) (kind int32, b []byte) {
	inner := d.sequence(n)
	kind, b = inner.typedBody()
	d.require(inner.whole())
	return kind, b
}

func (d *decoder) typedBody() (kind int32, b []byte) { return d.int32(0), d.octets(1) }

// each reads a sequence of them.
func (d *decoder) each(n uint8, add func(kind int32, b []byte)) {
	all := d.sequence(n)
	for !all.s.Empty() && !all.failed {
		var one decoder
		all.require(all.s.ReadASN1(&one.s, tags.SEQUENCE))
		kind, b := one.typedBody()
		all.require(one.whole())
		add(kind, b)
	}
	d.require(!all.failed)
}

func (d *decoder) authData(n uint8) (all types.AuthorizationData) {
	d.each(n, func(kind int32, b []byte) {
		all = append(all, types.AuthorizationDataEntry{ADType: kind, ADData: b})
	})
	return all
}
