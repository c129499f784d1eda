package krb5

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// TOK_IDs of context tokens (RFC 4121 §4.1).
const (
	tokAPReq = 0x0100
	tokAPRep = 0x0200
)

// GSS flags in an authenticator's checksum (RFC 4121 §4.1.1.1), and DCE_STYLE.
const (
	gssDelegate        = 1 << 0
	gssMutual          = 1 << 1
	gssReplay          = 1 << 2
	gssSequence        = 1 << 3
	gssConfidentiality = 1 << 4
	gssIntegrity       = 1 << 5
	gssDCEStyle        = 1 << 12
)

// checksumGSS is the type of the checksum that carries flags and channel
// bindings (RFC 4121 §4.1.1).
const checksumGSS = 0x8003

var (
	// krb5OID is the DER of 1.2.840.113554.1.2.2, tag and length included.
	krb5OID = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}

	errGSSToken    = errors.New("bad GSS token")
	errGSSChecksum = errors.New("bad GSS checksum")
)

// parseInitialToken returns the AP-REQ of a context token.
func parseInitialToken(token []byte) ([]byte, error) {
	return parseToken(token, tokAPReq, 0x6e) // RFC 4120 §5.5.1: [APPLICATION 14]
}

// parseToken returns the message in a context token of a TOK_ID, with the
// framing of RFC 2743 §3.1; tag is the message's own. DER is taken at its word:
// the shortest lengths, one mechanism, nothing behind the end.
func parseToken(token []byte, id uint16, tag byte) ([]byte, error) {
	body, err := derOnly(token, 0x60)
	if err != nil {
		return nil, err
	}
	if len(body) < len(krb5OID)+2 || string(body[:len(krb5OID)]) != string(krb5OID) {
		return nil, fmt.Errorf("%w: not Kerberos", errGSSToken)
	}
	body = body[len(krb5OID):]
	if got := binary.BigEndian.Uint16(body); got != id {
		return nil, fmt.Errorf("%w: TOK_ID %#04x", errGSSToken, got)
	}
	msg := body[2:]
	_, err = derOnly(msg, tag)
	return msg, err
}

// frameToken wraps a Kerberos message as a context token.
func frameToken(id uint16, msg []byte) []byte {
	n := len(krb5OID) + 2 + len(msg)
	b := append(make([]byte, 0, n+6), 0x60)
	b = append(appendDERLength(b, n), krb5OID...)
	b = binary.BigEndian.AppendUint16(b, id)
	return append(b, msg...)
}

// derOnly returns the contents of b, which must be one element with the given
// tag and nothing else.
func derOnly(b []byte, tag byte) ([]byte, error) {
	e, rest, err := derNext(b, tag)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d octets behind the end", errGSSToken, len(rest))
	}
	return e.content, nil
}

// A derElement is an element of DER, and its contents.
type derElement struct{ whole, content []byte }

// derNext returns the element that b begins with, which must have the given
// tag, and what is behind it. The contents are not nil.
func derNext(b []byte, tag byte) (e derElement, rest []byte, err error) {
	if len(b) < 2 || b[0] != tag {
		return e, nil, fmt.Errorf("%w: no element %#x", errGSSToken, tag)
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		octets := n & 0x7f
		// More than four would be beyond any bound; none is BER's indefinite.
		if octets == 0 || octets > 4 || len(b) < head+octets {
			return e, nil, fmt.Errorf("%w: length", errGSSToken)
		}
		n = 0
		for _, o := range b[head : head+octets] {
			n = n<<8 | int(o)
		}
		if b[head] == 0 || n < 0x80 {
			return e, nil, fmt.Errorf("%w: length is not DER", errGSSToken)
		}
		head += octets
	}
	if n > len(b)-head {
		return e, nil, fmt.Errorf("%w: %d octets announced, %d there", errGSSToken, n, len(b)-head)
	}
	end := head + n
	return derElement{b[:end:end], b[head:end:end]}, b[end:], nil
}

func appendDERLength(b []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n < 0x100:
		return append(b, 0x81, byte(n))
	case n < 0x10000:
		return append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
}

// A gssChecksum is what an initiator says in its authenticator's checksum.
type gssChecksum struct {
	bindings [16]byte // all zero: none
	flags    uint32
}

// parseGSSChecksum reads a checksum of type 0x8003 (RFC 4121 §4.1.1), whose
// numbers are little endian. Delegated credentials are skipped, extensions
// ignored.
func parseGSSChecksum(b []byte) (c gssChecksum, err error) {
	if len(b) < 24 || binary.LittleEndian.Uint32(b) != 16 {
		return c, fmt.Errorf("%w: length", errGSSChecksum)
	}
	copy(c.bindings[:], b[4:])
	c.flags = binary.LittleEndian.Uint32(b[20:])
	if c.flags&gssDelegate == 0 {
		return c, nil
	}
	b = b[24:]
	if len(b) < 4 || binary.LittleEndian.Uint16(b) != 1 ||
		len(b)-4 < int(binary.LittleEndian.Uint16(b[2:])) {
		return c, fmt.Errorf("%w: delegation", errGSSChecksum)
	}
	return c, nil
}

// appendGSSChecksum writes a checksum of type 0x8003 that delegates nothing.
func appendGSSChecksum(b []byte, c gssChecksum) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.bindings)))
	return binary.LittleEndian.AppendUint32(append(b, c.bindings[:]...), c.flags)
}
