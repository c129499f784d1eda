package ldap

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
)

// A Config says where a directory is and how people are found in it.
type Config struct {
	// Source is what identities name as their source. Empty: "ldap".
	Source string
	// URLs are the servers, ldaps://, ldap:// or ldapi://, in the order of
	// preference. The first that answers is asked; when one answers again that
	// comes before it, that one is.
	URLs []string
	// Discover is a domain whose servers DNS names (RFC 2782), in place of
	// URLs: "ldaps://corp.example", or "ldap://corp.example" for StartTLS, which
	// Clear must not forbid. A server is one of _ldaps._tcp or, as in Active
	// Directory, of _ldap._tcp on its port for TLS; it must be a host of the
	// domain, and its certificate one of that host's name.
	Discover string
	// Site is the site of Active Directory whose servers come before the
	// others. Empty: none.
	Site string
	// DiscoverEvery is about how often servers are looked up. 0: 10 minutes.
	DiscoverEvery time.Duration
	// Resolver finds the servers and their addresses. nil: the system's.
	Resolver *net.Resolver
	// CAs may sign the servers' certificates. nil: the system's.
	CAs *x509.CertPool
	// Clear lets passwords cross an ldap:// connection in the clear. false:
	// StartTLS (RFC 4511 §4.14) comes first.
	Clear bool

	// BindDN is who looks entries up. Empty: nobody, the search is anonymous.
	BindDN string
	// BindPassword returns BindDN's password, each time that a connection is
	// made, so that it may change. Required with a BindDN.
	BindPassword func() (auth.Secret, error)
	// BindTicket begins the bind of who looks entries up by a ticket for the
	// server called host, bound to p, the connection to it. An error wraps
	// [auth.ErrCredentials] where the service's own key is refused. nil: BindDN
	// binds.
	BindTicket func(ctx context.Context, host string, p auth.Peer) (SecurityContext, error)

	BaseDN string // below which entries are
	// Filter finds the entry of a login name; who can bind as it has proven the
	// name. nil: BindAs says who binds.
	Filter Template
	// BindAs are names to bind as without a search, tried in turn: DNs, user
	// principal names, or DOMAIN\user. A login name that would change what
	// they mean is not known here; any other is, because a bind does not tell an
	// unknown user from a wrong password, so that such a directory is the last
	// of a chain. An entry with attributes, groups and a disabled state
	// there is of a DN where BindDN may read it, of other names where LookupFilter
	// finds it.
	BindAs []Template
	// LookupFilter finds the entry of somebody who was proven by other means.
	// nil: Lookup finds nobody.
	LookupFilter Template
	// Attributes of the entry become Attrs of the identity, under the names
	// given here: of several values the first in byte order, so that all
	// servers agree.
	Attributes []string
	// SecretAttribute holds secrets for APOP, CRAM-MD5 and SCRAM, as
	// [auth.ParseStored] takes them, of which those that serve are used. BindDN
	// must be able to read it. It is asked for by Filter, or where there is
	// none by LookupFilter, and never becomes one of Attrs. Empty: none.
	SecretAttribute string
	// SCRAMIterations is the iteration count that most keys for SCRAM have.
	// Unknown users are shown it, and keys of PLAIN secrets are made with it.
	// 0: [auth.DefaultIterations].
	SCRAMIterations int
	// SCRAMSecret makes the salts of SCRAM for PLAIN secrets. nil: a random one.
	SCRAMSecret []byte
	// NestedGroups adds the groups that somebody's groups are in: with one
	// search where the directory is Active Directory, else with one for each
	// group. false: only those that memberOf of the entry names, and in Active
	// Directory the primary group.
	NestedGroups bool
	// DisabledAttribute is an attribute whose value TRUE says that the entry
	// may not log in, besides userAccountControl, accountExpires (Active
	// Directory), nsAccountLock (389 Directory Server) and pwdAccountLockedTime
	// (OpenLDAP), which are always heeded. Empty: none.
	DisabledAttribute string

	// Timeout bounds the work of one server for one search or one bind,
	// a new connection included. 0: 5 s.
	Timeout time.Duration
	// PoolSize is how many connections each of a server's two pools may have:
	// for searches, and for checking passwords. 0: 8.
	PoolSize int
	// Remember is how long a right password is remembered, and RememberWrong
	// how long a wrong one; meanwhile the directory is not asked about it.
	// 0: not at all.
	Remember, RememberWrong time.Duration
	// LockoutThreshold is the number of failed binds at which the directory
	// locks an account, and LockoutWindow the time within which it counts
	// them. This server stays below. 0: the directory locks nobody.
	LockoutThreshold int
	LockoutWindow    time.Duration
	// Budget counts the failed binds. nil: one of its own.
	Budget *Budget

	Log *slog.Logger // nil: slog.Default()
}

// A SecurityContext is the client's side of one SASL GSSAPI bind (RFC 4752
// §3.1), without a security layer.
type SecurityContext = goldap.GSSAPIClient

// A Budget bounds the failed binds of each user.
type Budget = auth.Budget

// A Directory is an [auth.Authenticator] and an [auth.Directory]. It is safe
// for concurrent use.
type Directory struct {
	c         Config
	servers   atomic.Pointer[[]*server] // in the order of preference; nil: not known yet
	discovery *discovery                // nil: there is none
	looked    chan struct{}             // closed once it has been tried
	begin     func()                    // begins it
	verdicts  *auth.Verdicts
	pace      auth.Pace // of binds
	whole     auth.Pace // of wrong passwords, with the search
	finding   auth.Pace // of searches for secrets that find an entry
	missing   auth.Pace // and of those that find none
	rootEntry rootCache
	deriving  chan struct{} // one for each derivation of keys under way
	unlike    sync.Once     // keys for SCRAM have been seen that give themselves away

	mu     sync.Mutex // between the start of a probe and Close
	closed bool
	probe  func(*server) // begins to look out for a server that is down
	stop   context.CancelFunc
	wg     sync.WaitGroup // probes, and the discovery
}

var (
	_ auth.Authenticator = (*Directory)(nil)
	_ auth.Decoyer       = (*Directory)(nil)
	_ auth.Directory     = (*Directory)(nil)
)

// New returns a Directory, which connects when it is first asked.
func New(c Config) (*Directory, error) {
	if err := errors.Join(c.check(), c.wellFormed()); err != nil {
		return nil, fmt.Errorf("ldap: %w", err)
	}
	c.Source = cmp.Or(c.Source, "ldap")
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.PoolSize = cmp.Or(c.PoolSize, 8)
	c.DiscoverEvery = cmp.Or(c.DiscoverEvery, 10*time.Minute)
	c.Budget = cmp.Or(c.Budget, &Budget{})
	c.Log = cmp.Or(c.Log, slog.Default())
	c.SCRAMIterations = cmp.Or(c.SCRAMIterations, auth.DefaultIterations)
	if c.SCRAMSecret == nil {
		c.SCRAMSecret = []byte(rand.Text())
	}
	d := &Directory{c: c, deriving: make(chan struct{}, runtime.GOMAXPROCS(0)), verdicts: auth.NewVerdicts(c.Remember, c.RememberWrong, c.Budget)}
	if err := d.findServers(); err != nil {
		return nil, fmt.Errorf("ldap: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.probe = func(s *server) { d.wg.Go(func() { d.lookOut(ctx, s) }) }
	d.begin = sync.OnceFunc(func() { d.startDiscovery(ctx) })
	return d, nil
}

// check reports what no directory can be made of.
func (c Config) check() error {
	if (len(c.URLs) == 0) == (c.Discover == "") || (c.Filter == nil) == (len(c.BindAs) == 0) {
		return errors.New("a directory needs URLs or a domain, and either a filter or names to bind as")
	}
	if c.SecretAttribute != "" && c.Filter == nil && c.LookupFilter == nil {
		return errors.New("secrets need a filter, or a lookup filter, that finds them")
	}
	for _, name := range c.Attributes {
		base, _, _ := strings.Cut(name, ";")
		switch {
		case auth.IsProofAttr(name):
			return fmt.Errorf("the attribute %q has the name of what a ticket or a certificate says", name)
		case c.SecretAttribute != "" && strings.EqualFold(base, c.SecretAttribute):
			return fmt.Errorf("the attribute %q holds secrets", name)
		}
	}
	return nil
}

// findServers makes the servers that are named, or prepares to find them.
func (d *Directory) findServers() (err error) {
	if d.c.Discover != "" {
		d.looked = make(chan struct{})
		d.discovery, err = newDiscovery(&d.c)
		return err
	}
	return d.setServers(d.c.URLs)
}

// newServer makes a server with its pools.
func (d *Directory) newServer(url string) (*server, error) {
	s, err := newServer(url, &d.c)
	if err != nil {
		return nil, err
	}
	s.search = newPool(d.c.PoolSize, func(ctx context.Context) (*link, error) { return s.dialSearch(ctx, &d.c) })
	s.bind = newPool(d.c.PoolSize, s.dial)
	return s, nil
}

// setServers makes the servers those of the URLs. Those that stay keep their
// connections.
func (d *Directory) setServers(urls []string) error {
	old := d.known()
	var servers []*server
	for _, u := range urls {
		i := slices.IndexFunc(old, func(s *server) bool { return s.url == u })
		if i >= 0 {
			servers = append(servers, old[i])
			continue
		}
		s, err := d.newServer(u)
		if err != nil {
			return err
		}
		servers = append(servers, s)
	}
	d.servers.Store(&servers)
	for _, s := range old {
		if !slices.Contains(servers, s) {
			s.leave()
		}
	}
	return nil
}

// known returns the servers that are known by now.
func (d *Directory) known() []*server {
	if servers := d.servers.Load(); servers != nil {
		return *servers
	}
	return nil
}

// Close lets go of idle connections and of servers that are being probed. Who
// still asks is answered, on a connection of his own.
func (d *Directory) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.wg.Wait()
	for _, s := range d.known() {
		s.leave()
	}
	return nil
}

// A kind of work has a pool of its own.
type kind func(*server) *pool

func searching(s *server) *pool { return s.search }
func binding(s *server) *pool   { return s.bind }

// on runs op at the first server that answers. What a server says of a user
// is not asked of another: that would double the failed binds, which servers
// share.
func (d *Directory) on(ctx context.Context, k kind, op func(*goldap.Conn) error) error {
	errs, servers := []error{auth.ErrUnavailable}, d.current(ctx)
	if len(servers) == 0 {
		errs = append(errs, errNoServers)
	}
	for _, s := range servers {
		if s.down.Load() {
			errs = append(errs, fmt.Errorf("%s is down", s.url))
			continue
		}
		err := d.at(ctx, k(s), op)
		if !outage(err) {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.url, err))
		if ctx.Err() != nil {
			return unavailable(errors.Join(errs...), "canceled")
		}
		if down(err) {
			d.setDown(s, err)
		}
	}
	return auth.Refuse(errors.Join(errs...), "directory-unavailable")
}

func (d *Directory) at(ctx context.Context, p *pool, op func(*goldap.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.c.Timeout)
	defer cancel()
	return p.use(ctx, op)
}

// setDown passes a server over until it has been seen to answer.
func (d *Directory) setDown(s *server, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || !s.down.CompareAndSwap(false, true) {
		return
	}
	d.c.Log.Warn("directory server is down", "source", d.c.Source, "url", s.url, "err", err)
	d.probe(s)
}

// The intervals at which a server that is down is tried, at first and at last,
// and where it refuses the service's own password, lest it lock the service out.
const (
	probeFirst   = 100 * time.Millisecond
	probeLast    = 15 * time.Second
	probeRefused = 2 * time.Minute
)

// lookOut tries to reach a server until it answers or ctx ends. No login waits
// for it meanwhile.
func (d *Directory) lookOut(ctx context.Context, s *server) {
	wait := time.NewTimer(probeFirst)
	defer wait.Stop()
	for next := 2 * probeFirst; ; next = min(2*next, probeLast) {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if s.gone.Load() {
			return
		}
		err := d.at(ctx, s.search, ping)
		if !outage(err) {
			s.down.Store(false)
			d.c.Log.Info("directory server is back", "source", d.c.Source, "url", s.url)
			return
		}
		if errors.Is(err, errServiceBind) {
			next = max(next, probeRefused)
		}
		d.c.Log.Debug("directory server is still down", "source", d.c.Source, "url", s.url, "err", err)
		wait.Reset(next)
	}
}
