package main

import (
	"fmt"
	"slices"
	"strings"

	"kpopd/auth"
	"kpopd/auth/krb5"
	"kpopd/auth/localname"
	"kpopd/config"
)

// localNames reads the rules for the local names of principals.
func (b *builder) localNames(k *config.Kerberos, keys *krb5.KeySet) {
	if k.AuthToLocal == nil && k.AuthToLocalFile == "" {
		return
	}
	b.locals = &localname.Rules{Home: homes(k, keys)}
	for _, rule := range k.AuthToLocal {
		if err := b.locals.Add(rule); err != nil {
			b.fail(k.At("auth_to_local"), "The rule %q cannot be used: %v", rule, err)
		}
	}
	if k.AuthToLocalFile != "" {
		if err := addProfile(b.locals, k.AuthToLocalFile); err != nil {
			b.fail(k.At("auth_to_local_file"), "The local names cannot be used: %v", err)
		}
	}
}

// addProfile adds the rules of a krb5.conf: those of its default realm, which
// has to be the keytab's, or of the only realm of the keytab. As to libkrb5,
// no rule at all is DEFAULT.
func addProfile(r *localname.Rules, path string) error {
	p, err := krb5.LoadConf(path)
	if err != nil {
		return err
	}
	realm := p.DefaultRealm
	switch {
	case realm == "" && len(r.Home) == 1:
		realm = r.Home[0]
	case !slices.Contains(r.Home, realm):
		return fmt.Errorf("%s: the default realm %q is not one of the keytab's: %s", path, realm, strings.Join(r.Home, ", "))
	}
	rules := p.LocalRules[realm]
	if len(rules) == 0 {
		rules = []string{"DEFAULT"}
	}
	for _, rule := range rules {
		if err := r.Add(rule); err != nil {
			return fmt.Errorf("%s: the rule %q: %w", path, rule, err)
		}
	}
	r.Names = p.LocalNames[realm]
	return nil
}

// homes are the realms that the service has keys in.
func homes(k *config.Kerberos, keys *krb5.KeySet) (all []string) {
	for _, p := range keys.Principals() {
		if p.Components[0] == k.Service && !slices.Contains(all, p.Realm) {
			all = append(all, p.Realm)
		}
	}
	return all
}

// localUser is what the rules make of a ticket's principal. "": nothing.
func (b *builder) localUser(id auth.Identity) string {
	text := id.Attrs["principal"]
	if b.locals == nil || text == "" {
		return ""
	}
	p, err := krb5.ParsePrincipal(text)
	if err != nil {
		return ""
	}
	name, _ := b.locals.Local(p.Components, p.Realm)
	return name
}
