package krb5

import (
	"bytes"
	"slices"
	"testing"

	"kpopd/auth"
)

// negInitToken is a NegTokenInit of mechanisms, with a token unless it is nil.
func negInitToken(token []byte, mechs ...[]byte) []byte {
	fields := appendDER(nil, derContext, appendDER(nil, derSequence, slices.Concat(mechs...)))
	if token != nil {
		fields = appendDER(fields, derContext|2, appendDER(nil, derOctets, token))
	}
	inner := appendDER(nil, derContext, appendDER(nil, derSequence, fields))
	return appendDER(nil, 0x60, append(bytes.Clone(spnegoOID), inner...))
}

// A spnegoWorld is a mechanism, and tokens for it.
type spnegoWorld struct {
	*SPNEGO
	mint *Mint
}

func newSPNEGOWorld(t testing.TB) spnegoWorld {
	t.Helper()
	a, m := newTestAcceptor(t)
	return spnegoWorld{&SPNEGO{GSSAPI: &GSSAPI{Acceptor: a, Layers: LayerNone | LayerIntegrity | LayerConfidentiality}}, m}
}

func (w spnegoWorld) start(t testing.TB) *spnegoExchange {
	t.Helper()
	return w.Start(t.Context(), auth.Peer{Tickets: true}).(*spnegoExchange)
}

// token is alice's, with flags in its checksum.
func (w spnegoWorld) token(t testing.TB, flags byte) []byte {
	t.Helper()
	seq := uint32(7)
	sum := make([]byte, 24)
	sum[0], sum[20] = 16, flags
	o := RequestOptions{Options: RequestMutual, Seq: &seq}
	o.Checksum.CksumType, o.Checksum.Checksum = checksumGSS, sum
	return frameToken(tokAPReq, aliceRequest(t, w.mint, o))
}

func (w spnegoWorld) resp(token, mic []byte) []byte {
	return negAnswer{state: negIncomplete, token: token, mic: mic}.encode()
}

func TestSPNEGO(t *testing.T) {
	w := newSPNEGOWorld(t)
	if w.Name() != "GSS-SPNEGO" || w.Usable(auth.Peer{}) || !w.Usable(auth.Peer{Tickets: true}) {
		t.Error("name or use")
	}
	for _, oid := range [][]byte{krb5OID, msKrb5OID} {
		for flags, layer := range map[byte]bool{0: false, gssIntegrity: true, gssConfidentiality | gssIntegrity: true} {
			x := w.start(t)
			first, done, err := x.Next(nil)
			if err != nil || done || len(first) != 0 {
				t.Fatalf("%q, %t, %v", first, done, err)
			}
			answer, done, err := x.Next(negInitToken(w.token(t, flags), oid, ntlmOID))
			if err != nil || !done {
				t.Fatalf("flags %d: %v", flags, err)
			}
			if r, err := parseNegResp(answer); err != nil || len(r.token) == 0 || r.mic != nil || !bytes.Contains(answer, oid) {
				t.Errorf("answer %x, %v", answer, err)
			}
			id := x.Identity()
			if id.User != "alice" || id.Mechanism != "GSS-SPNEGO" || id.Authzid != "" || (x.Layer() != nil) != layer {
				t.Errorf("flags %d: %+v, layer %v", flags, id, x.Layer())
			}
			if l := x.layer; layer && l.sealed != (flags&gssConfidentiality != 0) {
				t.Errorf("flags %d: %+v", flags, l)
			}
			if _, _, err := x.Next([]byte("more")); err == nil {
				t.Error("it goes on after the end")
			}
		}
	}
}

// Another mechanism comes first, so that the lists are compared.
func TestSPNEGOMIC(t *testing.T) {
	w := newSPNEGOWorld(t)
	mechs := [][]byte{ntlmOID, krb5OID}
	begin := func() *spnegoExchange {
		x := w.start(t)
		answer, done, err := x.Next(negInitToken([]byte(ntlmMessage), mechs...))
		want := appendDER(nil, derContext|1, appendDER(nil, derSequence, slices.Concat(
			appendDER(nil, derContext, []byte{derEnum, 1, negRequestMIC}), appendDER(nil, derContext|1, krb5OID))))
		if err != nil || done || !bytes.Equal(answer, want) {
			t.Fatalf("%x, %v", answer, err)
		}
		if answer, done, err = x.Next(w.resp(w.token(t, 0), nil)); err != nil || done {
			t.Fatal(err)
		}
		if r, err := parseNegResp(answer); err != nil || len(r.mic) != 16+x.cfx.kind.macSize || len(r.token) == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		return x
	}
	mic := func(x *spnegoExchange, usage uint32, mechs ...[]byte) []byte {
		header := micHeader(x.cfx.recvFlag, x.cfx.recvSeq)
		return append(header, x.cfx.micSum(usage, appendDER(nil, derSequence, slices.Concat(mechs...)), header)...)
	}
	x := begin()
	if answer, done, err := x.Next(w.resp(nil, mic(x, usageInitiatorSign, mechs...))); err != nil || !done || len(answer) != 0 || x.Identity().User != "alice" {
		t.Errorf("%x, %t, %v", answer, done, err)
	}
	for name, make := range map[string]func(*spnegoExchange) []byte{
		"none":          func(*spnegoExchange) []byte { return nil },
		"another list":  func(x *spnegoExchange) []byte { return mic(x, usageInitiatorSign, krb5OID) },
		"another usage": func(x *spnegoExchange) []byte { return mic(x, usageAcceptorSign, mechs...) },
		"cut":           func(x *spnegoExchange) []byte { return mic(x, usageInitiatorSign, mechs...)[:16] },
		"our own":       func(x *spnegoExchange) []byte { return x.cfx.mic(x.mechTypes) },
		"out of order": func(x *spnegoExchange) []byte {
			x.cfx.recvSeq++
			b := mic(x, usageInitiatorSign, mechs...)
			x.cfx.recvSeq--
			return b
		},
		"without subkey": func(x *spnegoExchange) []byte { b := mic(x, usageInitiatorSign, mechs...); b[2] = 0; return b },
	} {
		x := begin()
		_, done, err := x.Next(w.resp(nil, make(x)))
		if done || x.Identity().User != "" {
			t.Errorf("%s is taken", name)
		}
		wantReason(t, name, err, "bad-mic")
	}
}

func TestSPNEGORefused(t *testing.T) {
	w := newSPNEGOWorld(t)
	valid := negInitToken(w.token(t, 0), krb5OID)
	for name, test := range map[string]struct {
		reason string
		tokens [][]byte
	}{
		"NTLM":            {"ntlm-refused", [][]byte{[]byte(ntlmMessage + "\x01\x00\x00\x00")}},
		"NTLM inside":     {"ntlm-refused", [][]byte{negInitToken([]byte(ntlmMessage), ntlmOID)}},
		"another":         {"bad-gss-token", [][]byte{negInitToken(nil, spnegoOID)}},
		"no mechanism":    {"bad-gss-token", [][]byte{negInitToken(nil)}},
		"many mechanisms": {"bad-gss-token", [][]byte{negInitToken(nil, slices.Repeat([][]byte{krb5OID}, 33)...)}},
		"Kerberos alone":  {"bad-gss-token", [][]byte{w.token(t, 0)}},
		"nothing twice":   {"bad-gss-token", [][]byte{{}, {}}},
		"no token":        {"bad-gss-token", [][]byte{negInitToken(nil, krb5OID), w.resp(nil, nil)}},
		"no token, later": {"bad-gss-token", [][]byte{negInitToken(nil, ntlmOID, krb5OID), w.resp(nil, []byte("x"))}},
		"an empty ticket": {"bad-gss-token", [][]byte{negInitToken([]byte{}, krb5OID)}},
		"behind the end":  {"bad-gss-token", [][]byte{append(bytes.Clone(valid), 0)}},
		"replayed":        {"replayed-authenticator", [][]byte{valid}},
	} {
		if name == "replayed" {
			if _, _, err := w.start(t).Next(valid); err != nil {
				t.Fatal(err)
			}
		}
		x := w.start(t)
		var err error
		for i, token := range test.tokens {
			if _, _, err = x.Next(token); err != nil && i < len(test.tokens)-1 {
				t.Fatalf("%s: %v", name, err)
			}
		}
		wantReason(t, name, err, test.reason)
	}
	none := &SPNEGO{GSSAPI: &GSSAPI{Acceptor: w.GSSAPI.Acceptor}}
	_, _, err := none.Start(t.Context(), auth.Peer{Tickets: true}).Next(negInitToken(w.token(t, gssIntegrity), krb5OID))
	wantReason(t, "a layer that is not offered", err, "bad-layer")
	for n := range valid {
		_, done, err := w.start(t).Next(valid[:n])
		if done || n > 0 && auth.Reason(err) != "bad-gss-token" {
			t.Fatalf("cut at %d: %t, %v", n, done, err)
		}
	}
}

// A client whose first choice is Kerberos, and who sends no token yet.
func TestSPNEGOLate(t *testing.T) {
	w := newSPNEGOWorld(t)
	x := w.start(t)
	if _, done, err := x.Next(negInitToken(nil, krb5OID)); err != nil || done {
		t.Fatal(err)
	}
	if _, done, err := x.Next(w.resp(w.token(t, 0), nil)); err != nil || !done || x.Identity().User != "alice" {
		t.Errorf("%t, %v", done, err)
	}
}

func FuzzSPNEGO(f *testing.F) {
	f.Add(negInitToken([]byte("token"), krb5OID, ntlmOID))
	f.Add(negAnswer{state: negIncomplete, mech: krb5OID, token: []byte("token"), mic: []byte("mic")}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseNegInit(b); err == nil && (len(n.mechs) == 0 || len(n.mechs) > maxNegMechs || len(n.token) > len(b)) {
			t.Errorf("%x: %+v", b, n)
		}
		if n, err := parseNegResp(b); err == nil && len(n.token)+len(n.mic) > len(b) {
			t.Errorf("%x: %+v", b, n)
		}
	})
}

// MIT's and Heimdal's clients, and their MICs.
func TestSPNEGOInterop(t *testing.T) {
	for library, flag := range gssLibraries {
		t.Run(library, func(t *testing.T) {
			w := newMITWorld(t)
			bin := buildGSSClient(t, flag)
			mech := &SPNEGO{GSSAPI: &GSSAPI{Acceptor: &Acceptor{Keys: w.mint, Replay: new(MemoryReplay)}, Layers: LayerNone | LayerIntegrity | LayerConfidentiality}}
			for _, etype := range cfxEtypes {
				if err := w.mint.AddKey(popService, uint32(etype), etype); err != nil {
					t.Fatal(err)
				}
				w.hold(t, issue(t, w.mint, alice, popService, TicketOptions{Etype: etype}))
				c := w.gssClient(t, bin, gssWish{flags: gssMutual | gssOrdered | gssLayered})
				x := mech.Start(t.Context(), auth.Peer{Tickets: true}).(*spnegoExchange)
				if err := c.negotiate(t, x); err != nil {
					t.Fatalf("enctype %d: %v, client: %s", etype, err, &c.stderr)
				}
				if id := x.Identity(); id.User != "alice" {
					t.Errorf("identity %+v", id)
				}
				c.talk(t, x.Layer(), true)
				c.say("m %x", "list")
				if err := x.cfx.verifyMIC(c.token(t), []byte("list")); err != nil {
					t.Error(err)
				}
				c.say("v %x", x.cfx.mic([]byte("list")))
				if got := c.line(t); got != "right" {
					t.Error(got)
				}
				c.talk(t, x.Layer(), true)
			}
		})
	}
}

// negotiate runs the exchange until it is done or fails.
func (c *gssClient) negotiate(t *testing.T, x auth.Exchange) error {
	t.Helper()
	for {
		challenge, done, err := x.Next(c.token(t))
		if err != nil || done && len(challenge) == 0 {
			return err
		}
		c.say("%x", challenge)
		if done {
			if last := c.token(t); len(last) > 0 {
				t.Errorf("an answer to success: %x", last)
			}
			return nil
		}
	}
}
