package krb5

import (
	"encoding/binary"
	"fmt"
)

// A cfxHeader is the header of a Wrap token (RFC 4121 §4.2.6.2): TOK_ID 05 04,
// flags, a filler FF, "extra count" and "right rotation count", big endian, and
// the sequence number.
type cfxHeader struct {
	flags   byte
	ec, rrc uint16
	seq     uint64
}

func (h cfxHeader) append(b []byte) []byte {
	b = append(b, 0x05, 0x04, h.flags, 0xff)
	b = binary.BigEndian.AppendUint16(b, h.ec)
	b = binary.BigEndian.AppendUint16(b, h.rrc)
	return binary.BigEndian.AppendUint64(b, h.seq)
}

// parseCFXHeader reads the header of token. Flags that it does not know are
// kept: the checksum covers them and RFC 4121 §4.2.2 wants them ignored.
func parseCFXHeader(token []byte) (h cfxHeader, err error) {
	if len(token) < cfxHeaderSize {
		return h, fmt.Errorf("%w: length", errWrapToken)
	}
	if token[0] != 0x05 || token[1] != 0x04 || token[3] != 0xff {
		return h, fmt.Errorf("%w: not of RFC 4121", errWrapToken)
	}
	h.flags = token[2]
	h.ec = binary.BigEndian.Uint16(token[4:])
	h.rrc = binary.BigEndian.Uint16(token[6:])
	h.seq = binary.BigEndian.Uint64(token[8:])
	return h, nil
}

// unrotate undoes a rotation to the right by rrc octets (RFC 4121 §4.2.5). Any
// count is allowed; Heimdal sends 12 and Windows 12 or 28.
func unrotate(body []byte, rrc uint16) []byte {
	if len(body) == 0 {
		return body
	}
	n := int(rrc) % len(body)
	return append(append(make([]byte, 0, len(body)), body[n:]...), body[:n]...)
}
