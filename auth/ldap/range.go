package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// maxValues bounds the values of one attribute.
const maxValues = maxGroups

var (
	errTooManyValues = errors.New("too many values of one attribute")
	errRange         = errors.New("another range of values than was asked for")
)

// A span is a range of an attribute's values. Active Directory sends no more
// than 1,500 of them at a time (MaxValRange), and says which in the
// attribute's name (MS-ADTS §3.1.1.3.1.3.3).
type span struct {
	attr string
	low  int
	next int // where the next range begins; 0: there is none
}

// parseSpan takes "memberOf;range=0-1499", or "memberOf;range=1500-*" of the
// last values, apart.
func parseSpan(name string) (s span, ok bool) {
	attr, option, _ := strings.Cut(name, ";")
	const prefix = "range="
	if attr == "" || len(option) < len(prefix) || !strings.EqualFold(option[:len(prefix)], prefix) {
		return span{}, false
	}
	low, high, _ := strings.Cut(option[len(prefix):], "-")
	from, err := strconv.ParseUint(low, 10, 31)
	if err != nil {
		return span{}, false
	}
	s = span{attr: attr, low: int(from)}
	if high == "*" {
		return s, true
	}
	to, err := strconv.ParseUint(high, 10, 30)
	s.next = int(to) + 1
	return s, err == nil && to >= from
}

// complete asks for the values that a server has held back of an entry, and
// gives those attributes their plain names. It reports whether there were any.
func (d *Directory) complete(ctx context.Context, raw *goldap.Entry) (changed bool, err error) {
	for i, a := range raw.Attributes {
		s, ok := parseSpan(a.Name)
		if !ok {
			continue
		}
		values, err := d.rest(ctx, raw.DN, s, a.Values)
		if err != nil {
			return false, err
		}
		raw.Attributes[i], changed = goldap.NewEntryAttribute(s.attr, values), true
	}
	if changed { // the plain name comes as well, without a value
		raw.Attributes = slices.DeleteFunc(raw.Attributes, func(a *goldap.EntryAttribute) bool { return len(a.Values) == 0 })
	}
	return changed, nil
}

// rest returns the values of s and those that follow.
func (d *Directory) rest(ctx context.Context, dn string, s span, first []string) ([]string, error) {
	if s.low != 0 {
		return nil, unavailable(errRange, "directory-answer")
	}
	values := first
	for s.next > 0 {
		if len(values) > maxValues {
			return nil, unavailable(fmt.Errorf("%s: %s: %w", dn, s.attr, errTooManyValues), "too-many-values")
		}
		more, next, err := d.following(ctx, dn, s)
		if err != nil {
			return nil, err
		}
		values, s = slices.Concat(values, more), next
	}
	return values, nil
}

// following returns the values that follow s, and their range.
func (d *Directory) following(ctx context.Context, dn string, s span) ([]string, span, error) {
	raw, err := d.readEntry(ctx, dn, fmt.Sprintf("%s;range=%d-*", s.attr, s.next))
	if err != nil {
		return nil, span{}, err
	}
	for _, a := range raw.Attributes {
		next, ok := parseSpan(a.Name)
		if ok && strings.EqualFold(next.attr, s.attr) && next.low == s.next && len(a.Values) > 0 {
			return a.Values, next, nil
		}
	}
	return nil, span{}, unavailable(fmt.Errorf("%s: %s: %w", dn, s.attr, errRange), "directory-answer")
}

// readEntry reads one attribute of the entry with a name. An entry that is not
// there, that the service may not read, or whose name is none to this directory,
// has none.
func (d *Directory) readEntry(ctx context.Context, dn, attr string) (*goldap.Entry, error) {
	var result *goldap.SearchResult
	err := d.on(ctx, searching, func(c *goldap.Conn) (err error) {
		result, err = c.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases,
			1, d.seconds(), false, "(objectClass=*)", []string{attr}, nil))
		return err
	})
	switch {
	case goldap.IsErrorAnyOf(err, goldap.LDAPResultNoSuchObject, goldap.LDAPResultInsufficientAccessRights, goldap.LDAPResultInvalidDNSyntax) ||
		err == nil && len(result.Entries) == 0:
		return &goldap.Entry{}, nil
	case err != nil && isAnswer(err):
		return nil, unavailable(err, "directory-answer")
	case err != nil:
		return nil, err
	}
	return result.Entries[0], nil
}
