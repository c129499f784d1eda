package main

import (
	"kpopd/auth"
	"kpopd/auth/oauth"
	"kpopd/config"
)

// oauth adds an issuer whose tokens are taken. What is known of it outlives a
// reload. There is nothing about passwords in it.
func (b *builder) oauth(a *config.Authenticator) auth.Authenticator {
	o := a.OAuth
	c := oauth.Config{
		Source: "oauth " + a.Name, Issuer: o.Issuer, JWKSURL: o.JWKSURL, IntrospectionURL: o.IntrospectionURL,
		ClientID: o.ClientID, Audience: o.Audience, Scopes: o.Scopes, Algorithms: o.Algorithms, RequireATJWT: o.RequireATJWT,
		UserClaim: o.UserClaim, GroupsClaim: o.GroupsClaim, Claims: o.Claims,
		CAs: b.authorities(a, o.CAFile), Timeout: o.Timeout, Remember: o.Cache, Log: b.log,
	}
	if o.ClientSecretFile != "" {
		c.ClientSecret = func() (auth.Secret, error) { return readPassword(o.ClientSecretFile) }
		if _, err := c.ClientSecret(); err != nil {
			b.fail(a.At("client_secret_file"), "The secret cannot be used: %v", err)
		}
	}
	issuer, err := oauth.New(c)
	if err != nil {
		b.fail(a.Header, "The issuer cannot be used: %v", err)
		return nil
	}
	if old := b.old.issuers[a.Name]; old != nil {
		issuer.Adopt(old)
	}
	if b.next.issuers == nil {
		b.next.issuers = map[string]*oauth.Authenticator{}
	}
	b.next.issuers[a.Name] = issuer
	if len(b.issuers) == 0 {
		b.hint = issuer.Hint()
	}
	b.issuers = append(b.issuers, issuer)
	return nil
}

// bearer returns one of the mechanisms for tokens, or nil.
func (b *builder) bearer(name string, _ bool) auth.Mechanism {
	if b.tokens == nil {
		return nil
	}
	return &oauth.Mechanism{Kind: name, Auth: b.tokens, Hint: b.hint}
}
