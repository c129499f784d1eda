package krb5

import "kpopd/auth"

// Identify returns the identity that a ticket of p would give, as far as that
// depends on its name alone, or the refusal that every ticket of p meets.
func (a *Acceptor) Identify(p Principal) (auth.Identity, error) {
	if a.Keys == nil {
		return auth.Identity{}, causeNoKeytab.refuse("")
	}
	x := exchange{Acceptor: a, keys: a.Keys.Keys(), client: p}
	for _, step := range []func() error{x.checkClient, x.checkRealm} {
		if err := step(); err != nil {
			return auth.Identity{}, err
		}
	}
	return x.identity(), nil
}
