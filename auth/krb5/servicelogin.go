package krb5

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

const (
	// serviceLife is the life that is asked for; a KDC gives what it may.
	serviceLife = 10 * time.Hour
	// renewBefore is how long before its end a ticket is replaced, or a quarter
	// of its life where that is shorter.
	renewBefore = 5 * time.Minute
	maxServices = 64
)

// A ServiceLogin is a principal with a keytab that shows itself to other
// services. It keeps its tickets until shortly before they end, and looks at the
// keytab again for each new one. Its fields are set before it is used; its
// methods are safe for concurrent use.
type ServiceLogin struct {
	Client    *Client
	Principal Principal // with its realm
	Keytab    *Keytab

	once    sync.Once
	turn    chan struct{} // one asks a KDC at a time
	mu      sync.Mutex
	tickets map[string]*Ticket
}

// Start begins an exchange with a service, such as "ldap", on a host, bound to
// p's connection to it where that is TLS (RFC 5929 §4). Host names count as they
// are given: DNS does not say who a server is. An error wraps
// [auth.ErrCredentials] where the KDC refuses the keytab, else
// [auth.ErrUnavailable].
func (s *ServiceLogin) Start(ctx context.Context, service, host string, p auth.Peer) (*Initiator, error) {
	target := Principal{Components: []string{service, host}, Realm: s.realmOf(host)}
	t, err := s.ticket(ctx, target)
	if err != nil {
		return nil, noTicket(fmt.Errorf("ticket for %s: %w", target, err))
	}
	i := initiate(t, p)
	i.spoil = func() { s.forget(target, t) }
	return i, nil
}

func noTicket(err error) error {
	refused, answered := errors.AsType[*kdcError](err)
	if errors.Is(err, errNoKey) || errors.Is(err, errReplyKey) || answered && passwordReasons[refused.code] != "" {
		return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrCredentials, err), "service-key-refused")
	}
	return unavailable(err, "kdc-unavailable")
}

// realmOf is the realm of a host's services, by default that of the login.
func (s *ServiceLogin) realmOf(host string) string {
	if s.Client.Conf == nil {
		return s.Principal.Realm
	}
	return cmp.Or(s.Client.Conf.realmOf(host), s.Principal.Realm)
}

// ticket returns a ticket that is good for a while yet.
func (s *ServiceLogin) ticket(ctx context.Context, service Principal) (*Ticket, error) {
	if service.Realm != s.Principal.Realm {
		return nil, fmt.Errorf("krb5: it is of another realm than %s", s.Principal)
	}
	s.once.Do(func() { s.turn, s.tickets = make(chan struct{}, 1), map[string]*Ticket{} })
	if t := s.kept(service); t != nil {
		return t, nil
	}
	ctx, end, err := s.Client.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if t := s.kept(service); t != nil { // of who went before
		return t, nil
	}
	keys := s.Keytab.Fresh()
	t, err := s.Client.ticket(ctx, asExchange{client: s.Principal, service: service, life: serviceLife,
		key: func(info etypeInfo) (types.EncryptionKey, error) { return keys.newest(s.Principal, info.Etype) }})
	if err == nil {
		s.keep(service, t)
	}
	return t, err
}

var errNoKey = errors.New("krb5: the keytab has no key that the KDC takes")

// newest returns the newest key of p of an enctype.
func (s *KeySet) newest(p Principal, etype int32) (types.EncryptionKey, error) {
	if s != nil {
		for _, k := range s.byName[p.String()] {
			if k.Etype == etype {
				return k.encryptionKey(), nil
			}
		}
	}
	return types.EncryptionKey{}, errNoKey
}

func (s *ServiceLogin) kept(service Principal) *Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tickets[service.String()]
	if t == nil || time.Until(t.End) < min(renewBefore, t.End.Sub(t.AuthTime)/4) {
		return nil
	}
	return t
}

func (s *ServiceLogin) keep(service Principal, t *Ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tickets) >= maxServices { // more hosts than a configuration names
		clear(s.tickets)
	}
	s.tickets[service.String()] = t
}

// forget drops a ticket, unless there is another in its place.
func (s *ServiceLogin) forget(service Principal, t *Ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tickets[service.String()] == t {
		delete(s.tickets, service.String())
	}
}

// NewServiceLogin returns the login of a principal whose keys are in the keytab
// at path. A name without a realm is of the client's default realm; "" is the
// only principal of the keytab.
func NewServiceLogin(c *Client, name, path string, log *slog.Logger) (*ServiceLogin, error) {
	p, err := loginPrincipal(c, name, path)
	if err != nil {
		return nil, err
	}
	keys, err := LoadKeytab(path, KeytabOptions{Service: p.Components[0], KeepOld: -1, Log: log})
	if err != nil {
		return nil, err
	}
	if !keys.Keys().Knows(p) {
		return nil, fmt.Errorf("keytab %s: krb5: no usable key for %s, %s", path, p, keys.Keys().only())
	}
	return &ServiceLogin{Client: c, Principal: p, Keytab: keys}, nil
}

func loginPrincipal(c *Client, name, path string) (Principal, error) {
	if name == "" {
		return onlyPrincipal(path)
	}
	p, err := ParsePrincipal(name)
	if err != nil {
		return p, err
	}
	if p.Realm == "" && c.Conf != nil {
		p.Realm = c.Conf.DefaultRealm
	}
	if p.Realm == "" {
		return p, fmt.Errorf("krb5: %s has no realm, and there is no default realm", name)
	}
	return p, p.Valid()
}

// onlyPrincipal returns the principal of a keytab that has no other.
func onlyPrincipal(path string) (Principal, error) {
	b, _, err := auth.ReadFile(path, maxKeytab, 0o007)
	if err != nil {
		return Principal{}, fmt.Errorf("keytab: %w", err)
	}
	keys, err := parseKeytab(b)
	if err != nil {
		return Principal{}, fmt.Errorf("keytab %s: %w", path, err)
	}
	set := newKeySet(keys)
	all := set.Principals()
	if len(all) != 1 {
		return Principal{}, fmt.Errorf("keytab %s: krb5: %s: say whose to use", path, set.only())
	}
	return all[0], nil
}
