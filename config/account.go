package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// An Account is a rule that says whose maildrop is which. The first rule that
// matches decides. It is safe for concurrent use.
type Account struct {
	Place

	// when is a condition. Default: always.
	when *Expression
	// maildrop is the maildrop's name. Required.
	maildrop *Expression
	// reserved is what a fact may not bring into the name: what separates its
	// components, and the name from a folder's.
	reserved string
	// allowAuthzid is whom else the client may act as, which needs an audit
	// block. Default: nobody.
	allowAuthzid *Expression
	// AllowAuthzidFrom are where it may do so from. Required with
	// allow_authzid: nobody acts as another from everywhere by accident.
	AllowAuthzidFrom []Origin
	// LoginDelay is how long after a login to the maildrop the next one is
	// refused (RFC 2449 §6.5), at most 24h. Default: 0, it is not.
	LoginDelay time.Duration
	// Deletion is what becomes of messages that QUIT removes. Default:
	// DeletionRemove.
	Deletion Deletion
	// Quarantine is for how many days they are kept at least with
	// DeletionQuarantine. Default: 14.
	Quarantine int
	// Quota is how many octets of mail the maildrop may hold, 1MiB to 65536GiB,
	// when mail is delivered to it here, and QuotaMessages how many messages.
	// Default: 0, no bound.
	Quota         int64
	QuotaMessages int
	// MarkSeen: messages that were retrieved have the flag \Seen for IMAP after
	// QUIT. Default: false.
	MarkSeen bool
}

// A Deletion says what becomes of deleted messages.
type Deletion string

// The values of Deletion.
const (
	DeletionRemove     Deletion = "remove"     // nothing is left of them
	DeletionHide       Deletion = "hide"       // they stay, for IMAP, and are not shown again
	DeletionQuarantine Deletion = "quarantine" // they can be restored for a while
)

// ErrName means that an expression made something that is not acceptable as
// the name of a maildrop.
var ErrName = errors.New("config: not acceptable as a maildrop's name")

const (
	maxComponent = 255 // what a directory entry may have
	maxName      = 1024
)

func (f *File) readAccount(d *decoder, b *hclsyntax.Block) {
	a := Account{Deletion: DeletionRemove, Quarantine: 14}
	a.Place = d.block(b, schema{what: "account", fields: []field{
		may("when", expression(&a.when, loginVariables, isCondition)),
		must("maildrop", expression(&a.maildrop, loginVariables, isText)),
		may("allow_authzid", expression(&a.allowAuthzid, loginVariables, isPermission)),
		may("allow_authzid_from", value(list(&a.AllowAuthzidFrom, origin))),
		may("deletion", value(oneOf(&a.Deletion, DeletionRemove, DeletionHide, DeletionQuarantine))),
		may("quarantine", value(days(&a.Quarantine, false))),
		may("quota", value(size(&a.Quota, 1<<20, 1<<46))),
		may("quota_messages", value(number(&a.QuotaMessages, 1, 1_000_000_000))),
		may("mark_seen", value(boolean(&a.MarkSeen))),
		may("login_delay", value(duration(&a.LoginDelay, time.Second, 24*time.Hour, ""))),
	}})
	d.checkImpersonation(a.Place)
	if a.has("quarantine") && a.Deletion != DeletionQuarantine {
		d.errorf(a.At("quarantine"), "Argument without effect", "It is for deletion = \"quarantine\".")
	}
	f.Accounts = append(f.Accounts, a)
}

// checkImpersonation checks that who may act as another is told where from.
func (d *decoder) checkImpersonation(p Place) {
	switch whom, from := p.has("allow_authzid"), p.has("allow_authzid_from"); {
	case whom && !from:
		d.errorf(p.At("allow_authzid"), "Impersonation from everywhere", "Who has the password of this account could open the maildrops of others from anywhere. "+
			"Add allow_authzid_from, the networks that it works in, such as [\"192.0.2.0/24\", \"unix\"]; [\"0.0.0.0/0\", \"::/0\"] are all.")
	case from && !whom:
		d.errorf(p.At("allow_authzid_from"), "Argument without effect", "The rule lets nobody act as somebody else: there is no allow_authzid.")
	}
}

// LoginDelays returns the delays of all maildrops that the rules can give, that
// of the rule which holds where none matches among them.
func (f *File) LoginDelays() (all []time.Duration) {
	for i := range f.Accounts {
		a := &f.Accounts[i]
		if a.keepsOut() {
			continue
		}
		all = append(all, a.LoginDelay)
		if a.when == nil && a.always() {
			return all
		}
	}
	return append(all, 0)
}

// keepsOut reports whether the rule gives no maildrop to anybody.
func (a *Account) keepsOut() bool {
	v, diags := a.maildrop.expr.Value(&hcl.EvalContext{Variables: unknowns(a.maildrop.names, a.maildrop.attrs), Functions: a.maildrop.funcs})
	return !diags.HasErrors() && v.IsKnown() && !v.IsNull() && v.Type() == cty.String && v.AsString() == ""
}

// always reports whether the rule's maildrop can be told of everybody.
func (a *Account) always() bool {
	return len(a.maildrop.attrs) == 0 && !slices.Contains(a.maildrop.names, "local_user") && !callsRegex(a.maildrop.expr)
}

func callsRegex(expr hclsyntax.Expression) bool {
	return slices.ContainsFunc(callsIn(expr), func(c *hclsyntax.FunctionCallExpr) bool { return c.Name == "regex" })
}

// Match returns nil if the rule is for a client with these facts. It is not,
// and [ErrNoMatch] says why, if when is false, or if the entry lacks an attr
// that the rule uses, whether or not its value would make a difference, or if a
// regex in when or maildrop does not match. On any other error nobody may be
// let in.
func (a *Account) Match(f Facts) error {
	for _, e := range []*Expression{a.maildrop, a.when} {
		if e == nil {
			continue
		}
		if err := e.lacks(f); err != nil {
			return err
		}
	}
	if a.when != nil {
		if err := a.when.holds(f); err != nil {
			return err
		}
	}
	if _, err := a.maildrop.value(f, asIs); errors.Is(err, ErrNoMatch) {
		return err
	}
	return nil // MaildropName reports the other errors
}

// holds returns nil if a condition is true, and an [ErrNoMatch] if it is not.
func (e *Expression) holds(f Facts) error {
	v, err := e.value(f, asIs)
	if err != nil {
		return err
	}
	yes, err := asBool(v, e.expr)
	if !yes && err == nil {
		err = errFalse
	}
	return err
}

// MaildropName returns the maildrop's name: components of at most 255 octets,
// separated by slashes. Every slash comes from the configuration, and every
// folder_separator; a result with one that a fact brought in is refused, as are
// ".", "..", an empty component, control characters and text that is no normal
// UTF-8: [ErrName].
func (a *Account) MaildropName(f Facts) (string, error) {
	ctx, err := a.maildrop.variables(f, asIs)
	if err != nil {
		return "", err
	}
	var hidden *hcl.EvalContext
	if f.hasAny(a.reserved) {
		if hidden, err = a.maildrop.variables(f, hide(a.reserved)); err != nil {
			return "", err
		}
	}
	name, err := render(a.maildrop.expr, ctx, func(part hclsyntax.Expression) (string, error) {
		return a.evaluateName(part, ctx, hidden)
	})
	if err != nil {
		return "", err
	}
	return name, checkName(name)
}

// hide returns what replaces the reserved characters of a text by something that
// nothing else means.
func hide(reserved string) func(string) string {
	return func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(reserved, r) {
				return '\uE000'
			}
			return r
		}, s)
	}
}

// evaluateName evaluates a part of a name with the facts as they are and, if
// there is anything reserved in them, once more without it. What is reserved in
// the first result and not in the second is not the configuration's.
func (a *Account) evaluateName(part hclsyntax.Expression, ctx, hidden *hcl.EvalContext) (string, error) {
	s, err := evaluateText(part, ctx)
	if err != nil || hidden == nil {
		return s, err
	}
	other, err := evaluateText(part, hidden)
	for _, r := range a.reserved {
		if err != nil || strings.Count(s, string(r)) > strings.Count(other, string(r)) {
			return "", fmt.Errorf("%w: a %q in a value", ErrName, r)
		}
	}
	return s, nil
}

// checkName checks the rules of [Account.MaildropName] that need no facts.
func checkName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("%w: too long", ErrName)
	}
	// The normal form, because two names of one path would be two locks.
	if !utf8.ValidString(name) || cty.NormalizeString(name) != name || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%w: not printable text", ErrName)
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return fmt.Errorf("%w: a component that is empty, \".\" or \"..\"", ErrName)
		case len(part) > maxComponent:
			return fmt.Errorf("%w: too long", ErrName)
		}
	}
	return nil
}

// OfRecipient reports whether the maildrop's name is made of sdps_user: then the
// maildrop is his alone.
func (a *Account) OfRecipient() bool { return slices.Contains(a.maildrop.names, "sdps_user") }

// AllowAuthzid reports whether the rule lets a client with these facts, for
// whom it matches, act as authzid. allow_authzid is true, which allows every
// name, or a name or a list of names, compared octet for octet. Without it, or
// if the entry lacks an attr or a regex does not match, the answer is no.
//
// That the client may act as itself is none of this rule's business.
func (a *Account) AllowAuthzid(f Facts, authzid string) (bool, error) {
	if a.allowAuthzid == nil {
		return false, nil
	}
	v, err := a.allowAuthzid.value(f, asIs)
	switch {
	case errors.Is(err, ErrNoMatch):
		return false, nil
	case err != nil:
		return false, err
	}
	return permits(v, authzid), nil
}

func permits(v cty.Value, authzid string) bool {
	switch t := v.Type(); {
	case v.IsNull() || !v.IsKnown():
		return false
	case t == cty.Bool:
		return v.True()
	case t == cty.String:
		return v.AsString() == authzid
	case t.IsListType() || t.IsSetType() || t.IsTupleType():
		for _, e := range v.AsValueSlice() {
			if e.Type() == cty.String && permits(e, authzid) {
				return true
			}
		}
	}
	return false
}

func isPermission(t cty.Type) *complaint {
	names := t == cty.String || t == cty.List(cty.String) || t == cty.Set(cty.String)
	if t.IsTupleType() {
		names = true
		for _, e := range t.TupleElementTypes() {
			names = names && (e == cty.String || e == cty.DynamicPseudoType)
		}
	}
	if t != cty.Bool && !names {
		return complain("The result must be true, false, a name or a list of names, not a %s.", t.FriendlyName())
	}
	return nil
}

// checkRecorded checks that what is done in another's name will be recorded.
func (d *decoder) checkRecorded(f *File) {
	for i := range f.Accounts {
		if a := &f.Accounts[i]; a.has("allow_authzid") && f.Audit == nil {
			d.errorf(a.At("allow_authzid"), "Impersonation without a record", "Who acts as another is always recorded. Add an audit block with a file.")
		}
	}
}

// defaultRule is the only rule where none is written. A principal of another
// realm, or of several components, has a user that is the whole principal.
const defaultRule = `realm == "" || principal == "${user}@${realm}"`

// impliedAccounts adds the rules that nobody has to write.
func (d *decoder) impliedAccounts(f *File, header Range) {
	switch {
	case f.Kerberos.translates():
		at := f.Kerberos.At("auth_to_local_file")
		if f.Kerberos.AuthToLocal != nil {
			at = f.Kerberos.At("auth_to_local")
		}
		f.Accounts = append(f.Accounts, implied(at, `principal == "" && realm == ""`, "user"), implied(at, "true", "local_user"), implied(at, "true", `""`))
	case len(f.Accounts) == 0:
		f.Accounts = []Account{implied(header, defaultRule, "user")}
	}
	if separator := f.Maildrop.FolderSeparator; separator != "" {
		// Who has no rule has the maildrop of his name, but no folder of another's:
		// this rule makes nothing but errors.
		when := fmt.Sprintf("replace(user, %q, \"\") != user", separator)
		f.Accounts = append(f.Accounts, implied(f.Maildrop.At("folder_separator"), when, "user"))
	}
	for i := range f.Accounts {
		f.Accounts[i].reserved = "/" + f.Maildrop.FolderSeparator
	}
}

func implied(at Range, when, maildrop string) Account {
	d := &decoder{outside: newOutside()}
	parse := func(text string) *Expression {
		expr, diags := hclsyntax.ParseExpression([]byte(text), "default account", hcl.Pos{Line: 1, Column: 1})
		e := d.check(expr, loginVariables)
		if diags.HasErrors() || e == nil {
			panic("config: the default rule is wrong: " + diags.Error())
		}
		return e
	}
	return Account{Place: Place{Header: at}, when: parse(when), maildrop: parse(maildrop)}
}

// checkLocalUser checks that rules which use local_user can match.
func (d *decoder) checkLocalUser(f *File) {
	if f.Kerberos.translates() {
		return
	}
	for i := range f.Accounts {
		a := &f.Accounts[i]
		for name, e := range map[string]*Expression{"when": a.when, "maildrop": a.maildrop, "allow_authzid": a.allowAuthzid} {
			if e != nil && slices.Contains(e.names, "local_user") {
				d.errorf(a.At(name), "No local names", "local_user needs auth_to_local or auth_to_local_file in a kerberos block.")
			}
		}
	}
}
