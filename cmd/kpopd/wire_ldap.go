package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"kpopd/auth"
	"kpopd/auth/ldap"
	"kpopd/config"
)

// directory builds an LDAP directory, which is both a link of the chain and a
// source of attributes. nil: an error was noted.
func (b *builder) directory(a *config.Authenticator) *ldap.Directory {
	l := a.LDAP
	c := ldap.Config{
		Source: "ldap " + a.Name, URLs: l.URLs, Discover: l.Discover, Site: l.Site, CAs: b.authorities(a, l.CAFile), Clear: !l.StartTLS,
		BindDN: l.BindDN, BaseDN: l.BaseDN,
		Filter: loginTemplate(l.Filter), LookupFilter: lookupTemplate(l.LookupFilter),
		Attributes: l.Attributes, NestedGroups: l.NestedGroups, DisabledAttribute: l.DisabledAttribute,
		SecretAttribute: l.SecretAttribute, SCRAMIterations: l.SCRAMIterations, SCRAMSecret: b.scramSecret,
		Timeout: l.Timeout, PoolSize: l.PoolSize, Remember: l.Cache, RememberWrong: l.CacheNegative,
		LockoutThreshold: l.LockoutThreshold, LockoutWindow: l.LockoutWindow, Budget: b.budget("ldap " + a.Name),
		Log: b.log,
	}
	for _, e := range l.BindAs {
		c.BindAs = append(c.BindAs, loginTemplate(e))
	}
	if l.BindPasswordFile != "" {
		c.BindPassword = func() (auth.Secret, error) { return readPassword(l.BindPasswordFile) }
		if _, err := c.BindPassword(); err != nil {
			b.fail(a.At("bind_password_file"), "The password cannot be used: %v", err)
		}
	}
	b.bindByKeytab(a, &c)
	b.clearPasswords(a)
	d, err := ldap.New(c)
	if err != nil {
		b.fail(a.Header, "The directory cannot be used: %v", err)
		return nil
	}
	b.next.directories = append(b.next.directories, d)
	if l.SecretAttribute != "" {
		b.keys = append(b.keys, d)
	}
	return d
}

// clearPasswords warns of passwords, and of the secrets of all users, that would
// cross a network in the clear.
func (b *builder) clearPasswords(a *config.Authenticator) {
	for _, text := range a.LDAP.URLs {
		u, err := url.Parse(text)
		if err == nil && u.Scheme == "ldap" && !a.LDAP.StartTLS {
			b.warn(a.At("starttls"), "Passwords cross the network in the clear on the way to %s", u.Host)
			if a.LDAP.SecretAttribute != "" {
				b.warn(a.At("secret_attribute"), "The secrets of all users cross the network in the clear on the way from %s", u.Host)
			}
		}
	}
}

// authorities reads those that may sign a server's certificate. nil: the
// system's.
func (b *builder) authorities(a *config.Authenticator, path string) *x509.CertPool {
	if path == "" {
		return nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		b.fail(a.At("ca_file"), "The authorities cannot be read: %v", err)
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		b.fail(a.At("ca_file"), "There is no certificate in %s", path)
	}
	return pool
}

// budget returns the failures at an authenticator, which a reload does not
// forget.
func (b *builder) budget(name string) *auth.Budget {
	budget := b.old.budgets[name]
	if budget == nil {
		budget = &auth.Budget{}
	}
	if b.next.budgets == nil {
		b.next.budgets = map[string]*auth.Budget{}
	}
	b.next.budgets[name] = budget
	return budget
}

// maxPasswordFile bounds a file with a password.
const maxPasswordFile = 4096

// readPassword reads a file that holds one password and perhaps a line end.
// The error says nothing of what is in it.
func readPassword(path string) (auth.Secret, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	switch {
	case !info.Mode().IsRegular() || info.Size() > maxPasswordFile:
		return "", fmt.Errorf("%s is no file with a password", path)
	case info.Mode().Perm()&0o006 != 0:
		return "", fmt.Errorf("everybody may access %s (mode %04o)", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if secret == "" || strings.ContainsAny(secret, "\x00\n") {
		return "", fmt.Errorf("%s does not hold one line with a password", path)
	}
	return auth.Secret(secret), nil
}

// loginTemplate is an expression about a login name, as auth/ldap evaluates it.
// A name that it cannot judge is nobody's. nil: none.
func loginTemplate(e *config.Expression) ldap.Template { return ldapTemplate(e, auth.ErrUnknown) }

// lookupTemplate is an expression about somebody who was proven, and is not let
// in where it cannot judge him: it might have found him disabled.
func lookupTemplate(e *config.Expression) ldap.Template { return ldapTemplate(e, auth.ErrDenied) }

func ldapTemplate(e *config.Expression, unjudged error) ldap.Template {
	if e == nil {
		return nil
	}
	return func(id auth.Identity, escape func(string) string) (string, error) {
		text, err := e.EvalEscaped(facts(id, auth.Peer{}, &config.Listener{}), escape)
		switch {
		case errors.Is(err, config.ErrNoMatch):
			return "", auth.Refuse(fmt.Errorf("%w: %w", auth.ErrUnknown, err), "no-filter-for-name")
		case errors.Is(err, config.ErrFact):
			return "", auth.Refuse(fmt.Errorf("%w: %w", unjudged, err), "unacceptable-name")
		}
		return text, err
	}
}

// lookup adds what the directories know of somebody to what was proven. Who
// was proven by a directory is known already.
func (b *builder) lookup() func(context.Context, auth.Identity) (auth.Identity, error) {
	var all auth.Directories
	own := map[string]bool{}
	for i := range b.file.Authenticators {
		if a := &b.file.Authenticators[i]; a.Kind == "ldap" {
			own["ldap "+a.Name] = true
		}
	}
	for _, d := range b.next.directories {
		all = append(all, d)
	}
	return func(ctx context.Context, id auth.Identity) (auth.Identity, error) {
		if own[id.Source] {
			return id, nil
		}
		return all.Lookup(ctx, id)
	}
}
