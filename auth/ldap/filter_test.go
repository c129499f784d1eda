package ldap

import (
	"errors"
	"slices"
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
)

// userTemplate has ${user} in it.
func userTemplate(text string) Template {
	return func(id auth.Identity, escape func(string) string) (string, error) {
		return strings.ReplaceAll(text, "${user}", escape(id.User)), nil
	}
}

// hostile are names that were meant to be syntax.
var hostile = []string{
	"alice", "*", "a)(uid=*", "a)(|(uid=*", `\2a`, "alice\x00", "\x00", "../x", "CN=x,DC=y", "a+b=c", "#616c", " a ", `a\`, `a"b`, "a;b",
	"<a>", "=", "a=b", "\xff", "j\u00fcrgen", "ju\u0308rgen", "\r\n", "CORP\\alice", "alice@corp", "a,b", "o'brien (test)*", "\\", "\\,", ",",
}

// shapeOf is a filter without its values.
func shapeOf(p *ber.Packet) string {
	if len(p.Children) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(goldap.FilterMap[uint64(p.Tag)])
	if p.Tag == goldap.FilterEqualityMatch {
		return b.String() + p.Children[0].Data.String()
	}
	for _, child := range p.Children {
		b.WriteString("(" + shapeOf(child) + ")")
	}
	return b.String()
}

func checkFilter(t *testing.T, user string) {
	const text = "(&(objectClass=person)(|(uid=${user})(mail=${user}@example.test)))"
	q, err := newQuery(userTemplate(text), auth.Identity{User: user})
	if err != nil {
		t.Fatalf("%q: %v", user, err)
	}
	packet, err := goldap.CompileFilter(q.filter)
	if err != nil {
		t.Fatalf("%q: %q: %v", user, q.filter, err)
	}
	plain, _ := goldap.CompileFilter(strings.ReplaceAll(text, "${user}", "x"))
	if shapeOf(packet) != shapeOf(plain) {
		t.Errorf("%q: the filter is %q", user, q.filter)
	}
	if strings.Contains(user, mark) {
		return
	}
	if len(q.computed) != 2 || q.computed[0] != (assertion{"uid", user}) || q.computed[1] != (assertion{"mail", user + "@example.test"}) {
		t.Errorf("%q: assertions %q", user, q.computed)
	}
}

func TestFilterShape(t *testing.T) {
	for _, user := range hostile {
		checkFilter(t, user)
	}
}

func FuzzFilter(f *testing.F) {
	for _, user := range hostile {
		f.Add(user)
	}
	f.Fuzz(checkFilter)
}

func checkBindName(t *testing.T, user string) {
	id := auth.Identity{User: user}
	for text, want := range map[string]int{"uid=${user},ou=people,dc=test": 3, "cn=x ${user} y+sn=a,dc=test": 2, "uid=${user}": 1} {
		name, err := newBindName(userTemplate(text), id)
		if errors.Is(err, errShape) {
			continue
		}
		if err != nil {
			t.Fatalf("%q: %v", user, err)
		}
		dn, err := goldap.ParseDN(name.text)
		if err != nil || len(dn.RDNs) != want || !name.dn {
			t.Errorf("%q: %q, %v", user, name.text, err)
		}
	}
	for _, text := range []string{"${user}@corp.example", `CORP\${user}`} {
		name, err := newBindName(userTemplate(text), id)
		if err == nil && (strings.Count(name.text, "@")+strings.Count(name.text, `\`) != 1 || name.dn) {
			t.Errorf("%q: %q", user, name.text)
		}
		if err != nil && !errors.Is(err, errShape) {
			t.Errorf("%q: %v", user, err)
		}
	}
}

func TestBindName(t *testing.T) {
	for _, user := range hostile {
		checkBindName(t, user)
	}
	for _, c := range []struct{ text, user, want string }{
		{"uid=${user},dc=test", "alice", "uid=alice,dc=test"},
		{"uid=${user},dc=test", "a,dc=x", `uid=a\,dc=x,dc=test`},
		{"uid=${user},dc=test", " #a ", `uid=\ #a\ ,dc=test`},
		{"${user}@corp.example", "alice", "alice@corp.example"},
		{`CORP\${user}`, "alice", `CORP\alice`},
		{`CORP\${user}`, `OTHER\alice`, ""},
		{"${user}@corp.example", "alice@other.example", ""},
		{"${user}@corp.example", "cn=alice", ""},
	} {
		name, err := newBindName(userTemplate(c.text), auth.Identity{User: c.user})
		if c.want == "" && !errors.Is(err, errShape) || c.want != "" && (err != nil || name.text != c.want) {
			t.Errorf("%s for %q: %q, %v", c.text, c.user, name.text, err)
		}
	}
}

func FuzzBindName(f *testing.F) {
	for _, user := range hostile {
		f.Add(user)
	}
	f.Fuzz(checkBindName)
}

func TestNoFilter(t *testing.T) {
	for _, text := range []string{"", "uid=${user}", "(uid=${user}", "(uid=${user}))", "((uid=${user}))(x=y)"} {
		if _, err := newQuery(userTemplate(text), auth.Identity{User: "alice"}); err == nil {
			t.Errorf("%q is a filter", text)
		}
	}
}

func TestSpelling(t *testing.T) {
	e := &goldap.Entry{DN: "cn=x", Attributes: []*goldap.EntryAttribute{
		{Name: "uid", Values: []string{"Alice"}},
		{Name: "MAIL", Values: []string{"alice@Example.test", "a.able@example.test"}},
	}}
	const both = "(|(uid=${user})(mail=${user}))"
	for _, c := range []struct {
		text, user, want string
		ok               bool
	}{
		{both, "Alice", "Alice", true},
		{both, "ALICE", "Alice", true},
		{both, "a.able@EXAMPLE.test", "a.able@example.test", true},
		{"(mail=${user}@example.test)", "ALICE", "ALICE", true}, // the name itself is nowhere
		{"(uid=${user}*)", "al", "al", true},                    // nothing to compare
		{both, "alice ", "alice ", false},
		{both, "bob", "bob", false},
		{"(&(uid=${user})(!(mail=${user})))", "alice", "Alice", true},
		{"(!(uid=${user}))", "bob", "bob", true},
	} {
		q, err := newQuery(userTemplate(c.text), auth.Identity{User: c.user})
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := q.spelling(e, c.user); got != c.want || ok != c.ok {
			t.Errorf("%s, %q: %q, %v, want %q, %v", c.text, c.user, got, ok, c.want, c.ok)
		}
	}
}

func FuzzDirectoryCode(f *testing.F) {
	f.Add("80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 52e, v1db1\x00")
	f.Add("AcceptSecurityContext error, data ,")
	f.Add("AcceptSecurityContext error, data 775")
	f.Fuzz(func(t *testing.T, diagnostic string) {
		if code := directoryCode(diagnostic); len(code) > 8 || strings.Trim(code, "0123456789abcdef") != "" {
			t.Errorf("%q", code)
		}
	})
}

// A group that is named like a SID is none of a ticket's, and one that is named
// like another's DN is not that.
func TestGroupNamesOtherKind(t *testing.T) {
	for _, dn := range []string{"CN=S-1-5-21-1-2-3-512,OU=groups,DC=test", "cn=s-1-5-32-544,dc=test",
		`cn=cn\=admins\,ou\=groups\,dc\=test,ou=selfmade,dc=test`} {
		if got := groupNames(dn); !slices.Equal(got, []string{dn}) {
			t.Errorf("%s: %q", dn, got)
		}
	}
}

func FuzzGroupNames(f *testing.F) {
	for _, dn := range []string{"cn=pop-users,ou=groups,dc=test", `cn=a\,b,dc=test`, "cn=#0401ff", "", "x", "cn=a+sn=b,dc=test", "cn="} {
		f.Add(dn)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		for _, name := range groupNames(dn) {
			if !isText(name) {
				t.Errorf("%q: %q", dn, name)
			}
		}
	})
}
