package krb5

import (
	"bytes"
	"context"
	"slices"

	"kpopd/auth"
)

// SPNEGO is the SASL mechanism GSS-SPNEGO, of Windows and Cyrus SASL:
// Kerberos, negotiated by RFC 4178. No other mechanism is accepted inside it.
//
// Unlike GSSAPI it names nobody to act as and negotiates no security layer:
// one begins at once where the client's context has confidentiality or
// integrity, the stronger of the two, under TLS as well. Nothing that the client
// sends after its ticket proves that it has the key: as with KPOP, the
// replay cache alone keeps a ticket that was overheard from being shown again.
type SPNEGO struct {
	// GSSAPI has the acceptor, the channel binding and the layers.
	GSSAPI *GSSAPI
}

var _ auth.Mechanism = (*SPNEGO)(nil)

// Name returns "GSS-SPNEGO".
func (s *SPNEGO) Name() string { return "GSS-SPNEGO" }

// Usable implements [auth.Mechanism], as [GSSAPI.Usable].
func (s *SPNEGO) Usable(p auth.Peer) bool { return s.GSSAPI.Usable(p) }

// Start implements [auth.Mechanism].
func (s *SPNEGO) Start(ctx context.Context, p auth.Peer) auth.Exchange {
	x := &spnegoExchange{gssExchange: gssExchange{mech: s.GSSAPI, ctx: ctx, peer: p}}
	x.then(x.init)
	return x
}

// maxSPNEGOToken is the longest token of this side. Clients do not say what
// they take; there are none known that do not take this much.
const maxSPNEGOToken = 4096

// A spnegoExchange is one negotiation:
//
//	init    NegTokenInit, AP-REQ  ▶ AP-REP, done; or
//	        another comes first   ▶ Kerberos, request-mic; token
//	token   AP-REQ                ▶ AP-REP, MIC; mic
//	mic     MIC                   ▶ done
type spnegoExchange struct {
	gssExchange
	mechTypes []byte
	kerberos  []byte // as the client calls it
	asked     bool   // for the first token
}

// then says which step is next.
func (x *spnegoExchange) then(step func([]byte) ([]byte, error)) {
	x.next = func(_ *gssExchange, response []byte) ([]byte, error) { return step(response) }
}

// init reads the client's first token, or asks for it.
func (x *spnegoExchange) init(response []byte) ([]byte, error) {
	if len(response) == 0 {
		x.then(x.init)
		return []byte{}, x.askedTwice()
	}
	if bytes.HasPrefix(response, []byte(ntlmMessage)) {
		return nil, refuseGSS("ntlm-refused", "NTLM")
	}
	n, err := parseNegInit(response)
	if err != nil {
		return nil, refuseGSS("bad-gss-token", "%w", err)
	}
	i := slices.IndexFunc(n.mechs, isKerberos)
	switch {
	case i >= 0:
	case slices.ContainsFunc(n.mechs, func(oid []byte) bool { return bytes.Equal(oid, ntlmOID) }):
		return nil, refuseGSS("ntlm-refused", "the client proposes NTLM and no Kerberos")
	default:
		return nil, refuseGSS("bad-gss-token", "the client proposes no Kerberos")
	}
	x.mechTypes, x.kerberos = bytes.Clone(n.mechTypes), bytes.Clone(n.mechs[i])
	switch {
	case i > 0: // RFC 4178 §5: then both lists are compared at the end
		x.then(x.token)
		return negAnswer{state: negRequestMIC, mech: x.kerberos}.encode(), nil
	case n.token == nil:
		x.then(x.late)
		return negAnswer{state: negIncomplete, mech: x.kerberos}.encode(), nil
	}
	return x.complete(n.token)
}

func isKerberos(oid []byte) bool { return bytes.Equal(oid, krb5OID) || bytes.Equal(oid, msKrb5OID) }

// askedTwice refuses a client that has nothing to say but was asked.
func (x *spnegoExchange) askedTwice() error {
	if x.asked {
		return refuseGSS("bad-gss-token", "no token")
	}
	x.asked = true
	return nil
}

// late reads the token of a client whose first choice was Kerberos.
func (x *spnegoExchange) late(response []byte) ([]byte, error) {
	n, err := parseNegResp(response)
	if err != nil || n.token == nil {
		return nil, refuseGSS("bad-gss-token", "no Kerberos token: %v", err)
	}
	return x.complete(n.token)
}

// complete accepts the ticket of a client whose first choice was Kerberos.
func (x *spnegoExchange) complete(token []byte) ([]byte, error) {
	reply, err := x.establish(token)
	if err != nil {
		return nil, err
	}
	return negAnswer{state: negAccepted, mech: x.kerberos, token: reply}.encode(), x.finish()
}

// token accepts the ticket of a client whose first choice was another, and
// shows what was chosen from.
func (x *spnegoExchange) token(response []byte) ([]byte, error) {
	n, err := parseNegResp(response)
	if err != nil || n.token == nil {
		return nil, refuseGSS("bad-gss-token", "no Kerberos token: %v", err)
	}
	reply, err := x.establish(n.token)
	if err != nil {
		return nil, err
	}
	x.then(x.mic)
	return negAnswer{state: negIncomplete, token: reply, mic: x.cfx.mic(x.mechTypes)}.encode(), nil
}

// mic checks what the client proposed: somebody in the middle could have put
// something else before Kerberos.
func (x *spnegoExchange) mic(response []byte) ([]byte, error) {
	n, err := parseNegResp(response)
	if err == nil {
		err = x.cfx.verifyMIC(n.mic, x.mechTypes)
	}
	if err != nil {
		return nil, refuseGSS("bad-mic", "%w", err)
	}
	return nil, x.finish()
}

// finish begins the layer that the client's context has, and says who it is.
func (x *spnegoExchange) finish() error {
	layer := LayerNone
	switch {
	case x.flags&gssConfidentiality != 0:
		layer = LayerConfidentiality
	case x.flags&gssIntegrity != 0:
		layer = LayerIntegrity
	}
	x.offered = x.mech.layers()
	if err := x.choose(layer, maxSPNEGOToken); err != nil {
		return err
	}
	x.identity = x.accepted
	x.identity.Mechanism = "GSS-SPNEGO"
	return nil
}
