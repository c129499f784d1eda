package localname_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kpopd/auth/krb5"
	"kpopd/auth/localname"
	"kpopd/testenv"
)

// A name is a principal as its components, and as MIT parses it.
type name struct {
	components []string
	realm      string
}

func (n name) String() string {
	escape := strings.NewReplacer(`\`, `\\`, "/", `\/`, "@", `\@`)
	parts := make([]string, len(n.components))
	for i, c := range n.components {
		parts[i] = escape.Replace(c)
	}
	return strings.Join(parts, "/") + "@" + n.realm
}

func of(realm string, components ...string) name { return name{components, realm} }

var all = []name{
	of("EXAMPLE.TEST", "alice"), of("EXAMPLE.TEST", "Alice"), of("PARTNER.TEST", "alice"), of("PARTNER.TEST", "a"),
	of("EXAMPLE.TEST", "alice", "admin"), of("EXAMPLE.TEST", "alice", "EXAMPLE.TEST"), of("PARTNER.TEST", "alice", "EXAMPLE.TEST"),
	of("PARTNER.TEST", "alice", "PARTNER.TEST"), of("EXAMPLE.TEST", "a", "b", "c"), of("EXAMPLE.TEST", "host", "x.example.test"),
	of("EXAMPLE.TEST", "bob@partner.test"), of("EXAMPLE.TEST", "a/b"), of("EXAMPLE.TEST", `a\b`), of("EXAMPLE.TEST", "aaa-bbb-aaa"),
	of("EXAMPLE.TEST", "jürgen"), of("EXAMPLE.TEST", "x.y_z"), of("EXAMPLE.TEST", "s/x/y/g"), of("EXAMPLE.TEST", "a b"), of("EXAMPLE.TEST", "$1]"),
	of("example.test", "alice"), of("XEXAMPLE.TEST", "alice"), of("EXAMPLEXTEST", "alice"),
}

// The rules of each line are asked in order. All are ones that MIT takes too.
var ruleSets = [][]string{
	{},
	{"DEFAULT"},
	{`RULE:[1:$1@$0](.*@PARTNER\.TEST)s/@.*//`, "DEFAULT"},
	{`RULE:[1:$1@$0](.*@EXAMPLE.TEST)s/@.*//`},
	{`RULE:[1:$1@$0](alice@)`}, // has to match all of it
	{`RULE:[1:$1](ali|alice)`}, // the longest
	{`RULE:[1:$1](b*)s/x/y/`, "DEFAULT"},
	{`RULE:[2:$1;$2](^.*;admin$)s/;admin$//`, `RULE:[2:$2]`, `RULE:[3:$3$2$1$0]`},
	{`RULE:[2:$1.$2@$0]s/\./-/g`, "DEFAULT"},
	{`RULE:s/a/x/`}, {`RULE:s/a/x/g`}, {`RULE:s/^a/x/g`}, {`RULE:s/a$/x/g`}, {`RULE:s/a*/x/`}, {`RULE:s/(a|b)+/x/gs/-/+/`},
	{`RULE:s/a/x/ s/x/y/s/y/z/g`}, {`RULE:[1:$1]s/a/\1&/g`}, {`RULE:[1:$1]s/a//g`}, {`RULE:[1:$1]s/.*//`, "DEFAULT"},
	{`RULE:[1:$1]s/[[:upper:]]/u/gs/[^]a-c]/n/gs/[]]/b/`}, {`RULE:[1:$1](x[\.]y_z)s/[\_]/-/`}, {`RULE:[1:$1]s/[\]/B/g`},
	{`RULE:[1:$1](j.rgen)`, `RULE:[1:$1](j..rgen)s/../J/`}, {`RULE:[1:$1]s/[^a-z]/?/g`},
	{`RULE:[1:$1](a{3}-b{1,}-a{2,3})s/a{2}/x/g`},
	{`RULE:[1:x$1y]`}, {`RULE:[1:literal]`, "DEFAULT"}, {`RULE:[1:]`, "DEFAULT"}, {`RULE:[1:$1$1$0]`},
	{`RULE:`}, {`RULE:()`}, {`RULE:[1:$1]()`, "DEFAULT"}, {`RULE:[1:$1](a b)s/ /_/`},
}

// conf is a krb5.conf with the rules.
func conf(rules []string, names map[string]string) string {
	var b strings.Builder
	b.WriteString("# comment\n[libdefaults]\n  default_realm = EXAMPLE.TEST\n[realms]\n  EXAMPLE.TEST = {\n    kdc = 127.0.0.1:1\n")
	for _, r := range rules {
		fmt.Fprintf(&b, "    auth_to_local = %s\n", r)
	}
	if names != nil {
		b.WriteString("    auth_to_local_names = {\n")
		for from, to := range names {
			fmt.Fprintf(&b, "      %s = %s\n", from, to)
		}
		b.WriteString("    }\n")
	}
	return b.String() + "  }\n  PARTNER.TEST = {\n    auth_to_local = RULE:[1:wrong]\n  }\n"
}

// TestAgainstMIT compares with libkrb5, which reads the very file that the rules
// are read from here.
func TestAgainstMIT(t *testing.T) {
	program := testenv.Aname(t)
	var asked []string
	for _, n := range all {
		asked = append(asked, n.String())
	}
	for i, rules := range ruleSets {
		path := filepath.Join(t.TempDir(), "krb5.conf")
		compare := func(names map[string]string, differs func(n name, mit string) (string, bool)) []string {
			if err := os.WriteFile(path, []byte(conf(rules, names)), 0o600); err != nil {
				t.Fatal(err)
			}
			want := testenv.LocalNames(t, program, path, asked)
			r := read(t, path)
			for j, n := range all {
				got := "-"
				if local, ok := r.Local(n.components, n.realm); ok {
					got = "=" + local
				}
				mit := want[j]
				if other, ok := differs(n, mit); ok {
					mit = other
				}
				if got != mit {
					t.Errorf("%d %q with %d names: %s is %q, to MIT %q", i, rules, len(names), n, got, want[j])
				}
			}
			return want
		}
		nobodys := func(_ name, mit string) (string, bool) { return "-", mit == "=" } // an empty name is nobody's here
		plain := compare(nil, nobodys)
		compare(map[string]string{"alice": "al", "alice/admin": "root", "bob@partner.test": "bob"}, func(n name, mit string) (string, bool) {
			if n.realm == "EXAMPLE.TEST" {
				return nobodys(n, mit)
			}
			mit = plain[slices.IndexFunc(all, func(o name) bool { return o.String() == n.String() })]
			if mit == "=" {
				mit = "-"
			}
			return mit, true // to MIT it is the name of a foreigner, too
		})
	}
}

// read takes the rules of the default realm from a file.
func read(t *testing.T, path string) *localname.Rules {
	t.Helper()
	p, err := krb5.LoadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &localname.Rules{Home: []string{p.DefaultRealm}, Names: p.LocalNames[p.DefaultRealm]}
	rules := p.LocalRules[p.DefaultRealm]
	if len(rules) == 0 {
		rules = []string{"DEFAULT"}
	}
	for _, text := range rules {
		if err := r.Add(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return r
}

// What cannot work, or would not mean what it says, is an error at once.
func TestBadRules(t *testing.T) {
	for _, text := range []string{
		"", "default", "DEFAULT:x", "DB:/etc/aname", "RULE", "RULE:[", "RULE:[1", "RULE:[1:", "RULE:[1:$1", "RULE:[:$1]", "RULE:[0:$0]",
		"RULE:[-1:x]", "RULE:[+1:x]", "RULE:[1:$2]", "RULE:[1:$]", "RULE:[1:$x]", "RULE:[1:$999999999999]", "RULE:[1:$1](", "RULE:[1:$1](a",
		"RULE:[1:$1](a)x", "RULE:[1:$1](a))", "RULE:[1:$1]((a))", "RULE:[1:$1]s", "RULE:[1:$1]s/a/b", "RULE:[1:$1]s/a/b/i", "RULE:[1:$1]s|a|b|",
		`RULE:[1:$1]s/\(a\)/\1/x`, `RULE:[1:$1]s/(a)\1/b/`, `RULE:[1:$1](\w*)`, `RULE:[1:$1](\d)`, `RULE:[1:$1](\<a\>)`, `RULE:[1:$1](a\`,
		`RULE:[1:$1](a[)`, `RULE:[1:$1]([[:nosuch:]])`, `RULE:[1:$1](a{)`, `RULE:[1:$1](a{x})`, `RULE:[1:$1](*)`,
		"RULE:[1:$1]s/a*/b/g", "RULE:[1:$1]s/^/b/g", "RULE:[1:$1]s/$/b/g", "RULE:[1:$1]s///g", "RULE:" + strings.Repeat("s/a/b/", 200),
	} {
		var r localname.Rules
		if err := r.Add(text); err == nil {
			t.Errorf("%q is a rule", text)
		}
	}
}

// Nobody of another realm has a local name that no rule gives.
func TestForeign(t *testing.T) {
	r := localname.Rules{Home: []string{"EXAMPLE.TEST"}, Names: map[string]string{"alice": "root"}}
	if err := r.Add("DEFAULT"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []name{of("PARTNER.TEST", "alice"), of("", "alice"), of("example.test", "alice"), of("EXAMPLE.TEST"), of("PARTNER.TEST", "alice", "EXAMPLE.TEST")} {
		if local, ok := r.Local(n.components, n.realm); ok {
			t.Errorf("%v is %q", n, local)
		}
	}
}

// A name cannot grow without a bound.
func TestGrowth(t *testing.T) {
	var r localname.Rules
	text := "RULE:[1:$1]" + strings.Repeat("s/a/"+strings.Repeat("a", 60)+"/g", 15)
	if err := r.Add(text); err != nil {
		t.Fatal(err)
	}
	if local, ok := r.Local([]string{strings.Repeat("a", 60)}, "EXAMPLE.TEST"); ok {
		t.Errorf("a name of %d octets", len(local))
	}
}

func FuzzRule(f *testing.F) {
	for _, rules := range ruleSets {
		for _, r := range rules {
			f.Add(r, "alice", "EXAMPLE.TEST")
		}
	}
	f.Fuzz(func(t *testing.T, text, component, realm string) {
		r := localname.Rules{Home: []string{"EXAMPLE.TEST"}}
		if r.Add(text) != nil {
			return
		}
		local, ok := r.Local([]string{component}, realm)
		if ok && (local == "" || len(local) > 4096) {
			t.Errorf("a name of %d octets", len(local))
		}
	})
}
