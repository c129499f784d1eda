package main

import (
	"path/filepath"
	"slices"
	"strings"

	"kpopd/auth"
	"kpopd/auth/krb5"
	"kpopd/auth/userfile"
	"kpopd/config"
)

// kerberos builds the acceptor of tickets.
func (b *builder) kerberos() {
	k := b.file.Kerberos
	if k == nil {
		return
	}
	b.accept = &krb5.Acceptor{Service: k.Service, Realms: k.Realms, MaxSkew: k.MaxSkew, Throttle: b.throttle,
		DomainSIDs: k.DomainSIDs, Log: b.log}
	mode, err := krb5.ParsePACMode(string(k.PAC))
	if err != nil {
		b.fail(k.At("pac"), "%v", err)
	}
	b.accept.PAC = mode
	if keys := b.keytab(k); keys != nil {
		b.accept.Keys = b.next.keytab
		b.foreignKeys(k, keys)
		b.sharedNames(k, keys)
		b.ownRealms(k, keys)
		b.localNames(k, keys)
	}
	if b.old.replay != nil {
		b.next.replay = b.old.replay
	} else if b.next.locker != nil { // else it is a dry run, or complained of
		r, err := krb5.OpenReplay(filepath.Join(b.file.StateDir, "replay"), krb5.ReplayOptions{Skew: k.MaxSkew})
		if err != nil {
			b.fail(b.file.At("state_dir"), "The replay cache cannot be opened: %v", err)
			return
		}
		b.next.replay = r
	}
	b.accept.Replay = b.next.replay
}

// keytab loads the keytab, or reads it again: one that stays keeps the keys
// that went from it for the tickets that are still about, and has its new ones
// once the whole configuration is right. It returns the keys of the file; nil:
// an error was noted.
func (b *builder) keytab(k *config.Kerberos) *krb5.KeySet {
	var keys *krb5.KeySet
	var err error
	if old := b.old.keytab; old != nil && b.old.keytabAt == k.Keytab && old.Service == k.Service {
		b.next.keytab = old
		keys, b.next.commitKeytab, err = old.Prepare()
	} else if b.next.keytab, err = krb5.LoadKeytab(k.Keytab, krb5.KeytabOptions{Service: k.Service, Log: b.log}); err == nil {
		keys = b.next.keytab.Keys()
	}
	if err != nil {
		b.fail(k.At("keytab"), "The keytab cannot be used: %v", err)
		return nil
	}
	b.next.keytabAt = k.Keytab
	return keys
}

// foreignKeys warns of a hostname that no key is for: clients ask for a
// ticket of the name that they connect to.
func (b *builder) foreignKeys(k *config.Kerberos, keys *krb5.KeySet) {
	want := []string{k.Service, b.file.Hostname}
	for _, key := range keys.All() {
		if slices.Equal(key.Principal.Components, want) {
			return
		}
	}
	b.warn(k.At("keytab"), "The keytab has no key for %s/%s", k.Service, b.file.Hostname)
}

// sharedNames warns of a keytab in which more than one realm is at home:
// without account rules that tell them apart, alice of each is alice.
func (b *builder) sharedNames(k *config.Kerberos, keys *krb5.KeySet) {
	letIn := slices.DeleteFunc(homes(k, keys), func(realm string) bool {
		return len(k.Realms) > 0 && !slices.Contains(k.Realms, realm)
	})
	if len(letIn) > 1 {
		b.warn(k.At("keytab"), "The keytab has keys of several realms: a name that exists in more than one of %s is one user",
			strings.Join(letIn, ", "))
	}
}

// ownRealms warns of a list of realms without the keytab's, as one in lower case.
func (b *builder) ownRealms(k *config.Kerberos, keys *krb5.KeySet) {
	own := homes(k, keys)
	if len(k.Realms) > 0 && !slices.ContainsFunc(own, func(realm string) bool { return slices.Contains(k.Realms, realm) }) {
		b.warn(k.At("realms"), "Nobody of the keytab's own realm is let in: %s is not in this list", strings.Join(own, ", "))
	}
}

// chain builds the chain of those who check passwords.
func (b *builder) chain() {
	if len(b.file.Authenticators) > 0 {
		b.salts()
	}
	var chain auth.Chain
	for i := range b.file.Authenticators {
		if link := b.authenticator(&b.file.Authenticators[i]); link != nil {
			chain = append(chain, link)
		}
	}
	b.asked = chain
	if b.passwords = len(chain); b.passwords > 0 {
		b.auth = auth.SDPS{Auth: b.throttled(chain)}
	}
	if len(b.certs) > 0 {
		b.external = b.throttled(b.certs)
	}
	if len(b.issuers) > 0 {
		b.tokens = b.throttled(b.issuers)
	}
}

// salts gets the secret of the state directory for the salts that are stored
// nowhere.
func (b *builder) salts() {
	switch {
	case b.old.scramSecret != nil && b.old.stateDir == b.file.StateDir:
		b.next.scramSecret = b.old.scramSecret
	case b.next.locker != nil: // else it is a dry run, or complained of
		secret, err := scramSecretOf(b.file.StateDir)
		if err != nil {
			b.fail(b.file.At("state_dir"), "The secret for SCRAM cannot be used: %v", err)
			return
		}
		b.next.scramSecret = secret
	}
	b.scramSecret = b.next.scramSecret
}

// links build one link of the chain, by the kind of its block. nil: it is not
// about passwords, or an error was noted.
var links = map[string]func(*builder, *config.Authenticator) auth.Authenticator{
	"file":        (*builder).userFile,
	"ldap":        (*builder).ldap,
	"certificate": (*builder).certificateUsers,
	"oauth":       (*builder).oauth,
	"kerberos":    (*builder).kerberosUsers,
}

// authenticator builds one link of the chain. nil: an error was noted.
func (b *builder) authenticator(a *config.Authenticator) auth.Authenticator {
	if build := links[a.Kind]; build != nil {
		return build(b, a)
	}
	b.absent(a.Header, "An authenticator of the kind "+a.Kind)
	return nil
}

func (b *builder) userFile(a *config.Authenticator) auth.Authenticator {
	users, err := userfile.Open(a.UserFile.Path, b.log)
	if err != nil {
		b.fail(a.At("path"), "The users cannot be read: %v", err)
		return nil
	}
	users.Source, users.Recall = "file "+a.Name, auth.NewRecall(a.UserFile.Cache)
	if b.scramSecret != nil {
		users.SCRAMSecret = b.scramSecret
	}
	b.users, b.keys, b.known = append(b.users, users), append(b.keys, users), append(b.known, users)
	return users
}

func (b *builder) ldap(a *config.Authenticator) auth.Authenticator {
	if d := b.directory(a); d != nil {
		if a.LDAP.Filter != nil {
			b.known = append(b.known, d)
		}
		return d
	}
	return nil
}

// throttling makes what counts failures, of all proofs. What was counted outlives
// a reload of the same limit.
func (b *builder) throttling() {
	t := b.file.Throttle
	if !t.Enabled {
		return
	}
	if old := b.old.throttle; old != nil && old.FailuresPerMinute == t.FailuresPerMinute {
		b.throttle = old.Before(nil)
	} else {
		b.throttle = &auth.Throttle{FailuresPerMinute: t.FailuresPerMinute}
	}
	b.throttle.Delay, b.throttle.MaxDelay = t.Delay, t.MaxDelay
	b.next.throttle = b.throttle
}

// throttled bounds the guessing at a chain. All chains share what is counted.
func (b *builder) throttled(chain auth.Chain) auth.Authenticator {
	if b.throttle == nil {
		return chain
	}
	return b.throttle.Before(chain)
}
