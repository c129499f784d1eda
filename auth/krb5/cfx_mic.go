package krb5

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"fmt"
)

// Key usages of MIC tokens (RFC 4121 §2).
const (
	usageAcceptorSign  = 23
	usageInitiatorSign = 25
)

var micFiller = bytes.Repeat([]byte{0xff}, 5)

// mic returns the next token, a checksum of data (RFC 4121 §4.2.6.1). Wrap
// and MIC tokens share their sequence numbers.
func (c *cfx) mic(data []byte) []byte {
	token := micHeader(c.sendFlag, c.sendSeq)
	c.sendSeq++
	return append(token, c.micSum(usageAcceptorSign, data, token)...)
}

// verifyMIC checks the peer's next token, which must be one about data.
func (c *cfx) verifyMIC(token, data []byte) error {
	header := micHeader(c.recvFlag, c.recvSeq)
	if len(token) != len(header)+c.kind.macSize || !bytes.Equal(token[:len(header)], header) {
		return fmt.Errorf("%w: MIC", errWrapToken)
	}
	if !hmac.Equal(c.micSum(usageInitiatorSign, data, header), token[len(header):]) {
		return fmt.Errorf("%w: MIC", errWrapToken)
	}
	c.recvSeq++
	return nil
}

func micHeader(flags byte, seq uint64) []byte {
	header := append([]byte{0x04, 0x04, flags}, micFiller...)
	return binary.BigEndian.AppendUint64(header, seq)
}

// micSum is over the data and the header (RFC 4121 §4.2.4).
func (c *cfx) micSum(usage uint32, data, header []byte) []byte {
	return c.kind.mac(c.base.hmac(usage, deriveKc), data, header)
}
