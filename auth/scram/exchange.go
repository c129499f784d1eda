package scram

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // of SCRAM-SHA-1, where collisions do not matter (RFC 5802 §9)
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"

	"github.com/emersion/go-sasl"

	"kpopd/auth"
)

// An exchange is one conversation. The client speaks first, so that an empty
// challenge goes out where there was no initial response.
type exchange struct {
	m    *Mechanism
	ctx  context.Context
	peer auth.Peer
	step int

	first       clientFirst
	serverFirst string
	nonce       string // both parts
	user        auth.SCRAMUser
	refusal     error // why the proof will not do, whatever it is
	claimed     string
	id          auth.Identity
	judged      func() bool // keeps the end of ctx from counting; nil: nobody counts
}

var _ auth.Claimant = (*exchange)(nil)

// The steps of an exchange.
const (
	atStart = iota
	atAsked // the empty challenge is out
	atFinal // server-first-message is out
	atEnd
)

// Next implements [auth.Exchange].
func (x *exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	step := x.step
	x.step = atEnd // no second guess on one exchange
	switch {
	case step == atStart && response == nil:
		x.step = atAsked
		return []byte{}, false, nil
	case step == atEnd || response == nil:
		return nil, false, auth.Refuse(fmt.Errorf("%w: %w", auth.ErrCredentials, sasl.ErrUnexpectedClientResponse), "malformed")
	case step == atFinal:
		if challenge, err = x.finish(response); err != nil {
			return nil, false, err
		}
		return challenge, true, nil
	}
	if challenge, err = x.begin(response); err != nil {
		return nil, false, err
	}
	x.step = atFinal
	return challenge, false, nil
}

// Identity implements [auth.Exchange].
func (x *exchange) Identity() auth.Identity { return x.id }

// Claimed implements [auth.Claimant].
func (x *exchange) Claimed() string { return x.claimed }

// begin answers client-first-message with server-first-message.
func (x *exchange) begin(response []byte) ([]byte, error) {
	var err error
	if x.first, err = parseFirst(response); err != nil {
		return nil, err
	}
	x.claimed = x.first.user
	if err := x.checkFlag(); err != nil {
		return nil, err
	}
	user, ok := auth.Prepare(x.first.user)
	if !ok { // RFC 5802 §5.1
		return nil, refuse("malformed-user", "SASLprep forbids the name")
	}
	x.claimed = user
	if !x.allowed() {
		return nil, errThrottled
	}
	if err := x.lookUp(); err != nil {
		return nil, err
	}
	if t := x.m.Throttle; t != nil { // the work is done, whether or not a proof comes
		x.judged = context.AfterFunc(x.ctx, func() { t.Failed(x.peer, user) })
	}
	x.nonce = x.first.nonce + x.m.newNonce()
	x.serverFirst = fmt.Sprintf("r=%s,s=%s,i=%d", x.nonce, base64.StdEncoding.EncodeToString(x.user.Keys.Salt), x.user.Keys.Iterations)
	return []byte(x.serverFirst), nil
}

// checkFlag compares what the client does about channel binding with what the
// mechanism asks for (RFC 5802 §6).
func (x *exchange) checkFlag() error {
	switch flag := x.first.flag; {
	case flag == 'p' && !x.m.Plus:
		return refuse("channel-binding-unexpected", "a channel binding without -PLUS")
	case flag == 'p' && len(x.peer.Bindings(x.first.binding)) == 0:
		return refuse("channel-binding-unsupported", "a channel binding that this connection has not")
	case flag == 'y' && (x.m.Plus || x.m.PlusOffered != nil && x.m.PlusOffered(x.peer)):
		return refuse("channel-binding-downgrade", "somebody hid -PLUS from the client")
	case flag != 'p' && x.m.Plus:
		return refuse("channel-binding-missing", "no channel binding with -PLUS")
	}
	return nil
}

// lookUp finds the keys of who is claimed to be there, or else keys like those,
// with which the exchange goes on to the proof. A refusal is kept until then.
func (x *exchange) lookUp() error {
	user, err := x.m.Keys.SCRAM(x.ctx, x.peer, x.first.user, x.m.Hash)
	if isOutage(err) {
		return fmt.Errorf("%w: %w", auth.ErrUnavailable, err)
	}
	feigned := x.m.feign(x.claimed) // which takes as long for those who need none
	if x.user, x.refusal = user, err; err != nil {
		x.user.Keys = feigned
	}
	return nil
}

// isOutage reports whether err says nothing of the user. An error that joins
// an outage to something else is one.
func isOutage(err error) bool {
	if err == nil {
		return false
	}
	about := errors.Is(err, auth.ErrUnknown) || errors.Is(err, auth.ErrCredentials) || errors.Is(err, auth.ErrDenied)
	return !about || errors.Is(err, auth.ErrUnavailable)
}

// feign makes keys for somebody who has none (RFC 5802 §5.1 leaves it at an
// error, which would tell).
func (m *Mechanism) feign(user string) auth.SCRAMKeys {
	iterations, length := m.Keys.SCRAMParameters(m.Hash)
	none := make([]byte, m.newHash()().Size())
	return auth.SCRAMKeys{
		Iterations: iterations, Salt: auth.SCRAMSalt(m.Secret, m.Hash, user, length),
		StoredKey: none, ServerKey: none,
	}
}

// finish checks client-final-message and returns server-final-message.
func (x *exchange) finish(response []byte) ([]byte, error) {
	m, err := parseFinal(response)
	switch {
	case err != nil:
		return nil, err
	case subtle.ConstantTimeCompare([]byte(m.nonce), []byte(x.nonce)) != 1:
		return nil, refuse("nonce-mismatch", "the nonce of another exchange")
	case !x.bound(m.binding):
		return nil, refuse("channel-binding-mismatch", "the channel binding is for another connection")
	}
	if x.judged != nil {
		x.judged()
	}
	if !x.allowed() { // others may have failed meanwhile
		return nil, errThrottled
	}
	message := x.first.bare + "," + x.serverFirst + "," + m.withoutProof
	if proven := x.proven(message, m.proof); !proven || x.refusal != nil {
		return nil, x.refuse()
	}
	if err := x.admit(); err != nil {
		return nil, err
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(x.m.mac(x.user.Keys.ServerKey, message))), nil
}

// admit lets in who has proven himself, unless he may not come.
func (x *exchange) admit() error {
	id, err := x.user.Admit(x.ctx)
	if t := x.m.Throttle; t != nil && errors.Is(err, auth.ErrCredentials) {
		t.Failed(x.peer, x.claimed)
	} else if t != nil && err == nil {
		t.Succeeded(x.peer, x.claimed)
	}
	if err != nil {
		return err
	}
	x.id = id
	x.id.Authzid, x.id.Mechanism = x.first.authzid, x.m.Name()
	return nil
}

// bound reports whether sent is the gs2-header as it came with a channel
// binding of this connection behind it, if the header says so (RFC 5802 §7,
// cbind-input).
func (x *exchange) bound(sent []byte) bool {
	data, ok := bytes.CutPrefix(sent, []byte(x.first.header))
	if !ok || x.first.flag != 'p' {
		return ok && len(data) == 0
	}
	for _, want := range x.peer.Bindings(x.first.binding) {
		if subtle.ConstantTimeCompare(data, want) == 1 {
			return true
		}
	}
	return false
}

// proven reports whether proof is that of the password (RFC 5802 §3).
func (x *exchange) proven(message string, proof []byte) bool {
	key := x.m.mac(x.user.Keys.StoredKey, message)
	if len(proof) != len(key) {
		return false
	}
	subtle.XORBytes(key, key, proof)
	h := x.m.newHash()()
	h.Write(key)
	return subtle.ConstantTimeCompare(h.Sum(nil), x.user.Keys.StoredKey) == 1
}

// refuse counts a wrong proof. Its error looks the same to the client whatever
// the reason.
func (x *exchange) refuse() error {
	if t := x.m.Throttle; t != nil {
		t.Failed(x.peer, x.claimed)
	}
	switch err := x.refusal; {
	case err == nil:
		return auth.Refuse(auth.ErrCredentials, "wrong-password")
	case errors.Is(err, auth.ErrUnknown):
		return auth.Refuse(auth.ErrCredentials, "unknown-user")
	default:
		return auth.Refuse(auth.ErrCredentials, auth.Reason(err))
	}
}

var errThrottled = auth.Refuse(auth.ErrCredentials, "throttled")

func (x *exchange) allowed() bool {
	return x.m.Throttle == nil || x.m.Throttle.Allowed(x.peer, x.claimed)
}

// newNonce returns the server's part of a nonce, of 130 random bits.
func (m *Mechanism) newNonce() string {
	if m.nonce != nil {
		return m.nonce()
	}
	return rand.Text()
}

func (m *Mechanism) newHash() func() hash.Hash {
	if m.Hash == SHA1 {
		return sha1.New
	}
	return sha256.New
}

func (m *Mechanism) mac(key []byte, text string) []byte {
	h := hmac.New(m.newHash(), key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
