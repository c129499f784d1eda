package ldap

import (
	"errors"
	"fmt"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
)

// A Template renders a text for somebody, such as a filter. What it computes
// from the identity goes through escape, each value whole; everything else is
// the administrator's. An error that wraps [auth.ErrUnknown] says that there is
// no such text for this identity, one that wraps [auth.ErrDenied] that it is not
// to be let in.
type Template func(id auth.Identity, escape func(string) string) (string, error)

// mark follows each value of a marked filter. No name holds a NUL.
const mark = "\x00\x00"

// An assertion is an attribute and the value that an entry must have, one that
// was computed from the login.
type assertion struct{ attr, value string }

// A query is a filter that was rendered for somebody.
type query struct {
	filter   string
	computed []assertion // equality only
	secret   string      // the attribute with secrets, if they are needed
}

// errNoFilter means that a template makes what is not a filter.
var errNoFilter = errors.New("is no filter")

// wellFormed finds a base that is no DN, and filters that are none for people
// like any other, before anybody logs in.
func (c *Config) wellFormed() error {
	if _, err := goldap.ParseDN(c.BaseDN); err != nil {
		return fmt.Errorf("the base %q is no DN: %w", c.BaseDN, err)
	}
	user := auth.Identity{User: "alice"}
	ticket := auth.Identity{User: "alice", Attrs: map[string]string{"principal": "alice@EXAMPLE.COM", "realm": "EXAMPLE.COM"}}
	for _, id := range []auth.Identity{user, ticket} {
		for _, t := range []Template{c.Filter, c.LookupFilter} {
			if t == nil {
				continue
			}
			if _, err := newQuery(t, id); errors.Is(err, errNoFilter) {
				return err
			}
		}
	}
	return nil
}

// newQuery renders a filter (RFC 4515 §3), and takes it apart to see where in
// it the values went.
func newQuery(t Template, id auth.Identity) (query, error) {
	text, err := t(id, goldap.EscapeFilter)
	if err != nil {
		return query{}, err
	}
	if _, err := goldap.CompileFilter(text); err != nil {
		return query{}, fmt.Errorf("%s %w: %w", text, errNoFilter, err)
	}
	marked, err := t(id, func(s string) string { return goldap.EscapeFilter(s + mark) })
	if err != nil {
		return query{}, err
	}
	packet, err := goldap.CompileFilter(marked)
	if err != nil {
		return query{}, fmt.Errorf("%s %w: %w", text, errNoFilter, err)
	}
	return query{filter: text, computed: assertions(packet, nil)}, nil
}

// assertions collects the equality matches with a mark, which it removes. Those
// within a negation say what an entry has not.
func assertions(p *ber.Packet, all []assertion) []assertion {
	switch p.Tag {
	case goldap.FilterAnd, goldap.FilterOr:
		for _, child := range p.Children {
			all = assertions(child, all)
		}
	case goldap.FilterEqualityMatch:
		if len(p.Children) != 2 {
			break
		}
		attr, value := p.Children[0].Data.String(), p.Children[1].Data.String()
		if strings.Contains(value, mark) {
			all = append(all, assertion{attr, strings.ReplaceAll(value, mark, "")})
		}
	}
	return all
}

// attrs are the attributes that are needed to see which assertion was true.
func (q query) attrs() []string {
	var all []string
	for _, a := range q.computed {
		all = append(all, a.attr)
	}
	return all
}

// spelling returns how the entry spells the login name user, and whether the
// entry is one of that name at all. A directory compares names without regard
// to case and to spaces, and finds " Alice" as "alice" (RFC 4518 §2); account
// rules compare octets. So the name is from here on the directory's, and one
// that differs by more than case is nobody's.
func (q query) spelling(e *goldap.Entry, user string) (string, bool) {
	found := len(q.computed) == 0 // by substrings: nothing can be compared
	for _, a := range q.computed {
		for _, v := range e.GetEqualFoldAttributeValues(a.attr) {
			switch {
			case fold(v) != fold(a.value):
			case fold(a.value) == fold(user):
				return v, true
			default:
				found = true
			}
		}
	}
	return user, found
}

// fold makes the spellings equal that are one name by SASLprep (RFC 4013) and
// but for case. The dotted capital I keeps its dot, which Go takes off.
func fold(s string) string {
	prepared, _ := auth.Prepare(s)
	return strings.ToLower(strings.ReplaceAll(prepared, "\u0130", "i\u0307"))
}

// errShape means that a name would change what a template says.
var errShape = errors.New("the name is not acceptable in the template")

// A bindName is a name to bind as.
type bindName struct {
	text     string
	dn       bool
	computed []assertion // of a DN
}

// newBindName renders a template of a name to bind as: a DN, where what it
// says by itself has an equals sign, else a user principal name or
// DOMAIN\user.
func newBindName(t Template, id auth.Identity) (bindName, error) {
	shape, err := t(id, func(string) string { return "x" })
	if err != nil {
		return bindName{}, err
	}
	if !strings.Contains(shape, "=") {
		text, err := plainName(t, id)
		return bindName{text: text}, err
	}
	text, err := t(id, goldap.EscapeDN)
	if err != nil {
		return bindName{}, err
	}
	marked, err := t(id, func(s string) string { return goldap.EscapeDN(s + mark) })
	if err != nil {
		return bindName{}, err
	}
	if err := sameShape(text, shape); err != nil {
		return bindName{}, err
	}
	parsed, err := goldap.ParseDN(marked)
	if err != nil {
		return bindName{}, errShape
	}
	name := bindName{text: text, dn: true}
	for _, rdn := range parsed.RDNs {
		for _, a := range rdn.Attributes {
			if strings.Contains(a.Value, mark) {
				name.computed = append(name.computed, assertion{a.Type, strings.ReplaceAll(a.Value, mark, "")})
			}
		}
	}
	return name, nil
}

// plainName renders a name that has no syntax but an '@', or a backslash,
// which are the template's to write.
func plainName(t Template, id auth.Identity) (string, error) {
	fits := true
	text, err := t(id, func(s string) string {
		fits = fits && s != "" && !strings.ContainsAny(s, `=,+"\/@<>;`)
		return s
	})
	if err == nil && !fits {
		err = errShape
	}
	return text, err
}

// sameShape reports a difference of two names (RFC 4514) in anything but
// values.
func sameShape(a, b string) error {
	x, err := goldap.ParseDN(a)
	if err != nil {
		return fmt.Errorf("%w: %w", errShape, err)
	}
	y, err := goldap.ParseDN(b)
	if err != nil || len(x.RDNs) != len(y.RDNs) {
		return errShape
	}
	for i := range x.RDNs {
		if len(x.RDNs[i].Attributes) != len(y.RDNs[i].Attributes) {
			return errShape
		}
		for j, attr := range x.RDNs[i].Attributes {
			if attr.Type != y.RDNs[i].Attributes[j].Type {
				return errShape
			}
		}
	}
	return nil
}
