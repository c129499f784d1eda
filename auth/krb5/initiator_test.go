package krb5

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"

	"kpopd/auth"
	"kpopd/testenv"
)

// shake runs the exchange of an Initiator with this package's own acceptor,
// through alter.
func shake(i *Initiator, x auth.Exchange, authzid string, alter func(step int, b []byte) []byte) error {
	defer i.DeleteSecContext()
	token, more, err := i.InitSecContext("", nil)
	if err != nil || !more {
		return err
	}
	challenge, _, err := x.Next(token)
	if err != nil {
		return err
	}
	if _, more, err = i.InitSecContext("", alter(0, challenge)); err != nil || more {
		return err
	}
	if challenge, _, err = x.Next([]byte{}); err != nil {
		return err
	}
	token, err = i.NegotiateSaslAuth(alter(1, challenge), authzid)
	if err != nil {
		return err
	}
	_, _, err = x.Next(token)
	return err
}

func asIs(_ int, b []byte) []byte { return b }

// TestInitiator: the exchange with this package's acceptor, for each enctype,
// with the channel binding that a peer has.
func TestInitiator(t *testing.T) {
	g, m := newTestGSSAPI(t)
	for _, etype := range defaultEtypes {
		if err := m.AddKey(popService, uint32(etype), etype); err != nil {
			t.Fatal(err)
		}
		x := start(t, g)
		if err := shake(&Initiator{ticket: issue(t, m, alice, popService, TicketOptions{Etype: etype})}, x, "bob", asIs); err != nil {
			t.Errorf("enctype %d: %v", etype, err)
		}
		if id := x.Identity(); id.User != "alice" || id.Authzid != "bob" || x.Layer() != nil {
			t.Errorf("enctype %d: %+v", etype, id)
		}
	}
	wrong := Initiator{ticket: issue(t, m, alice, popService, TicketOptions{}), bindings: hashBindings([]byte("tls-server-end-point:x"))}
	if err := shake(&wrong, start(t, g), "", asIs); auth.Reason(err) != "channel-binding-mismatch" {
		t.Errorf("the binding is not sent: %v", err)
	}
}

// TestInitiatorRefuses: a server that does not prove itself, demands a layer or
// speaks out of turn.
func TestInitiatorRefuses(t *testing.T) {
	g, m := newTestGSSAPI(t)
	other := issue(t, m, alice, popService, TicketOptions{})
	earlier := func(t *testing.T) []byte {
		c, err := g.Acceptor.Accept(t.Context(), request(t, other, RequestOptions{}), gssPeer)
		if err != nil {
			t.Fatal(err)
		}
		apRep, err := c.APRep(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return frameToken(tokAPRep, apRep)
	}
	for name, c := range map[string]struct {
		step  int
		token []byte
		want  error
		spoil bool
	}{
		"nothing":         {0, nil, errNotMutual, true},
		"empty":           {0, []byte{}, errNotMutual, true},
		"garbage":         {0, []byte("garbage"), errNotMutual, true},
		"too long":        {0, make([]byte, maxGSSToken+1), errGSSToken, true},
		"own request":     {0, frameToken(tokAPReq, []byte{0x6e, 0}), errNotMutual, true},
		"earlier answer":  {0, earlier(t), errNotMutual, true},
		"no offer":        {1, nil, errWrapToken, false},
		"garbage offered": {1, make([]byte, 64), errWrapToken, false},
	} {
		spoiled := false
		ticket := issue(t, m, alice, popService, TicketOptions{Session: other.Session})
		err := shake(&Initiator{ticket: ticket, spoil: func() { spoiled = true }}, start(t, g), "", func(step int, b []byte) []byte {
			if step == c.step {
				return c.token
			}
			return b
		})
		if !errors.Is(err, c.want) || spoiled != c.spoil {
			t.Errorf("%s: %v, spoiled: %t", name, err, spoiled)
		}
	}
	g.Layers = LayerIntegrity | LayerConfidentiality
	demanding := &Initiator{ticket: issue(t, m, alice, popService, TicketOptions{})}
	if err := shake(demanding, layered{start(t, g)}, "", asIs); !errors.Is(err, errLayer) {
		t.Errorf("a layer is demanded: %v", err)
	}
	twice := &Initiator{ticket: issue(t, m, alice, popService, TicketOptions{})}
	if _, _, err := twice.InitSecContext("", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := twice.NegotiateSaslAuth([]byte("x"), ""); !errors.Is(err, errNotMutual) {
		t.Errorf("an offer before the answer: %v", err)
	}
}

// layered is an acceptor that offers layers though the context has none.
type layered struct{ auth.LayeredExchange }

func (l layered) Next(b []byte) ([]byte, bool, error) {
	l.LayeredExchange.(*gssExchange).flags |= gssIntegrity
	return l.LayeredExchange.Next(b)
}

// TestServiceLogin: tickets by keytab, kept, forgotten, and got with a new key.
func TestServiceLogin(t *testing.T) {
	w := testenv.Start(t)
	conf, err := LoadConf(w.Krb5Conf)
	if err != nil {
		t.Fatal(err)
	}
	m := startMiddleman(t)
	m.set(honest(w))
	conf.kdcs[testRealm] = []string{m.addr}
	service := freshService("login")
	path := w.AddService(t, service)
	login := func() *ServiceLogin {
		return &ServiceLogin{Client: &Client{Conf: conf}, Principal: principal(service + "@" + testRealm), Keytab: keytabAt(t, path)}
	}
	g := &GSSAPI{Acceptor: &Acceptor{Keys: keytabAt(t, w.Keytab), Replay: new(MemoryReplay)}}
	s := login()
	show := func(want string) *Initiator {
		t.Helper()
		i, err := s.Start(t.Context(), "pop", "localhost", auth.Peer{})
		if err != nil {
			t.Fatal(err)
		}
		x := start(t, g)
		if err := shake(i, x, "", asIs); err != nil || x.Identity().User != want {
			t.Fatalf("%+v, %v", x.Identity(), err)
		}
		return i
	}
	show(service + "@" + testRealm)
	asked := m.asked.Load()
	i := show(service + "@" + testRealm)
	if m.asked.Load() != asked {
		t.Error("a ticket that is good was asked for again")
	}
	i.spoil()
	show(service + "@" + testRealm)
	if m.asked.Load() == asked {
		t.Error("a ticket that was of no use was used again")
	}
	w.Rotate(t, path, service, false)
	s.Keytab.checked.Add(-int64(freshInterval))                                   // a quick machine is done in less
	s = &ServiceLogin{Client: s.Client, Principal: s.Principal, Keytab: s.Keytab} // without tickets
	show(service + "@" + testRealm)

	w.Kadmin(t, testRealm, "cpw -randkey "+service) // and the keytab does not have it
	s = login()
	_, err = s.Start(t.Context(), "pop", "localhost", auth.Peer{})
	var refused *kdcError
	if !errors.As(err, &refused) || refused.code != errorcode.KDC_ERR_PREAUTH_FAILED {
		t.Errorf("a keytab that is out of date: %v", err)
	}
	if _, err := s.Start(t.Context(), "pop", "pop.partner.test", auth.Peer{}); err == nil || !strings.Contains(err.Error(), "another realm") {
		t.Errorf("a host of another realm: %v", err)
	}
	m.set(func([]byte) []byte { return nil })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Start(ctx, "pop", "localhost", auth.Peer{}); err == nil {
		t.Error("a KDC that says nothing gave a ticket")
	}
}

// FuzzKDC goes through what a KDC may answer, in the clear and, where it has the
// client's key, sealed.
func FuzzKDC(f *testing.F) {
	x := replyExchange()
	whole := replyWith(f, func(*kdcRepMsg, *encKDCRepPart, *int) {})
	rep, err := parseASReply(whole)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := unseal(fuzzSession, keyusage.AS_REP_ENCPART, rep.EncPart)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, plain)
	f.Add(refusalOf(f, errorcode.KDC_ERR_PREAUTH_REQUIRED, methodData(f, etypeInfo{Etype: 18})), plain)
	f.Add(methodData(f, etypeInfo{18, "salt", []byte{0, 0, 16, 0}}), []byte{})
	f.Fuzz(func(t *testing.T, b, plain []byte) {
		rep, err := parseASReply(b)
		if err == nil {
			_, _ = x.open(rep, 7)
		}
		var offered []paData
		if unmarshalAll(b, &offered) == nil {
			_, _ = x.keyFor(offered)
		}
		sealed, err := seal(fuzzSession, 3, 0, plain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.open(&kdcRepMsg{CRealm: alice.Realm, CName: alice.name(), EncPart: sealed}, 7)
		if err == nil && (!got.Service.Equal(popService) || !wellFormedKey(got.Session)) {
			t.Errorf("a ticket for %s", got.Service)
		}
	})
}

// FuzzAPRep goes through what a server may answer.
func FuzzAPRep(f *testing.F) {
	m := &Mint{Realm: testRealm, set: newKeySet([]Key{testKey(popService, 1, 18, 1)})}
	ticket := issue(f, m, alice, popService, TicketOptions{Session: fuzzSession})
	f.Add(frameToken(tokAPRep, []byte{0x6f, 0}), []byte{5, 4, 1, 255})
	f.Fuzz(func(t *testing.T, token, offer []byte) {
		i := &Initiator{ticket: ticket}
		if _, _, err := i.InitSecContext("", nil); err != nil {
			t.Fatal(err)
		}
		if i.complete(token) == nil {
			t.Error("it proves a server")
		}
		if _, err := i.NegotiateSaslAuth(offer, ""); err == nil {
			t.Error("an offer without a context")
		}
	})
}
