package krb5

import (
	"bytes"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/types"
)

// fullMessages are messages with every optional field.
func fullMessages(t testing.TB) map[int][]byte {
	t.Helper()
	m := newTestMint(t)
	now := time.Now().UTC().Truncate(time.Second)
	ticket := issue(t, m, alice, popService, TicketOptions{Kvno: 1, Start: now, AuthData: data(1, "\x30\x00"), Transited: "A.TEST",
		Addresses: types.HostAddresses{{AddrType: 2, Address: []byte{192, 0, 2, 1}}, {AddrType: 24, Address: make([]byte, 16)}}})
	seq := uint32(1<<32 - 1)
	key, err := newSubkey(18)
	if err != nil {
		t.Fatal(err)
	}
	marshal := func(tag int, v any) []byte {
		b, err := marshalApp(tag, v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return map[int][]byte{
		asnAppTag.APREQ:  request(t, ticket, RequestOptions{Options: RequestMutual, Subkey: key, Seq: &seq}),
		asnAppTag.Ticket: ticket.der,
		asnAppTag.EncTicketPart: marshal(asnAppTag.EncTicketPart, encTicketPart{
			Flags: bits(ticketInitial), Key: key, CRealm: testRealm, CName: alice.name(), Transited: transitedEncoding{1, []byte("A,B")},
			AuthTime: now, StartTime: now, EndTime: now, RenewTill: now, CAddr: types.HostAddresses{{AddrType: 2, Address: []byte{1, 2, 3, 4}}},
			AuthData: append(data(1, "a"), data(128, "b")...),
		}),
		asnAppTag.Authenticator: marshal(asnAppTag.Authenticator, authenticatorMsg{
			VNO: 5, CRealm: testRealm, CName: popService.name(), Cksum: types.Checksum{CksumType: -138, Checksum: []byte("sum")},
			Cusec: 999999, CTime: now, Subkey: key, AuthData: data(-1, "x"),
		}),
		asnAppTag.APREP:        marshal(asnAppTag.APREP, apRepMsg{PVNO: 5, MsgType: 15, EncPart: types.EncryptedData{EType: 18, Cipher: make([]byte, 90)}}),
		asnAppTag.EncAPRepPart: marshal(asnAppTag.EncAPRepPart, encAPRepPart{CTime: now, Cusec: 1, Subkey: key, Seq: big.NewInt(1<<32 - 1)}),
	}
}

// sameAsLibrary decodes b as each message both ways: whatever is accepted here
// the library accepts too, and both read the same. It reports what was accepted.
func sameAsLibrary(t *testing.T, b []byte) (accepted bool) {
	t.Helper()
	for tag, both := range map[int][2]any{
		asnAppTag.APREQ:         {&apReqMsg{}, &apReqMsg{}},
		asnAppTag.Ticket:        {&ticketMsg{}, &ticketMsg{}},
		asnAppTag.EncTicketPart: {&encTicketPart{}, &encTicketPart{}},
		asnAppTag.Authenticator: {&authenticatorMsg{}, &authenticatorMsg{}},
		asnAppTag.APREP:         {&apRepMsg{}, &apRepMsg{}},
		asnAppTag.EncAPRepPart:  {&encAPRepPart{}, &encAPRepPart{}},
	} {
		own, library := both[0], both[1]
		if own.(interface{ decode([]byte) error }).decode(b) != nil {
			continue
		}
		accepted = true
		if err := unmarshalApp(b, tag, library); err != nil {
			t.Errorf("the library refuses %x: %v", b, err)
		}
		full := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".FullBytes" }, cmp.Ignore())
		if diff := cmp.Diff(library, own, full, cmp.Comparer(sameInt)); diff != "" {
			t.Errorf("%x (-library +own):\n%s", b, diff)
		}
	}
	return accepted
}

func sameInt(a, b *big.Int) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Cmp(b) == 0
}

func TestDecodeAsLibrary(t *testing.T) {
	for tag, b := range fullMessages(t) {
		if !sameAsLibrary(t, b) {
			t.Errorf("message %d was refused", tag)
		}
		for i := range b {
			if sameAsLibrary(t, b[:i]) {
				t.Errorf("message %d was accepted without its end", tag)
			}
			changed := []byte(string(b))
			changed[i] ^= 1
			sameAsLibrary(t, changed)
		}
		if sameAsLibrary(t, append(b, 0)) {
			t.Errorf("message %d was accepted with an octet behind it", tag)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range fullMessages(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { sameAsLibrary(t, b) })
}

// What is encoded by hand the library encodes in the same octets.
func TestEncodeAsLibrary(t *testing.T) {
	key, err := newSubkey(17)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	for _, part := range []encAPRepPart{
		{CTime: now, Cusec: 0},
		{CTime: now, Cusec: 999999, Subkey: key, Seq: big.NewInt(1<<32 - 1)},
		{CTime: now, Cusec: 128, Seq: big.NewInt(1)},
	} {
		encodesAs(t, part.marshal(), asnAppTag.EncAPRepPart, part)
	}
	for _, n := range []int{1, 90, 127, 128, 300} {
		sealed := types.EncryptedData{EType: 18, KVNO: n % 2, Cipher: make([]byte, n)}
		rep := apRepMsg{PVNO: 5, MsgType: 15, EncPart: sealed}
		encodesAs(t, rep.marshal(), asnAppTag.APREP, rep)
		req := apReqMsg{PVNO: 5, MsgType: 14, Options: bits(RequestMutual), Authenticator: sealed,
			Ticket: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, IsCompound: true, Bytes: make([]byte, 10*n)}}
		encodesAs(t, req.marshal(), asnAppTag.APREQ, req)
	}
	for _, proof := range []authenticatorMsg{
		{VNO: 5, CRealm: testRealm, CName: alice.name(), CTime: now},
		{VNO: -129, CRealm: "", CName: types.PrincipalName{NameType: 1 << 30}, Cusec: 1 << 20, CTime: now, Seq: big.NewInt(-1 << 31)},
		{VNO: 5, CRealm: testRealm, CName: popService.name(), Cksum: types.Checksum{CksumType: checksumGSS, Checksum: make([]byte, 24)},
			Cusec: 999999, CTime: now, Subkey: key, Seq: big.NewInt(0), AuthData: append(data(1, "a"), data(-128, "")...)},
	} {
		encodesAs(t, proof.marshal(), asnAppTag.Authenticator, proof)
	}
}

// encodesAs demands that the library encodes v as own.
func encodesAs(t *testing.T, own []byte, tag int, v any) {
	t.Helper()
	library, err := marshalApp(tag, v)
	if err != nil || !bytes.Equal(own, library) {
		t.Errorf("%x, the library %x, error %v", own, library, err)
	}
}
