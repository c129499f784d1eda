package ldap

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
)

// maxValue bounds a value that rules see.
const maxValue = 4096

// Attributes that are asked for whatever the configuration says.
var always = []string{"memberOf", "primaryGroupID", "objectSid", "userAccountControl", "accountExpires", "nsAccountLock", "pwdAccountLockedTime"}

// Lookup implements [auth.Directory]: the lookup filter finds the entry of id,
// whose attributes and groups join. An identity without an entry is
// [auth.ErrUnknown]; an entry that may not log in is [auth.ErrDenied], and so
// is one that the filter finds under a name spelled too differently: it might
// be disabled.
func (d *Directory) Lookup(ctx context.Context, id auth.Identity) (auth.Identity, error) {
	if d.c.LookupFilter == nil {
		return auth.Identity{}, auth.ErrUnknown
	}
	e, err := d.find(ctx, d.c.LookupFilter, id)
	if err == errSpelling || err == nil && !isPlain(id) {
		err = auth.Refuse(auth.ErrDenied, "other-spelling")
	}
	if err != nil {
		return auth.Identity{}, err
	}
	return d.join(ctx, id, e) // under the name that was proven
}

// isPlain reports whether SASLprep (RFC 4013) leaves the names that were proven
// as they are. Else a directory may take one for another's: whoever proved
// "al\u00adice" to an issuer is not alice.
func isPlain(id auth.Identity) bool {
	for _, name := range []string{id.User, id.Attrs["principal"]} {
		if prepared, _ := auth.Prepare(name); prepared != name {
			return false
		}
	}
	return true
}

// An entry is what the directory holds of somebody.
type entry struct {
	dn     string
	user   string // how the directory spells the login name
	attrs  map[string]string
	reason string        // why it may not log in; "": it may
	raw    *goldap.Entry // nil: nobody could read it
}

// join returns id, who has been proven, with what the entry adds. Its groups
// are looked at only here, so that nobody learns from the time that it takes
// whether there is an entry.
func (d *Directory) join(ctx context.Context, id auth.Identity, e entry) (auth.Identity, error) {
	if err := e.denied(); err != nil {
		return auth.Identity{}, err
	}
	if e.raw != nil {
		more, err := d.complete(ctx, e.raw)
		if err != nil {
			return auth.Identity{}, err
		}
		if more {
			e.attrs = d.attributes(e.raw)
		}
	}
	groups, err := d.groups(ctx, e)
	if err != nil {
		return auth.Identity{}, err
	}
	id.Groups = slices.Concat(id.Groups, groups)
	id.Attrs = maps.Clone(id.Attrs)
	if id.Attrs == nil {
		id.Attrs = map[string]string{}
	}
	maps.Copy(id.Attrs, e.attrs)
	return id, nil
}

func (e entry) denied() error {
	if e.reason == "" {
		return nil
	}
	return auth.Refuse(auth.ErrDenied, e.reason)
}

// find searches for the one entry of id.
func (d *Directory) find(ctx context.Context, t Template, id auth.Identity) (entry, error) {
	q, err := newQuery(t, id)
	if err != nil {
		return entry{}, templateFault(err)
	}
	return d.search(ctx, d.c.BaseDN, goldap.ScopeWholeSubtree, q, id)
}

// templateFault is an error of a template: the name's, if it says so.
func templateFault(err error) error {
	if errors.Is(err, auth.ErrUnknown) || errors.Is(err, auth.ErrDenied) {
		return err
	}
	return unavailable(err, "template-failed")
}

// errSpelling means that there is an entry, of a name that may be another.
var errSpelling = auth.Refuse(auth.ErrUnknown, "other-spelling")

// search returns the entry that a query finds. None is [auth.ErrUnknown], and
// so is one whose name is spelled too differently. Several prove nothing.
func (d *Directory) search(ctx context.Context, base string, scope int, q query, id auth.Identity) (entry, error) {
	var result *goldap.SearchResult
	err := d.on(ctx, searching, func(c *goldap.Conn) (err error) {
		// Two, to see that there is only one (RFC 4511 §4.5.1.4).
		result, err = c.Search(goldap.NewSearchRequest(base, scope, goldap.NeverDerefAliases,
			2, d.seconds(), false, q.filter, d.wanted(q), nil))
		return err
	})
	switch {
	case goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) || err == nil && len(result.Entries) > 1:
		return entry{}, auth.Refuse(auth.ErrCredentials, "ambiguous-user")
	case scope == goldap.ScopeBaseObject && goldap.IsErrorAnyOf(err, goldap.LDAPResultNoSuchObject, goldap.LDAPResultInsufficientAccessRights):
		return entry{}, auth.ErrUnknown
	case err != nil && isAnswer(err): // a base that is not there is the administrator's mistake
		return entry{}, unavailable(err, "directory-answer")
	case err != nil:
		return entry{}, err
	case len(result.Entries) == 0 || result.Entries[0].DN == "": // RFC 4513 §5.1.1: to bind as nobody is no proof
		return entry{}, auth.ErrUnknown
	}
	return d.read(result.Entries[0], q, id)
}

// seconds is the timeout as a search states it (RFC 4511 §4.5.1.5).
func (d *Directory) seconds() int { return max(1, int(d.c.Timeout/time.Second)) }

// wanted are the attributes to ask for.
func (d *Directory) wanted(q query) []string {
	all := slices.Concat(always, d.c.Attributes, q.attrs())
	for _, name := range []string{d.c.DisabledAttribute, q.secret} {
		if name != "" {
			all = append(all, name)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.CompactFunc(all, strings.EqualFold)
}

// read takes what is needed from an entry.
func (d *Directory) read(raw *goldap.Entry, q query, id auth.Identity) (entry, error) {
	user, ok := q.spelling(raw, id.User)
	if !ok || !isText(user) {
		return entry{}, errSpelling
	}
	return entry{raw: raw, dn: raw.DN, user: user, attrs: d.attributes(raw), reason: d.disabled(raw, time.Now())}, nil
}

// attributes are those of an entry that the configuration names.
func (d *Directory) attributes(raw *goldap.Entry) map[string]string {
	attrs := map[string]string{}
	for _, name := range d.c.Attributes {
		values := slices.DeleteFunc(slices.Clone(raw.GetEqualFoldAttributeValues(name)), func(v string) bool { return !isText(v) })
		if len(values) > 0 {
			attrs[name] = slices.Min(values)
		}
	}
	return attrs
}

// Bits and values of Active Directory (MS-ADTS §2.2.16, §2.2.17): the account
// is disabled; it expires never. Its times count from 1601.
const (
	accountDisable = 1 << 1
	neverExpires   = 1<<63 - 1
	fileTimeEpoch  = 11644473600 // seconds before Unix's
)

// disabled returns why an entry may not log in.
func (d *Directory) disabled(e *goldap.Entry, now time.Time) string {
	yes := func(attr string) bool {
		return attr != "" && slices.ContainsFunc(e.GetEqualFoldAttributeValues(attr), func(v string) bool { return strings.EqualFold(v, "TRUE") })
	}
	first := func(attr string) string {
		if v := e.GetEqualFoldAttributeValues(attr); len(v) > 0 {
			return v[0]
		}
		return ""
	}
	control, _ := strconv.ParseInt(first("userAccountControl"), 10, 64)
	expires, _ := strconv.ParseInt(first("accountExpires"), 10, 64)
	switch {
	case control&accountDisable != 0 || yes("nsAccountLock") || yes(d.c.DisabledAttribute):
		return "account-disabled"
	case expires > 0 && expires != neverExpires && expires/1e7-fileTimeEpoch <= now.Unix():
		return "account-expired"
	case first("pwdAccountLockedTime") == "000001010000Z": // draft-behera §5.3.3: until somebody unlocks it
		return "account-locked"
	}
	return ""
}

// isText reports whether a value may be shown to rules and in logs.
func isText(s string) bool {
	return len(s) <= maxValue && utf8.ValidString(s) && !strings.ContainsFunc(s, isControl)
}

func isControl(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) }
