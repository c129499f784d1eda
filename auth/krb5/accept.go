package krb5

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

const kerberosVersion = 5 // RFC 4120 §5.5.1: pvno, tkt-vno and authenticator-vno

// Bits of ap-options and of the ticket's flags (RFC 4120 §5.5.1, §5.3; RFC
// 6112 §3). They are read with [asn1.BitString.At], which minds the length.
const (
	optionUseSessionKey = 1
	optionMutual        = 2

	flagInvalid          = 7
	flagTransitedChecked = 12
	flagAnonymous        = 16
)

// An exchange is one AP-REQ on its way through the checks, and what is known
// of it so far (RFC 4120 §3.2.3).
type exchange struct {
	*Acceptor
	keys *KeySet
	peer auth.Peer
	now  time.Time

	req     apReqMsg
	ticket  ticketMsg
	service Principal
	opened  Key // the key that opened the ticket
	inner   encTicketPart
	session baseKey
	client  Principal
	proof   authenticatorMsg
	pac     pacInfo
}

// verify decodes an AP-REQ and checks that it proves its client.
func (x *exchange) verify(apReq []byte) error {
	for _, step := range []func() error{
		func() error { return x.decode(apReq) },
		x.checkRequest, x.checkEnctypes,
		x.openTicket, x.checkSessionKey, x.checkTimes, x.checkAddresses,
		x.openAuthenticator, x.checkMatch, x.checkSkew, x.checkSubkey,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// decode reads the part of the message that is in the clear.
func (x *exchange) decode(b []byte) error {
	if len(b) > maxAPReq {
		return causeTooLong.refuse("%d octets", len(b))
	}
	if err := x.req.decode(b); err != nil {
		return causeMalformed.refuse("AP-REQ")
	}
	if err := x.ticket.decode(x.req.Ticket.Bytes); err != nil {
		return causeMalformed.refuse("ticket")
	}
	return nil
}

// checkRequest judges what the client asks for. The service's name is not
// sealed: it only chooses the keys, and the key that opens the ticket proves
// it.
func (x *exchange) checkRequest() error {
	if x.req.PVNO != kerberosVersion || x.ticket.VNO != kerberosVersion {
		return causeBadVersion.refuse("pvno %d, tkt-vno %d", x.req.PVNO, x.ticket.VNO)
	}
	if x.req.MsgType != msgtype.KRB_AP_REQ {
		return causeWrongMessage.refuse("msg-type %d", x.req.MsgType)
	}
	x.service = principalOf(x.ticket.SName, x.ticket.Realm)
	if err := x.service.Valid(); err != nil {
		return causeMalformed.refuse("the name of the service: %w", err)
	}
	if len(x.service.Components) != 2 || x.service.Components[0] != x.Acceptor.service() {
		return causeWrongService.refuse("%q", x.service.String())
	}
	if x.req.Options.At(optionUseSessionKey) != 0 {
		return causeUserToUser.refuse("")
	}
	return nil
}

// checkEnctypes judges the outer enctypes, and that the ciphertexts are long
// enough for them.
func (x *exchange) checkEnctypes() error {
	for _, e := range [...]*types.EncryptedData{&x.ticket.EncPart, &x.req.Authenticator} {
		if !x.permits(e.EType) {
			return causeWeakEtype.refuse("enctype %d", e.EType)
		}
		if len(e.Cipher) < leastCiphertext(e.EType) {
			return causeMalformed.refuse("ciphertext of %d octets for enctype %d", len(e.Cipher), e.EType)
		}
	}
	return nil
}

// openTicket opens the ticket, with keys that came a moment ago if need be.
func (x *exchange) openTicket() error {
	err := x.tryKeys()
	if fresh, ok := x.Keys.(interface{ Fresh() *KeySet }); ok && err != nil {
		if set := fresh.Fresh(); set != x.keys {
			x.keys = set
			err = x.tryKeys()
		}
	}
	return err
}

// tryKeys finds the key that the ticket was sealed with and opens it.
func (x *exchange) tryKeys() error {
	if !x.keys.HasService(x.Acceptor.service()) {
		return causeNoKeytab.refuse("")
	}
	sealed := x.ticket.EncPart
	candidates := x.keys.Lookup(x.service, sealed.KVNO, sealed.EType)
	for _, k := range candidates {
		if k.tickets == nil {
			continue
		}
		plain, err := k.tickets.open(sealed.Cipher)
		if err != nil {
			continue
		}
		if err := x.inner.decode(plain); err != nil {
			return causeMalformed.refuse("encrypted part of the ticket")
		}
		x.opened = k
		return nil
	}
	return x.noKey(candidates)
}

// noKey says why no key opened the ticket.
func (x *exchange) noKey(tried []Key) error {
	kvno := uint32(x.ticket.EncPart.KVNO)
	matches := func(k Key) bool { return k.matches(kvno) }
	cause := causeBadIntegrity
	switch {
	case len(tried) == 0 || !x.keys.Knows(x.service):
		cause = causeNoKey
	case !slices.ContainsFunc(tried, matches):
		cause = causeWrongKvno
	}
	return cause.refuse("%q, kvno %d, enctype %d", x.service.String(), kvno, x.ticket.EncPart.EType)
}

func (x *exchange) checkSessionKey() error {
	key := x.inner.Key
	switch {
	case !x.permits(key.KeyType) || key.KeyType != x.req.Authenticator.EType:
		return causeWeakEtype.refuse("session key of enctype %d", key.KeyType)
	case !wellFormedKey(key):
		return causeMalformed.refuse("session key of %d octets for enctype %d", len(key.KeyValue), key.KeyType)
	}
	return nil
}

// checkTimes checks that the ticket is valid now, give or take the skew.
func (x *exchange) checkTimes() error {
	start := x.inner.StartTime
	if start.IsZero() { // RFC 4120 §5.3: the authtime stands for it
		start = x.inner.AuthTime
	}
	switch {
	case x.inner.Flags.At(flagInvalid) != 0:
		return causeInvalidTicket.refuse("")
	case start.Add(-x.maxSkew()).After(x.now):
		return causeNotYetValid.refuse("valid from %s", start.UTC().Format(time.RFC3339))
	case x.inner.EndTime.Add(x.maxSkew()).Before(x.now):
		return causeExpired.refuse("valid until %s", x.inner.EndTime.UTC().Format(time.RFC3339))
	}
	return nil
}

func (x *exchange) checkAddresses() error {
	if !x.CheckAddresses || len(x.inner.CAddr) == 0 {
		return nil
	}
	addr := x.peer.Addr.Addr().Unmap()
	for _, a := range x.inner.CAddr {
		// RFC 4120 §7.5.3: types 2 and 24 are IPv4 and IPv6.
		if slices.Equal(a.Address, addr.AsSlice()) && (a.AddrType == 2 && addr.Is4() || a.AddrType == 24 && addr.Is6()) {
			return nil
		}
	}
	return causeAddress.refuse("%s is not in the ticket", addr)
}

func (x *exchange) openAuthenticator() error {
	plain, err := x.unsealAuthenticator()
	if err != nil {
		return causeBadIntegrity.refuse("authenticator")
	}
	if err := x.proof.decode(plain); err != nil {
		return causeMalformed.refuse("authenticator")
	}
	if x.proof.VNO != kerberosVersion {
		return causeBadVersion.refuse("authenticator-vno %d", x.proof.VNO)
	}
	return nil
}

// unsealAuthenticator opens it with the session key, whose enctype it has.
func (x *exchange) unsealAuthenticator() (plain []byte, err error) {
	if x.session, err = newBaseKey(x.inner.Key); err != nil {
		return nil, err
	}
	keys, err := x.session.sealKeys(keyusage.AP_REQ_AUTHENTICATOR)
	if err != nil {
		return nil, err
	}
	return keys.open(x.req.Authenticator.Cipher)
}

// checkMatch compares the client in the authenticator with the client in the
// ticket, name and realm. The ticket's, which a KDC wrote, is who it is.
func (x *exchange) checkMatch() error {
	x.client = principalOf(x.inner.CName, x.inner.CRealm)
	if x.proof.CRealm != x.inner.CRealm {
		return causeRealm.refuse("ticket of realm %.200q, authenticator of realm %.200q", x.inner.CRealm, x.proof.CRealm)
	}
	if proof := principalOf(x.proof.CName, x.proof.CRealm); !x.client.Equal(proof) {
		return causeClient.refuse("ticket of %.200q, authenticator of %.200q", x.client.String(), proof.String())
	}
	return nil
}

func (x *exchange) checkSkew() error {
	if x.proof.Cusec < 0 || x.proof.Cusec > 999999 { // RFC 4120 §5.2.4
		return causeMalformed.refuse("cusec %d", x.proof.Cusec)
	}
	off := x.now.Sub(x.ctime())
	if off.Abs() > x.maxSkew() {
		return causeSkew.refuse("the client's clock is %s off", -off.Round(time.Second))
	}
	return nil
}

func (x *exchange) ctime() time.Time {
	return x.proof.CTime.Add(time.Duration(x.proof.Cusec) * time.Microsecond)
}

func (x *exchange) checkSubkey() error {
	key := x.proof.Subkey
	switch {
	case key.KeyType == 0 && len(key.KeyValue) == 0:
		return nil
	case !x.permits(key.KeyType):
		return causeWeakEtype.refuse("subkey of enctype %d", key.KeyType)
	case !wellFormedKey(key):
		return causeMalformed.refuse("subkey of %d octets for enctype %d", len(key.KeyValue), key.KeyType)
	}
	return nil
}

// context returns what the exchange established.
func (x *exchange) context() *Context {
	c := &Context{
		Client:     x.client,
		Service:    x.service,
		Mutual:     x.req.Options.At(optionMutual) != 0,
		SessionKey: x.inner.Key,
		Subkey:     x.proof.Subkey,
		Checksum:   x.proof.Cksum,
		session:    x.session,
		ctime:      x.proof.CTime,
		cusec:      x.proof.Cusec,
	}
	// RFC 4120 §5.5.1: a UInt32, but old clients send a signed one.
	if s := x.proof.Seq; s != nil && s.IsInt64() && s.Int64() >= math.MinInt32 && s.Int64() <= math.MaxUint32 {
		c.HasSeq, c.Seq = true, uint32(s.Int64())
	}
	return c
}

// remember notes the authenticator, and refuses one that was seen before.
// An authenticator stays acceptable until its time plus the skew, which may be
// later than now plus the skew.
func (x *exchange) remember(ctx context.Context) error {
	until := x.now
	if t := x.ctime(); t.After(until) {
		until = t
	}
	seen, err := x.Replay.Seen(ctx, x.req.Authenticator.Cipher, until.Add(x.maxSkew()+time.Second))
	switch {
	case err != nil:
		cause := causeNoReplay
		if r, ok := errors.AsType[*auth.Refusal](err); ok {
			cause.reason = r.Reason
		}
		return cause.refuse("%w", err)
	case seen:
		return causeReplay.refuse("%q", x.client.String())
	}
	return nil
}
