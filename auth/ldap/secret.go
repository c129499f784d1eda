package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
)

// Bounds on what is looked at of one entry's secrets.
const (
	maxSecrets      = 16
	maxStoredSecret = 8 << 10 // octets
)

// digest checks a credential that is a digest of a secret (APOP, CRAM-MD5). No
// bind comes of it, so that the directory counts no failure, and nothing of it
// is remembered.
func (d *Directory) digest(ctx context.Context, user string, c auth.Credential) (auth.Identity, error) {
	e, secrets, err := d.findSecrets(ctx, user)
	if err != nil {
		return auth.Identity{}, err
	}
	proven, able := false, false
	for _, s := range append(secrets, auth.Stored{}) { // so that there is work where there is no secret
		p, a := s.Proves(c)
		proven, able = proven || p, able || a
	}
	switch {
	case !able:
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "no-plaintext-secret")
	case !proven:
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "wrong-digest")
	}
	return d.join(ctx, auth.Identity{User: e.user, Source: d.c.Source}, e)
}

// SCRAM returns the keys of user for SCRAM with a hash, "SHA-1" or "SHA-256",
// and what admits him: only then is it looked at whether the entry is disabled,
// and which groups it is in. Who has neither keys for the hash nor a PLAIN secret
// is refused as one without keys, [auth.ErrCredentials] with the reason
// "no-scram-keys".
//
// The name must be spelled as the entry has it, but for SASLprep. A directory
// finds alice as ALICE too; that both had one salt would tell that she exists,
// as those who do not have one for each name.
//
// For everybody there is one search, and the derivation of keys from a PLAIN
// secret, whether or not there is one.
func (d *Directory) SCRAM(ctx context.Context, _ auth.Peer, user, hash string) (auth.SCRAMUser, error) {
	if d.c.SecretAttribute == "" {
		return auth.SCRAMUser{}, auth.ErrUnknown
	}
	if err := ctx.Err(); err != nil {
		return auth.SCRAMUser{}, unavailable(err, "canceled")
	}
	e, secrets, err := d.findSecrets(ctx, user)
	if errors.Is(err, auth.ErrUnavailable) {
		return auth.SCRAMUser{}, err
	}
	if err == nil && !sameName(e.user, user) {
		err, secrets = errSpelling, nil
	}
	keys, ok, broken := d.scramKeys(ctx, user, hash, secrets)
	switch {
	case broken != nil:
		return auth.SCRAMUser{}, broken
	case err != nil:
		return auth.SCRAMUser{}, err
	case !ok:
		return auth.SCRAMUser{}, auth.Refuse(auth.ErrCredentials, "no-scram-keys")
	}
	return auth.SCRAMUser{Keys: keys, Admit: func(ctx context.Context) (auth.Identity, error) {
		return d.join(ctx, auth.Identity{User: e.user, Source: d.c.Source}, e)
	}}, nil
}

// sameName reports whether SASLprep makes the same of two names.
func sameName(a, b string) bool {
	a, _ = auth.Prepare(a)
	b, _ = auth.Prepare(b)
	return a == b
}

// SCRAMParameters returns what unknown users are shown, and who has a PLAIN
// secret: the configured iteration count and the usual length of a salt.
func (d *Directory) SCRAMParameters(string) (iterations, salt int) {
	return d.c.SCRAMIterations, auth.DefaultSalt
}

// scramKeys returns the keys for a hash: those that are stored, or else those
// of a PLAIN secret. They are derived in any case.
func (d *Directory) scramKeys(ctx context.Context, user, hash string, secrets []auth.Stored) (auth.SCRAMKeys, bool, error) {
	password, plain := auth.Secret("placeholder"), false
	var stored auth.SCRAMKeys
	have := false
	for _, s := range secrets {
		if p, ok := s.Plain(); ok && !plain {
			password, plain = p, true
		}
		if k, ok := s.SCRAM(hash); ok && !have {
			stored, have = k, true
		}
	}
	derived, err := d.derive(ctx, user, hash, password)
	if err != nil || !have {
		return derived, plain, err
	}
	d.compare(stored)
	return stored, true, nil
}

// derive makes the keys of a password, when it is its turn: there are as many at
// one time as processors.
func (d *Directory) derive(ctx context.Context, user, hash string, password auth.Secret) (auth.SCRAMKeys, error) {
	select {
	case d.deriving <- struct{}{}:
	case <-ctx.Done():
		return auth.SCRAMKeys{}, unavailable(context.Cause(ctx), "busy")
	}
	defer func() { <-d.deriving }()
	iterations, n := d.SCRAMParameters(hash)
	keys, err := auth.DeriveSCRAM(hash, string(password), auth.SCRAMSalt(d.c.SCRAMSecret, hash, user, n), iterations)
	if err != nil {
		return auth.SCRAMKeys{}, unavailable(err, "internal")
	}
	return keys, nil
}

// compare warns once of keys that look unlike those that are feigned.
func (d *Directory) compare(k auth.SCRAMKeys) {
	if iterations, salt := d.SCRAMParameters(""); k.Iterations != iterations || len(k.Salt) != salt {
		d.unlike.Do(func() {
			d.c.Log.Warn("keys for SCRAM in the directory tell known users from unknown ones: they have other iterations than scram_iterations, or another salt",
				"source", d.c.Source, "iterations", k.Iterations, "want_iterations", iterations, "salt", len(k.Salt), "want_salt", salt)
		})
	}
}

// findSecrets finds the entry of a login name and the secrets in it. A search
// that finds nothing is over sooner, and is made to last as long: the work that
// the rest is does not hide the difference.
func (d *Directory) findSecrets(ctx context.Context, user string) (entry, []auth.Stored, error) {
	if user == "" || !isText(user) {
		return entry{}, nil, auth.ErrUnknown
	}
	t, id := d.c.Filter, auth.Identity{User: user, Source: d.c.Source}
	if t == nil {
		t = d.c.LookupFilter
	}
	q, err := newQuery(t, id)
	if err != nil {
		return entry{}, nil, templateFault(err)
	}
	q.secret = d.c.SecretAttribute
	begun := time.Now()
	e, err := d.search(ctx, d.c.BaseDN, goldap.ScopeWholeSubtree, q, id)
	if err == auth.ErrUnknown {
		d.missing.Note(time.Since(begun))
		d.missing.Catch(ctx, &d.finding)
	}
	if err != nil {
		return entry{}, nil, err
	}
	secrets := d.secrets(e)
	d.finding.Note(time.Since(begun))
	return e, secrets, nil
}

// secrets parses the secrets of an entry, in byte order, so that all servers
// agree. One that cannot be parsed is passed over: it may be for others.
func (d *Directory) secrets(e entry) []auth.Stored {
	var all []auth.Stored
	values := slices.Sorted(slices.Values(e.raw.GetEqualFoldAttributeValues(d.c.SecretAttribute)))
	for _, v := range values[:min(len(values), maxSecrets)] {
		s, err := parseSecret(v)
		if err != nil {
			d.c.Log.Debug("a secret in the directory is of no use here", "source", d.c.Source, "dn", e.dn, "err", err)
			continue
		}
		all = append(all, s)
	}
	return all
}

func parseSecret(value string) (auth.Stored, error) {
	if len(value) > maxStoredSecret {
		return auth.Stored{}, fmt.Errorf("longer than %d octets", maxStoredSecret)
	}
	return auth.ParseStored(value)
}
