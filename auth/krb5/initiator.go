package krb5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
)

var (
	errNotMutual = errors.New("krb5: the server has not proven itself")
	errLayer     = errors.New("krb5: the server demands a security layer, which is not made here: connect to it by TLS")
)

// An Initiator is the client's side of SASL GSSAPI (RFC 4752 §3.1) with one
// ticket, without a security layer. Its methods are those that go-ldap calls, in
// this order; each is called once, and a server that wants another order is
// refused. It is not safe for concurrent use.
type Initiator struct {
	ticket   *Ticket
	bindings [16]byte // Bnd, all zero: none
	spoil    func()   // the ticket was of no use

	subkey types.EncryptionKey
	seq    uint32
	made   time.Time // of the authenticator
	cfx    *cfx      // once the server is proven
}

// InitSecContext is InitSecContextWithOptions without options.
func (i *Initiator) InitSecContext(target string, token []byte) ([]byte, bool, error) {
	return i.InitSecContextWithOptions(target, token, nil)
}

// InitSecContextWithOptions returns the AP-REQ to begin with, and then takes the
// AP-REP, which proves the server: mutual authentication is not optional. The
// target is the ticket's, whatever is given here.
func (i *Initiator) InitSecContextWithOptions(_ string, token []byte, _ []int) (out []byte, more bool, err error) {
	if i.made.IsZero() {
		out, err := i.request()
		return out, true, err
	}
	if i.cfx != nil {
		return nil, false, fmt.Errorf("%w: a second AP-REP", errGSSToken)
	}
	return nil, false, i.complete(token)
}

// request makes the AP-REQ. No integrity and no confidentiality are asked for:
// Active Directory refuses both inside TLS.
func (i *Initiator) request() (token []byte, err error) {
	if i.subkey, err = newSubkey(i.ticket.Session.KeyType); err != nil {
		return nil, err
	}
	i.seq, i.made = newSeq(), time.Now().UTC().Truncate(time.Microsecond)
	sum := gssChecksum{bindings: i.bindings, flags: gssMutual | gssReplay | gssSequence}
	apReq, err := i.ticket.Request(RequestOptions{
		Options: RequestMutual, Time: i.made, Subkey: i.subkey, Seq: &i.seq,
		Checksum: types.Checksum{CksumType: checksumGSS, Checksum: appendGSSChecksum(nil, sum)},
	})
	if err != nil {
		return nil, err
	}
	return frameToken(tokAPReq, apReq), nil
}

// complete checks the AP-REP (RFC 4120 §3.2.5).
func (i *Initiator) complete(token []byte) error {
	if len(token) > maxGSSToken {
		return fmt.Errorf("%w: %d octets", errGSSToken, len(token))
	}
	apRep, err := parseToken(token, tokAPRep, 0x6f) // RFC 4120 §5.5.2: [APPLICATION 15]
	if err != nil {
		return fmt.Errorf("%w: %w", errNotMutual, err)
	}
	var rep apRepMsg
	var part encAPRepPart
	if err := rep.decode(apRep); err != nil {
		return fmt.Errorf("%w: %w", errNotMutual, err)
	}
	plain, err := i.ticket.openAPRep(rep.EncPart)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotMutual, err)
	}
	if err := part.decode(plain); err != nil {
		return fmt.Errorf("%w: %w", errNotMutual, err)
	}
	if !part.CTime.Equal(i.made.Truncate(time.Second)) || part.Cusec != i.made.Nanosecond()/1000 {
		return fmt.Errorf("%w: the answer is to another request", errNotMutual)
	}
	return i.establish(part)
}

// openAPRep opens what is sealed in an AP-REP.
func (t *Ticket) openAPRep(e types.EncryptedData) ([]byte, error) {
	keys, err := t.sealed()
	if err != nil || e.EType != t.Session.KeyType {
		return nil, errCiphertext
	}
	return keys.apRep.open(e.Cipher)
}

// establish makes the context's tokens. RFC 4121 §2: the acceptor's subkey is
// the key where there is one.
func (i *Initiator) establish(part encAPRepPart) (err error) {
	key, asserted := i.subkey, len(part.Subkey.KeyValue) > 0
	if asserted {
		key = part.Subkey
	}
	var seq uint32
	if s := part.Seq; s != nil && s.IsInt64() {
		seq = uint32(s.Int64())
	}
	i.cfx, err = newInitiatorCFX(key, asserted, i.seq, seq)
	return err
}

// NegotiateSaslAuth takes the server's offer of layers and chooses none
// (RFC 4752 §3.1). authzid is who to act as, "" for the ticket's client.
func (i *Initiator) NegotiateSaslAuth(token []byte, authzid string) ([]byte, error) {
	if i.cfx == nil {
		return nil, errNotMutual
	}
	offer, _, err := i.cfx.unwrap(token)
	if err != nil {
		return nil, fmt.Errorf("krb5: %w", err)
	}
	if len(offer) != 4 {
		return nil, fmt.Errorf("krb5: %w: %d octets of layers and size", errWrapToken, len(offer))
	}
	if LayerSet(offer[0])&LayerNone == 0 {
		return nil, errLayer
	}
	choice := binary.BigEndian.AppendUint32(nil, uint32(LayerNone)<<24) // with no layer the size is 0
	return i.cfx.wrap(append(choice, authzid...), false), nil
}

// DeleteSecContext ends the exchange. A ticket with which the server did not
// prove itself is not used again: its key may have changed.
func (i *Initiator) DeleteSecContext() error {
	if i.cfx == nil && i.spoil != nil {
		i.spoil()
	}
	return nil
}
