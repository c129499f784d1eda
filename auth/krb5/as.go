package krb5

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// padataCookie is PA-FX-COOKIE, which a client sends back as it is
// (RFC 6113 §5.2).
const padataCookie = 133

// askedEtypes are the enctypes that a client asks for, in the order of MIT's
// library.
var askedEtypes = []int32{18, 17, 20, 19}

var (
	// errReplyKey: the answer does not open with the client's key.
	errReplyKey = errors.New("krb5: the KDC's answer does not open")
	// errNoEtype: the client has no key that the KDC takes and this package
	// implements.
	errNoEtype = errors.New("krb5: no permitted enctype")
	// errPreauth: the KDC wants another proof than a timestamp.
	errPreauth = errors.New("krb5: the KDC takes no encrypted timestamp")
)

// A kdcError is a KRB-ERROR that a KDC answered. Nobody vouches for it.
type kdcError struct {
	code int32
	data []byte
}

func (e *kdcError) Error() string { return "the KDC answers " + errorcode.Lookup(e.code) }

// A keyOf returns the client's key of an enctype, made with the KDC's salt and
// parameters where it is made of a password, or an error if there is none.
type keyOf func(info etypeInfo) (types.EncryptionKey, error)

// An asExchange is one AS exchange (RFC 4120 §3.1) for a ticket of any service
// of the client's realm.
type asExchange struct {
	client, service Principal
	life            time.Duration // at most
	key             keyOf
	// proving is called before a proof that the KDC will judge is sent. Its
	// error ends the exchange. nil: nothing.
	proving func() error
}

// ticket runs the exchange. Once a KDC has asked for a proof nobody but this
// KDC gets it, and once only: what it makes of it counts.
func (c *Client) ticket(ctx context.Context, x asExchange) (t *Ticket, err error) {
	defer func() { // what a KDC answers is from a stranger
		if v := recover(); v != nil {
			t, err = nil, fmt.Errorf("%w: the decoder panicked", errKDCAnswer)
		}
	}()
	request := x.request()
	message, err := marshalApp(asnAppTag.ASREQ, request)
	if err != nil {
		return nil, fmt.Errorf("krb5: encode AS-REQ: %w", err)
	}
	rep, addr, err := c.ask(ctx, x.client.Realm, message)
	var refused *kdcError
	if errors.As(err, &refused) && refused.code == errorcode.KDC_ERR_PREAUTH_REQUIRED {
		if message, err = x.prove(&request, refused.data); err == nil {
			rep, err = c.askOne(ctx, addr, message)
		}
	}
	if err != nil {
		return nil, err
	}
	return x.open(rep, request.Body.Nonce)
}

func (x *asExchange) request() kdcReqMsg {
	var nonce [4]byte
	rand.Read(nonce[:])
	return kdcReqMsg{PVNO: kerberosVersion, MsgType: msgtype.KRB_AS_REQ, Body: kdcReqBodyMsg{
		Options: bits(0), CName: x.client.name(), Realm: x.client.Realm, SName: x.service.name(),
		Till:   time.Now().UTC().Add(x.life).Truncate(time.Second),
		Nonce:  int(binary.BigEndian.Uint32(nonce[:]) >> 1), // some KDCs take it for signed
		Etypes: askedEtypes,
	}}
}

// prove makes the request again with an encrypted timestamp (RFC 4120
// §5.2.7.2), in an enctype that the KDC has named.
func (x *asExchange) prove(request *kdcReqMsg, data []byte) ([]byte, error) {
	var offered []paData
	if err := unmarshalAll(data, &offered); err != nil {
		return nil, fmt.Errorf("%w: METHOD-DATA", errKDCAnswer)
	}
	switch {
	case find(offered, patype.PA_ETYPE_INFO2) == nil: // the client has no key of the enctypes that were asked for
		return nil, errNoEtype
	case find(offered, patype.PA_ENC_TIMESTAMP) == nil:
		return nil, errPreauth
	}
	key, err := x.keyFor(offered)
	if err != nil {
		return nil, err
	}
	proof, err := timestamp(key)
	if err != nil {
		return nil, err
	}
	request.PAData = []paData{{patype.PA_ENC_TIMESTAMP, proof}}
	if cookie := find(offered, padataCookie); cookie != nil {
		request.PAData = append(request.PAData, *cookie)
	}
	message, err := marshalApp(asnAppTag.ASREQ, *request)
	if err != nil {
		return nil, fmt.Errorf("krb5: encode AS-REQ: %w", err)
	}
	if x.proving != nil {
		return message, x.proving()
	}
	return message, nil
}

func find(all []paData, kind int32) *paData {
	if i := slices.IndexFunc(all, func(p paData) bool { return p.Type == kind }); i >= 0 {
		return &all[i]
	}
	return nil
}

// keyFor returns the client's key of the first enctype that the KDC names and
// the client has (RFC 4120 §5.2.7.5).
func (x *asExchange) keyFor(data []paData) (types.EncryptionKey, error) {
	var infos []etypeInfo
	if p := find(data, patype.PA_ETYPE_INFO2); p != nil {
		if err := unmarshalAll(p.Value, &infos); err != nil {
			return types.EncryptionKey{}, fmt.Errorf("%w: ETYPE-INFO2", errKDCAnswer)
		}
	}
	err := errNoEtype
	for _, info := range infos {
		if !slices.Contains(askedEtypes, info.Etype) {
			continue
		}
		key, e := x.key(info)
		if e == nil {
			return key, nil
		}
		err = e
	}
	return types.EncryptionKey{}, err
}

func timestamp(key types.EncryptionKey) ([]byte, error) {
	now := time.Now().UTC()
	plain, err := asn1.Marshal(timestampMsg{now.Truncate(time.Second), now.Nanosecond() / 1000})
	if err != nil {
		return nil, fmt.Errorf("krb5: encode timestamp: %w", err)
	}
	sealed, err := seal(key, keyusage.AS_REQ_PA_ENC_TIMESTAMP, 0, plain)
	if err != nil {
		return nil, fmt.Errorf("krb5: seal timestamp: %w", err)
	}
	return asn1.Marshal(sealed)
}

// parseASReply reads an AS-REP, or returns the KRB-ERROR as a [*kdcError].
func parseASReply(b []byte) (*kdcRepMsg, error) {
	var refusal kdcErrorMsg
	if unmarshalApp(b, asnAppTag.KRBError, &refusal) == nil && refusal.MsgType == msgtype.KRB_ERROR {
		return nil, &kdcError{refusal.Code, refusal.EData}
	}
	var rep kdcRepMsg
	if err := unmarshalApp(b, asnAppTag.ASREP, &rep); err != nil {
		return nil, errKDCAnswer
	}
	t := rep.Ticket
	if rep.PVNO != kerberosVersion || rep.MsgType != msgtype.KRB_AS_REP ||
		t.Class != asn1.ClassContextSpecific || t.Tag != 5 || !t.IsCompound {
		return nil, errKDCAnswer
	}
	return &rep, nil
}

// open reads the sealed part of the answer and checks that it answers this
// request (RFC 4120 §3.1.5).
func (x *asExchange) open(rep *kdcRepMsg, nonce int) (*Ticket, error) {
	key, err := x.replyKey(rep)
	if err != nil {
		return nil, err
	}
	plain, err := unseal(key, keyusage.AS_REP_ENCPART, rep.EncPart)
	if err != nil {
		return nil, errReplyKey
	}
	var part encKDCRepPart
	// RFC 4120 §5.4.2: some KDCs use the tag of a TGS-REP.
	if unmarshalApp(plain, asnAppTag.EncASRepPart, &part) != nil && unmarshalApp(plain, asnAppTag.EncTGSRepPart, &part) != nil {
		return nil, fmt.Errorf("%w: encrypted part", errKDCAnswer)
	}
	if !principalOf(rep.CName, rep.CRealm).Equal(x.client) || !principalOf(part.SName, part.SRealm).Equal(x.service) ||
		part.Nonce != int64(nonce) {
		return nil, fmt.Errorf("%w: it is for somebody else", errKDCAnswer)
	}
	if !wellFormedKey(part.Key) {
		return nil, fmt.Errorf("%w: session key of enctype %d", errNoEtype, part.Key.KeyType)
	}
	return &Ticket{Client: x.client, Service: x.service, Session: part.Key, AuthTime: part.AuthTime,
		Start: part.StartTime, End: part.EndTime, der: rep.Ticket.Bytes}, nil
}

// replyKey is the key of the answer, whose salt and parameters a KDC that asked
// for no proof tells here.
func (x *asExchange) replyKey(rep *kdcRepMsg) (types.EncryptionKey, error) {
	if !slices.Contains(askedEtypes, rep.EncPart.EType) {
		return types.EncryptionKey{}, fmt.Errorf("%w: answer of enctype %d", errNoEtype, rep.EncPart.EType)
	}
	if find(rep.PAData, patype.PA_ETYPE_INFO2) == nil {
		return x.key(etypeInfo{Etype: rep.EncPart.EType})
	}
	return x.keyFor(rep.PAData)
}
