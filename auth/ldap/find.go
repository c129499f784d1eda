package ldap

import (
	"context"
	"errors"

	"kpopd/auth"
)

var _ auth.Finder = (*Directory)(nil)

// Source is what identities name as their source.
func (d *Directory) Source() string { return d.c.Source }

// Find implements [auth.Finder]. A directory without a filter knows no unknown
// users: anybody may be able to bind.
func (d *Directory) Find(ctx context.Context, _ auth.Peer, user string) (auth.Identity, error) {
	id := auth.Identity{User: user, Source: d.c.Source}
	if !isText(user) {
		return auth.Identity{}, auth.ErrUnknown
	}
	e, err := d.entryOf(ctx, id)
	if err != nil {
		return auth.Identity{}, err
	}
	id.User = e.user
	return d.join(ctx, id, e)
}

// entryOf finds the entry of a login name.
func (d *Directory) entryOf(ctx context.Context, id auth.Identity) (entry, error) {
	if d.c.Filter != nil {
		return d.find(ctx, d.c.Filter, id)
	}
	return d.boundEntry(ctx, id)
}

// boundEntry is the entry of the first name to bind as that has one. Without
// any, it is that of somebody who may be able to bind all the same.
func (d *Directory) boundEntry(ctx context.Context, id auth.Identity) (entry, error) {
	bare, none := entry{}, error(auth.ErrUnknown)
	if !isSingleSpaced(id.User) {
		return bare, none
	}
	for _, t := range d.c.BindAs {
		name, err := newBindName(t, id)
		if errors.Is(err, errShape) {
			continue
		}
		if err != nil {
			return entry{}, templateFault(err)
		}
		e, err := d.readBound(ctx, name, id)
		if err != nil || e.raw != nil {
			return e, err
		}
		bare, none = e, nil
	}
	return bare, none
}

// DN returns the name of the entry that Lookup or, for an identity of this
// directory's own, Find looks at. It is [auth.ErrUnknown] where there is none.
func (d *Directory) DN(ctx context.Context, id auth.Identity) (string, error) {
	var e entry
	var err error
	switch {
	case id.Source == d.c.Source:
		e, err = d.entryOf(ctx, id)
	case d.c.LookupFilter == nil:
		return "", auth.ErrUnknown
	default:
		e, err = d.find(ctx, d.c.LookupFilter, id)
	}
	if err == nil && e.raw == nil {
		err = auth.ErrUnknown
	}
	return e.dn, err
}
