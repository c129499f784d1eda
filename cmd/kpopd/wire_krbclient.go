package main

import (
	"context"
	"time"

	"kpopd/auth"
	"kpopd/auth/krb5"
	"kpopd/auth/ldap"
	"kpopd/config"
)

// kdcClient returns who asks KDCs for an authenticator. nil: an error was noted.
func (b *builder) kdcClient(a *config.Authenticator, path string, timeout time.Duration) *krb5.Client {
	conf, err := krb5.LoadConf(path)
	if err != nil {
		b.fail(a.At("krb5_conf"), "The Kerberos configuration cannot be used: %v", err)
		return nil
	}
	return &krb5.Client{Conf: conf, Timeout: timeout}
}

// kerberosUsers builds who checks passwords by a KDC. The keytab is one of its
// own, for it has to know new keys before tickets of them are about.
func (b *builder) kerberosUsers(a *config.Authenticator) auth.Authenticator {
	k := a.Kerberos
	client := b.kdcClient(a, k.Krb5Conf, k.Timeout)
	c := krb5.PasswordConfig{
		Source: "kerberos " + a.Name, Client: client, Realm: k.Realm, Host: b.file.Hostname,
		Remember: k.Cache, RememberWrong: k.CacheNegative,
		LockoutThreshold: k.LockoutThreshold, LockoutWindow: k.LockoutWindow, Budget: b.budget("kerberos " + a.Name),
		PAC: krb5.PACIfValid, Log: b.log,
	}
	path, at := k.Keytab, a.At("keytab")
	if block := b.file.Kerberos; block != nil {
		c.Service, c.MaxSkew = block.Service, block.MaxSkew
		c.PAC, _ = krb5.ParsePACMode(string(block.PAC)) // one that is wrong was complained of
		if path == "" {
			path, at = block.Keytab, block.At("keytab")
		}
	}
	keys, err := krb5.LoadKeytab(path, krb5.KeytabOptions{Service: c.Service, Log: b.log})
	if err != nil {
		b.fail(at, "The keytab cannot be used: %v", err)
		return nil
	}
	if client == nil {
		return nil
	}
	c.Keys = keys
	p, err := krb5.NewPasswords(c)
	if err != nil {
		b.fail(at, "The KDC cannot be verified: %v", err)
		return nil
	}
	return p
}

// bindByKeytab sets how the service binds to a directory by ticket.
func (b *builder) bindByKeytab(a *config.Authenticator, c *ldap.Config) {
	l := a.LDAP
	if l.BindKeytab == "" {
		return
	}
	client := b.kdcClient(a, l.Krb5Conf, l.Timeout)
	if client == nil {
		return
	}
	login, err := krb5.NewServiceLogin(client, l.BindPrincipal, l.BindKeytab, b.log)
	if err != nil {
		b.fail(a.At("bind_keytab"), "The keytab cannot be used: %v", err)
		return
	}
	c.BindTicket = func(ctx context.Context, host string, p auth.Peer) (ldap.SecurityContext, error) {
		i, err := login.Start(ctx, "ldap", host, p)
		if err != nil {
			return nil, err
		}
		return i, nil
	}
}
