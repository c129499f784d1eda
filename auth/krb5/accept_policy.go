package krb5

import (
	"slices"

	"github.com/jcmturner/gokrb5/v8/iana/adtype"
	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// Source is the [auth.Identity.Source] of identities proven by ticket.
const Source = "kerberos"

// authorize checks that the proven client may be anybody here, and fills in
// the identity.
func (x *exchange) authorize(c *Context) error {
	for _, step := range []func() error{x.checkClient, x.checkRealm, x.checkTransited, x.checkAuthData, x.checkPAC} {
		if err := step(); err != nil {
			return err
		}
	}
	c.Identity = x.identity()
	return nil
}

// nameEnterprise is NT-ENTERPRISE (RFC 6806 §5): a name that looks like a mail
// address, which Active Directory finds among user principal names. Asked for
// by that type, "alice" is whoever has written just that into his own, and her
// ticket's name is the same.
const nameEnterprise = 10

// checkClient refuses principals that are nobody or that cannot be printed.
func (x *exchange) checkClient() error {
	if err := x.client.Valid(); err != nil {
		return causePrincipal.refuse("%.200q: %w", x.client.String(), err)
	}
	if x.inner.Flags.At(flagAnonymous) != 0 || x.client.wellKnown() {
		return causeAnonymous.refuse("%q", x.client.String())
	}
	if _, plain := x.client.plainName(); x.client.ticketGranter() || plain && x.inner.CName.NameType == nameEnterprise {
		return causePrincipal.refuse("%q, of the type %d", x.client.String(), x.inner.CName.NameType)
	}
	return nil
}

func (x *exchange) checkRealm() error {
	if len(x.Realms) == 0 && x.atHome() || slices.Contains(x.Realms, x.client.Realm) {
		return nil
	}
	return causeForeignRealm.refuse("%q", x.client.String())
}

// atHome reports whether the client's realm is the service's own.
func (x *exchange) atHome() bool { return x.keys.isHome(x.Acceptor.service(), x.client.Realm) }

// checkTransited refuses a ticket that came through other realms unless a KDC
// of our realm checked the path. RFC 4120 §2.7: the server checks it, or
// refuses.
func (x *exchange) checkTransited() error {
	if len(x.inner.Transited.Contents) == 0 || x.inner.Flags.At(flagTransitedChecked) != 0 {
		return nil
	}
	return causeTransited.refuse("%q", x.client.String())
}

// checkAuthData refuses authorization data that restricts the ticket in ways
// unknown here. RFC 4120 §5.2.6: an element of a type that the server does not
// understand, outside AD-IF-RELEVANT, fails the authentication.
func (x *exchange) checkAuthData() error {
	for _, data := range []types.AuthorizationData{x.inner.AuthData, x.proof.AuthData} {
		for _, element := range data {
			switch element.ADType {
			case adtype.ADIfRelevant, adtype.ADKDCIssued, adtype.ADMandatoryForKDC, adtype.ADWin2KPAC:
				// They restrict nothing: their contents add to what is known
				// of the client, or concern the KDC.
			default:
				return causeAuthData.refuse("type %d", element.ADType)
			}
		}
	}
	return nil
}

// identity is the ticket's client for the rest of the server.
func (x *exchange) identity() auth.Identity {
	whole := x.client.String()
	user := whole
	// A component such as "bob@OTHER" must not pass for bob of realm OTHER.
	if name, ok := x.client.plainName(); ok && x.atHome() {
		user = name
	}
	id := auth.Identity{
		User:    user,
		Source:  Source,
		Expires: x.inner.EndTime,
		Attrs:   map[string]string{"principal": whole, "realm": x.client.Realm},
	}
	x.pac.enrich(&id)
	return id
}
