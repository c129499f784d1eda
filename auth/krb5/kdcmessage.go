package krb5

import (
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/types"
)

// The messages between a client and a KDC (RFC 4120 §5.4, §5.2.7, §5.9.1).

type kdcReqMsg struct {
	PVNO    int           `asn1:"explicit,tag:1"`
	MsgType int           `asn1:"explicit,tag:2"`
	PAData  []paData      `asn1:"explicit,optional,omitempty,tag:3"`
	Body    kdcReqBodyMsg `asn1:"explicit,tag:4"`
}

type kdcReqBodyMsg struct {
	Options asn1.BitString      `asn1:"explicit,tag:0"`
	CName   types.PrincipalName `asn1:"explicit,tag:1"`
	Realm   string              `asn1:"generalstring,explicit,tag:2"`
	SName   types.PrincipalName `asn1:"explicit,tag:3"`
	Till    time.Time           `asn1:"generalized,explicit,tag:5"`
	Nonce   int                 `asn1:"explicit,tag:7"`
	Etypes  []int32             `asn1:"explicit,tag:8"`
}

type paData struct {
	Type  int32  `asn1:"explicit,tag:1"`
	Value []byte `asn1:"explicit,tag:2"`
}

type kdcRepMsg struct {
	PVNO    int                 `asn1:"explicit,tag:0"`
	MsgType int                 `asn1:"explicit,tag:1"`
	PAData  []paData            `asn1:"explicit,optional,tag:2"`
	CRealm  string              `asn1:"generalstring,explicit,tag:3"`
	CName   types.PrincipalName `asn1:"explicit,tag:4"`
	Ticket  asn1.RawValue       `asn1:"explicit,tag:5"`
	EncPart types.EncryptedData `asn1:"explicit,tag:6"`
}

type encKDCRepPart struct {
	Key           types.EncryptionKey `asn1:"explicit,tag:0"`
	LastReq       asn1.RawValue       `asn1:"explicit,tag:1"`
	Nonce         int64               `asn1:"explicit,tag:2"`
	KeyExpiration time.Time           `asn1:"generalized,explicit,optional,tag:3"`
	Flags         asn1.BitString      `asn1:"explicit,tag:4"`
	AuthTime      time.Time           `asn1:"generalized,explicit,tag:5"`
	StartTime     time.Time           `asn1:"generalized,explicit,optional,tag:6"`
	EndTime       time.Time           `asn1:"generalized,explicit,tag:7"`
	RenewTill     time.Time           `asn1:"generalized,explicit,optional,tag:8"`
	SRealm        string              `asn1:"generalstring,explicit,tag:9"`
	SName         types.PrincipalName `asn1:"explicit,tag:10"`
	CAddr         types.HostAddresses `asn1:"explicit,optional,tag:11"`
	PAData        []paData            `asn1:"explicit,optional,tag:12"`
}

// kdcErrorMsg is a KRB-ERROR as a KDC sends it.
type kdcErrorMsg struct {
	PVNO    int                 `asn1:"explicit,tag:0"`
	MsgType int                 `asn1:"explicit,tag:1"`
	CTime   time.Time           `asn1:"generalized,explicit,optional,tag:2"`
	Cusec   int                 `asn1:"explicit,optional,tag:3"`
	STime   time.Time           `asn1:"generalized,explicit,tag:4"`
	Susec   int                 `asn1:"explicit,tag:5"`
	Code    int32               `asn1:"explicit,tag:6"`
	CRealm  string              `asn1:"generalstring,explicit,optional,tag:7"`
	CName   types.PrincipalName `asn1:"explicit,optional,tag:8"`
	Realm   string              `asn1:"generalstring,explicit,tag:9"`
	SName   types.PrincipalName `asn1:"explicit,tag:10"`
	EText   string              `asn1:"generalstring,explicit,optional,tag:11"`
	EData   []byte              `asn1:"explicit,optional,tag:12"`
}

// etypeInfo is an entry of ETYPE-INFO2 (RFC 4120 §5.2.7.5).
type etypeInfo struct {
	Etype  int32  `asn1:"explicit,tag:0"`
	Salt   string `asn1:"generalstring,explicit,optional,tag:1"`
	Params []byte `asn1:"explicit,optional,tag:2"`
}

// timestampMsg is PA-ENC-TS-ENC (RFC 4120 §5.2.7.2).
type timestampMsg struct {
	Time time.Time `asn1:"generalized,explicit,tag:0"`
	Usec int       `asn1:"explicit,tag:1"`
}

// unmarshalAll decodes a message that is all of b.
func unmarshalAll(b []byte, v any) error {
	if rest, err := asn1.Unmarshal(b, v); err != nil || len(rest) != 0 {
		return errDER
	}
	return nil
}

// unmarshalApp decodes a message with an application tag and nothing behind it,
// by reflection, as the library does. The decoder's own errors may quote what
// they read, so they go no further.
func unmarshalApp(b []byte, tag int, v any) error {
	content, err := untag(b, asn1.ClassApplication, tag)
	if err != nil {
		return err
	}
	if rest, err := asn1.Unmarshal(content, v); err != nil || len(rest) != 0 {
		return errDER
	}
	return nil
}

// untag returns the content of the one constructed element that b must be.
func untag(b []byte, class, tag int) ([]byte, error) {
	var raw asn1.RawValue
	rest, err := asn1.Unmarshal(b, &raw)
	if err != nil || len(rest) != 0 || raw.Class != class || raw.Tag != tag || !raw.IsCompound {
		return nil, errDER
	}
	return raw.Bytes, nil
}
