package auth

import (
	"context"
	"strings"
)

// SplitLogin splits a login name of Demon's Standard Dial-up POP3 Service,
// user@host, at the last of the separators: the account is the host's, and the
// rest says whose mail is asked for. A name without a separator, or with
// nothing on one of its sides, is an account's and asks for all.
func SplitLogin(name, separators string) (recipient, account string) {
	i := strings.LastIndexAny(name, separators)
	if i <= 0 || i == len(name)-1 {
		return "", name
	}
	return name[:i], name[i+1:]
}

// SDPS is an Authenticator that asks Auth for the account of a host, where a
// password or a digest is for user@host on a connection of a [Peer] with
// separators. Others it leaves as they are.
type SDPS struct{ Auth Authenticator }

var _ Authenticator = SDPS{}

// Authenticate implements [Authenticator].
func (s SDPS) Authenticate(ctx context.Context, p Peer, c Credential) (Identity, error) {
	recipient := ""
	switch cred := c.(type) {
	case Password:
		recipient, cred.User = SplitLogin(cred.User, p.Separators)
		c = cred
	case APOP:
		recipient, cred.User = SplitLogin(cred.User, p.Separators)
		c = cred
	case CRAMMD5:
		recipient, cred.User = SplitLogin(cred.User, p.Separators)
		c = cred
	}
	id, err := s.Auth.Authenticate(ctx, p, c)
	id.Recipient = recipient
	return id, err
}

// Selected is id with an Authzid that is user@host split as [SplitLogin] does,
// unless it is a name of id's own.
func (id Identity) Selected(separators string) Identity {
	if separators == "" || id.Authzid == id.User || id.Authzid == id.Attrs["principal"] {
		return id
	}
	if recipient, account := SplitLogin(id.Authzid, separators); recipient != "" {
		id.Recipient, id.Authzid = recipient, account
	}
	return id
}
