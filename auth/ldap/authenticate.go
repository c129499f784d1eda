package ldap

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
)

// maxSecret is the longest password that is sent, as long as a [auth.Chain]
// lets pass.
const maxSecret = 1024

// Authenticate implements [auth.Authenticator] for passwords: the filter finds
// exactly one entry, and a bind as that entry proves the password; or a bind
// proves it under a name made from the login name. The name of the identity is
// the directory's spelling of the login name.
//
// A password that is empty or holds a NUL never reaches the directory, because
// a bind without a password succeeds and proves nothing (RFC 4513 §5.1.2).
//
// APOP and CRAM-MD5 are checked against the secret attribute, if there is one.
// For a user without a secret that serves they are a wrong credential, with the
// reason "no-plaintext-secret".
func (d *Directory) Authenticate(ctx context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	if err := ctx.Err(); err != nil {
		return auth.Identity{}, unavailable(err, "canceled")
	}
	user, isDigest := digestUser(c)
	switch p, ok := c.(auth.Password); {
	case ok:
		return d.password(ctx, p)
	case isDigest && d.c.SecretAttribute != "":
		return d.digest(ctx, user, c)
	}
	return auth.Identity{}, auth.ErrUnknown
}

// digestUser returns whom a credential that is a digest names.
func digestUser(c auth.Credential) (user string, ok bool) {
	switch c := c.(type) {
	case auth.APOP:
		return c.User, true
	case auth.CRAMMD5:
		return c.User, true
	}
	return "", false
}

func (d *Directory) password(ctx context.Context, p auth.Password) (auth.Identity, error) {
	if !sendable(string(p.Secret)) {
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "malformed-password")
	}
	proof := d.verdicts.Proof(p)
	v, fresh := d.verdicts.Ask(ctx, proof, func() auth.Verdict { return d.check(ctx, p, proof) })
	if !fresh && v.Err != nil {
		d.whole.Wait(ctx, time.Now()) // a quick answer would tell that there is an account
	}
	id := v.Identity
	id.Attrs, id.Groups = maps.Clone(id.Attrs), slices.Clone(id.Groups)
	return id, v.Err
}

// Decoy implements [auth.Decoyer]: it binds as somebody who is not there, and
// then waits, where the directory is quicker with such a name than with a wrong
// password. The search comes before it and is the same for everybody. For a
// digest there is no more than that to do, and to compute one.
func (d *Directory) Decoy(ctx context.Context, c auth.Credential) {
	if _, ok := c.(auth.Password); !ok {
		auth.Stored{}.Proves(c)
		return
	}
	begun := time.Now()
	name := "cn=" + rand.Text()
	if d.c.BaseDN != "" {
		name += "," + d.c.BaseDN
	}
	_ = d.on(ctx, binding, func(c *goldap.Conn) error { return c.Bind(name, "placeholder") }) // the work is all
	d.pace.Wait(ctx, begun)
}

func sendable(secret string) bool {
	return secret != "" && len(secret) <= maxSecret && strings.IndexByte(secret, 0) < 0
}

// check asks the directory.
func (d *Directory) check(ctx context.Context, p auth.Password, pr auth.Proof) auth.Verdict {
	begun := time.Now()
	id := auth.Identity{User: p.User, Source: d.c.Source}
	if p.User == "" || !isText(p.User) {
		return auth.Verdict{Err: auth.ErrUnknown}
	}
	var e entry
	var err error
	if d.c.Filter != nil {
		if e, err = d.find(ctx, d.c.Filter, id); err == nil {
			err = d.prove(ctx, e.dn, strings.ToLower(e.dn), p, pr)
		}
	} else {
		e, err = d.checkNames(ctx, id, p, pr)
	}
	if errors.Is(err, auth.ErrCredentials) && !errors.Is(err, auth.ErrBudget) {
		d.whole.Note(time.Since(begun))
	}
	if err != nil {
		return auth.Verdict{Err: err}
	}
	id.User = e.user
	id, err = d.join(ctx, id, e)
	return auth.Verdict{Identity: id, Err: err}
}

// checkNames binds as each of the names that are made of the login name, until
// one succeeds. Of a DN its entry counts where the service may read it, of any
// other name the one that the lookup filter finds; without an entry the identity
// is the name as it was typed. Failures under any of
// the names count against the first, and against all that the directory may
// take for that: two logins that make one name are one account.
func (d *Directory) checkNames(ctx context.Context, id auth.Identity, p auth.Password, pr auth.Proof) (entry, error) {
	if !isSingleSpaced(p.User) {
		return entry{}, auth.ErrUnknown
	}
	err, key := auth.ErrUnknown, ""
	for _, t := range d.c.BindAs {
		name, e := newBindName(t, id)
		if errors.Is(e, errShape) {
			continue
		}
		if e != nil {
			return entry{}, templateFault(e)
		}
		key = cmp.Or(key, auth.Loose(name.text))
		err = d.prove(ctx, name.text, key, p, pr)
		if err == nil {
			return d.readBound(ctx, name, id)
		}
		if !errors.Is(err, auth.ErrCredentials) || errors.Is(err, auth.ErrBudget) {
			break
		}
	}
	return entry{}, err
}

// isSingleSpaced reports whether a name has no spaces but between its words: to
// a directory others make no difference (RFC 4518 §2.6.1).
func isSingleSpaced(name string) bool { return strings.Join(strings.Fields(name), " ") == name }

// readBound reads the entry of who has bound.
func (d *Directory) readBound(ctx context.Context, name bindName, id auth.Identity) (entry, error) {
	if !name.dn {
		return d.findBound(ctx, id)
	}
	q := query{filter: "(objectClass=*)", computed: name.computed}
	e, err := d.search(ctx, name.text, goldap.ScopeBaseObject, q, id)
	if err == auth.ErrUnknown { // the service may not read it
		return entry{user: id.User}, nil
	}
	return e, err
}

// findBound looks for the entry of who has bound under a name that is no DN. One
// that a DN names is not looked for: another could have the same user.
func (d *Directory) findBound(ctx context.Context, id auth.Identity) (entry, error) {
	bare := entry{user: id.User}
	if d.c.LookupFilter == nil {
		return bare, nil
	}
	e, err := d.find(ctx, d.c.LookupFilter, id)
	switch {
	case err == errSpelling:
		return entry{}, auth.Refuse(auth.ErrDenied, "other-spelling")
	case errors.Is(err, auth.ErrUnknown):
		return bare, nil
	}
	return e, err
}

// prove binds with a password, and keeps account of how that went. key is
// whose budget a failure counts against.
func (d *Directory) prove(ctx context.Context, name, key string, p auth.Password, pr auth.Proof) error {
	begun := time.Now()
	err := d.bind(ctx, name, key, p, pr)
	switch {
	case err == nil:
		d.c.Budget.Succeeded(key, pr)
		d.pace.Note(time.Since(begun))
	case errors.Is(err, auth.ErrBudget):
		d.pace.Wait(ctx, begun)
	case errors.Is(err, auth.ErrCredentials):
		d.c.Budget.Refuted(key, pr, d.c.LockoutWindow)
		d.pace.Note(time.Since(begun))
	}
	return err
}

// bind is one simple bind (RFC 4511 §4.2), at the first server that answers.
// The first that says no is believed.
func (d *Directory) bind(ctx context.Context, name, key string, p auth.Password, pr auth.Proof) error {
	if name == "" || !sendable(string(p.Secret)) { // RFC 4513 §5.1: either would succeed
		return auth.Refuse(auth.ErrCredentials, "malformed-bind")
	}
	window := d.c.LockoutWindow
	var policy *goldap.ControlBeheraPasswordPolicy
	err := d.on(ctx, binding, func(c *goldap.Conn) error {
		if !d.c.Budget.Take(key, pr, d.c.LockoutThreshold, window) {
			return auth.ErrBudget
		}
		request := goldap.NewSimpleBindRequest(name, string(p.Secret), []goldap.Control{goldap.NewControlBeheraPasswordPolicy()})
		result, err := c.SimpleBind(request)
		policy = policyOf(result)
		if outage(err) && isAnswer(err) && d.c.LockoutThreshold > 0 { // not judged
			d.c.Budget.Forgive(key, window)
		}
		return err
	})
	switch {
	case errors.Is(err, auth.ErrBudget), errors.Is(err, auth.ErrUnavailable):
		return err
	case err != nil:
		return refusal(err, policy)
	case policy != nil && policy.Error == 2: // changeAfterReset: it may change the password, and nothing else
		return auth.Refuse(auth.ErrCredentials, policyReasons[policy.Error])
	}
	return nil
}

func policyOf(result *goldap.SimpleBindResult) *goldap.ControlBeheraPasswordPolicy {
	if result == nil {
		return nil
	}
	control := goldap.FindControl(result.Controls, goldap.ControlTypeBeheraPasswordPolicy)
	policy, _ := control.(*goldap.ControlBeheraPasswordPolicy)
	return policy
}
