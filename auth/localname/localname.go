// Package localname turns Kerberos principals into local names by MIT's rules,
// as auth_to_local in krb5.conf(5) has them.
//
// A rule is DEFAULT, or RULE:[n:string](regexp)s/regexp/text/g, in which all
// but the first part may be absent. Its meaning is that of libkrb5, where the
// manual leaves something open, with these differences:
//
//   - What libkrb5 finds out when a name comes by, such as a broken regular
//     expression, is an error when the rule is read.
//   - auth_to_local_names is about principals of the server's own realm only; to
//     libkrb5, alice of any realm is meant.
//   - A name that is empty is none.
//   - Back references, and what GNU's regular expressions have beyond POSIX's,
//     are refused.
//   - A substitution for all matches of an expression that matches nothing at
//     all would never end, and is refused.
package localname

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds on what is read.
const (
	maxRule  = 1024
	maxRules = 100
	maxName  = 4096 // of a principal, and of what a rule makes of it
)

// Rules translate principals. The first that applies decides.
type Rules struct {
	// Home are the server's own realms, of which DEFAULT is about.
	Home []string
	// Names are exceptions that come before all rules: local names by the
	// principal without its realm, for principals of a home realm.
	Names map[string]string

	rules []rule
}

// A rule returns the local name of a principal, false where it does not apply.
type rule func(r *Rules, components []string, realm string) (string, bool)

// Add adds a rule behind the others.
func (r *Rules) Add(text string) error {
	text = strings.TrimSpace(text)
	switch {
	case len(r.rules) >= maxRules:
		return fmt.Errorf("there are more than %d rules", maxRules)
	case len(text) > maxRule:
		return fmt.Errorf("the rule is longer than %d octets", maxRule)
	case text == "DEFAULT":
		r.rules = append(r.rules, byDefault)
		return nil
	}
	rest, ok := strings.CutPrefix(text, "RULE:")
	if !ok {
		return errors.New("a rule begins with RULE: or is DEFAULT")
	}
	one, err := parse(rest)
	if err == nil {
		r.rules = append(r.rules, one)
	}
	return err
}

// Local returns the local name of a principal, false where no rule gives one.
func (r *Rules) Local(components []string, realm string) (string, bool) {
	if len(realm)+len(strings.Join(components, "/")) > maxName {
		return "", false
	}
	if len(r.Names) > 0 && r.isHome(realm) {
		if name, ok := r.Names[unparse(components)]; ok {
			return name, name != ""
		}
	}
	for _, one := range r.rules {
		if name, ok := one(r, components, realm); ok {
			return name, name != "" && len(name) <= maxName
		}
	}
	return "", false
}

func (r *Rules) isHome(realm string) bool {
	for _, home := range r.Home {
		if home == realm {
			return true
		}
	}
	return false
}

// byDefault is DEFAULT: the only component of a principal at home, or the first
// of two where the second is the realm again.
func byDefault(r *Rules, components []string, realm string) (string, bool) {
	if !r.isHome(realm) || len(components) == 0 || len(components) > 2 || len(components) == 2 && components[1] != realm {
		return "", false
	}
	return components[0], true
}

// unparse is a principal without its realm, as libkrb5 prints one: the '@' of a
// component needs no backslash then.
func unparse(components []string) string {
	escaped := make([]string, len(components))
	for i, c := range components {
		escaped[i] = escape.Replace(c)
	}
	return strings.Join(escaped, "/")
}

var escape = strings.NewReplacer(`\`, `\\`, "/", `\/`, "\n", `\n`, "\t", `\t`, "\b", `\b`, "\x00", `\0`)
