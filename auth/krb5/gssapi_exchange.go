package krb5

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"unicode/utf8"

	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

const (
	// maxGSSToken is a decoded token's bound. A ticket with authorization
	// data of a large domain has up to 64 KiB.
	maxGSSToken = 96 << 10
	// maxAuthzid is a bound on names that no client's reaches.
	maxAuthzid = 1024
)

// A gssExchange is one conversation of RFC 4752 §3.2:
//
//	first   nothing yet             ▶ empty challenge, token
//	token   AP-REQ                  ▶ AP-REP, ack; not mutual: offer, choice
//	ack     empty                   ▶ offer, choice
//	choice  layer, size, authzid    ▶ done
//
// Each step is taken once, so that an exchange has four at most.
type gssExchange struct {
	mech *GSSAPI
	// ctx is kept because Next, which is go-sasl's, does not get one.
	ctx  context.Context
	peer auth.Peer
	next func(*gssExchange, []byte) ([]byte, error) // nil: over

	flags    uint32
	cfx      *cfx
	offered  LayerSet
	accepted auth.Identity // once the ticket is
	identity auth.Identity // once all is
	layer    *gssLayer
	attempt  *auth.Attempt
	settled  func() bool // ends the attempt before the end of ctx does; nil: none is under way
}

var _ auth.LayeredExchange = (*gssExchange)(nil)

// Next implements [auth.Exchange].
func (x *gssExchange) Next(response []byte) (challenge []byte, done bool, err error) {
	step := x.next
	if step == nil {
		return nil, false, errGSSOver
	}
	x.next = nil
	if len(response) > maxGSSToken {
		err = refuseGSS("gss-token-too-long", "token of %d octets", len(response))
	} else {
		challenge, err = step(x, response)
	}
	done = err == nil && x.next == nil
	x.count(done, err)
	return challenge, done, err
}

// begin counts the attempt of whom a ticket proves as failed, unless it is
// settled before the exchange is left.
func (x *gssExchange) begin(c *Context) {
	x.accepted, x.attempt = c.Identity, c.attempt
	if x.attempt != nil {
		x.settled = context.AfterFunc(x.ctx, x.attempt.Failed)
	}
}

// count counts how a step ended.
func (x *gssExchange) count(done bool, err error) {
	switch {
	case err != nil && x.settled == nil:
		x.mech.Acceptor.failed(x.peer, err)
	case x.settled == nil || err == nil && !done || !x.settled():
		// Nothing is decided, or the end of ctx has decided.
	case done:
		x.attempt.Succeeded()
	default:
		x.attempt.Failed()
	}
}

// Identity implements [auth.Exchange].
func (x *gssExchange) Identity() auth.Identity { return x.identity }

// Layer implements [auth.LayeredExchange].
func (x *gssExchange) Layer() auth.SecurityLayer {
	if x.layer == nil {
		return nil
	}
	return x.layer
}

// first asks for the token where no initial response brought it. An empty one
// is taken for none, as it can only be a client that waits to be asked.
func (x *gssExchange) first(response []byte) ([]byte, error) {
	if len(response) > 0 {
		return x.token(response)
	}
	x.next = (*gssExchange).token
	return []byte{}, nil
}

func (x *gssExchange) token(response []byte) ([]byte, error) {
	reply, err := x.establish(response)
	if err != nil {
		return nil, err
	}
	if reply == nil {
		return x.offer()
	}
	x.next = (*gssExchange).ack
	return reply, nil
}

// establish accepts the client's token and makes the context. It returns the
// answer, nil where the client asked for none.
func (x *gssExchange) establish(token []byte) ([]byte, error) {
	apReq, err := parseInitialToken(token)
	if err != nil {
		return nil, refuseGSS("bad-gss-token", "%w", err)
	}
	c, err := x.mech.Acceptor.accept(x.ctx, apReq, x.peer, x.check)
	if err != nil {
		return nil, err
	}
	x.begin(c)
	if c.Mutual {
		return x.reply(c)
	}
	if x.cfx, err = newCFX(c.key(), false, c.Seq, c.Seq); err != nil {
		return nil, refuseGSS("bad-context-key", "%w", err)
	}
	return nil, nil
}

// check looks at what the authenticator says about the context, before the
// authenticator counts as used.
func (x *gssExchange) check(c *Context) error {
	// RFC 4121 §4.1.1: initiators that keep to it send this checksum.
	if c.Checksum.CksumType != checksumGSS {
		return refuseGSS("bad-gss-checksum", "checksum of type %d", c.Checksum.CksumType)
	}
	sum, err := parseGSSChecksum(c.Checksum.Checksum)
	if err != nil {
		return refuseGSS("bad-gss-checksum", "%w", err)
	}
	if sum.flags&gssDCEStyle != 0 {
		return refuseGSS("bad-gss-checksum", "DCE style is not for SASL")
	}
	x.flags = sum.flags
	return x.mech.Binding.check(sum.bindings, x.peer)
}

// reply makes the AP-REP. The subkey in it makes the context's key fresh on
// both sides: whoever replays the client's part cannot finish.
func (x *gssExchange) reply(c *Context) ([]byte, error) {
	subkey, err := newSubkey(c.key().KeyType)
	if err != nil {
		return nil, refuseGSS("bad-context-key", "%w", err)
	}
	seq := newSeq()
	apRep, err := c.APRep(&subkey, &seq)
	if err != nil {
		return nil, refuseGSS("bad-context-key", "%w", err)
	}
	if x.cfx, err = newCFX(subkey, true, seq, c.Seq); err != nil {
		return nil, refuseGSS("bad-context-key", "%w", err)
	}
	return frameToken(tokAPRep, apRep), nil
}

func (x *gssExchange) ack(response []byte) ([]byte, error) {
	if len(response) > 0 { // RFC 4752 §3.1: the client's context is complete
		return nil, refuseGSS("bad-gss-token", "a token after the last one")
	}
	return x.offer()
}

// offer is the list of layers and the size of the longest token that this side
// takes, 0 where there is no layer to have one (RFC 4752 §3.2). Clients that
// want no layer take any size.
func (x *gssExchange) offer() ([]byte, error) {
	x.offered = x.mech.layers()
	// TLS protects what a layer would protect once more, and there are clients
	// that choose a layer where they can and do not speak it: Perl's Net::POP3.
	if x.peer.TLS != nil && x.offered&LayerNone != 0 {
		x.offered = LayerNone
	}
	if x.flags&gssIntegrity == 0 {
		x.offered &^= LayerIntegrity
	}
	if x.flags&gssConfidentiality == 0 {
		x.offered &^= LayerConfidentiality
	}
	if x.offered == 0 {
		return nil, refuseGSS("bad-layer", "the client's context has none of the layers %s", x.mech.layers())
	}
	size := uint32(0)
	if x.offered != LayerNone {
		size = maxLayerToken
	}
	x.next = (*gssExchange).choice
	return x.cfx.wrap(binary.BigEndian.AppendUint32(nil, uint32(x.offered)<<24|size), false), nil
}

// choice reads one layer, the longest token that the client takes, and the
// name it wants to act as.
func (x *gssExchange) choice(response []byte) ([]byte, error) {
	b, _, err := x.cfx.unwrap(response)
	if err != nil {
		return nil, refuseGSS("bad-wrap-token", "%w", err)
	}
	if len(b) < 4 {
		return nil, refuseGSS("bad-wrap-token", "%d octets of layer and size", len(b))
	}
	// RFC 4752 §3.1 wants a size of 0 with no layer; half of the clients send
	// another.
	chosen, size := LayerSet(b[0]), binary.BigEndian.Uint32(b)&0xffffff
	if err := x.choose(chosen, int(size)); err != nil {
		return nil, err
	}
	authzid, ok := parseAuthzid(b[4:])
	if !ok {
		return nil, refuseGSS("bad-authzid", "an authorization identity that is no name")
	}
	x.identity = x.accepted
	x.identity.Mechanism, x.identity.Authzid = "GSSAPI", authzid
	return nil, nil
}

func (x *gssExchange) choose(chosen LayerSet, size int) error {
	switch {
	case chosen&(chosen-1) != 0 || chosen&x.offered == 0:
		return refuseGSS("bad-layer", "layer %#x of %#x", uint8(chosen), uint8(x.offered))
	case chosen == LayerNone:
		return nil
	}
	layer, err := newGSSLayer(x.cfx, chosen == LayerConfidentiality, size)
	if err != nil {
		return refuseGSS("bad-context-key", "%w", err)
	}
	if layer.MaxPlain() < minLayerPlain {
		return refuseGSS("bad-layer", "the client takes tokens of %d octets only", size)
	}
	x.layer = layer
	return nil
}

// parseAuthzid reads a name in UTF-8 without NUL (RFC 4752 §3.1). Some clients
// count the NUL behind it.
func parseAuthzid(b []byte) (string, bool) {
	b = bytes.TrimSuffix(b, []byte{0})
	return string(b), len(b) <= maxAuthzid && utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
}

// key is the context's key where the acceptor asserts none: the initiator's
// subkey, else the ticket's (RFC 4121 §2).
func (c *Context) key() types.EncryptionKey {
	if len(c.Subkey.KeyValue) > 0 {
		return c.Subkey
	}
	return c.SessionKey
}

// newSeq returns a random first sequence number: not 0, which encoders leave
// out, and below 2^30, beyond which some implementations see a sign.
func newSeq() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])&(1<<30-1) | 1
}
