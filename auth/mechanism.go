package auth

import (
	"context"
	"slices"

	"github.com/emersion/go-sasl"
)

// A Mechanism is a SASL mechanism (RFC 4422). It is safe for concurrent use.
type Mechanism interface {
	// Name is the registered name, upper case.
	Name() string
	// Usable reports whether the mechanism may be used on p. It gates both
	// what CAPA says (see [Advertiser]) and what AUTH takes, before the client
	// reveals anything.
	Usable(p Peer) bool
	// Start begins one exchange. ctx bounds all of it, and the caller ends
	// it once the exchange is over, however that came.
	Start(ctx context.Context, p Peer) Exchange
}

// An Advertiser is a [Mechanism] that CAPA does not always list where AUTH
// takes it: a client that asks for it all the same hears, and the log says,
// why it is refused.
type Advertiser interface {
	Mechanism
	// Advertised reports whether p is told of the mechanism. It is asked only
	// where the mechanism is usable.
	Advertised(p Peer) bool
}

// An Exchange is one SASL conversation. The contract of Next is go-sasl's: a
// nil response means that there was no initial response, an empty one that it
// was empty ("=", RFC 5034 §4). Next returns (challenge, false, nil) to go on,
// (data, true, nil) when the client is proven, where non-empty data is a last
// challenge whose empty answer the protocol awaits, or an error that wraps
// ErrCredentials, ErrDenied or ErrUnavailable.
type Exchange interface {
	sasl.Server
	// Identity is who was proven. It may be called once Next reported done.
	Identity() Identity
}

// A Claimant is an [Exchange] that knows who the client said it was, whether or
// not that was proven. It is for the log of refusals and for nothing else.
type Claimant interface {
	Claimed() string // "": not known
}

// A Rejecter is an [Exchange] that tells the client of its refusal by one more
// challenge, as RFC 7628 §3.2.3 has it. However the client takes that, even by
// going away, the refusal stands.
type Rejecter interface {
	Rejected() error // nil: not refused, or not yet
}

// A LayeredExchange is an [Exchange] that can negotiate a security layer.
type LayeredExchange interface {
	Exchange
	// Layer returns the negotiated security layer, nil for none. It may be
	// called once Next reported done. The layer takes effect right after the
	// CRLF of the final +OK, in both directions (RFC 5034 §4).
	Layer() SecurityLayer
}

// A SecurityLayer protects what follows a SASL exchange. Each call handles one
// buffer, without its four-octet length (RFC 4422 §3.7).
type SecurityLayer interface {
	// Wrap protects plain, which must not be longer than MaxPlain.
	Wrap(plain []byte) ([]byte, error)
	// Unwrap checks and opens a received buffer.
	Unwrap(token []byte) ([]byte, error)
	// MaxPlain is the largest number of octets that one Wrap takes.
	MaxPlain() int
	// MaxToken is the largest received buffer that the peer may send.
	MaxToken() int
}

// Mechanisms are the mechanisms of one listener, in the order of preference.
type Mechanisms []Mechanism

// Usable returns the names of the mechanisms that p should be told of: those
// that may be used on it, but for what an [Advertiser] keeps to itself.
func (m Mechanisms) Usable(p Peer) []string {
	var names []string
	for _, mech := range m {
		a, silent := mech.(Advertiser)
		if mech.Usable(p) && (!silent || a.Advertised(p)) {
			names = append(names, mech.Name())
		}
	}
	return names
}

// Find returns the mechanism called name, which is upper case, if it may be
// used on p; else nil.
func (m Mechanisms) Find(name string, p Peer) Mechanism {
	i := slices.IndexFunc(m, func(mech Mechanism) bool { return mech.Name() == name })
	if i < 0 || !m[i].Usable(p) {
		return nil
	}
	return m[i]
}
