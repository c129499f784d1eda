package krb5

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// replyWith is an AS-REP to alice, with her key, after alter.
func replyWith(t testing.TB, alter func(*kdcRepMsg, *encKDCRepPart, *int)) []byte {
	t.Helper()
	m := &Mint{Realm: testRealm, set: newKeySet([]Key{testKey(popService, 1, 18, 1)})}
	ticket := issue(t, m, alice, popService, TicketOptions{Session: fuzzSession})
	now := time.Now().UTC().Truncate(time.Second)
	lastReq, err := asn1.Marshal([]paData{})
	if err != nil {
		t.Fatal(err)
	}
	part := encKDCRepPart{Key: fuzzSession, LastReq: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: lastReq},
		Nonce: 7, Flags: bits(0), AuthTime: now, EndTime: now.Add(time.Hour), SRealm: testRealm, SName: popService.name()}
	rep := kdcRepMsg{PVNO: 5, MsgType: 11, CRealm: testRealm, CName: alice.name(),
		Ticket: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 5, IsCompound: true, Bytes: ticket.der}}
	usage := keyusage.AS_REP_ENCPART
	alter(&rep, &part, &usage)
	plain, err := marshalApp(asnAppTag.EncASRepPart, part)
	if err != nil {
		t.Fatal(err)
	}
	if rep.EncPart, err = seal(fuzzSession, uint32(usage), 0, plain); err != nil {
		t.Fatal(err)
	}
	b, err := marshalApp(asnAppTag.ASREP, rep)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replyExchange is what replyWith answers.
func replyExchange() asExchange {
	return asExchange{client: alice, service: popService, key: func(info etypeInfo) (k types.EncryptionKey, err error) {
		if info.Etype == 18 {
			return fuzzSession, nil
		}
		return k, errNoEtype
	}}
}

// TestKDCReply: an answer that opens with the client's key is to this request,
// for this client and this service, or it is none (RFC 4120 §3.1.5).
func TestKDCReply(t *testing.T) {
	x := replyExchange()
	for name, c := range map[string]struct {
		alter func(*kdcRepMsg, *encKDCRepPart, *int)
		want  error
	}{
		"right":                  {func(*kdcRepMsg, *encKDCRepPart, *int) {}, nil},
		"another version":        {func(r *kdcRepMsg, _ *encKDCRepPart, _ *int) { r.PVNO = 4 }, errKDCAnswer},
		"a TGS-REP":              {func(r *kdcRepMsg, _ *encKDCRepPart, _ *int) { r.MsgType = 13 }, errKDCAnswer},
		"another client":         {func(r *kdcRepMsg, _ *encKDCRepPart, _ *int) { r.CName = principal("bob@" + testRealm).name() }, errKDCAnswer},
		"another client's realm": {func(r *kdcRepMsg, _ *encKDCRepPart, _ *int) { r.CRealm = otherRealm }, errKDCAnswer},
		"another service": {func(_ *kdcRepMsg, p *encKDCRepPart, _ *int) {
			p.SName = principal("imap/localhost@" + testRealm).name()
		}, errKDCAnswer},
		"another realm":   {func(_ *kdcRepMsg, p *encKDCRepPart, _ *int) { p.SRealm = otherRealm }, errKDCAnswer},
		"another request": {func(_ *kdcRepMsg, p *encKDCRepPart, _ *int) { p.Nonce = 8 }, errKDCAnswer},
		"weak session": {func(_ *kdcRepMsg, p *encKDCRepPart, _ *int) {
			p.Key = types.EncryptionKey{KeyType: 23, KeyValue: make([]byte, 16)}
		}, errNoEtype},
		"short session": {func(_ *kdcRepMsg, p *encKDCRepPart, _ *int) { p.Key.KeyValue = make([]byte, 16) }, errNoEtype},
		"another usage": {func(_ *kdcRepMsg, _ *encKDCRepPart, usage *int) { *usage = keyusage.TGS_REP_ENCPART_SESSION_KEY }, errReplyKey},
	} {
		rep, err := parseASReply(replyWith(t, c.alter))
		if err == nil {
			_, err = x.open(rep, 7)
		}
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestPasswordTicket: the ticket itself says who the user is, whatever stands
// beside it.
func TestPasswordTicket(t *testing.T) {
	m := newTestMint(t)
	p := passwords(t, PasswordConfig{Client: &Client{}, Realm: testRealm, Keys: m, Host: "localhost", Log: quiet})
	ticket := issue(t, m, alice, popService, TicketOptions{})
	if id, err := p.verify(context.Background(), testPeer, ticket); err != nil || id.User != "alice" {
		t.Errorf("%+v, %v", id, err)
	}
	// The authenticator is the client's own: the same as in the ticket, or not.
	swapped := *issue(t, m, principal("bob@"+testRealm), popService, TicketOptions{Session: ticket.Session})
	swapped.Client = alice
	if id, err := p.verify(context.Background(), testPeer, &swapped); !errors.Is(err, auth.ErrUnavailable) || id.User != "" {
		t.Errorf("%+v, %v", id, err)
	}
}

// TestTicketKept: a ticket is replaced before it ends, a short one late in its
// life.
func TestTicketKept(t *testing.T) {
	s := &ServiceLogin{tickets: map[string]*Ticket{}}
	for _, c := range []struct {
		life, left time.Duration
		kept       bool
	}{
		{10 * time.Hour, 10 * time.Hour, true}, {10 * time.Hour, 6 * time.Minute, true}, {10 * time.Hour, 4 * time.Minute, false},
		{time.Minute, time.Minute, true}, {time.Minute, 10 * time.Second, false}, {time.Minute, -time.Second, false},
	} {
		end := time.Now().Add(c.left)
		ticket := &Ticket{Client: alice, Service: popService, AuthTime: end.Add(-c.life), End: end}
		s.keep(popService, ticket)
		if kept := s.kept(popService) == ticket; kept != c.kept {
			t.Errorf("%v of %v left: kept %t", c.left, c.life, kept)
		}
	}
}
