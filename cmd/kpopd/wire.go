package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"kpopd/auth"
	"kpopd/auth/clientcert"
	"kpopd/auth/krb5"
	"kpopd/auth/ldap"
	"kpopd/auth/localname"
	"kpopd/auth/oauth"
	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/maildrop/index"
	"kpopd/maildrop/lease"
	"kpopd/maildrop/pace"
	"kpopd/server"
	"kpopd/server/lmtp"
	"kpopd/server/pop3"
)

// parts are what a configuration is built into. This file and its wire_*
// neighbours are the only place that knows all of them.
type parts struct {
	listeners []listener
	limits    server.Limits

	// What has a state of its own outlives a reload.
	stateDir string
	locksDir string
	locker   *lease.Locker
	replay   *krb5.FileReplay
	indexes  *index.Cache
	logins   *pace.Logins
	store    maildrop.Store
	throttle *auth.Throttle
	keytab   *krb5.Keytab
	keytabAt string
	// commitKeytab puts the keys that were read into use. nil: they are.
	commitKeytab func()

	scramSecret []byte
	directories []*ldap.Directory
	deliverers  []*lmtp.Handler
	issuers     map[string]*oauth.Authenticator // by the authenticator's name
	budgets     map[string]*auth.Budget         // of failures, by the authenticator's source
}

// A builder turns one configuration into parts and collects what is wrong.
type builder struct {
	file *config.File
	old  *parts // nil: none
	next *parts
	log  *slog.Logger
	errs []error
	dry  bool // touch nothing: the state directory is another user's, perhaps

	accept *krb5.Acceptor     // nil: no Kerberos
	auth   auth.Authenticator // nil: no passwords
	asked  auth.Chain         // what auth asks
	locals *localname.Rules   // nil: principals have no local names
	users  userFiles          // those of auth
	keys   scramKeys          // those of auth that can have secrets for more than passwords
	// throttle is what bounds guessing. nil: nothing.
	throttle    *auth.Throttle
	passwords   int                     // how many authenticators auth has
	known       []auth.Finder           // who know all of their users
	clients     *clientcert.Authorities // of client certificates. nil: none
	certs       auth.Chain              // who is who by certificate
	external    auth.Authenticator      // certs, throttled. nil: nobody
	issuers     auth.Chain              // whose tokens are taken
	tokens      auth.Authenticator      // issuers, throttled. nil: nobody
	hint        oauth.Hint              // of the first of issuers
	scramSecret []byte
	warned      []string // schemes of SCRAM that nobody has
	store       maildrop.Store
}

// build builds the parts of a configuration. It opens files, but no sockets,
// and changes nothing of what runs: with errors there are no parts.
func build(f *config.File, old *parts, log *slog.Logger) (*parts, config.Diagnostics) {
	b := &builder{file: f, old: cmp.Or(old, &parts{}), log: log}
	return b.build()
}

func (b *builder) build() (*parts, config.Diagnostics) {
	f := b.file
	b.next = &parts{
		stateDir: f.StateDir, locksDir: f.LocksDir(),
		limits: server.Limits{
			Conns: f.Limits.Connections, PerAddress: f.Limits.ConnectionsPerAddress,
			PerUser: f.Limits.ConnectionsPerUser, Memory: f.Limits.MemoryBeforeLogin,
		},
	}
	if !b.dry {
		b.state()
	}
	b.throttling()
	b.kerberos()
	b.clientAuthorities()
	b.chain()
	b.maildrops()
	b.next.store = b.store
	b.endpoints()
	b.audit()
	diags := config.DiagnosticsOf(errors.Join(b.errs...))
	if diags.HasErrors() {
		b.next.part()
		return nil, diags
	}
	return b.next, diags
}

// fail notes an error at a place of the configuration.
func (b *builder) fail(at config.Range, format string, args ...any) {
	b.errs = append(b.errs, b.file.Errorf(at, format, args...))
}

// absent refuses what the configuration can say and this release cannot do.
func (b *builder) absent(at config.Range, what string) {
	b.fail(at, "%s is not part of this release", what)
}

// state opens the directory of locks. It stays where it is while the server
// runs: sessions that go on have their locks there, and what was accepted is
// remembered there.
func (b *builder) state() {
	if b.old.locker != nil {
		b.next.locker, b.next.logins = b.old.locker, b.old.logins
		if b.old.stateDir != b.file.StateDir {
			b.fail(b.file.At("state_dir"), "The state directory cannot move while the server runs: restart it")
		} else if b.old.locksDir != b.file.LocksDir() {
			b.fail(b.file.Locks.At("directory"), "The directory of locks cannot move while the server runs: restart it")
		}
		return
	}
	l, err := lease.Open(b.file.LocksDir())
	if err != nil {
		b.fail(cmp.Or(b.file.Locks.At("directory"), b.file.At("state_dir")), "The directory of locks cannot be used: %v", err)
		return
	}
	logins, err := pace.Open(filepath.Join(b.file.StateDir, "logins"))
	if err != nil {
		b.fail(b.file.At("state_dir"), "The state directory cannot be used: %v", err)
		return
	}
	logins.Log = b.log
	b.next.locker, b.next.logins = l, logins
}

// endpoints builds what each listener offers.
func (b *builder) endpoints() {
	tls := b.tls()
	for i := range b.file.Listeners {
		l := &b.file.Listeners[i]
		b.unsupported(l)
		if l.Protocol == config.LMTP {
			b.deliveries(l, tls)
			continue
		}
		if b.file.Kerberos == nil && len(b.file.Authenticators) == 0 {
			b.fail(l.Header, "Nobody can log in at listener %s: there is no kerberos block and no authenticator", l.Name)
		}
		e := &server.Endpoint{Name: l.Name, Handler: b.policies(l), LoginTimeout: l.LoginTimeout, IdleTimeout: l.Autologout,
			AllowFrom: l.AllowFrom}
		if l.Protocol != config.KPOP { // a KPOP client expects no text first
			e.Busy = "-ERR [SYS/TEMP] Too many connections, try again later"
		}
		if l.TLS != config.TLSOff {
			e.TLS, e.Implicit = tls, l.TLS == config.TLSImplicit
			b.askClients(l, e)
		}
		b.listen(l, e)
	}
}

// listen adds a listener.
func (b *builder) listen(l *config.Listener, e *server.Endpoint) {
	b.next.listeners = append(b.next.listeners, listener{
		network: l.Address.Network, address: l.Address.Addr, endpoint: e, at: l.At("address"),
		mode: fs.FileMode(l.SocketMode), group: b.socketGroup(l),
	})
}

// policies builds the handler of a listener, or one for each of its networks
// and one for all others.
func (b *builder) policies(l *config.Listener) server.Handler {
	other := b.handler(l, nil, l.LoginWithoutTLS)
	if len(l.Networks) == 0 {
		return other
	}
	networks := &server.Networks{Else: other}
	for i := range l.Networks {
		n := &l.Networks[i]
		networks.First = append(networks.First, server.Network{Name: n.Name, From: n.From, Handler: b.handler(l, n, n.LoginWithoutTLS)})
	}
	return networks
}

// handler builds what serves the clients of a network, or of none where n is
// nil.
func (b *builder) handler(l *config.Listener, n *config.Network, clear config.ClearLogin) *pop3.Handler {
	h := &pop3.Handler{Hostname: b.file.Hostname, Grant: b.granter(l), Open: b.opener(), Clear: clearOf(clear),
		Policies: b.allPolicies(), Language: string(l.Language), UTF8Messages: utf8Policy(l.UTF8Messages)}
	if l.SDPS {
		h.SDPS = l.SDPSSeparators
	}
	if b.throttle != nil {
		h.Hold = b.throttle.Hold
	}
	if l.Protocol == config.KPOP {
		h.Admit, h.Mechanisms = admitKPOP(b.accept), ticketMechanisms(l)
	} else {
		b.proofs(l, n, h)
	}
	return h
}

func (b *builder) unsupported(l *config.Listener) {
	switch {
	case l.Protocol == config.Admin:
		b.absent(l.At("protocol"), "The protocol "+string(l.Protocol))
	case len(l.ProxyProtocolFrom) > 0:
		b.absent(l.At("proxy_protocol_from"), "The PROXY protocol")
	}
}

func utf8Policy(m config.UTF8Messages) pop3.UTF8Policy {
	switch m {
	case config.UTF8Surrogate:
		return pop3.UTF8Surrogate
	case config.UTF8Refuse:
		return pop3.UTF8Refuse
	}
	return pop3.UTF8AsIs
}

func clearOf(c config.ClearLogin) pop3.Clear {
	switch c {
	case config.ClearNone:
		return pop3.ClearNone
	case config.ClearAny:
		return pop3.ClearAny
	}
	return pop3.ClearTickets
}

// granter returns what gives an identity its maildrop.
func (b *builder) granter(l *config.Listener) func(context.Context, auth.Identity, auth.Peer) (auth.Grant, error) {
	accounts, lookup := b.accounts(l), b.lookup()
	return func(ctx context.Context, id auth.Identity, p auth.Peer) (auth.Grant, error) {
		id, err := lookup(ctx, id)
		if err != nil {
			return auth.Grant{}, err
		}
		if l.SDPS {
			return b.sdpsGrant(accounts, id.Selected(l.SDPSSeparators), p)
		}
		return accounts.Decide(id, p, nil)
	}
}

// opener returns what locks and opens a maildrop, or a part of it.
func (b *builder) opener() func(context.Context, auth.Grant) (*maildrop.Drop, error) {
	store, locker := b.store, b.locker()
	return func(ctx context.Context, g auth.Grant) (*maildrop.Drop, error) {
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		policy := b.policy(g)
		if g.Host != "" {
			return policy.Open(ctx, g.Maildrop, locker, &maildrop.Part{Store: store, Recipient: g.Recipient, Host: g.Host})
		}
		return policy.Open(ctx, g.Maildrop, locker, store)
	}
}

// openTimeout bounds the reading of a maildrop at login.
const openTimeout = 2 * time.Minute

// commit puts into use what was prepared in parts that outlive a reload. The
// rest of the configuration is right by then.
func (p *parts) commit() {
	if p.commitKeytab != nil {
		p.commitKeytab()
	}
}

// close lets go of what has a state of its own.
func (p *parts) close() error {
	var errs []error
	if p.replay != nil {
		errs = append(errs, p.replay.Close())
	}
	p.part()
	return errors.Join(errs...)
}

// part lets go of what the next parts have anew. Logins that are under way
// still have their answer.
func (p *parts) part() {
	for _, d := range p.directories {
		d.Close()
	}
	for _, i := range p.issuers {
		i.Close()
	}
	for _, h := range p.deliverers {
		h.Retire()
	}
}
