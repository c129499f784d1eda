package krb5

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"kpopd/auth"
)

const (
	defaultService = "pop"
	defaultMaxSkew = 5 * time.Minute
	maxAPReq       = 128 << 10
)

// An Acceptor accepts Kerberos tickets for one service. Its fields are set
// before it is used and not changed after; its methods are safe for concurrent
// use. The zero Acceptor refuses everything.
type Acceptor struct {
	// Keys are the service's keys. nil: every ticket is refused with
	// [auth.ErrUnavailable].
	Keys KeySource
	// Replay remembers authenticators. nil: every ticket is refused with
	// [auth.ErrUnavailable], because an AP-REQ that can be replayed opens a
	// KPOP session.
	Replay ReplayCache
	// Service is the first of the two components of the principals whose
	// tickets are accepted. "": "pop".
	Service string
	// Realms are the clients' realms that are let in. Empty: those that have
	// keys for Service.
	Realms []string
	// MaxSkew is how far a client's clock may be off. 0: five minutes.
	MaxSkew time.Duration
	// Etypes are the enctypes permitted for tickets, authenticators and keys.
	// nil: 17, 18, 19 and 20; no others are implemented.
	Etypes []int32
	// CheckAddresses demands that a ticket that lists addresses lists the
	// peer's. Address translation breaks that, so it is off by default.
	CheckAddresses bool
	// PAC is what is done with a ticket's PAC. The zero value is PACIgnore.
	PAC PACMode
	// DomainSIDs are those of our own realms' domains, "S-1-5-21-x-y-z". No
	// PAC of a client of another realm may speak for them. Empty: such a PAC is
	// not used at all.
	DomainSIDs []string
	// Log gets a warning about each PAC that is not used, where it need not
	// be. nil: slog.Default().
	Log *slog.Logger
	// Throttle counts tickets that are wrong by address, and exchanges with a
	// right one that come to nothing by principal. nil: nothing is counted.
	Throttle *auth.Throttle
}

// Accept checks an AP-REQ and returns what it established. The error is an
// [*auth.Refusal] with the reason; it wraps [auth.ErrCredentials] where the
// proof is wrong, [auth.ErrDenied] where it is right but not welcome, and
// [auth.ErrUnavailable] where nobody could say.
func (a *Acceptor) Accept(ctx context.Context, apReq []byte, p auth.Peer) (*Context, error) {
	c, err := a.accept(ctx, apReq, p, nil)
	if err != nil {
		a.failed(p, err)
		return nil, err
	}
	c.attempt.Succeeded()
	return c, nil
}

// accept is Accept with a check of the caller's, which runs once ticket and
// authenticator are verified and before the authenticator is remembered. Its
// error is the refusal, which the caller counts. The context's attempt is under
// way until the caller ends it.
func (a *Acceptor) accept(ctx context.Context, apReq []byte, p auth.Peer, check func(*Context) error) (c *Context, err error) {
	// The one place where a panic of the library's can still arise from what
	// a stranger sent. It must not take other sessions along.
	defer func() {
		if v := recover(); v != nil {
			c, err = nil, causeMalformed.refuse("the decoder panicked")
		}
	}()
	if a.Keys == nil {
		return nil, causeNoKeytab.refuse("")
	}
	if a.Replay == nil {
		return nil, causeNoReplay.refuse("no replay cache is set")
	}
	x := exchange{Acceptor: a, keys: a.Keys.Keys(), peer: p, now: time.Now()}
	if err := x.verify(apReq); err != nil {
		return nil, err
	}
	c = x.context()
	if check != nil {
		if err := check(c); err != nil {
			return nil, err
		}
	}
	if err := x.authorize(c); err != nil {
		return nil, err
	}
	if err := a.begin(c, p); err != nil {
		return nil, err
	}
	if err := x.remember(ctx); err != nil {
		c.attempt.Succeeded() // whoever replays is not the principal
		return nil, err
	}
	return c, nil
}

// begin begins the attempt of the context's client.
func (a *Acceptor) begin(c *Context, p auth.Peer) error {
	if a.Throttle == nil {
		return nil
	}
	var ok bool
	if c.attempt, ok = a.Throttle.Begin(p, c.Client.String()); !ok {
		return causeThrottled.refuse("too many exchanges of %.200q came to nothing", c.Client.String())
	}
	return nil
}

// failed counts a refusal that says something about the client, who is not
// known by it.
func (a *Acceptor) failed(p auth.Peer, err error) {
	if a.Throttle != nil && errors.Is(err, auth.ErrCredentials) && auth.Reason(err) != causeThrottled.reason {
		a.Throttle.Failed(p, "")
	}
}

func (a *Acceptor) service() string {
	if a.Service == "" {
		return defaultService
	}
	return a.Service
}

func (a *Acceptor) maxSkew() time.Duration {
	if a.MaxSkew <= 0 {
		return defaultMaxSkew
	}
	return a.MaxSkew
}
