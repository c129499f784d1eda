package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kpopd/auth"
	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/maildrop/index"
	"kpopd/maildrop/maildir"
	"kpopd/maildrop/mbox"
)

// maildrops builds the store.
func (b *builder) maildrops() {
	m := &b.file.Maildrop
	if info, err := os.Stat(m.Root); err != nil {
		b.fail(m.At("path"), "The root of all maildrops cannot be used: %v", err)
	} else if !info.IsDir() {
		b.fail(m.At("path"), "The root of all maildrops, %s, is not a directory", m.Root)
	}
	b.next.indexes = cmp.Or(b.old.indexes, &index.Cache{Path: filepath.Join(b.file.StateDir, "index"), Log: b.log})
	path := func(name string) (string, error) {
		rel, err := m.RelPath(name)
		if err != nil {
			return "", fmt.Errorf("%w: %w", maildrop.ErrName, err)
		}
		return rel, nil
	}
	if m.Kind == "mbox" {
		b.store = b.mbox(path)
		return
	}
	b.store = &maildir.Store{Root: m.Root, SaveCRLF: m.SaveCRLF, Index: b.next.indexes, Storm: m.UIDLChangeLimit, Path: path}
}

// mbox builds a store of files.
func (b *builder) mbox(path func(string) (string, error)) *mbox.Store {
	m := &b.file.Maildrop
	s := &mbox.Store{
		Root: m.Root, Path: path, StateDir: b.file.StateDir, Log: b.log,
		Format: mbox.Format(m.Mbox.Format), UIDs: mbox.UIDs(m.Mbox.UIDL), Rewrite: mbox.Rewrite(m.Mbox.Rewrite),
		LockTimeout: m.Mbox.LockTimeout, Storm: m.UIDLChangeLimit,
	}
	for _, l := range m.Mbox.Locks {
		s.Locks = append(s.Locks, mbox.Lock(l))
	}
	return s
}

// accounts are the configuration's account rules for one listener.
func (b *builder) accounts(l *config.Listener) auth.Accounts {
	var rules auth.Accounts
	facts := func(id auth.Identity, p auth.Peer) config.Facts {
		f := facts(id, p, l)
		f.LocalUser = b.localUser(id)
		return f
	}
	for i := range b.file.Accounts {
		a := &b.file.Accounts[i]
		rules = append(rules, auth.Account{
			Name: ruleName(a),
			When: func(id auth.Identity, p auth.Peer) (bool, error) {
				err := a.Match(facts(id, p))
				return err == nil, ruleVerdict(err)
			},
			Maildrop: func(id auth.Identity, p auth.Peer) (string, error) {
				name, err := a.MaildropName(facts(id, p))
				return name, ruleVerdict(err)
			},
			AllowAuthzid: func(id auth.Identity, p auth.Peer) (bool, error) {
				ok, err := a.AllowAuthzid(facts(id, p), id.Authzid)
				return ok, ruleVerdict(err)
			},
			AllowAuthzidFrom: networks(a.AllowAuthzidFrom),
			Terms:            a,
		})
	}
	return rules
}

// ruleName says where a rule stands: file and line.
func ruleName(a *config.Account) string {
	return fmt.Sprintf("%s:%d", a.Header.Filename, a.Header.Start.Line)
}

func networks(all []config.Origin) (n auth.Networks) {
	for _, each := range all {
		if each.Unix {
			n.Unix = true
		} else {
			n.Prefixes = append(n.Prefixes, each.Prefix)
		}
	}
	return n
}

// facts are what the rules see of an identity.
func facts(id auth.Identity, p auth.Peer, l *config.Listener) config.Facts {
	f := config.Facts{
		User: id.User, Principal: id.Attrs["principal"], Realm: id.Attrs["realm"],
		Mechanism: id.Mechanism, Listener: l.Name, Groups: id.Groups, Attr: id.Attrs,
	}
	if i := strings.LastIndexByte(id.User, '@'); i >= 0 {
		f.Domain = id.User[i+1:]
	}
	if id.Domain != "" {
		f.Domain = id.Domain
	}
	if l.SDPS {
		f.SDPSUser, f.SDPSHost = id.Recipient, id.User
	}
	if p.Addr.IsValid() {
		f.Address = p.Addr.Addr().String()
	}
	return f
}

// ruleVerdict says whose fault it is that a rule has no answer: a name that
// makes no maildrop, or that cannot be judged, is the client's. A rule that
// does not match has one for others.
func ruleVerdict(err error) error {
	switch {
	case errors.Is(err, config.ErrNoMatch):
		return noRule{err}
	case errors.Is(err, config.ErrName):
		return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrDenied, err), "unacceptable-maildrop")
	case errors.Is(err, config.ErrFact):
		return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrDenied, err), "unacceptable-name")
	}
	return err
}

// noRule is why a rule is not about somebody. It is an [auth.ErrUnknown].
type noRule struct{ why error }

func (n noRule) Error() string        { return n.why.Error() }
func (n noRule) Is(target error) bool { return target == auth.ErrUnknown }

// locker locks maildrops by their names.
func (b *builder) locker() maildrop.Locker { return byPlace{b.next.locker, b.file.Maildrop.RelPath} }

// byPlace locks a maildrop by where it is kept, so that two names that lead to
// one place are one maildrop.
type byPlace struct {
	maildrop.Locker
	place func(name string) (string, error)
}

// Lock implements [maildrop.Locker].
func (l byPlace) Lock(ctx context.Context, name string) (maildrop.Lease, error) {
	place, err := l.place(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", maildrop.ErrName, err)
	}
	h := maildrop.HolderOf(ctx)
	h.Maildrop = name
	lease, err := l.Locker.Lock(maildrop.WithHolder(ctx, h), lockName(place))
	if err != nil {
		return nil, err
	}
	return named{lease, name}, nil
}

// lockName is what the maildrop at a place is called where it is locked.
func lockName(place string) string { return hideDots.Replace("/" + place)[1:] }

// showDots is the place of which a lock has this name.
func showDots(name string) string { return dots.Replace(name) }

var dots = strings.NewReplacer("%2E", ".", "%25", "%")

// hideDots turns a path into a name that a Locker takes: no component of it
// begins with a dot.
var hideDots = strings.NewReplacer("%", "%25", "/.", "/%2E")

// named is the lease of a maildrop that has this name.
type named struct {
	maildrop.Lease
	name string
}

// Name returns the maildrop's name.
func (n named) Name() string { return n.name }

// Hold is that of the lock.
func (n named) Hold() (func(), error) { return maildrop.Hold(n.Lease) }
