package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Facts are what is known about a client when it logs in: the variables of
// expressions, under the same names in lower case. What does not apply is
// empty.
type Facts struct {
	User      string // the name that was proven
	Domain    string // what follows the last '@' of the user
	Principal string // of a ticket, with its realm
	Realm     string // of a ticket
	Mechanism string // how the proof was made: "USER", "PLAIN", "GSSAPI", "KPOP" …
	Listener  string // the listener's name
	Address   string // the client's IP address
	LocalUser string // what auth_to_local makes of the principal; local_user
	SDPSUser  string // whose mail alone is asked for by a login of SDPS
	SDPSHost  string // whose account that is
	Groups    []string
	Attr      map[string]string // what the directory entry has
}

// ErrFact means that a fact that a rule uses cannot be judged by it: it is no
// UTF-8, not in Unicode's normal form C, or longer than 4096 octets.
// Expressions compare text in that form, in which two names could become one.
var ErrFact = errors.New("config: a name is not normal text and no rule can judge it")

// ErrNoMatch means that an expression has no value for these facts, because
// the entry lacks an attr or a regex does not match, or that a condition is
// false.
var ErrNoMatch = errors.New("config: no value for this client")

// A noMatch is why. It is an ErrNoMatch.
type noMatch string

func (n noMatch) Error() string        { return string(n) }
func (n noMatch) Is(target error) bool { return target == ErrNoMatch }

const (
	errFalse   noMatch = "it is false"
	errNoRegex noMatch = "a regex does not match"
)

// lacks returns an ErrNoMatch if e uses what these facts do not have.
func (e *Expression) lacks(f Facts) error {
	for _, key := range e.attrs {
		if _, ok := f.Attr[key]; !ok {
			return noMatch("there is no attr." + key)
		}
	}
	if f.LocalUser == "" && slices.Contains(e.names, "local_user") {
		return noMatch("there is no local name")
	}
	return nil
}

const maxFact = 4096

// The variables of each kind of expression.
var (
	loginVariables  = []string{"user", "domain", "principal", "realm", "mechanism", "listener", "address", "sdps_user", "sdps_host", "local_user", "groups", "attr"}
	textVariables   = loginVariables[:10] // all but groups and attr
	bindVariables   = loginVariables[:2]  // before anything is proven
	filterVariables = loginVariables[:4]  // the same for a filter: without a ticket the last two are empty
	lookupVariables = loginVariables[:5]  // the entry is not known yet, nor where the client is
	pathVariables   = []string{"maildrop"}
)

// variables returns the variables that e uses, each text through edit.
func (e *Expression) variables(f Facts, edit func(string) string) (*hcl.EvalContext, error) {
	if err := e.lacks(f); err != nil {
		return nil, err
	}
	vars := make(map[string]cty.Value, len(e.names))
	for _, name := range e.names {
		v, err := f.variable(name, e.attrs, edit)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, name)
		}
		vars[name] = v
	}
	return &hcl.EvalContext{Variables: vars, Functions: e.funcs}, nil
}

func (f *Facts) variable(name string, attrs []string, edit func(string) string) (cty.Value, error) {
	switch name {
	case "groups":
		return groups(f.Groups, edit), nil
	case "attr":
		m := make(map[string]cty.Value, len(attrs))
		for _, key := range attrs {
			v, err := fact(f.Attr[key], edit)
			if err != nil {
				return cty.NilVal, err
			}
			m[key] = v
		}
		return cty.ObjectVal(m), nil
	}
	return fact(f.text(name), edit)
}

func (f *Facts) text(name string) string {
	switch name {
	case "user":
		return f.User
	case "domain":
		return f.Domain
	case "principal":
		return f.Principal
	case "realm":
		return f.Realm
	case "mechanism":
		return f.Mechanism
	case "listener":
		return f.Listener
	case "address":
		return f.Address
	case "local_user":
		return f.LocalUser
	case "sdps_user":
		return f.SDPSUser
	case "sdps_host":
		return f.SDPSHost
	}
	panic("config: no such variable: " + name)
}

func fact(s string, edit func(string) string) (cty.Value, error) {
	if len(s) > maxFact || !utf8.ValidString(s) || cty.NormalizeString(s) != s {
		return cty.NilVal, ErrFact
	}
	return cty.StringVal(edit(s)), nil
}

// groups leaves out what is no text: no rule can name it.
func groups(names []string, edit func(string) string) cty.Value {
	var all []cty.Value
	for _, g := range names {
		if v, err := fact(g, edit); err == nil {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	return cty.ListVal(all)
}

func asIs(s string) string { return s }

// unknowns are the variables while a file is loaded: of known type only.
func unknowns(names, attrs []string) map[string]cty.Value {
	text := cty.UnknownVal(cty.String).RefineNotNull()
	vars := map[string]cty.Value{}
	for _, name := range names {
		switch name {
		case "groups":
			vars[name] = cty.UnknownVal(cty.List(cty.String)).RefineNotNull()
		case "attr":
			m := map[string]cty.Value{}
			for _, key := range attrs {
				m[key] = text
			}
			vars[name] = cty.ObjectVal(m)
		default:
			vars[name] = text
		}
	}
	return vars
}

// hasAny reports whether any text that an expression can see holds one of these
// characters.
func (f *Facts) hasAny(chars string) bool {
	for _, name := range textVariables {
		if strings.ContainsAny(f.text(name), chars) {
			return true
		}
	}
	for _, g := range f.Groups {
		if strings.ContainsAny(g, chars) {
			return true
		}
	}
	for _, v := range f.Attr {
		if strings.ContainsAny(v, chars) {
			return true
		}
	}
	return false
}
