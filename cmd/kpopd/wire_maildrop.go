package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"kpopd/auth"
	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/maildrop/maildir"
)

// maildrops builds the store.
func (b *builder) maildrops() {
	m := &b.file.Maildrop
	if m.Kind != "maildir" {
		b.absent(m.Header, "A maildrop of the kind "+m.Kind)
		return
	}
	if info, err := os.Stat(m.Root); err != nil {
		b.fail(m.At("path"), "The root of all maildrops cannot be used: %v", err)
	} else if !info.IsDir() {
		b.fail(m.At("path"), "The root of all maildrops, %s, is not a directory", m.Root)
	}
	b.next.sizes = cmp.Or(b.old.sizes, new(maildir.Sizes))
	b.store = &maildir.Store{Root: m.Root, Sizes: b.next.sizes, Path: func(name string) (string, error) {
		rel, err := m.RelPath(name)
		if err != nil {
			return "", fmt.Errorf("%w: %w", maildrop.ErrName, err)
		}
		return rel, nil
	}}
}

// accounts are the configuration's account rules for one listener.
func (b *builder) accounts(listener string) auth.Accounts {
	var rules auth.Accounts
	for i := range b.file.Accounts {
		a := &b.file.Accounts[i]
		rules = append(rules, auth.Account{
			When: func(id auth.Identity, p auth.Peer) (bool, error) {
				ok, err := a.Matches(facts(id, p, listener))
				return ok, ruleVerdict(err)
			},
			Maildrop: func(id auth.Identity, p auth.Peer) (string, error) {
				name, err := a.MaildropName(facts(id, p, listener))
				return name, ruleVerdict(err)
			},
			AllowAuthzid: func(id auth.Identity, p auth.Peer) (bool, error) {
				ok, err := a.AllowAuthzid(facts(id, p, listener), id.Authzid)
				return ok, ruleVerdict(err)
			},
		})
	}
	return rules
}

// facts are what the rules see of an identity.
func facts(id auth.Identity, p auth.Peer, listener string) config.Facts {
	f := config.Facts{
		User: id.User, Principal: id.Attrs["principal"], Realm: id.Attrs["realm"],
		Mechanism: id.Mechanism, Listener: listener, Groups: id.Groups, Attr: id.Attrs,
	}
	if i := strings.LastIndexByte(id.User, '@'); i >= 0 {
		f.Domain = id.User[i+1:]
	}
	if p.Addr.IsValid() {
		f.Address = p.Addr.Addr().String()
	}
	return f
}

// ruleVerdict says whose fault it is that a rule has no answer: a name that
// makes no maildrop, or that cannot be judged, is the client's.
func ruleVerdict(err error) error {
	switch {
	case errors.Is(err, config.ErrName):
		return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrDenied, err), "unacceptable-maildrop")
	case errors.Is(err, config.ErrFact):
		return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrDenied, err), "unacceptable-name")
	}
	return err
}

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
	lease, err := l.Locker.Lock(ctx, hideDots.Replace("/" + place)[1:])
	if err != nil {
		return nil, err
	}
	return named{lease, name}, nil
}

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
