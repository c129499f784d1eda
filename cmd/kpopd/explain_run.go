package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kpopd/auth"
	"kpopd/auth/krb5"
	"kpopd/config"
	"kpopd/maildrop/lease"
	"kpopd/server"
	"kpopd/server/lmtp"
	"kpopd/server/pop3"
)

// An explainer answers one question with the parts that decide logins.
type explainer struct {
	b   *builder
	q   question
	out explanation

	config  *config.Listener
	handler *pop3.Handler
	peer    auth.Peer
	id      auth.Identity
	exists  bool // the maildrop must, for nobody knows the recipient
}

// run fills the explanation in. An error is a question that makes no sense.
func (e *explainer) run(ctx context.Context) error {
	e.q.mechanism = strings.ToUpper(cmp.Or(e.q.mechanism, e.guess()))
	if _, ok := offers[e.q.mechanism]; !ok && !slices.Contains(commands, e.q.mechanism) && !e.delivers() {
		return usagef("explain: there is no mechanism %q", e.q.mechanism)
	}
	if err := e.choose(); err != nil {
		return err
	}
	e.out.Name, e.out.Mechanism, e.out.Authzid = e.q.name, e.q.mechanism, e.q.authzid
	if e.identify(ctx) {
		e.decide()
	}
	e.out.LetIn = len(e.out.Reasons) == 0
	return nil
}

// refuse notes why the login ends, in the word that the log would have.
func (e *explainer) refuse(err error) { e.out.Reasons = append(e.out.Reasons, auth.Reason(err)) }

// guess returns the mechanism of a name: a ticket's, if it is a principal that
// is let in, else a password's.
func (e *explainer) guess() string {
	if _, err := e.ticket(); err != nil || !strings.Contains(e.q.name, "@") {
		return "USER"
	}
	for _, l := range e.b.file.Listeners {
		if l.Protocol == config.POP3 {
			return "GSSAPI"
		}
	}
	return "KPOP"
}

// commands are the ways to log in that are no mechanisms of SASL.
var commands = []string{"USER", "APOP", "KPOP"}

// tickets are the mechanisms that a ticket proves somebody by.
var tickets = []string{"GSSAPI", "GSS-SPNEGO", "KPOP"}

// vouched are those in which the name is what a token or a certificate says.
var vouched = []string{"EXTERNAL", "OAUTHBEARER", "XOAUTH2"}

// ticket is the identity that a ticket of the name would give. A name without
// a realm is one of the first realm of the service.
func (e *explainer) ticket() (auth.Identity, error) {
	p, err := krb5.ParsePrincipal(e.q.name)
	if err != nil {
		return auth.Identity{}, auth.Refuse(errors.Join(auth.ErrCredentials, err), "bad-principal")
	}
	if e.b.accept == nil || e.b.accept.Keys == nil {
		return auth.Identity{}, auth.Refuse(auth.ErrUnavailable, "no-keytab")
	}
	if services := e.b.accept.Keys.Keys().Principals(); p.Realm == "" && len(services) > 0 {
		p.Realm = services[0].Realm
	}
	return e.b.accept.Identify(p)
}

// choose finds the listener, and says whether it lets the login come.
func (e *explainer) choose() error {
	first := -1
	for i := range e.b.file.Listeners {
		l := &e.b.file.Listeners[i]
		if e.q.listener != "" && l.Name != e.q.listener {
			continue
		}
		if first < 0 {
			first = i
		}
		if e.at(i) == nil {
			return nil
		}
	}
	if first < 0 {
		return usagef("explain: there is no listener %q", e.q.listener)
	}
	if err := e.at(first); err != nil {
		e.out.Listener.Refuses = err.Error()
		reason := "not-offered"
		if errors.Is(err, pop3.ErrNeedsTLS) {
			reason = "tls-required"
		}
		e.out.Reasons = append(e.out.Reasons, reason)
	}
	return nil
}

// errAllowFrom is for clients from elsewhere.
var errAllowFrom = errors.New("the address is not in allow_from")

// errNoLogins and errNoDeliveries are for listeners of the other kind.
var (
	errNoLogins     = errors.New("it is for deliveries")
	errNoDeliveries = errors.New("it is for logins")
)

// delivers reports whether the question is about mail that comes in.
func (e *explainer) delivers() bool { return e.q.mechanism == "LMTP" }

// at goes to one listener: nil, or why it does not let the login come.
func (e *explainer) at(i int) error {
	l, end := &e.b.file.Listeners[i], e.b.next.listeners[i].endpoint
	e.config, e.out.Listener = l, listenerSays{Name: l.Name}
	h := end.Handler
	if n, ok := h.(*server.Networks); ok {
		h, _ = n.For(e.q.address)
	}
	logins := false
	e.handler, logins = h.(*pop3.Handler)
	switch {
	case logins && e.delivers():
		return errNoDeliveries
	case logins:
		e.peer = e.handler.PeerOf(end.TLS != nil)
	case e.delivers():
		e.peer = auth.Peer{}
	default:
		return errNoLogins
	}
	e.peer.Unix = l.Address.Network == "unix"
	if e.q.address.IsValid() {
		e.peer.Addr, e.peer.Unix = netip.AddrPortFrom(e.q.address, 0), false
		e.out.Listener.Address = e.q.address.String()
	}
	if end.TLS != nil {
		e.peer.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}
	}
	if e.q.address.IsValid() && !end.Allows(e.q.address) {
		return errAllowFrom
	}
	if e.delivers() {
		return nil
	}
	return e.handler.Offers(e.q.mechanism, e.peer)
}

// identify says who is proven and what the directories know of him. false: a
// right proof does not exist, and no rule is asked.
func (e *explainer) identify(ctx context.Context) bool {
	id, err := e.proven(ctx)
	said := &identitySays{User: id.User, Principal: id.Attrs["principal"], Realm: id.Attrs["realm"], Source: id.Source}
	e.out.Identity = said
	if id.User == "" {
		said.Error = err.Error()
		e.refuse(err)
		return false
	}
	id.Mechanism, id.Authzid = e.q.mechanism, e.q.authzid
	id = id.Selected(e.peer.Separators)
	if err == nil {
		var found auth.Identity
		if found, err = e.b.lookup()(ctx, id); err == nil {
			id = found
		}
	}
	if err != nil { // the rules are asked with what is known all the same
		said.Error = err.Error()
		e.refuse(err)
	}
	e.id = id
	said.LocalUser = e.b.localUser(id)
	said.Groups, said.Attrs = id.Groups, maps.Clone(id.Attrs)
	maps.DeleteFunc(said.Attrs, func(key, _ string) bool { return key == "principal" || key == "realm" })
	if !errors.Is(err, auth.ErrDenied) { // who has no attributes yet is not asked for
		e.directories(ctx)
	}
	return true
}

// proven is the identity of a right proof. With an error beside an identity a
// right proof is not enough.
func (e *explainer) proven(ctx context.Context) (auth.Identity, error) {
	if e.delivers() {
		return e.recipient(ctx)
	}
	if slices.Contains(tickets, e.q.mechanism) {
		return e.ticket()
	}
	if slices.Contains(vouched, e.q.mechanism) {
		return auth.Identity{User: e.q.name}, nil
	}
	if hash, _ := scramHash(e.q.mechanism); hash != "" {
		return e.keyed(ctx, hash)
	}
	recipient, account := auth.SplitLogin(e.q.name, e.peer.Separators)
	id, err := e.b.asked.Find(ctx, e.peer, account)
	if errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrDenied) {
		return auth.Identity{User: account}, err
	}
	id.Recipient = recipient
	return id, err
}

// recipient is who has an address, as the listener finds him.
func (e *explainer) recipient(ctx context.Context) (auth.Identity, error) {
	addr, ok := lmtp.ParseAddress(e.q.name)
	if !ok || e.config.Protocol != config.LMTP {
		return auth.Identity{}, errNobody
	}
	r := e.b.recipients(e.config)
	if _, err := r.resolve(ctx, addr, e.peer); errors.Is(err, auth.ErrUnknown) {
		addr = lowerCase(addr)
	}
	id, known, err := r.find(ctx, r.bare(addr), e.peer)
	e.exists = !known && r.by != config.KnownRules
	return id, err
}

// keyed is the identity of a right proof by SCRAM, for which a password does not
// do where nobody has the keys.
func (e *explainer) keyed(ctx context.Context, hash string) (auth.Identity, error) {
	u, err := e.b.keys.SCRAM(ctx, e.peer, e.q.name, hash)
	if err != nil {
		return auth.Identity{}, err
	}
	id, err := u.Admit(ctx)
	if errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrDenied) {
		return auth.Identity{User: e.q.name}, err
	}
	return id, err
}

// directories says which directory has an entry, and what it is called.
func (e *explainer) directories(ctx context.Context) {
	for _, d := range e.b.next.directories {
		says := directorySays{Source: d.Source()}
		if e.id.Source != d.Source() && !e.b.looksUp(d.Source()) {
			says.Error = "is not asked: it has no lookup_filter"
			e.out.Directory = append(e.out.Directory, says)
			continue
		}
		dn, err := d.DN(ctx, e.id)
		switch {
		case err == nil:
			says.DN = dn
		case errors.Is(err, auth.ErrUnknown):
			says.Error = "has no entry that may log in"
		default:
			says.Error = err.Error()
		}
		e.out.Directory = append(e.out.Directory, says)
	}
}

// looksUp reports whether a directory is asked about people proven otherwise.
func (b *builder) looksUp(source string) bool {
	return slices.ContainsFunc(b.file.Authenticators, func(a config.Authenticator) bool {
		return a.Kind == "ldap" && "ldap "+a.Name == source && a.LDAP.LookupFilter != nil
	})
}

// decide asks the account rules, and looks at the maildrop.
func (e *explainer) decide() {
	grant, err := e.b.accounts(e.config).Decide(e.id, e.peer, e.trace)
	if err != nil {
		e.refuse(err)
	}
	if grant.Impersonates || strings.HasPrefix(auth.Reason(err), "authzid-") {
		e.out.Acts = &impersonateSays{As: e.q.authzid, Rule: grant.Rule, Allowed: grant.Impersonates}
	}
	if err == nil {
		e.out.Maildrop = e.onDisk(grant.Maildrop)
		e.out.Maildrop.Terms = sayTerms(e.b.policy(grant))
		e.out.Maildrop.Terms.bound(quota(grant))
		if e.exists && !e.out.Maildrop.Exists {
			e.refuse(errNobody)
		}
	}
}

// trace notes what one rule said.
func (e *explainer) trace(s auth.Step) {
	says := ruleSays{User: s.User, Matches: s.Matches, Maildrop: s.Maildrop}
	if s.Err != nil {
		says.Why = s.Err.Error()
	}
	if s.Rule < len(e.b.file.Accounts) {
		a := &e.b.file.Accounts[s.Rule]
		says.Rule, says.When = ruleName(a), e.b.file.Source(a.Place, "when")
		if e.b.file.Source(a.Place, "maildrop") == "" { // nobody wrote it
			says.Rule = "(default)"
		}
	}
	e.out.Rules = append(e.out.Rules, says)
}

// holder returns the process that has a maildrop locked. 0: none, or not known.
func holder(dir, name string) (pid int, err error) {
	k, err := lease.OpenExisting(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // nobody has ever locked one
	}
	if err != nil {
		return 0, err
	}
	defer k.Close()
	r, _, err := k.Holder(name)
	return r.PID, err
}

// onDisk looks where a maildrop is, without touching it.
func (e *explainer) onDisk(name string) *maildropSays {
	says := &maildropSays{Name: name}
	rel, err := e.b.file.Maildrop.RelPath(name)
	if err != nil {
		says.Error = err.Error()
		e.out.Reasons = append(e.out.Reasons, "unacceptable-maildrop")
		return says
	}
	says.Path = filepath.Join(e.b.file.Maildrop.Root, rel)
	_, err = os.Stat(says.Path)
	says.Exists = err == nil
	if err == nil || os.IsNotExist(err) {
		says.Holder, err = holder(e.b.file.LocksDir(), lockName(rel))
	}
	if err != nil {
		says.Error = err.Error()
	}
	return says
}
