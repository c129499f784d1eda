package krb5

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// A refusalTest is an AP-REQ that is refused, and why.
type refusalTest struct {
	reason string
	class  error
	make   func(t *testing.T, a *Acceptor, m *Mint) []byte
}

func withTicket(o TicketOptions) func(*testing.T, *Acceptor, *Mint) []byte {
	return func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		return request(t, issue(t, m, alice, popService, o), RequestOptions{})
	}
}

func withClient(client Principal, o TicketOptions) func(*testing.T, *Acceptor, *Mint) []byte {
	return func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Realms = []string{testRealm, otherRealm, "WELLKNOWN:ANONYMOUS", "R\x01"}
		return request(t, issue(t, m, client, popService, o), RequestOptions{})
	}
}

func withRequest(o RequestOptions) func(*testing.T, *Acceptor, *Mint) []byte {
	return func(t *testing.T, _ *Acceptor, m *Mint) []byte { return aliceRequest(t, m, o) }
}

// altered is a valid AP-REQ with something in it changed.
func altered(change func(*apReqMsg, *ticketMsg)) func(*testing.T, *Acceptor, *Mint) []byte {
	return func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		return alter(t, aliceRequest(t, m, RequestOptions{}), change)
	}
}

func alter(t testing.TB, apReq []byte, change func(*apReqMsg, *ticketMsg)) []byte {
	t.Helper()
	var req apReqMsg
	var ticket ticketMsg
	if err := unmarshalApp(apReq, asnAppTag.APREQ, &req); err != nil {
		t.Fatal(err)
	}
	if err := unmarshalApp(req.Ticket.Bytes, asnAppTag.Ticket, &ticket); err != nil {
		t.Fatal(err)
	}
	req.Ticket.FullBytes = nil // else it is what is encoded
	raw := req.Ticket
	change(&req, &ticket)
	if string(raw.Bytes) == string(req.Ticket.Bytes) && raw.Tag == req.Ticket.Tag {
		der, err := marshalApp(asnAppTag.Ticket, ticket)
		if err != nil {
			t.Fatal(err)
		}
		req.Ticket = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, IsCompound: true, Bytes: der}
	}
	b, err := marshalApp(asnAppTag.APREQ, req)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sealedTicket is an AP-REQ whose ticket holds what no mint would issue.
func sealedTicket(plain func(t *testing.T) []byte) func(*testing.T, *Acceptor, *Mint) []byte {
	return func(t *testing.T, a *Acceptor, m *Mint) []byte {
		key, err := m.key(popService, 0)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := seal(key.encryptionKey(), keyusage.KDC_REP_TICKET, 1, plain(t))
		if err != nil {
			t.Fatal(err)
		}
		return alter(t, aliceRequest(t, m, RequestOptions{}), func(_ *apReqMsg, ticket *ticketMsg) { ticket.EncPart = sealed })
	}
}

func key(etype int32, n int) types.EncryptionKey {
	return types.EncryptionKey{KeyType: etype, KeyValue: make([]byte, n)}
}

func data(adType int32, content string) types.AuthorizationData {
	return types.AuthorizationData{{ADType: adType, ADData: []byte(content)}}
}

var wrongService = principal("imap/localhost@" + testRealm)

var refusals = map[string]refusalTest{
	"empty": {"malformed", auth.ErrCredentials, func(*testing.T, *Acceptor, *Mint) []byte { return nil }},
	"text":  {"malformed", auth.ErrCredentials, func(*testing.T, *Acceptor, *Mint) []byte { return []byte("USER alice\r\n") }},
	"too long": {"too-long", auth.ErrCredentials, func(*testing.T, *Acceptor, *Mint) []byte {
		return make([]byte, maxAPReq+1)
	}},
	"trailing octets": {"malformed", auth.ErrCredentials, func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		return append(aliceRequest(t, m, RequestOptions{}), 0)
	}},
	"octets inside the frame": {"malformed", auth.ErrCredentials, func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		b, err := untag(aliceRequest(t, m, RequestOptions{}), asn1.ClassApplication, asnAppTag.APREQ)
		if err != nil {
			t.Fatal(err)
		}
		out, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassApplication, Tag: asnAppTag.APREQ, IsCompound: true, Bytes: append(b, 5, 0)})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}},
	"AP-REP": {"malformed", auth.ErrCredentials, func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		b := aliceRequest(t, m, RequestOptions{})
		b[0] = 0x6f
		return b
	}},
	"ticket in another field": {"malformed", auth.ErrCredentials, altered(func(r *apReqMsg, _ *ticketMsg) { r.Ticket.Tag = 5 })},
	"octets behind the ticket": {"malformed", auth.ErrCredentials, altered(func(r *apReqMsg, _ *ticketMsg) {
		r.Ticket = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, IsCompound: true, Bytes: append(r.Ticket.Bytes[:len(r.Ticket.Bytes):len(r.Ticket.Bytes)], 5, 0)}
	})},
	"pvno":                {"bad-version", auth.ErrCredentials, altered(func(r *apReqMsg, _ *ticketMsg) { r.PVNO = 4 })},
	"tkt-vno":             {"bad-version", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.VNO = 4 })},
	"msg-type":            {"wrong-message", auth.ErrCredentials, altered(func(r *apReqMsg, _ *ticketMsg) { r.MsgType = 15 })},
	"no service name":     {"malformed", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.SName.NameString = nil })},
	"one-part service":    {"wrong-service", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.SName.NameString = []string{"pop"} })},
	"service in capitals": {"wrong-service", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.SName.NameString = []string{"POP", "localhost"} })},
	"pop3":                {"wrong-service", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.SName.NameString = []string{"pop3", "localhost"} })},
	"three-part service":  {"wrong-service", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.SName.NameString = []string{"pop", "a", "b"} })},
	"service of controls": {"malformed", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.SName.NameString = []string{"pop", "a\r\nb"} })},
	"long service": {"malformed", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) {
		k.SName.NameString = []string{"pop", strings.Repeat("x", 100000)}
	})},
	"another service": {"wrong-service", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		if err := m.AddKey(wrongService, 1, 18); err != nil {
			t.Fatal(err)
		}
		return request(t, issue(t, m, alice, wrongService, TicketOptions{}), RequestOptions{})
	}},
	"another service's ticket, relabelled": {"bad-integrity", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		if err := m.AddKey(wrongService, 1, 18); err != nil {
			t.Fatal(err)
		}
		return request(t, issue(t, m, alice, wrongService, TicketOptions{ShownAs: &popService}), RequestOptions{})
	}},
	"user to user": {"user-to-user", auth.ErrCredentials, withRequest(RequestOptions{Options: RequestUserToUser})},
	"RC4 ticket":   {"weak-enctype", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.EncPart.EType = 23 })},
	"3DES ticket":  {"weak-enctype", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.EncPart.EType = 16 })},
	"DES ticket":   {"weak-enctype", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.EncPart.EType = 3 })},
	"RC4 proof":    {"weak-enctype", auth.ErrCredentials, altered(func(r *apReqMsg, _ *ticketMsg) { r.Authenticator.EType = 23 })},
	"short ticket": {"malformed", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.EncPart.Cipher = k.EncPart.Cipher[:27] })},
	"short proof":  {"malformed", auth.ErrCredentials, altered(func(r *apReqMsg, _ *ticketMsg) { r.Authenticator.Cipher = nil })},
	"forbidden etype": {"weak-enctype", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Etypes = []int32{20}
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"RC4 permitted is still not implemented": {"weak-enctype", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Etypes = []int32{18, 23}
		return altered(func(_ *apReqMsg, k *ticketMsg) { k.EncPart.EType = 23 })(t, a, m)
	}},
	"no keys at all": {"no-keytab", auth.ErrUnavailable, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Keys = nil
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"keys of others": {"no-keytab", auth.ErrUnavailable, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Keys = keysOf(t, "imap/localhost")
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"no key of the enctype": {"no-key", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.EncPart.EType = 17 })},
	"no key of the realm":   {"no-key", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.Realm = otherRealm })},
	"alias of another key": {"no-key", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Keys = keysOf(t, "pop/elsewhere")
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"another key": {"bad-integrity", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Keys = newTestMint(t)
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"another kvno": {"wrong-kvno", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Keys = newTestMint(t)
		return withTicket(TicketOptions{Kvno: 2})(t, a, m)
	}},
	"flipped bit":                {"bad-integrity", auth.ErrCredentials, altered(func(_ *apReqMsg, k *ticketMsg) { k.EncPart.Cipher[40] ^= 1 })},
	"flipped bit of proof":       {"bad-integrity", auth.ErrCredentials, altered(func(r *apReqMsg, _ *ticketMsg) { r.Authenticator.Cipher[40] ^= 1 })},
	"RC4 session":                {"weak-enctype", auth.ErrCredentials, sealedTicket(func(t *testing.T) []byte { return encPart(t, key(23, 16)) })},
	"short session key":          {"malformed", auth.ErrCredentials, sealedTicket(func(t *testing.T) []byte { return encPart(t, key(18, 16)) })},
	"session of another enctype": {"weak-enctype", auth.ErrCredentials, sealedTicket(func(t *testing.T) []byte { return encPart(t, key(17, 16)) })},
	"garbage in the ticket":      {"malformed", auth.ErrCredentials, sealedTicket(func(t *testing.T) []byte { return []byte("garbage") })},
	"nothing in the ticket":      {"malformed", auth.ErrCredentials, sealedTicket(func(t *testing.T) []byte { return nil })},

	"expired":          {"ticket-expired", auth.ErrCredentials, withTicket(TicketOptions{End: time.Unix(1e9, 0)})},
	"not yet valid":    {"ticket-not-yet-valid", auth.ErrCredentials, withTicket(TicketOptions{Start: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)})},
	"authtime to come": {"ticket-not-yet-valid", auth.ErrCredentials, withTicket(TicketOptions{AuthTime: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)})},
	"flagged invalid":  {"ticket-invalid", auth.ErrCredentials, withTicket(TicketOptions{Flags: TicketInvalid})},
	"wrong address": {"wrong-address", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.CheckAddresses = true
		return withTicket(TicketOptions{Addresses: types.HostAddresses{{AddrType: 2, Address: []byte{192, 0, 2, 8}}}})(t, a, m)
	}},

	"client of another name":  {"client-mismatch", auth.ErrCredentials, withRequest(RequestOptions{Client: ref(principal("bob@" + testRealm))})},
	"client of two parts":     {"client-mismatch", auth.ErrCredentials, withRequest(RequestOptions{Client: ref(principal("alice/admin@" + testRealm))})},
	"client of another realm": {"realm-mismatch", auth.ErrCredentials, withRequest(RequestOptions{Client: ref(principal("alice@" + otherRealm))})},
	"spoofed realm": {"realm-mismatch", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		// A stranger of a trusted realm claims ours.
		a.Realms = []string{testRealm, otherRealm}
		return request(t, issue(t, m, principal("alice@"+otherRealm), popService, TicketOptions{}), RequestOptions{Client: &alice})
	}},
	"slow clock": {"clock-skew", auth.ErrCredentials, func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		return aliceRequest(t, m, RequestOptions{Time: time.Now().Add(-6 * time.Minute)})
	}},
	"fast clock": {"clock-skew", auth.ErrCredentials, func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		return aliceRequest(t, m, RequestOptions{Time: time.Now().Add(6 * time.Minute)})
	}},
	"microseconds":      {"malformed", auth.ErrCredentials, sealedProof(func(p *authenticatorMsg) { p.Cusec = 1000000 })},
	"proof's version":   {"bad-version", auth.ErrCredentials, sealedProof(func(p *authenticatorMsg) { p.VNO = 4 })},
	"RC4 subkey":        {"weak-enctype", auth.ErrCredentials, withRequest(RequestOptions{Subkey: key(23, 16)})},
	"short subkey":      {"malformed", auth.ErrCredentials, withRequest(RequestOptions{Subkey: key(18, 31)})},
	"24-octet subkey":   {"malformed", auth.ErrCredentials, withRequest(RequestOptions{Subkey: key(20, 24)})},
	"anonymous flag":    {"anonymous", auth.ErrDenied, withClient(alice, TicketOptions{Flags: TicketAnonymous})},
	"anonymous":         {"anonymous", auth.ErrDenied, withClient(principal("WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS"), TicketOptions{})},
	"anonymous at home": {"anonymous", auth.ErrDenied, withClient(principal("WELLKNOWN/ANONYMOUS@"+testRealm), TicketOptions{})},
	"krbtgt":            {"unusable-principal", auth.ErrDenied, withClient(principal("krbtgt/EXAMPLE.TEST@"+testRealm), TicketOptions{})},
	"control character": {"unusable-principal", auth.ErrDenied, withClient(Principal{[]string{"al\x1bice"}, testRealm}, TicketOptions{})},
	"not UTF-8":         {"unusable-principal", auth.ErrDenied, withClient(Principal{[]string{"al\xffice"}, testRealm}, TicketOptions{})},
	"alice, as a UPN":   {"unusable-principal", auth.ErrDenied, withClient(alice, TicketOptions{ClientType: nameEnterprise})},
	"nameless":          {"unusable-principal", auth.ErrDenied, withClient(Principal{nil, testRealm}, TicketOptions{})},
	"empty component":   {"unusable-principal", auth.ErrDenied, withClient(Principal{[]string{"", "x"}, testRealm}, TicketOptions{})},
	"foreign realm": {"realm-not-allowed", auth.ErrDenied, func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		return request(t, issue(t, m, principal("bob@"+otherRealm), popService, TicketOptions{}), RequestOptions{})
	}},
	"realm in lower case": {"realm-not-allowed", auth.ErrDenied, func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		return request(t, issue(t, m, principal("alice@example.test"), popService, TicketOptions{}), RequestOptions{})
	}},
	"own realm left out": {"realm-not-allowed", auth.ErrDenied, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Realms = []string{otherRealm}
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"unchecked path":    {"transited-not-checked", auth.ErrDenied, withClient(principal("bob@"+otherRealm), TicketOptions{Transited: "EVIL.TEST"})},
	"critical authdata": {"critical-authdata", auth.ErrDenied, withTicket(TicketOptions{AuthData: data(77, "x")})},
	"critical in proof": {"critical-authdata", auth.ErrDenied, withRequest(RequestOptions{AuthData: data(5, "x")})},
	"no replay cache": {"replay-cache-unavailable", auth.ErrUnavailable, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Replay = nil
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"broken replay cache": {"replay-cache-unavailable", auth.ErrUnavailable, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Replay = broken{auth.ErrUnavailable}
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"replay cache's reason": {"replay-cache-full", auth.ErrUnavailable, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Replay = broken{auth.Refuse(auth.ErrUnavailable, "replay-cache-full")}
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"panicking source": {"malformed", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		a.Replay = broken{}
		return withTicket(TicketOptions{})(t, a, m)
	}},
	"replayed": {"replayed-authenticator", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		b := withTicket(TicketOptions{})(t, a, m)
		if _, err := a.Accept(t.Context(), b, testPeer); err != nil {
			t.Fatal(err)
		}
		return b
	}},
	"replayed with other words around it": {"replayed-authenticator", auth.ErrCredentials, func(t *testing.T, a *Acceptor, m *Mint) []byte {
		b := withTicket(TicketOptions{})(t, a, m)
		if _, err := a.Accept(t.Context(), b, testPeer); err != nil {
			t.Fatal(err)
		}
		return alter(t, b, func(r *apReqMsg, k *ticketMsg) { r.Options = bits(RequestMutual); k.SName.NameType = 3 })
	}},
}

// encPart is the inner part of a ticket of alice's with a given session key.
func encPart(t *testing.T, session types.EncryptionKey) []byte {
	t.Helper()
	now := time.Now().UTC()
	b, err := marshalApp(asnAppTag.EncTicketPart, encTicketPart{
		Flags: bits(0), Key: session, CRealm: alice.Realm, CName: alice.name(), AuthTime: now, EndTime: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sealedProof is an AP-REQ whose authenticator holds what no client would say.
func sealedProof(change func(*authenticatorMsg)) func(*testing.T, *Acceptor, *Mint) []byte {
	return func(t *testing.T, _ *Acceptor, m *Mint) []byte {
		ticket := issue(t, m, alice, popService, TicketOptions{})
		proof := authenticatorMsg{VNO: 5, CRealm: alice.Realm, CName: alice.name(), CTime: time.Now().UTC()}
		change(&proof)
		plain, err := marshalApp(asnAppTag.Authenticator, proof)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := seal(ticket.Session, keyusage.AP_REQ_AUTHENTICATOR, 0, plain)
		if err != nil {
			t.Fatal(err)
		}
		return alter(t, request(t, ticket, RequestOptions{}), func(r *apReqMsg, _ *ticketMsg) { r.Authenticator = sealed })
	}
}

func keysOf(t *testing.T, services ...string) KeySource {
	t.Helper()
	m, err := NewMint(testRealm, services...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ref[T any](v T) *T { return &v }

// A broken replay cache returns an error, or panics where it has none.
type broken struct{ err error }

func (b broken) Seen(context.Context, []byte, time.Time) (bool, error) {
	if b.err == nil {
		panic("broken")
	}
	return false, b.err
}
