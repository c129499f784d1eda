package krb5

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Flags of a ticket that [TicketOptions] takes, as RFC 4120 §5.3 numbers their
// bits, the first one highest.
const (
	TicketInvalid          uint32 = 1 << (31 - flagInvalid)
	TicketTransitedChecked uint32 = 1 << (31 - flagTransitedChecked)
	TicketAnonymous        uint32 = 1 << (31 - flagAnonymous)

	ticketInitial uint32 = 1 << (31 - 9)
	ticketPreAuth uint32 = 1 << (31 - 10)
)

// TicketOptions are the properties of a ticket. Their zero value is a ticket
// of the present: valid from now on for ten hours.
type TicketOptions struct {
	Etype        int32     // of the service's key; 0: its newest key's
	SessionEtype int32     // of the session key; 0: like the service's key
	Kvno         uint32    // written on the ticket; 0: the key's
	AuthTime     time.Time // zero: now
	Start        time.Time // zero: left out
	End          time.Time // zero: ten hours from now
	Flags        uint32    // 0: initial and pre-authenticated
	Transited    string    // realms passed through (RFC 4120 §3.3.3.2)
	Addresses    types.HostAddresses
	AuthData     types.AuthorizationData
	ClientType   int32 // of the client's name (RFC 4120 §6.2); 0: NT-PRINCIPAL or NT-SRV-INST
	// ShownAs is the service's name written on the ticket, which is not
	// sealed. nil: the service's.
	ShownAs *Principal
	// Session is the session key. Empty: a random one.
	Session types.EncryptionKey
}

// A Ticket is an issued ticket, as its client holds it.
type Ticket struct {
	Client, Service Principal
	Session         types.EncryptionKey
	Flags           uint32
	AuthTime        time.Time
	Start, End      time.Time // Start is zero where the ticket has none

	der []byte

	once    sync.Once
	keys    ticketKeys
	keysErr error
}

// ticketKeys are what a client seals authenticators with and opens AP-REPs with.
// A ticket serves many logins.
type ticketKeys struct{ authenticator, apRep sealKeys }

// sealed returns the ticket's keys, which are derived once.
func (t *Ticket) sealed() (*ticketKeys, error) {
	t.once.Do(func() {
		var session baseKey
		if session, t.keysErr = newBaseKey(t.Session); t.keysErr != nil {
			return
		}
		var err [2]error
		t.keys.authenticator, err[0] = session.sealKeys(keyusage.AP_REQ_AUTHENTICATOR)
		t.keys.apRep, err[1] = session.sealKeys(keyusage.AP_REP_ENCPART)
		t.keysErr = errors.Join(err[:]...)
	})
	return &t.keys, t.keysErr
}

// String names the parties of the ticket without its key, and so does every
// fmt verb.
func (t *Ticket) String() string { return t.Client.String() + " at " + t.Service.String() }

// Format keeps the key out of verbs such as %+v and %#v.
func (t *Ticket) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.String()) }

// Ticket issues a ticket to client, of whatever realm, for service, which must
// have a key.
func (m *Mint) Ticket(client, service Principal, o TicketOptions) (*Ticket, error) {
	key, err := m.key(service, o.Etype)
	if err != nil {
		return nil, err
	}
	o.defaults(key)
	if len(o.Session.KeyValue) == 0 {
		if o.Session, err = newSubkey(o.SessionEtype); err != nil {
			return nil, err
		}
	}
	t := &Ticket{Client: client, Service: *o.ShownAs, Session: o.Session, Flags: o.Flags, AuthTime: o.AuthTime, Start: o.Start, End: o.End}
	name := client.name()
	name.NameType = cmp.Or(o.ClientType, name.NameType)
	plain, err := marshalApp(asnAppTag.EncTicketPart, encTicketPart{
		Flags: bits(o.Flags), Key: o.Session, CRealm: client.Realm, CName: name,
		Transited: transitedEncoding{Type: 1, Contents: []byte(o.Transited)},
		AuthTime:  o.AuthTime.UTC(), StartTime: o.Start.UTC(), EndTime: o.End.UTC(),
		CAddr: o.Addresses, AuthData: o.AuthData,
	})
	if err != nil {
		return nil, fmt.Errorf("krb5: encode ticket: %w", err)
	}
	sealed, err := seal(key.encryptionKey(), keyusage.KDC_REP_TICKET, int(o.Kvno), plain)
	if err != nil {
		return nil, fmt.Errorf("krb5: seal ticket: %w", err)
	}
	t.der, err = marshalApp(asnAppTag.Ticket, ticketMsg{
		VNO: kerberosVersion, Realm: o.ShownAs.Realm, SName: o.ShownAs.name(), EncPart: sealed,
	})
	return t, err
}

func (o *TicketOptions) defaults(k Key) {
	now := time.Now()
	if o.SessionEtype == 0 {
		o.SessionEtype = k.Etype
	}
	if o.Kvno == 0 {
		o.Kvno = k.Kvno
	}
	if o.AuthTime.IsZero() {
		o.AuthTime = now
	}
	if o.End.IsZero() {
		o.End = now.Add(10 * time.Hour)
	}
	if o.Flags == 0 {
		o.Flags = ticketInitial | ticketPreAuth
	}
	if o.ShownAs == nil {
		o.ShownAs = &k.Principal
	}
}

// Options of an AP-REQ for [RequestOptions], numbered like a ticket's flags
// (RFC 4120 §5.5.1).
const (
	RequestUserToUser uint32 = 1 << (31 - optionUseSessionKey)
	RequestMutual     uint32 = 1 << (31 - optionMutual)
)

// RequestOptions are the properties of an AP-REQ. Their zero value is a plain
// one of the present, as fetchmail's but for the wish for mutual
// authentication.
type RequestOptions struct {
	Options  uint32
	Client   *Principal // in the authenticator; nil: the ticket's
	Time     time.Time  // the client's clock; zero: now
	Subkey   types.EncryptionKey
	Seq      *uint32
	Checksum types.Checksum
	AuthData types.AuthorizationData
}

// Request returns an AP-REQ for the ticket, with a fresh authenticator.
func (t *Ticket) Request(o RequestOptions) ([]byte, error) {
	if o.Client == nil {
		o.Client = &t.Client
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	proof := authenticatorMsg{
		VNO: kerberosVersion, CRealm: o.Client.Realm, CName: o.Client.name(),
		Cksum: o.Checksum, Cusec: o.Time.Nanosecond() / 1000, CTime: o.Time.UTC(),
		Subkey: o.Subkey, AuthData: o.AuthData,
	}
	if o.Seq != nil {
		proof.Seq = new(big.Int).SetUint64(uint64(*o.Seq))
	}
	keys, err := t.sealed()
	if err != nil {
		return nil, fmt.Errorf("krb5: seal authenticator: %w", err)
	}
	req := apReqMsg{
		PVNO: kerberosVersion, MsgType: msgtype.KRB_AP_REQ, Options: bits(o.Options),
		Ticket:        asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, IsCompound: true, Bytes: t.der},
		Authenticator: types.EncryptedData{EType: t.Session.KeyType, Cipher: keys.authenticator.seal(proof.marshal())},
	}
	return req.marshal(), nil
}

func bits(v uint32) asn1.BitString {
	return asn1.BitString{Bytes: []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}, BitLength: 32}
}
