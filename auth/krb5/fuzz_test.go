package krb5

import (
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"
)

var fuzzSession = testKey(popService, 1, 18, 2).encryptionKey()

// newFuzzWorld is an acceptor whose key is always the same, so that the
// processes of a fuzzing run agree on it, and a corpus stays good. Its tickets
// and their authenticators do not age.
func newFuzzWorld(f *testing.F) (*Acceptor, *Mint, *Ticket) {
	f.Helper()
	m := &Mint{Realm: testRealm, set: newKeySet([]Key{testKey(popService, 1, 18, 1)})}
	a := &Acceptor{Keys: m, Replay: forgetful{}, MaxSkew: 100 * 365 * 24 * time.Hour}
	return a, m, issue(f, m, alice, popService, TicketOptions{Session: fuzzSession, AuthData: data(1, "\x30\x00")})
}

func FuzzAccept(f *testing.F) {
	a, _, ticket := newFuzzWorld(f)
	seq := uint32(1)
	f.Add(request(f, ticket, RequestOptions{}))
	f.Add(request(f, ticket, RequestOptions{Options: RequestMutual, Subkey: fuzzSession, Seq: &seq}))
	f.Fuzz(func(t *testing.T, b []byte) { checked(t, a, b) })
}

// FuzzSealed goes where only a KDC, and only a client with a ticket, can
// write: inside the ticket and inside the authenticator.
func FuzzSealed(f *testing.F) {
	a, m, ticket := newFuzzWorld(f)
	k, err := m.key(popService, 18)
	if err != nil {
		f.Fatal(err)
	}
	open := func(k types.EncryptionKey, usage uint32, e types.EncryptedData) []byte {
		plain, err := unseal(k, usage, e)
		if err != nil {
			f.Fatal(err)
		}
		return plain
	}
	var req apReqMsg
	var msg ticketMsg
	seq := uint32(0)
	valid := request(f, ticket, RequestOptions{Subkey: fuzzSession, Seq: &seq, AuthData: data(1, "x"), Checksum: types.Checksum{CksumType: 0x8003, Checksum: make([]byte, 24)}})
	if err := unmarshalApp(valid, asnAppTag.APREQ, &req); err != nil {
		f.Fatal(err)
	}
	if err := unmarshalApp(req.Ticket.Bytes, asnAppTag.Ticket, &msg); err != nil {
		f.Fatal(err)
	}
	f.Add(open(k.encryptionKey(), keyusage.KDC_REP_TICKET, msg.EncPart), open(fuzzSession, keyusage.AP_REQ_AUTHENTICATOR, req.Authenticator))
	f.Fuzz(func(t *testing.T, part, proof []byte) {
		checked(t, a, alter(t, valid, func(req *apReqMsg, msg *ticketMsg) {
			var err error
			if msg.EncPart, err = seal(k.encryptionKey(), keyusage.KDC_REP_TICKET, 1, part); err != nil {
				t.Fatal(err)
			}
			if req.Authenticator, err = seal(fuzzSession, keyusage.AP_REQ_AUTHENTICATOR, 0, proof); err != nil {
				t.Fatal(err)
			}
		}))
	})
}

func FuzzRecvAuth(f *testing.F) {
	a, _, ticket := newFuzzWorld(f)
	f.Add([]byte(greeting + frame(string(request(f, ticket, RequestOptions{Options: RequestMutual}))) + "USER alice\r\n"))
	for _, s := range []string{"AUTHV0.1KPOPV0.1\x00\x00\x00\x01x", "CAPA\r\n", "AUTH\r\n", "\x16\x03\x01", greeting, greeting + "\x00\x02\x00\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &script{Reader: strings.NewReader(string(b))}
		id, err := a.RecvAuth(t.Context(), c, kpopVersion, testPeer)
		if (err == nil) != (id.User != "") {
			t.Errorf("%+v, %v", id, err)
		}
		if len(c.writes) > 2 || len(strings.Join(c.writes, "")) > 1024 {
			t.Errorf("server wrote %q", c.writes)
		}
		if err != nil && strings.Contains(err.Error(), "panicked") {
			t.Errorf("the decoder panicked: %v", err)
		}
	})
}
