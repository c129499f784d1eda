package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// maxGroups bounds the groups of one person.
const maxGroups = 2048

// errTooManyGroups means that not all groups are known. A rule that keeps a
// group out would not know its members.
var errTooManyGroups = errors.New("too many groups")

// groups returns the names of all groups that an entry is in.
func (d *Directory) groups(ctx context.Context, e entry) ([]string, error) {
	if e.raw == nil {
		return nil, nil
	}
	all, err := d.memberships(ctx, e.raw)
	var names []string
	for _, dn := range all {
		names = append(names, groupNames(dn)...)
	}
	return names, err
}

// memberships returns the DNs of the groups that an entry is in.
func (d *Directory) memberships(ctx context.Context, raw *goldap.Entry) ([]string, error) {
	groups, err := groupsOf(raw)
	if err != nil {
		return nil, err
	}
	primary := primaryGroup(raw)
	if d.c.NestedGroups {
		r, err := d.root(ctx)
		if err != nil {
			return nil, err
		}
		if r.chains {
			above, err := d.chained(ctx, r.base, raw.DN, primary)
			return merge(groups, above), err
		}
	}
	if primary != "" {
		e, err := d.readEntry(ctx, "<SID="+primary+">", "1.1")
		if err != nil {
			return nil, err
		}
		groups = merge(groups, []string{e.DN})
	}
	if d.c.NestedGroups {
		return d.nested(ctx, groups)
	}
	return groups, nil
}

// groupsOf returns the DNs of the groups that memberOf of an entry names.
func groupsOf(raw *goldap.Entry) ([]string, error) {
	groups := raw.GetEqualFoldAttributeValues("memberOf")
	if len(groups) > maxGroups {
		return nil, unavailable(fmt.Errorf("%s: %w", raw.DN, errTooManyGroups), "too-many-groups")
	}
	return groups, nil
}

// merge returns the names of both lists, each once, and none that is empty.
func merge(a, b []string) []string {
	known := map[string]bool{"": true}
	var all []string
	for _, dn := range slices.Concat(a, b) {
		if key := strings.ToLower(dn); !known[key] {
			known[key] = true
			all = append(all, dn)
		}
	}
	return all
}

// nested adds to groups those that the groups themselves are in, and so on.
// Each is read by its DN, once however often it comes, so that a circle has an
// end; a group that is not there, or that the service may not read, is in none.
func (d *Directory) nested(ctx context.Context, groups []string) ([]string, error) {
	for i := 0; i < len(groups); i++ {
		above, err := d.above(ctx, groups[i])
		if err != nil {
			return nil, err
		}
		groups = merge(groups, above)
		if len(groups) > maxGroups {
			return nil, unavailable(errTooManyGroups, "too-many-groups")
		}
	}
	return groups, nil
}

// above returns the groups that a group is in.
func (d *Directory) above(ctx context.Context, dn string) ([]string, error) {
	raw, err := d.readEntry(ctx, dn, "memberOf")
	if err == nil {
		_, err = d.complete(ctx, raw)
	}
	if err != nil {
		return nil, err
	}
	return groupsOf(raw)
}

// groupNames are the names that a rule may call a group by: its whole DN, and
// the value of the DN's first component unless that looks like one of another
// kind.
func groupNames(dn string) []string {
	if !isText(dn) {
		return nil
	}
	parsed, err := goldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 || len(parsed.RDNs[0].Attributes) != 1 {
		return []string{dn}
	}
	name := parsed.RDNs[0].Attributes[0].Value
	// What is named like a SID could be taken for the group of a ticket, and
	// what is named like a DN for another group of this directory.
	if name == "" || !isText(name) || strings.Contains(name, "=") || strings.HasPrefix(strings.ToUpper(name), "S-1-") {
		return []string{dn}
	}
	return []string{dn, name}
}
