package ldap

import (
	"context"
	"errors"
	"fmt"
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
	all, err := groupsOf(e.raw)
	if err == nil && d.c.NestedGroups {
		all, err = d.nested(ctx, all)
	}
	var names []string
	for _, dn := range all {
		names = append(names, groupNames(dn)...)
	}
	return names, err
}

// groupsOf returns the DNs of the groups that an entry is in. Active Directory
// gives no more than some of very many, and says so in the attribute's name
// (MS-ADTS §3.1.1.3.1.3.3).
func groupsOf(raw *goldap.Entry) ([]string, error) {
	var groups []string
	for _, a := range raw.Attributes {
		name, option, _ := strings.Cut(strings.ToLower(a.Name), ";")
		if name != "memberof" {
			continue
		}
		if strings.HasPrefix(option, "range=") && !strings.HasSuffix(option, "-*") || len(a.Values) > maxGroups {
			return nil, unavailable(fmt.Errorf("%s: %w", raw.DN, errTooManyGroups), "too-many-groups")
		}
		groups = append(groups, a.Values...)
	}
	return groups, nil
}

// nested adds to groups those that the groups themselves are in, and so on.
// Each is read by its DN, once however often it comes, so that a circle has an
// end; a group that is not there, or that the service may not read, is in none.
func (d *Directory) nested(ctx context.Context, groups []string) ([]string, error) {
	known := map[string]bool{}
	for _, dn := range groups {
		known[strings.ToLower(dn)] = true
	}
	for i := 0; i < len(groups); i++ {
		above, err := d.above(ctx, groups[i])
		if err != nil {
			return nil, err
		}
		for _, dn := range above {
			if key := strings.ToLower(dn); !known[key] {
				known[key] = true
				groups = append(groups, dn)
			}
		}
		if len(groups) > maxGroups {
			return nil, unavailable(errTooManyGroups, "too-many-groups")
		}
	}
	return groups, nil
}

// above returns the groups that a group is in.
func (d *Directory) above(ctx context.Context, dn string) ([]string, error) {
	var result *goldap.SearchResult
	err := d.on(ctx, searching, func(c *goldap.Conn) (err error) {
		result, err = c.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases,
			1, d.seconds(), false, "(objectClass=*)", []string{"memberOf"}, nil))
		return err
	})
	switch {
	case goldap.IsErrorAnyOf(err, goldap.LDAPResultNoSuchObject, goldap.LDAPResultInsufficientAccessRights) || err == nil && len(result.Entries) == 0:
		return nil, nil
	case err != nil && isAnswer(err):
		return nil, unavailable(err, "directory-answer")
	case err != nil:
		return nil, err
	}
	return groupsOf(result.Entries[0])
}

// groupNames are the names that a rule may call a group by: its whole DN, and
// the value of the DN's first component.
func groupNames(dn string) []string {
	if !isText(dn) {
		return nil
	}
	parsed, err := goldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 || len(parsed.RDNs[0].Attributes) != 1 {
		return []string{dn}
	}
	name := parsed.RDNs[0].Attributes[0].Value
	// What is named like a SID could be taken for the group of a ticket.
	if name == "" || !isText(name) || strings.HasPrefix(strings.ToUpper(name), "S-1-") {
		return []string{dn}
	}
	return []string{dn, name}
}
