package krb5

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

const allLayers = LayerNone | LayerIntegrity | LayerConfidentiality

// gssPeer is a connection in the clear that tickets may cross.
var gssPeer = auth.Peer{Addr: testPeer.Addr, Local: testPeer.Local, Tickets: true}

// A gssInitiator is a client written on this package's own parts, for what no
// library can be made to do.
type gssInitiator struct {
	ticket   *Ticket
	mutual   bool
	subkey   bool
	noSeq    bool
	checksum *types.Checksum // nil: a proper one
	flags    uint32          // in the proper one
	reply    []byte          // layer, size and authzid
	ack      []byte
	alter    func(step int, token []byte) []byte // of what is sent

	key types.EncryptionKey
	cfx *cfx
}

func newInitiator(t testing.TB, m *Mint) *gssInitiator {
	return &gssInitiator{
		ticket: issue(t, m, alice, popService, TicketOptions{}), mutual: true, subkey: true,
		flags: 0x13e, reply: []byte{1, 0, 0, 0}, ack: []byte{},
		alter: func(_ int, token []byte) []byte { return token },
	}
}

const initiatorSeq = 1<<31 + 5 // negative for those who see a sign

func (i *gssInitiator) first(t testing.TB) []byte {
	o := RequestOptions{Checksum: types.Checksum{CksumType: checksumGSS, Checksum: gssSum([16]byte{}, i.flags)}}
	if i.checksum != nil {
		o.Checksum = *i.checksum
	}
	if i.mutual {
		o.Options = RequestMutual
	}
	seq := uint32(initiatorSeq)
	if !i.noSeq {
		o.Seq = &seq
	} else {
		seq = 0
	}
	i.key = i.ticket.Session
	if i.subkey {
		key, err := newSubkey(i.key.KeyType)
		if err != nil {
			t.Fatal(err)
		}
		i.key, o.Subkey = key, key
	}
	i.cfx = initiatorCFX(t, i.key, false, seq, seq)
	return frameToken(tokAPReq, request(t, i.ticket, o))
}

// complete reads the AP-REP.
func (i *gssInitiator) complete(t testing.TB, token []byte) {
	t.Helper()
	body, err := derOnly(token, 0x60)
	if err != nil {
		t.Fatal(err)
	}
	var rep apRepMsg
	var part encAPRepPart
	apRep, ok := bytes.CutPrefix(body, append(bytes.Clone(krb5OID), 2, 0))
	if !ok {
		t.Fatalf("no AP-REP: %x", body)
	}
	if err := unmarshalApp(apRep, asnAppTag.APREP, &rep); err != nil {
		t.Fatal(err)
	}
	plain, err := unseal(i.ticket.Session, keyusage.AP_REP_ENCPART, rep.EncPart)
	if err != nil {
		t.Fatal(err)
	}
	if err := unmarshalApp(plain, asnAppTag.EncAPRepPart, &part); err != nil {
		t.Fatal(err)
	}
	if part.Seq == nil || part.Seq.Sign() == 0 || bytes.Equal(part.Subkey.KeyValue, i.key.KeyValue) {
		t.Fatalf("AP-REP with sequence number %v and the initiator's own key", part.Seq)
	}
	i.cfx = initiatorCFX(t, part.Subkey, true, uint32(i.cfx.sendSeq), uint32(part.Seq.Int64()))
}

// login runs the exchange and returns the offer.
func (i *gssInitiator) login(t testing.TB, x auth.Exchange) (offer []byte, err error) {
	t.Helper()
	challenge, done, err := x.Next(i.alter(0, i.first(t)))
	if err == nil && i.mutual {
		i.complete(t, challenge)
		challenge, done, err = x.Next(i.alter(1, i.ack))
	}
	if err != nil || done {
		return nil, err
	}
	offer, sealed, err := i.cfx.unwrap(challenge)
	if err != nil || sealed {
		t.Fatalf("offer: sealed=%t, %v", sealed, err)
	}
	challenge, done, err = x.Next(i.alter(2, i.cfx.wrap(i.reply, false)))
	if err == nil && (!done || len(challenge) != 0) {
		t.Fatalf("after the last response: done=%t with %x", done, challenge)
	}
	return offer, err
}

func newTestGSSAPI(t testing.TB) (*GSSAPI, *Mint) {
	t.Helper()
	m := newTestMint(t)
	return &GSSAPI{Acceptor: &Acceptor{Keys: m, Replay: new(MemoryReplay)}}, m
}

func start(t testing.TB, g *GSSAPI) auth.LayeredExchange {
	return g.Start(context.Background(), gssPeer).(auth.LayeredExchange)
}

func TestGSSAPIOffer(t *testing.T) {
	for _, test := range []struct {
		layers LayerSet
		flags  uint32
		offer  []byte // nil: refused
	}{
		{0, 0x13e, []byte{1, 0, 0, 0}},
		{LayerNone, 0x13e, []byte{1, 0, 0, 0}},
		{allLayers, 0x13e, []byte{7, 0, 0xff, 0xff}},
		{allLayers, 0x12a, []byte{3, 0, 0xff, 0xff}}, // no confidentiality
		{allLayers, 0x10a, []byte{1, 0, 0, 0}},       // as fetchmail might
		{LayerIntegrity, 0x13e, []byte{2, 0, 0xff, 0xff}},
		{LayerConfidentiality, 0x12a, nil},
	} {
		for _, mutual := range []bool{true, false} {
			g, m := newTestGSSAPI(t)
			g.Layers = test.layers
			i := newInitiator(t, m)
			i.flags, i.mutual = test.flags, mutual
			if test.offer != nil {
				i.reply = []byte{test.offer[0] & -test.offer[0], 0, 0x10, 0}
			}
			offer, err := i.login(t, start(t, g))
			if !bytes.Equal(offer, test.offer) {
				t.Errorf("layers %s, flags %#x: offer %x, want %x", test.layers, test.flags, offer, test.offer)
			}
			want := ""
			if test.offer == nil {
				want = "bad-layer"
			}
			wantReason(t, fmt.Sprintf("layers %s, flags %#x", test.layers, test.flags), err, want)
		}
	}
}

// TestGSSAPIReplies has what clients say in the end: those of the field first.
func TestGSSAPIReplies(t *testing.T) {
	for _, test := range []struct {
		name, authzid string
		reply         string
		reason        string
	}{
		{"curl", "", "\x01\x00\x00\x00", ""},
		{"fetchmail", "alice", "\x01\x00\xff\xffalice", ""},
		{"s-nail", "alice", "\x01\x00\xff\xffalice", ""},
		{"a larger size", "alice", "\x01\xff\xff\xffalice", ""},
		{"NUL at the end", "alice", "\x01\x00\x00\x00alice\x00", ""},
		{"another user", "bob@EXAMPLE.TEST", "\x01\x00\x00\x00bob@EXAMPLE.TEST", ""},
		{"UTF-8", "ålice", "\x01\x00\x00\x00ålice", ""},
		{"only NUL", "", "\x01\x00\x00\x00\x00", ""},
		{"not UTF-8", "", "\x01\x00\x00\x00\xe5lice", "bad-authzid"},
		{"NUL inside", "", "\x01\x00\x00\x00alice\x00root", "bad-authzid"},
		{"two NULs", "", "\x01\x00\x00\x00alice\x00\x00", "bad-authzid"},
		{"long", "", "\x01\x00\x00\x00" + strings.Repeat("a", 1025), "bad-authzid"},
		{"no layer", "", "\x00\x00\x00\x00", "bad-layer"},
		{"two layers", "", "\x03\x00\xff\xff", "bad-layer"},
		{"unknown layer", "", "\x08\x00\xff\xff", "bad-layer"},
		{"layer not offered", "", "\x04\x00\xff\xff", "bad-layer"},
		{"integrity", "alice", "\x02\x00\x08\x00alice", ""},
		{"size 0 with a layer", "", "\x02\x00\x00\x00", "bad-layer"},
		{"size too small", "", "\x02\x00\x02\x1b", "bad-layer"}, // 512+28-1
		{"smallest size", "", "\x02\x00\x02\x1c", ""},
		{"short", "", "\x01\x00\x00", "bad-wrap-token"},
		{"empty", "", "", "bad-wrap-token"},
	} {
		g, m := newTestGSSAPI(t)
		g.Layers = LayerNone | LayerIntegrity
		i, x := newInitiator(t, m), start(t, g)
		i.reply = []byte(test.reply)
		_, err := i.login(t, x)
		wantReason(t, test.name, err, test.reason)
		id := x.Identity()
		if err != nil && (id.User != "" || x.Layer() != nil) {
			t.Errorf("%s: refused, but there is an identity %+v", test.name, id)
		}
		if err == nil && (id.User != "alice" || id.Authzid != test.authzid || id.Attrs["principal"] != "alice@EXAMPLE.TEST") {
			t.Errorf("%s: identity %+v", test.name, id)
		}
	}
}

func TestGSSAPIRefuses(t *testing.T) {
	at := func(at int, change func([]byte) []byte) func(*gssInitiator) {
		return func(i *gssInitiator) {
			i.alter = func(step int, token []byte) []byte {
				if step == at {
					return change(token)
				}
				return token
			}
		}
	}
	checksum := func(kind int32, b []byte) func(*gssInitiator) {
		return func(i *gssInitiator) { i.checksum = &types.Checksum{CksumType: kind, Checksum: b} }
	}
	for name, test := range map[string]struct {
		change func(*gssInitiator)
		reason string
	}{
		"bare AP-REQ":        {at(0, func(b []byte) []byte { return b[bytes.IndexByte(b, 0x6e):] }), "bad-gss-token"},
		"SPNEGO":             {at(0, func([]byte) []byte { return []byte("\x60\x08\x06\x06\x2b\x06\x01\x05\x05\x02") }), "bad-gss-token"},
		"trailing octets":    {at(0, func(b []byte) []byte { return append(b, 0) }), "bad-gss-token"},
		"too long":           {at(0, func([]byte) []byte { return make([]byte, maxGSSToken+1) }), "gss-token-too-long"},
		"no checksum":        {checksum(0, nil), "bad-gss-checksum"},
		"other checksum":     {checksum(7, gssSum([16]byte{}, 0x13e)), "bad-gss-checksum"},
		"short checksum":     {checksum(checksumGSS, make([]byte, 23)), "bad-gss-checksum"},
		"DCE style":          {func(i *gssInitiator) { i.flags |= gssDCEStyle }, "bad-gss-checksum"},
		"bindings":           {checksum(checksumGSS, gssSum([16]byte{1}, 0x13e)), "channel-binding-mismatch"},
		"a token as ack":     {func(i *gssInitiator) { i.ack = []byte{0x60} }, "bad-gss-token"},
		"no wrap token":      {at(2, func([]byte) []byte { return []byte{1, 0, 0, 0} }), "bad-wrap-token"},
		"wrap token altered": {at(2, func(b []byte) []byte { b[len(b)-1]++; return b }), "bad-wrap-token"},
		"wrap token empty":   {at(2, func([]byte) []byte { return nil }), "bad-wrap-token"},
		"AP-REQ altered":     {at(0, func(b []byte) []byte { b[len(b)-1]++; return b }), "bad-integrity"},
	} {
		g, m := newTestGSSAPI(t)
		i, x := newInitiator(t, m), start(t, g)
		test.change(i)
		_, err := i.login(t, x)
		wantReason(t, name, err, test.reason)
		if _, done, err := x.Next([]byte{}); done || err == nil {
			t.Errorf("%s: goes on after the refusal", name)
		}
	}
}

// TestGSSAPIKeys has contexts on the ticket's key and on the initiator's, and
// initiators without a sequence number.
func TestGSSAPIKeys(t *testing.T) {
	for _, mutual := range []bool{true, false} {
		for _, subkey := range []bool{true, false} {
			for _, noSeq := range []bool{true, false} {
				g, m := newTestGSSAPI(t)
				i := newInitiator(t, m)
				i.mutual, i.subkey, i.noSeq = mutual, subkey, noSeq
				if _, err := i.login(t, start(t, g)); err != nil {
					t.Errorf("mutual=%t subkey=%t noSeq=%t: %v", mutual, subkey, noSeq, err)
				}
			}
		}
	}
}

// TestGSSAPIReplayed shows the same token twice: mutual and not.
func TestGSSAPIReplayed(t *testing.T) {
	for _, mutual := range []bool{true, false} {
		g, m := newTestGSSAPI(t)
		i := newInitiator(t, m)
		i.mutual = mutual
		token := i.first(t)
		if _, _, err := start(t, g).Next(token); err != nil {
			t.Fatal(err)
		}
		_, _, err := start(t, g).Next(token)
		wantReason(t, "replayed", err, "replayed-authenticator")
	}
}

// TestGSSAPIRefusedIsFresh shows a token that a policy of the mechanism's
// refused: it does not count as used.
func TestGSSAPIRefusedIsFresh(t *testing.T) {
	g, m := newTestGSSAPI(t)
	g.Binding = BindingRequire
	token := newInitiator(t, m).first(t)
	_, _, err := start(t, g).Next(token)
	wantReason(t, "require", err, "channel-binding-missing")
	g.Binding = BindingAllow
	if _, _, err := start(t, g).Next(token); err != nil {
		t.Errorf("allow: %v", err)
	}
}

func TestGSSAPIInitialResponse(t *testing.T) {
	g, m := newTestGSSAPI(t)
	for name, initial := range map[string][]byte{"none": nil, "empty": {}} {
		x := start(t, g)
		challenge, done, err := x.Next(initial)
		if challenge == nil || len(challenge) > 0 || done || err != nil {
			t.Errorf("%s: challenge %v, done %t, error %v", name, challenge, done, err)
		}
		if _, err := newInitiator(t, m).login(t, x); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Only once.
	x := start(t, g)
	x.Next(nil)
	_, _, err := x.Next([]byte{})
	wantReason(t, "empty twice", err, "bad-gss-token")
}

func TestGSSAPILayerRefuses(t *testing.T) {
	g, m := newTestGSSAPI(t)
	g.Layers = allLayers
	i, x := newInitiator(t, m), start(t, g)
	i.reply = []byte{4, 0, 0x10, 0}
	if _, err := i.login(t, x); err != nil {
		t.Fatal(err)
	}
	layer := x.Layer()
	if _, err := layer.Wrap(make([]byte, layer.MaxPlain()+1)); err == nil {
		t.Error("wraps more than the client takes")
	}
	if plain, err := layer.Unwrap(i.cfx.wrap([]byte("NOOP\r\n"), true)); err != nil || string(plain) != "NOOP\r\n" {
		t.Errorf("sealed: %q, %v", plain, err)
	}
	if _, err := layer.Unwrap(i.cfx.wrap([]byte("QUIT\r\n"), false)); err == nil {
		t.Error("takes a token in the clear")
	}
	if _, err := layer.Unwrap(i.cfx.wrap(make([]byte, layer.MaxToken()), true)); err == nil {
		t.Error("takes more than it said")
	}
}

func TestGSSAPIUsable(t *testing.T) {
	secure := auth.Peer{TLS: new(tls.ConnectionState), Tickets: true, Protected: true}
	for _, test := range []struct {
		mode   BindingMode
		peer   auth.Peer
		usable bool
	}{
		{BindingAllow, auth.Peer{}, false},
		{BindingAllow, auth.Peer{Tickets: true}, true},
		{BindingAllow, auth.Peer{Protected: true}, true},
		{BindingNone, auth.Peer{Tickets: true}, true},
		{BindingRequire, auth.Peer{Tickets: true, Protected: true}, false},
		{BindingRequire, secure, true},
	} {
		g := &GSSAPI{Binding: test.mode}
		if got := g.Usable(test.peer); got != test.usable || g.Name() != "GSSAPI" {
			t.Errorf("mode %d, %+v: %t", test.mode, test.peer, got)
		}
	}
}

func TestParseLayers(t *testing.T) {
	set, err := ParseLayers([]string{"confidentiality", "none", "integrity"})
	if err != nil || set != allLayers || set.String() != "none,integrity,confidentiality" {
		t.Errorf("%s, %v", set, err)
	}
	if set, err := ParseLayers(nil); set != 0 || err != nil {
		t.Errorf("%s, %v", set, err)
	}
	if _, err := ParseLayers([]string{"privacy"}); err == nil {
		t.Error("privacy is a layer")
	}
}

// TestGSSAPIMutations sends 10,000 mutations of each message. None may stop
// the process, stay in memory, or let anybody in but alice.
func TestGSSAPIMutations(t *testing.T) {
	g, m := newTestGSSAPI(t)
	g.Layers, g.Acceptor.Replay = allLayers, forgetful{}
	i := newInitiator(t, m)
	token := i.first(t)
	send := func(t *testing.T, x auth.Exchange, b []byte) {
		_, done, err := x.Next(b)
		if id := x.Identity(); done && (err != nil || id.User != "alice") || !done && id.User != "" {
			t.Fatalf("done=%t with %+v, error %v", done, id, err)
		}
		if !done {
			x.Next(b)
		}
	}
	t.Run("token", func(t *testing.T) {
		mutations(t, token, func(b []byte) { send(t, start(t, g), b) })
	})
	x := start(t, g)
	challenge, _, err := x.Next(token)
	if err != nil {
		t.Fatal(err)
	}
	ack := fork(x)
	t.Run("ack", func(t *testing.T) {
		mutations(t, token, func(b []byte) { send(t, ack(), b) })
	})
	i.complete(t, challenge)
	if _, _, err = x.Next([]byte{}); err != nil {
		t.Fatal(err)
	}
	choice, client := fork(x), *i.cfx
	t.Run("choice", func(t *testing.T) {
		mutations(t, []byte("\x01\x00\xff\xffalice"), func(b []byte) {
			c := client
			send(t, choice(), c.wrap(b, false))
		})
	})
	t.Run("wrap token", func(t *testing.T) {
		mutations(t, client.wrap(i.reply, false), func(b []byte) { send(t, choice(), b) })
	})
}

// fork returns a function that continues x from here, as often as it is
// called, one at a time.
func fork(x auth.Exchange) func() auth.Exchange {
	at := *x.(*gssExchange)
	return func() auth.Exchange {
		again, keys := at, *at.cfx
		again.cfx = &keys
		return &again
	}
}

func BenchmarkGSSAPI(b *testing.B) {
	for _, mutual := range []bool{false, true} {
		b.Run(fmt.Sprintf("mutual=%t", mutual), func(b *testing.B) {
			g, m := newTestGSSAPI(b)
			g.Acceptor.Replay = forgetful{}
			i := newInitiator(b, m)
			i.mutual = mutual
			token := i.first(b)
			b.ReportAllocs()
			for b.Loop() {
				x := start(b, g)
				_, _, err := x.Next(token)
				if mutual && err == nil {
					_, _, err = x.Next([]byte{})
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
