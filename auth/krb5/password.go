package krb5

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// checkLife is the life of the tickets that check a password. They go no
// further than this process.
const checkLife = 10 * time.Minute

// maxPassword is the longest password that is checked, as long as an
// [auth.Chain] lets pass.
const maxPassword = 1024

// A PasswordConfig says whose passwords are checked, and how.
type PasswordConfig struct {
	// Source is what identities name as their source. Empty: "kerberos".
	Source string
	// Client asks the KDCs. Required.
	Client *Client
	// Realm is the users' realm, and that of the service. Required.
	Realm string
	// Keys prove the KDC: it knows them too, which an impostor does not.
	// Required.
	Keys KeySource
	// Service and Host are the principal whose key is used: the first that there
	// is in Realm if there is none of Host. Service "": "pop".
	Service, Host string
	// MaxSkew is how far the KDC's clock may be off. 0: five minutes.
	MaxSkew time.Duration
	// PAC is what is done with the PAC of the ticket that proves a password.
	PAC PACMode

	// Remember is how long a right password is remembered, and RememberWrong
	// how long a wrong one; meanwhile the KDC is not asked about it. 0: not at
	// all.
	Remember, RememberWrong time.Duration
	// LockoutThreshold is the number of failures at which the KDC locks an
	// account, and LockoutWindow the time within which it counts them. This
	// server stays below. 0: the KDC locks nobody.
	LockoutThreshold int
	LockoutWindow    time.Duration
	// Budget counts the failures. nil: one of its own.
	Budget *auth.Budget

	Log *slog.Logger // nil: slog.Default()
}

// Passwords check passwords by an AS exchange (RFC 4120 §3.1), whose ticket is
// for this server itself: that the server's key opens it proves the KDC, and the
// ticket says who the user is. They are safe for concurrent use.
type Passwords struct {
	c        PasswordConfig
	acceptor *Acceptor
	verdicts *auth.Verdicts
	made     atomic.Pointer[etypeInfo] // how keys were made the last time
	pace     auth.Pace                 // of proofs
	whole    auth.Pace                 // of wrong passwords, with the first question
}

var (
	_ auth.Authenticator = (*Passwords)(nil)
	_ auth.Decoyer       = (*Passwords)(nil)
)

// NewPasswords returns Passwords, which ask a KDC when they are first asked.
func NewPasswords(c PasswordConfig) (*Passwords, error) {
	if c.Client == nil || c.Keys == nil || c.Realm == "" {
		return nil, errors.New("krb5: passwords need a client, a realm and the keys of the service")
	}
	c.Source, c.Service = cmp.Or(c.Source, Source), cmp.Or(c.Service, defaultService)
	c.Budget, c.Log = cmp.Or(c.Budget, &auth.Budget{}), cmp.Or(c.Log, slog.Default())
	p := &Passwords{c: c, verdicts: auth.NewVerdicts(c.Remember, c.RememberWrong, c.Budget)}
	p.acceptor = &Acceptor{Keys: c.Keys, Replay: ownRequests{}, Service: c.Service, Realms: []string{c.Realm}, MaxSkew: c.MaxSkew,
		PAC: c.PAC, Log: c.Log}
	if _, err := p.service(); err != nil {
		return nil, err
	}
	return p, nil
}

// ownRequests is a [ReplayCache] for requests that were never on a wire.
type ownRequests struct{}

func (ownRequests) Seen(context.Context, []byte, time.Time) (bool, error) { return false, nil }

// service returns the principal that the ticket is for.
func (p *Passwords) service() (Principal, error) {
	var first *Principal
	for _, s := range p.c.Keys.Keys().Principals() {
		if s.Realm != p.c.Realm || len(s.Components) != 2 || s.Components[0] != p.c.Service {
			continue
		}
		if strings.EqualFold(s.Components[1], p.c.Host) {
			return s, nil
		}
		if first == nil {
			first = &s
		}
	}
	if first == nil {
		return Principal{}, fmt.Errorf("krb5: the keytab has no key for %s/* of the realm %s", p.c.Service, p.c.Realm)
	}
	return *first, nil
}

// Authenticate implements [auth.Authenticator] for passwords. The login name is
// one component of a principal, which may be followed by '@' and the realm, in
// any case; whoever has another name is not known here. The identity has the
// attributes and groups that a ticket gives, because it was a ticket that proved
// it; it does not expire with that ticket.
func (p *Passwords) Authenticate(ctx context.Context, peer auth.Peer, c auth.Credential) (auth.Identity, error) {
	cred, ok := c.(auth.Password)
	if !ok {
		return auth.Identity{}, auth.ErrUnknown
	}
	if s := string(cred.Secret); s == "" || len(s) > maxPassword || strings.IndexByte(s, 0) >= 0 {
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "malformed-password")
	}
	name, ok := p.name(cred.User)
	if !ok {
		return auth.Identity{}, auth.ErrUnknown
	}
	cred.User = name
	proof := p.verdicts.Proof(cred)
	v, fresh := p.verdicts.Ask(ctx, proof, func() auth.Verdict {
		id, err := p.check(ctx, peer, cred, proof)
		return auth.Verdict{Identity: id, Err: err}
	})
	if !fresh && v.Err != nil {
		p.whole.Wait(ctx, time.Now()) // a quick answer would tell that there is an account
	}
	id := v.Identity
	id.Attrs, id.Groups = maps.Clone(id.Attrs), slices.Clone(id.Groups)
	return id, v.Err
}

// name returns the component that a login name is. What would be another
// principal in the notation of RFC 1964 §2.1.1 is none.
func (p *Passwords) name(user string) (string, bool) {
	if head, realm, ok := strings.Cut(user, "@"); ok {
		if !strings.EqualFold(realm, p.c.Realm) {
			return "", false
		}
		user = head
	}
	principal := Principal{Components: []string{user}, Realm: p.c.Realm}
	_, plain := principal.plainName()
	return user, plain && principal.Valid() == nil && !principal.wellKnown() && !principal.ticketGranter()
}

// check asks a KDC.
func (p *Passwords) check(ctx context.Context, peer auth.Peer, c auth.Password, proof auth.Proof) (auth.Identity, error) {
	begun := time.Now()
	service, err := p.service()
	if err != nil {
		return auth.Identity{}, unavailable(err, "no-keytab")
	}
	a := attempt{Passwords: p, name: c.User, secret: string(c.Secret), proof: proof, service: service}
	t, err := a.run(ctx)
	if err != nil {
		if errors.Is(err, auth.ErrCredentials) && !errors.Is(err, auth.ErrBudget) {
			p.whole.Note(time.Since(begun))
		}
		return auth.Identity{}, err
	}
	id, err := p.verify(ctx, peer, t)
	if err == nil {
		p.c.Budget.Succeeded(a.key(), proof)
	}
	return id, err
}

// verify opens the ticket with the server's own key, as one that a client shows.
func (p *Passwords) verify(ctx context.Context, peer auth.Peer, t *Ticket) (auth.Identity, error) {
	apReq, err := t.Request(RequestOptions{})
	if err != nil {
		return auth.Identity{}, unavailable(err, "kerberos-internal")
	}
	c, err := p.acceptor.Accept(ctx, apReq, peer)
	switch {
	case errors.Is(err, auth.ErrDenied):
		return auth.Identity{}, err
	case err == nil && !c.Client.Equal(t.Client):
		err = fmt.Errorf("the ticket is %s's", c.Client)
		fallthrough
	case err != nil:
		// A password that a KDC without our key calls right is not known to be.
		p.c.Log.Error("the KDC does not know this server's key, or is an impostor", "source", p.c.Source, "service", t.Service.String(), "err", err)
		return auth.Identity{}, unavailable(errors.New(err.Error()), "kdc-not-verified") // the refusal is the KDC's, not the user's
	}
	id := c.Identity
	id.Source, id.Expires = p.c.Source, time.Time{}
	return id, nil
}

// Decoy implements [auth.Decoyer]: it makes a key of the password, asks a KDC
// about somebody who is not there, and then waits as long as a wrong password
// takes. That there is no such user was asked before, as it is of everybody.
func (p *Passwords) Decoy(ctx context.Context, c auth.Credential) {
	cred, ok := c.(auth.Password)
	if !ok {
		return
	}
	begun := time.Now()
	info := p.made.Load()
	if info == nil {
		info = &etypeInfo{Etype: askedEtypes[0]}
	}
	secret := string(cred.Secret)
	_, _ = passwordKey(secret[:min(len(secret), maxPassword)], p.c.Realm+"nobody", *info)
	if service, err := p.service(); err == nil {
		a := asExchange{client: Principal{Components: []string{rand.Text()}, Realm: p.c.Realm}, service: service, life: checkLife}
		a.key = func(etypeInfo) (types.EncryptionKey, error) { return types.EncryptionKey{}, errNoEtype }
		if ctx, end, err := p.c.Client.begin(ctx); err == nil {
			_, _ = p.c.Client.ticket(ctx, a)
			end()
		}
	}
	p.pace.Wait(ctx, begun)
}
