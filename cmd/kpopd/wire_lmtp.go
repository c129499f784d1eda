package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/user"
	"path"
	"strconv"
	"strings"
	"time"

	"kpopd/auth"
	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/server"
	"kpopd/server/lmtp"
)

// lmtpIdle is how long a client may be silent (RFC 5321 §4.5.3.2.7).
const lmtpIdle = 5 * time.Minute

// deliveries builds a listener for deliveries.
func (b *builder) deliveries(l *config.Listener, tls *tls.Config) {
	h := &lmtp.Handler{
		Hostname: b.file.Hostname, Resolve: b.resolver(l), Distribute: b.distribute,
		MaxSize: l.MaxMessageSize, MaxRecipients: l.MaxRecipients, DataTimeout: l.DataTimeout,
		Share: l.ShareMessages, OverQuota: lmtp.Full(l.OverQuota == "permanent"),
		NeedsTLS: l.ClientCertificates == config.CertificatesRequire,
	}
	b.next.deliverers = append(b.next.deliverers, h)
	e := &server.Endpoint{Name: l.Name, Handler: h, AllowFrom: l.AllowFrom, LoginTimeout: lmtpIdle, IdleTimeout: lmtpIdle,
		Busy: "421 4.3.2 Too many connections, try again later"}
	if l.TLS != config.TLSOff {
		e.TLS, e.Implicit = tls, l.TLS == config.TLSImplicit
		b.requireClients(l, e)
	}
	b.listen(l, e)
}

// socketGroup is the group of a Unix socket; -1: the server's own.
func (b *builder) socketGroup(l *config.Listener) int {
	if l.SocketGroup == "" {
		return -1
	}
	if gid, err := strconv.ParseUint(l.SocketGroup, 10, 31); err == nil {
		return int(gid)
	}
	g, err := user.LookupGroup(l.SocketGroup)
	if err != nil {
		b.fail(l.At("socket_group"), "The group is not known: %v", err)
		return -1
	}
	gid, _ := strconv.Atoi(g.Gid)
	return gid
}

// requireClients has an endpoint take nobody without a good certificate. Whose
// it is does not matter: allow_from, and an authority for this purpose, do.
func (b *builder) requireClients(l *config.Listener, e *server.Endpoint) {
	if e.TLS == nil {
		return
	}
	e.TLS = e.TLS.Clone()
	e.TLS.NextProtos = []string{"lmtp"} // no client of POP3 is sent here by mistake
	if l.ClientCertificates != config.CertificatesRequire || b.clients == nil {
		return
	}
	clients := b.clients
	e.CheckClient = func(shown []*x509.Certificate) error { return clients.Verify(shown, time.Now()) }
	e.TLS.ClientAuth, e.TLS.ClientCAs = tls.RequireAnyClientCert, x509.NewCertPool()
	for _, cert := range clients.All() {
		e.TLS.ClientCAs.AddCert(cert)
	}
	e.TLS.VerifyConnection = func(state tls.ConnectionState) error {
		if err := e.CheckClient(state.PeerCertificates); err != nil {
			return fmt.Errorf("%w: %w", server.ErrClientCertificate, err)
		}
		return nil
	}
}

// distribute delivers a text to several maildrops.
func (b *builder) distribute(ctx context.Context, all []maildrop.Delivery, text io.Reader) []error {
	return maildrop.Distribute(ctx, b.store, b.file.StateDir, all, text)
}

// A recipients resolves the addresses of one listener.
type recipients struct {
	accounts  auth.Accounts
	lookup    func(context.Context, auth.Identity) (auth.Identity, error)
	known     []auth.Finder
	prober    maildrop.Prober
	by        config.KnownBy
	delimiter string
	logins    bool // addresses are login names as they stand, whoever knows them
}

func (b *builder) recipients(l *config.Listener) *recipients {
	r := &recipients{accounts: b.accounts(l), lookup: b.lookup(), prober: b.prober(), by: l.Recipients, delimiter: l.RecipientDelimiter}
	if r.by == config.KnownUsers {
		r.known = b.known
	}
	r.logins = l.Protocol == "" // of deliver, whose caller knows its users
	return r
}

// resolver returns what says where the mail of an address goes.
func (b *builder) resolver(l *config.Listener) func(context.Context, lmtp.Address, auth.Peer) (lmtp.Target, error) {
	r := b.recipients(l)
	return func(ctx context.Context, addr lmtp.Address, p auth.Peer) (lmtp.Target, error) {
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		target, err := r.resolve(ctx, addr, p)
		if small := lowerCase(addr); errors.Is(err, auth.ErrUnknown) && small != addr {
			return r.resolve(ctx, small, p)
		}
		return target, err
	}
}

// lowerCase is how an address is looked for that nobody has as it is written:
// senders write Alice@ and ALICE@ for alice (RFC 5321 §2.4).
func lowerCase(a lmtp.Address) lmtp.Address {
	return lmtp.Address{Local: strings.ToLower(a.Local), Domain: strings.ToLower(a.Domain)}
}

// resolve finds out who has the address, and then what the account rules give
// him. A person is known by the whole address, as a login name, or else by its
// local part.
func (r *recipients) resolve(ctx context.Context, addr lmtp.Address, p auth.Peer) (lmtp.Target, error) {
	id, known, err := r.find(ctx, r.bare(addr), p)
	if err != nil {
		return lmtp.Target{}, err
	}
	if id, err = r.lookup(ctx, id); err != nil {
		return lmtp.Target{}, disabled(err)
	}
	g, err := r.accounts.Decide(id, p, nil)
	if err != nil {
		return lmtp.Target{}, err
	}
	if !known && r.by != config.KnownRules {
		if err := r.exists(ctx, g.Maildrop); err != nil {
			return lmtp.Target{}, err
		}
	}
	return lmtp.Target{Maildrop: g.Maildrop, Quota: quota(g)}, nil
}

// quota is what the rule that gave a maildrop lets it hold.
func quota(g auth.Grant) maildrop.Quota {
	a, ok := g.Terms.(*config.Account)
	if !ok {
		return maildrop.Quota{}
	}
	return maildrop.Quota{Octets: a.Quota, Messages: int64(a.QuotaMessages)}
}

// bare is an address without what follows the delimiter.
func (r *recipients) bare(a lmtp.Address) lmtp.Address {
	if i := strings.IndexAny(a.Local, r.delimiter); r.delimiter != "" && i > 0 {
		a.Local = a.Local[:i]
	}
	return a
}

// find asks those who know users. Whom none knows is taken for his local part.
func (r *recipients) find(ctx context.Context, addr lmtp.Address, p auth.Peer) (id auth.Identity, known bool, err error) {
	names := []string{addr.Local}
	if addr.Domain != "" {
		names = []string{addr.Local + "@" + addr.Domain, addr.Local + "@" + strings.ToLower(addr.Domain), addr.Local}
	}
	for _, name := range names {
		for _, f := range r.known {
			id, err := f.Find(ctx, p, name)
			switch {
			case err == nil:
				return recipientID(id, addr), true, nil
			case auth.Reason(err) == "address-not-allowed": // he may not log in from there, but have mail
				return recipientID(auth.Identity{User: name}, addr), true, nil
			case !errors.Is(err, auth.ErrUnknown):
				return id, false, disabled(err)
			}
		}
	}
	name := addr.Local
	if r.logins {
		name = names[0]
	}
	return recipientID(auth.Identity{User: name}, addr), false, nil
}

// recipientID is somebody as the account rules see a recipient.
func recipientID(id auth.Identity, addr lmtp.Address) auth.Identity {
	id.Mechanism, id.Domain = "LMTP", strings.ToLower(addr.Domain)
	return id
}

// disabled is err with the reply to mail for somebody whom a directory keeps
// out.
func disabled(err error) error {
	if errors.Is(err, auth.ErrDenied) || errors.Is(err, auth.ErrCredentials) {
		return &lmtp.Error{Code: 550, Status: "5.2.1", Text: "This account is disabled", Err: err}
	}
	return err
}

// errNobody is for whom nobody knows.
var errNobody = auth.Refuse(auth.ErrUnknown, "unknown-recipient")

// exists returns nil for a maildrop that is there.
func (r *recipients) exists(ctx context.Context, name string) error {
	there, err := r.prober.Exists(ctx, name)
	if err == nil && !there {
		err = errNobody
	}
	return err
}

// prober is what tells whether a maildrop is there: the store, if it can, or
// else its place.
func (b *builder) prober() maildrop.Prober {
	if p, ok := b.store.(maildrop.Prober); ok {
		return p
	}
	return places{&b.file.Maildrop}
}

// places are those of maildrops that are files or directories.
type places struct{ *config.Maildrop }

// Exists implements [maildrop.Prober]. No link is followed.
func (p places) Exists(_ context.Context, name string) (bool, error) {
	rel, err := p.RelPath(name)
	if err != nil {
		return false, fmt.Errorf("%w: %w", maildrop.ErrName, err)
	}
	dir, err := durable.Open(p.Root)
	if err != nil {
		return false, err
	}
	defer func() { dir.Close() }()
	above, last := path.Split(rel)
	for component := range strings.SplitSeq(strings.TrimSuffix(above, "/"), "/") {
		if component == "" {
			break
		}
		next, err := dir.Open(component)
		if err != nil {
			return false, ignore(err, fs.ErrNotExist)
		}
		dir.Close()
		dir = next
	}
	_, err = dir.Lstat(last)
	return err == nil, ignore(err, fs.ErrNotExist)
}

// ignore is err, unless it is that one.
func ignore(err, that error) error {
	if errors.Is(err, that) {
		return nil
	}
	return err
}
