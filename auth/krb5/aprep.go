package krb5

import (
	"fmt"
	"log/slog"
	"math/big"

	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// APRep returns the AP-REP that proves this server to the client. It echoes
// the authenticator's time and carries subkey and seq where they are not nil.
// It is sealed with the ticket's session key, whatever subkeys there are
// (RFC 4120 §5.5.2).
func (c *Context) APRep(subkey *types.EncryptionKey, seq *uint32) ([]byte, error) {
	part := encAPRepPart{CTime: c.ctime.UTC(), Cusec: c.cusec}
	if subkey != nil {
		part.Subkey = *subkey
	}
	if seq != nil {
		part.Seq = new(big.Int).SetUint64(uint64(*seq))
	}
	keys, err := c.session.sealKeys(keyusage.AP_REP_ENCPART)
	if err != nil {
		return nil, fmt.Errorf("krb5: seal AP-REP: %w", err)
	}
	rep := apRepMsg{PVNO: kerberosVersion, MsgType: msgtype.KRB_AP_REP,
		EncPart: types.EncryptedData{EType: c.SessionKey.KeyType, Cipher: keys.seal(part.marshal())}}
	return rep.marshal(), nil
}

// String names the parties of the context without its keys, and so does every
// fmt verb.
func (c *Context) String() string { return c.Client.String() + " at " + c.Service.String() }

// Format keeps the keys out of verbs such as %+v and %#v.
func (c *Context) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue keeps the keys out of logs.
func (c *Context) LogValue() slog.Value { return slog.StringValue(c.String()) }
