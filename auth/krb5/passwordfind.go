package krb5

import (
	"context"
	"errors"

	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

var _ auth.Finder = (*Passwords)(nil)

// errKnown: a KDC wants a key, so that it knows the client.
var errKnown = errors.New("krb5: the KDC knows the client")

// Find implements [auth.Finder]: it asks a KDC as a login does, and stops where
// that shows a proof.
func (p *Passwords) Find(ctx context.Context, _ auth.Peer, user string) (auth.Identity, error) {
	name, ok := p.name(user)
	if !ok {
		return auth.Identity{}, auth.ErrUnknown
	}
	service, err := p.service()
	if err != nil {
		return auth.Identity{}, unavailable(err, "no-keytab")
	}
	client := Principal{Components: []string{name}, Realm: p.c.Realm}
	x := asExchange{client: client, service: service, life: checkLife}
	x.key = func(etypeInfo) (types.EncryptionKey, error) { return types.EncryptionKey{}, errKnown }
	inner, end, err := p.c.Client.begin(ctx)
	if err != nil {
		return auth.Identity{}, unavailable(err, "kdc-busy")
	}
	defer end()
	if _, err := p.c.Client.ticket(inner, x); !errors.Is(err, errKnown) {
		return auth.Identity{}, p.refusal(err)
	}
	id, err := p.acceptor.Identify(client)
	id.Source = p.c.Source
	return id, err
}
