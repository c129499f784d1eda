package krb5

import "fmt"

// DER of object identifiers, tag and length included: SPNEGO's own
// (RFC 4178 §3), the one that Windows writes for Kerberos ([MS-SPNG] §3.1.5.2),
// and NTLM's ([MS-NLMP] §1.9).
var (
	spnegoOID = []byte{0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02}
	msKrb5OID = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02}
	ntlmOID   = []byte{0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a}
)

// ntlmMessage begins an NTLM message that nothing wraps ([MS-NLMP] §2.2.1).
const ntlmMessage = "NTLMSSP\x00"

// maxNegMechs bounds what a client may propose.
const maxNegMechs = 32

// States of a negotiation (RFC 4178 §4.2.2).
const (
	negAccepted   = 0
	negIncomplete = 1
	negRequestMIC = 3
)

// Tags of DER that are used here.
const (
	derBitString = 0x03
	derOctets    = 0x04
	derOID       = 0x06
	derEnum      = 0x0a
	derSequence  = 0x30
	derContext   = 0xa0 // [0], constructed
)

// A negInit is a NegTokenInit (RFC 4178 §4.2.1).
type negInit struct {
	mechTypes []byte   // the whole list, which a MIC covers
	mechs     [][]byte // each with its tag
	token     []byte   // for the first of mechs; nil: none
}

// parseNegInit reads a client's first token.
func parseNegInit(b []byte) (n negInit, err error) {
	if b, err = derOnly(b, 0x60); err != nil {
		return n, err
	}
	if len(b) < len(spnegoOID) || string(b[:len(spnegoOID)]) != string(spnegoOID) {
		return n, fmt.Errorf("%w: not SPNEGO", errGSSToken)
	}
	fields, err := negFields(b[len(spnegoOID):], derContext, [4]byte{derSequence, derBitString, derOctets, derOctets})
	if err != nil {
		return n, err
	}
	n.mechTypes, n.token = fields[0].whole, fields[2].content
	for rest := fields[0].content; len(rest) > 0; {
		var oid derElement
		if oid, rest, err = derNext(rest, derOID); err != nil {
			return n, err
		}
		if n.mechs = append(n.mechs, oid.whole); len(n.mechs) > maxNegMechs {
			return n, fmt.Errorf("%w: too many mechanisms", errGSSToken)
		}
	}
	if len(n.mechs) == 0 {
		return n, fmt.Errorf("%w: no mechanism", errGSSToken)
	}
	return n, nil
}

// A negResp is a NegTokenResp (RFC 4178 §4.2.2); nil is a field that is not
// there.
type negResp struct{ token, mic []byte }

// parseNegResp reads what a client sends after its first token. What it says
// of state and mechanism changes nothing.
func parseNegResp(b []byte) (negResp, error) {
	fields, err := negFields(b, derContext|1, [4]byte{derEnum, derOID, derOctets, derOctets})
	return negResp{token: fields[2].content, mic: fields[3].content}, err
}

// negFields reads a sequence inside a tag. Its four fields are each inside a
// context tag of their number, hold one element of a type, and may be left out.
func negFields(b []byte, tag byte, types [4]byte) (fields [4]derElement, err error) {
	if b, err = derOnly(b, tag); err != nil {
		return fields, err
	}
	rest, err := derOnly(b, derSequence)
	for i := range fields {
		if err != nil || len(rest) == 0 || rest[0] != derContext|byte(i) {
			continue
		}
		var outer derElement
		if outer, rest, err = derNext(rest, rest[0]); err != nil {
			continue
		}
		if fields[i].content, err = derOnly(outer.content, types[i]); err == nil {
			fields[i].whole = outer.content
		}
	}
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: fields out of order", errGSSToken)
	}
	return fields, err
}

// appendDER appends an element.
func appendDER(b []byte, tag byte, content []byte) []byte {
	return append(appendDERLength(append(b, tag), len(content)), content...)
}

// A negAnswer is a NegTokenResp of this side; nil fields are left out.
type negAnswer struct {
	state            byte
	mech, token, mic []byte
}

func (a negAnswer) encode() []byte {
	b := appendDER(nil, derContext, appendDER(nil, derEnum, []byte{a.state}))
	if a.mech != nil {
		b = appendDER(b, derContext|1, a.mech)
	}
	for i, octets := range [][]byte{a.token, a.mic} {
		if octets != nil {
			b = appendDER(b, derContext|byte(2+i), appendDER(nil, derOctets, octets))
		}
	}
	return appendDER(nil, derContext|1, appendDER(nil, derSequence, b))
}
