package krb5

import (
	"errors"
	"math/big"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/types"
)

// The messages of RFC 4120 that this package reads or writes. The library has
// structs of its own for them; these differ where those lose or add something:
// a sequence number of 0, a plaintext ticket behind the sealed one, the tag of
// the ticket inside an AP-REQ.

// RFC 4120 §5.5.1
type apReqMsg struct {
	PVNO          int                 `asn1:"explicit,tag:0"`
	MsgType       int                 `asn1:"explicit,tag:1"`
	Options       asn1.BitString      `asn1:"explicit,tag:2"`
	Ticket        asn1.RawValue       `asn1:"explicit,tag:3"`
	Authenticator types.EncryptedData `asn1:"explicit,tag:4"`
}

// RFC 4120 §5.3
type ticketMsg struct {
	VNO     int                 `asn1:"explicit,tag:0"`
	Realm   string              `asn1:"generalstring,explicit,tag:1"`
	SName   types.PrincipalName `asn1:"explicit,tag:2"`
	EncPart types.EncryptedData `asn1:"explicit,tag:3"`
}

// RFC 4120 §5.3
type encTicketPart struct {
	Flags     asn1.BitString          `asn1:"explicit,tag:0"`
	Key       types.EncryptionKey     `asn1:"explicit,tag:1"`
	CRealm    string                  `asn1:"generalstring,explicit,tag:2"`
	CName     types.PrincipalName     `asn1:"explicit,tag:3"`
	Transited transitedEncoding       `asn1:"explicit,tag:4"`
	AuthTime  time.Time               `asn1:"generalized,explicit,tag:5"`
	StartTime time.Time               `asn1:"generalized,explicit,optional,tag:6"`
	EndTime   time.Time               `asn1:"generalized,explicit,tag:7"`
	RenewTill time.Time               `asn1:"generalized,explicit,optional,tag:8"`
	CAddr     types.HostAddresses     `asn1:"explicit,optional,tag:9"`
	AuthData  types.AuthorizationData `asn1:"explicit,optional,tag:10"`
}

type transitedEncoding struct {
	Type     int32  `asn1:"explicit,tag:0"`
	Contents []byte `asn1:"explicit,tag:1"`
}

// RFC 4120 §5.5.1
type authenticatorMsg struct {
	VNO      int                     `asn1:"explicit,tag:0"`
	CRealm   string                  `asn1:"generalstring,explicit,tag:1"`
	CName    types.PrincipalName     `asn1:"explicit,tag:2"`
	Cksum    types.Checksum          `asn1:"explicit,optional,tag:3"`
	Cusec    int                     `asn1:"explicit,tag:4"`
	CTime    time.Time               `asn1:"generalized,explicit,tag:5"`
	Subkey   types.EncryptionKey     `asn1:"explicit,optional,tag:6"`
	Seq      *big.Int                `asn1:"explicit,optional,tag:7"`
	AuthData types.AuthorizationData `asn1:"explicit,optional,tag:8"`
}

// RFC 4120 §5.5.2
type apRepMsg struct {
	PVNO    int                 `asn1:"explicit,tag:0"`
	MsgType int                 `asn1:"explicit,tag:1"`
	EncPart types.EncryptedData `asn1:"explicit,tag:2"`
}

// RFC 4120 §5.5.2
type encAPRepPart struct {
	CTime  time.Time           `asn1:"generalized,explicit,tag:0"`
	Cusec  int                 `asn1:"explicit,tag:1"`
	Subkey types.EncryptionKey `asn1:"explicit,optional,tag:2"`
	Seq    *big.Int            `asn1:"explicit,optional,tag:3"`
}

// RFC 4120 §5.9.1; the fields that this server never fills are left out.
type krbErrorMsg struct {
	PVNO    int                 `asn1:"explicit,tag:0"`
	MsgType int                 `asn1:"explicit,tag:1"`
	STime   time.Time           `asn1:"generalized,explicit,tag:4"`
	Susec   int                 `asn1:"explicit,tag:5"`
	Code    int32               `asn1:"explicit,tag:6"`
	Realm   string              `asn1:"generalstring,explicit,tag:9"`
	SName   types.PrincipalName `asn1:"explicit,tag:10"`
	EText   string              `asn1:"generalstring,optional,explicit,tag:11"`
}

var errDER = errors.New("krb5: malformed message")

// marshalApp encodes a message with an application tag.
func marshalApp(tag int, v any) ([]byte, error) {
	b, err := asn1.Marshal(v)
	if err != nil {
		return nil, err
	}
	return asn1tools.AddASNAppTag(b, tag), nil
}
