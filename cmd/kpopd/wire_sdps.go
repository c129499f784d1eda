package main

import "kpopd/auth"

// sdpsGrant is what the rules give a host, or the user of it who is selected.
// He has the host's maildrop, of which he sees his own part, unless the rule
// makes the maildrop's name of his: then that is his, whole.
func (b *builder) sdpsGrant(accounts auth.Accounts, id auth.Identity, p auth.Peer) (auth.Grant, error) {
	own := false
	g, err := accounts.Decide(id, p, func(s auth.Step) {
		if s.Matches {
			own = s.Rule < len(b.file.Accounts) && b.file.Accounts[s.Rule].OfRecipient()
		}
	})
	if g.Host = id.User; g.Impersonates {
		g.Host = id.Authzid
	}
	if !own {
		g.Recipient = id.Recipient
	}
	return g, err
}
