package auth

import (
	"errors"
	"fmt"
	"strings"
)

// An Account is a rule that gives identities their maildrop.
//
// An error from any of its functions refuses the login as an outage does,
// except one that wraps [ErrUnknown], which says that the rule does not apply:
// an attribute that it names is missing.
type Account struct {
	// When reports whether the rule is about this identity. nil: always.
	When func(Identity, Peer) (bool, error)
	// Maildrop is the name of the identity's maildrop.
	Maildrop func(Identity, Peer) (string, error)
	// AllowAuthzid reports whether the identity may act as id.Authzid,
	// somebody else. nil: no.
	AllowAuthzid func(id Identity, p Peer) (bool, error)
}

// Accounts are rules, of which the first that matches decides.
type Accounts []Account

// Maildrop returns the name of the maildrop that id may open. An error wraps
// [ErrDenied], or [ErrUnavailable] where a rule could not be evaluated.
//
// Where no rule matches, the maildrop of a ticket is the only component of a
// principal in the keytab's own realm, and that of a password its user; for a
// foreign principal, or one of several components such as alice/admin, there
// is none (reason "no-account-rule").
//
// An authzid is granted without further ado when it is the user, the
// principal or that maildrop, byte for byte: a rule with maildrop lower(user)
// lets Alice ask for "Alice" and "alice", but not for "ALICE". Any other is
// granted only by AllowAuthzid of the rule that gave id its own maildrop; then
// the rules are asked again for the maildrop of an identity whose user is that name, without
// a principal, realm or attributes, as if that user had shown a password.
func (a Accounts) Maildrop(id Identity, p Peer) (string, error) {
	if !isName(id.User, maxMaildrop) {
		return "", Refuse(ErrDenied, "malformed-user")
	}
	name, rule, err := a.resolve(id, p)
	if err != nil || isOwn(id, name) {
		return name, err
	}
	if err := rule.impersonates(id, p); err != nil {
		return "", err
	}
	name, _, err = a.resolve(Identity{User: id.Authzid, Mechanism: id.Mechanism, Source: id.Source}, p)
	return name, err
}

// isOwn reports whether id asks for nothing but itself or its maildrop, name.
func isOwn(id Identity, name string) bool {
	switch id.Authzid {
	case "", id.User, id.Attrs["principal"], name:
		return true
	}
	return false
}

// resolve returns the maildrop of id itself, whatever its Authzid, and the
// rule that gave it.
func (a Accounts) resolve(id Identity, p Peer) (string, Account, error) {
	for i, rule := range a {
		name, ok, err := rule.apply(id, p)
		if err != nil {
			return "", rule, ruleError(i, err)
		}
		if ok {
			return checkMaildrop(name, rule)
		}
	}
	if !isLocal(id) {
		return "", Account{}, Refuse(ErrDenied, "no-account-rule")
	}
	return checkMaildrop(id.User, Account{})
}

// apply returns the rule's maildrop for id, and whether the rule matches.
func (r Account) apply(id Identity, p Peer) (name string, ok bool, err error) {
	ok = true
	if r.When != nil {
		ok, err = r.When(id, p)
	}
	if ok && err == nil {
		name, err = r.Maildrop(id, p)
	}
	if errors.Is(err, ErrUnknown) {
		return "", false, nil
	}
	return name, ok, err
}

// impersonates returns nil if the rule lets id act as its Authzid.
func (r Account) impersonates(id Identity, p Peer) error {
	refused := Refuse(ErrDenied, "authzid-not-allowed")
	if r.AllowAuthzid == nil || !isName(id.Authzid, maxName) {
		return refused
	}
	ok, err := r.AllowAuthzid(id, p)
	if err != nil && !errors.Is(err, ErrUnknown) {
		return Refuse(fmt.Errorf("%w: allow_authzid: %w", ErrUnavailable, err), "account-rule-failed")
	}
	if !ok || err != nil {
		return refused
	}
	return nil
}

// ruleError is err of rule i, as an outage unless it says otherwise.
func ruleError(i int, err error) error {
	if errors.Is(err, ErrDenied) || errors.Is(err, ErrUnavailable) {
		return err
	}
	return Refuse(fmt.Errorf("%w: account rule %d: %w", ErrUnavailable, i+1, err), "account-rule-failed")
}

// checkMaildrop refuses names that no store should be asked for. What a name
// means as a path is the store's business.
func checkMaildrop(name string, rule Account) (string, Account, error) {
	switch {
	case name == "":
		return "", rule, Refuse(ErrDenied, "no-maildrop")
	case !isName(name, maxMaildrop):
		return "", rule, Refuse(ErrDenied, "malformed-maildrop")
	}
	return name, rule, nil
}

// isLocal reports whether id's user is a maildrop without a rule's word: it
// was proven by a password, or by a ticket of one plain component in the
// keytab's own realm. That is checked again here against the principal, so
// that alice/admin, alice@corp@REALM and their escaped spellings are not
// alice by an accident elsewhere.
func isLocal(id Identity) bool {
	principal := id.Attrs["principal"]
	if principal == "" {
		return id.Attrs["realm"] == ""
	}
	return principal == id.User+"@"+id.Attrs["realm"] && !strings.ContainsAny(id.User, `/@\`)
}
