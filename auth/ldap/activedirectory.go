package ldap

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// Names of Active Directory (MS-ADTS §3.1.1.3.2.9, §3.1.1.3.4.4.3).
const (
	isActiveDirectory = "1.2.840.113556.1.4.800"  // among supportedCapabilities
	inChain           = "1.2.840.113556.1.4.1941" // the rule that follows a link to its end
)

// groupPage is how many groups are asked for at a time; Active Directory gives
// no more than 1,000 (MaxPageSize).
const groupPage = 200

// A root is what a directory's root entry says of it (RFC 4512 §5.1).
type root struct {
	chains bool   // it knows the rule inChain
	base   string // below which all groups are
}

// rootLife is how long a root is believed.
const rootLife = time.Hour

// A rootCache keeps a directory's root.
type rootCache struct {
	mu    sync.Mutex
	root  root
	until time.Time
}

// root returns what the directory is. All of its servers are taken for the
// same.
func (d *Directory) root(ctx context.Context) (root, error) {
	d.rootEntry.mu.Lock()
	known, until := d.rootEntry.root, d.rootEntry.until
	d.rootEntry.mu.Unlock()
	if time.Now().Before(until) {
		return known, nil
	}
	r, err := d.readRoot(ctx)
	if err != nil {
		return root{}, err
	}
	d.rootEntry.mu.Lock()
	defer d.rootEntry.mu.Unlock()
	d.rootEntry.root, d.rootEntry.until = r, time.Now().Add(rootLife)
	return r, nil
}

func (d *Directory) readRoot(ctx context.Context) (root, error) {
	var result *goldap.SearchResult
	err := d.on(ctx, searching, func(c *goldap.Conn) (err error) {
		result, err = c.Search(goldap.NewSearchRequest("", goldap.ScopeBaseObject, goldap.NeverDerefAliases,
			1, d.seconds(), false, "(objectClass=*)", []string{"supportedCapabilities", "defaultNamingContext"}, nil))
		return err
	})
	if err != nil && isAnswer(err) || err == nil && len(result.Entries) == 0 { // it tells nobody
		return root{}, nil
	}
	if err != nil {
		return root{}, err
	}
	return rootOf(result.Entries[0], d.globalCatalogue()), nil
}

// rootOf reads a root entry. A global catalogue holds the whole forest, whose
// domains have nothing in common but the empty name.
func rootOf(e *goldap.Entry, catalogue bool) root {
	base := e.GetEqualFoldAttributeValue("defaultNamingContext")
	for _, capability := range e.GetEqualFoldAttributeValues("supportedCapabilities") {
		if capability == isActiveDirectory && base != "" {
			if catalogue {
				base = ""
			}
			return root{chains: true, base: base}
		}
	}
	return root{}
}

// globalCatalogue reports whether the servers are asked as global catalogues.
func (d *Directory) globalCatalogue() bool {
	for _, s := range d.known() {
		if strings.HasSuffix(s.address, ":3268") || strings.HasSuffix(s.address, ":3269") {
			return true
		}
	}
	return false
}

// chained returns the groups that an entry is in, by itself or by others, and
// those of its primary group: Active Directory finds them in one search.
func (d *Directory) chained(ctx context.Context, base, dn, primary string) ([]string, error) {
	member := "(member:" + inChain + ":=%s)"
	terms := fmt.Sprintf(member, goldap.EscapeFilter(dn))
	if primary != "" {
		terms += "(objectSid=" + primary + ")" + fmt.Sprintf(member, "<SID="+primary+">")
	}
	var groups []string
	err := d.on(ctx, searching, func(c *goldap.Conn) (err error) {
		groups, err = d.pages(c, base, "(&(objectClass=group)(|"+terms+"))")
		return err
	})
	switch {
	case err != nil && isAnswer(err):
		return nil, unavailable(err, "directory-answer")
	case err != nil:
		return nil, err
	case len(groups) > maxGroups:
		return nil, unavailable(fmt.Errorf("%s: %w", dn, errTooManyGroups), "too-many-groups")
	}
	return groups, nil
}

// pages searches by pages (RFC 2696) and returns the names of the entries, or
// of more than are good.
func (d *Directory) pages(c *goldap.Conn, base, filter string) ([]string, error) {
	page := goldap.NewControlPaging(groupPage)
	var names []string
	for {
		result, err := c.Search(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases,
			0, d.seconds(), false, filter, []string{"1.1"}, []goldap.Control{page}))
		if err != nil {
			return nil, err
		}
		for _, e := range result.Entries {
			names = append(names, e.DN)
		}
		next, _ := goldap.FindControl(result.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging)
		if next == nil || len(next.Cookie) == 0 || len(names) > maxGroups {
			return names, nil
		}
		page.SetCookie(next.Cookie)
	}
}

// primaryGroup returns the SID of the group that an entry of Active Directory
// is in without being a member: its own SID with another last number
// (MS-ADTS §3.1.1.1.9). "": there is none.
func primaryGroup(e *goldap.Entry) string {
	id := e.GetEqualFoldAttributeValue("primaryGroupID")
	rid, err := strconv.ParseUint(id, 10, 32)
	domain := domainOf(e.GetEqualFoldRawAttributeValue("objectSid"))
	if err != nil || domain == "" {
		return ""
	}
	return domain + "-" + strconv.FormatUint(rid, 10)
}

// domainOf returns a SID (MS-DTYP §2.4.2.2) as text, without its last number;
// "" if it is none.
func domainOf(sid []byte) string {
	const head, maxSub = 8, 15
	if len(sid) < head || sid[0] != 1 || sid[1] < 2 || sid[1] > maxSub || len(sid) != head+4*int(sid[1]) {
		return ""
	}
	var authority uint64
	for _, b := range sid[2:head] {
		authority = authority<<8 | uint64(b)
	}
	text := "S-1-" + strconv.FormatUint(authority, 10)
	for sub := sid[head : len(sid)-4]; len(sub) > 0; sub = sub[4:] {
		text += "-" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32(sub)), 10)
	}
	return text
}
