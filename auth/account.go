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
	// Name says where the rule stands, for the record: "kpopd.hcl:12".
	Name string
	// When reports whether the rule is about this identity. nil: always.
	When func(Identity, Peer) (bool, error)
	// Maildrop is the name of the identity's maildrop.
	Maildrop func(Identity, Peer) (string, error)
	// AllowAuthzid reports whether the identity may act as id.Authzid,
	// somebody else. nil: no.
	AllowAuthzid func(id Identity, p Peer) (bool, error)
	// AllowAuthzidFrom is where it may do so from. Zero: nowhere.
	AllowAuthzidFrom Networks
	// Terms are on what terms the rule gives a maildrop. They mean nothing here
	// and go into the Grant.
	Terms any
}

// Accounts are rules, of which the first that matches decides.
type Accounts []Account

// A Grant is what the rules give somebody.
type Grant struct {
	Maildrop string
	// Rule is the name of the rule that decided about the one who was proven.
	// "": none, the maildrop is that of a name.
	Rule string
	// Terms are those of the rule that gave the maildrop. nil: none did.
	Terms any
	// Recipient is whose mail alone may be seen of the maildrop, and Host whose
	// account it is, where that is asked for; see [Identity]. Host is empty
	// where the login is not of SDPS.
	Recipient, Host string
	// Impersonates: the identity acts as its Authzid, who is somebody else.
	Impersonates bool
}

// A Step is what one rule said of somebody.
type Step struct {
	Rule    int    // its index; len of the rules: what holds where none matches
	User    string // of whom: the one who was proven, or his authzid
	Matches bool
	// Maildrop is the name that it gave. With an Err nobody has it.
	Maildrop string
	// Err is why it does not match, where there is more to say than that when
	// is false, or why it refuses.
	Err error
}

// Maildrop returns the name of the maildrop that id may open, as Decide does.
func (a Accounts) Maildrop(id Identity, p Peer) (string, error) {
	g, err := a.Decide(id, p, nil)
	return g.Maildrop, err
}

// Decide returns what id may have. An error wraps [ErrDenied], or
// [ErrUnavailable] where a rule could not be evaluated. trace, unless it is
// nil, is told what each rule that was asked said.
//
// Where no rule matches, the maildrop of a ticket is the only component of a
// principal in the keytab's own realm, and that of a password its user; for a
// foreign principal, or one of several components such as alice/admin, there
// is none (reason "no-account-rule").
//
// An authzid is granted without further ado when it is the user, the
// principal or that maildrop, byte for byte: a rule with maildrop lower(user)
// lets Alice ask for "Alice" and "alice", but not for "ALICE". Any other is
// granted only by AllowAuthzid of the rule that gave id its own maildrop, and
// only from its AllowAuthzidFrom (reason "authzid-network"); then
// the rules are asked again for the maildrop of an identity whose user is that name, without
// a principal, realm or attributes, as if that user had shown a password.
func (a Accounts) Decide(id Identity, p Peer, trace func(Step)) (Grant, error) {
	if trace == nil {
		trace = func(Step) {}
	}
	if !isName(id.User, maxMaildrop) {
		return Grant{}, Refuse(ErrDenied, "malformed-user")
	}
	name, rule, err := a.resolve(id, p, trace)
	if err != nil || isOwn(id, name) {
		return Grant{Maildrop: name, Rule: rule.Name, Terms: rule.Terms}, err
	}
	if err := rule.impersonates(id, p); err != nil {
		return Grant{Rule: rule.Name}, err
	}
	other := Identity{User: id.Authzid, Recipient: id.Recipient, Mechanism: id.Mechanism, Source: id.Source}
	name, gave, err := a.resolve(other, p, trace)
	return Grant{Maildrop: name, Rule: rule.Name, Terms: gave.Terms, Impersonates: true}, err
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
func (a Accounts) resolve(id Identity, p Peer, trace func(Step)) (string, Account, error) {
	for i, rule := range a {
		name, ok, why := rule.apply(id, p)
		if !ok && (why == nil || errors.Is(why, ErrUnknown)) {
			trace(Step{Rule: i, User: id.User, Err: why})
			continue
		}
		if why != nil {
			why = ruleError(i, why)
		} else {
			why = checkMaildrop(name)
		}
		trace(Step{Rule: i, User: id.User, Matches: ok, Maildrop: name, Err: why})
		return kept(name, why), rule, why
	}
	var err error
	if !isLocal(id) {
		err = Refuse(ErrDenied, "no-account-rule")
	} else {
		err = checkMaildrop(id.User)
	}
	name := kept(id.User, err)
	trace(Step{Rule: len(a), User: id.User, Matches: err == nil, Maildrop: name, Err: err})
	return name, Account{}, err
}

// kept is name, or nothing where there is an error.
func kept(name string, err error) string {
	if err != nil {
		return ""
	}
	return name
}

// apply returns the rule's maildrop for id, and whether the rule matches. An
// error that wraps ErrUnknown is why it does not.
func (r Account) apply(id Identity, p Peer) (name string, ok bool, err error) {
	ok = true
	if r.When != nil {
		ok, err = r.When(id, p)
	}
	if ok && err == nil {
		name, err = r.Maildrop(id, p)
	}
	if err != nil {
		return "", ok && !errors.Is(err, ErrUnknown), err
	}
	return name, ok, nil
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
	if !r.AllowAuthzidFrom.Contain(p) {
		return Refuse(ErrDenied, "authzid-network")
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
func checkMaildrop(name string) error {
	switch {
	case name == "":
		return Refuse(ErrDenied, "no-maildrop")
	case !isName(name, maxMaildrop):
		return Refuse(ErrDenied, "malformed-maildrop")
	}
	return nil
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
