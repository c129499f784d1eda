package krb5

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
)

// openAPRep takes an AP-REP apart with the library's decoder, and returns its
// plaintext too.
func openAPRep(t *testing.T, ticket *Ticket, b []byte) (messages.EncAPRepPart, []byte) {
	t.Helper()
	var rep messages.APRep
	if err := rep.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	plain, err := unseal(ticket.Session, keyusage.AP_REP_ENCPART, rep.EncPart)
	if err != nil {
		t.Fatal(err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		t.Fatal(err)
	}
	return part, plain
}

// The plaintext is the one that MIT's library makes: time and nothing else.
func TestAPRepBytes(t *testing.T) {
	a, m := newTestAcceptor(t)
	ticket := issue(t, m, alice, popService, TicketOptions{})
	ctime := time.Now().Truncate(time.Second).Add(300 * time.Millisecond)
	c, err := a.Accept(t.Context(), request(t, ticket, RequestOptions{Time: ctime}), testPeer)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.APRep(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	head := []byte{0x6f, 0x53, 0x30, 0x51, 0xa0, 3, 2, 1, 5, 0xa1, 3, 2, 1, 15, 0xa2, 0x45, 0x30, 0x43, 0xa0, 3, 2, 1, 18, 0xa2, 0x3c, 4, 0x3a}
	if !bytes.HasPrefix(b, head) || len(b) != len(head)+58 {
		t.Errorf("AP-REP % x", b)
	}
	_, plain := openAPRep(t, ticket, b)
	want := "\x7b\x1c\x30\x1a\xa0\x11\x18\x0f" + ctime.UTC().Format("20060102150405Z") + "\xa1\x05\x02\x03\x04\x93\xe0"
	if string(plain) != want {
		t.Errorf("plaintext % x, want % x", plain, want)
	}
}

func TestAPRep(t *testing.T) {
	for _, etype := range defaultEtypes {
		t.Run(fmt.Sprint(etype), func(t *testing.T) {
			a, m := newTestAcceptor(t)
			ticket := issue(t, m, alice, popService, TicketOptions{SessionEtype: etype})
			c, err := a.Accept(t.Context(), request(t, ticket, RequestOptions{}), testPeer)
			if err != nil {
				t.Fatal(err)
			}
			subkey, err := newSubkey(etype)
			if err != nil {
				t.Fatal(err)
			}
			if len(subkey.KeyValue) != keyLength(etype) {
				t.Errorf("subkey of %d octets", len(subkey.KeyValue))
			}
			seq := uint32(0x80000001)
			b, err := c.APRep(&subkey, &seq)
			if err != nil {
				t.Fatal(err)
			}
			part, _ := openAPRep(t, ticket, b)
			if !bytes.Equal(part.Subkey.KeyValue, subkey.KeyValue) || part.Subkey.KeyType != etype || part.SequenceNumber != int64(seq) {
				t.Errorf("subkey of type %d, sequence number %#x", part.Subkey.KeyType, part.SequenceNumber)
			}
		})
	}
	if _, err := newSubkey(23); err == nil {
		t.Error("a subkey of RC4")
	}
}

func TestKRBError(t *testing.T) {
	a, _ := newTestAcceptor(t)
	before := time.Now().Truncate(time.Second)
	b := a.errorMessage(causeExpired.refuse("detail"))
	var msg messages.KRBError
	if err := msg.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	if msg.ErrorCode != 32 || msg.EText != "Ticket expired" || msg.Realm != testRealm || msg.SName.PrincipalNameString() != "pop/localhost" {
		t.Errorf("KRB-ERROR %+v", msg)
	}
	if msg.STime.Before(before) || msg.STime.After(time.Now()) || msg.CName.NameString != nil {
		t.Errorf("KRB-ERROR %+v", msg)
	}
	if rest, err := asn1.Unmarshal(b, new(asn1.RawValue)); err != nil || len(rest) != 0 || b[0] != 0x60|asnAppTag.KRBError {
		t.Errorf("% x", b)
	}
	// Without keys the mandatory fields are there all the same.
	if err := msg.Unmarshal(new(Acceptor).errorMessage(causeNoKeytab.refuse(""))); err != nil || msg.SName.PrincipalNameString() != "pop" {
		t.Errorf("%+v, %v", msg, err)
	}
}
