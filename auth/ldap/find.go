package ldap

import (
	"context"

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
	return d.findBound(ctx, id)
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
	return e.dn, err
}
