package config_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"kpopd/config"
)

// account returns the one account whose block has this body.
func account(t testing.TB, body string) *config.Account {
	t.Helper()
	return &mustParse(t, minimal+directory+"account {\n"+body+"\n}\naudit {\nfile = \"/audit.log\"\n}\n").Accounts[0]
}

// directory gives the attributes that the rules use.
const directory = `authenticator "ldap" "corp" {
  urls       = ["ldaps://dc.corp.example"]
  base_dn    = "dc=corp,dc=example"
  filter     = "(uid=${user})"
  attributes = ["mailbox", "kind", "missing", "x"]
}
`

var alice = config.Facts{
	User: "Alice", Domain: "corp.example", Principal: "Alice@CORP.EXAMPLE", Realm: "CORP.EXAMPLE",
	Mechanism: "GSSAPI", Listener: "pop3", Address: "192.0.2.7",
	Groups: []string{"staff", "pop-users"}, Attr: map[string]string{"mailbox": "a.liddell", "kind": ""},
}

// matches says whether a rule is for somebody. An error is one that keeps him
// out.
func matches(a *config.Account, f config.Facts) (bool, error) {
	err := a.Match(f)
	if errors.Is(err, config.ErrNoMatch) {
		return false, nil
	}
	return err == nil, err
}

// Why a rule does not match is there for people to read.
func TestMatchSaysWhy(t *testing.T) {
	for body, want := range map[string]string{
		"when = user == \"bob\"\nmaildrop = user":               "it is false",
		"when = attr.missing == \"\"\nmaildrop = user":          "there is no attr.missing",
		"maildrop = attr.missing":                               "there is no attr.missing",
		"when = regex(\"^x\", user) == \"x\"\nmaildrop = user":  "a regex does not match",
		"maildrop = regex(\"^x\", user)":                        "a regex does not match",
		"maildrop = user":                                       "",
		"when = user == \"Alice\"\nmaildrop = lower(user)":      "",
		"when = user == \"Alice\"\nmaildrop = \"${user}/x/..\"": "", // it matches, and lets nobody in
	} {
		err := account(t, body).Match(alice)
		if got := text(err); got != want || err != nil && !errors.Is(err, config.ErrNoMatch) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// The text of a condition is shown as it is written, but for secrets.
func TestSource(t *testing.T) {
	for when, want := range map[string]string{
		`contains(groups, "staff")   &&  user != "x" # why`: `contains(groups, "staff") && user != "x"`,
		"(user == \"a\" ||\n    user == \"b\")":             `(user == "a" || user == "b")`,
		`user == env("HOME", "hunter2")`:                    `***`,
	} {
		f := mustParse(t, minimal+"account {\nwhen = "+when+"\nmaildrop = user\n}\n")
		if got := f.Source(f.Accounts[0].Place, "when"); got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
		if got := f.Source(f.Accounts[0].Place, "allow_authzid"); got != "" {
			t.Errorf("%q of an argument that is absent", got)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		when string
		want bool
	}{
		{`true`, true},
		{`false`, false},
		{`realm == "CORP.EXAMPLE" && contains(groups, "pop-users")`, true},
		{`contains(groups, "admins")`, false},
		{`user == "Alice" && domain == "corp.example" && principal == "Alice@CORP.EXAMPLE"`, true},
		{`mechanism == "GSSAPI" && listener == "pop3" && address == "192.0.2.7"`, true},
		{`lower(user) == "alice" && upper(user) == "ALICE"`, true},
		{`trimsuffix(principal, "@CORP.EXAMPLE") == user`, true},
		{`split("@", principal)[1] == realm`, true},
		{`join("-", ["a", user]) == "a-Alice"`, true},
		{`replace(address, ".", "-") == "192-0-2-7"`, true},
		{`basename("x/${user}") == user && basename("") == "" && basename("a/") == ""`, true},
		{`sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`, true},
		{`regex("^[A-Z]", user) == "A"`, true},
		{`regex("^([a-z]+)$", user)[0] != ""`, false},        // no match
		{`regex("^x", user) == "x" || user == "Bob"`, false}, // no match
		{`regex("(?P<host>.*)@(?P<realm>.*)", principal).realm == realm`, true},
		{`attr.mailbox == "a.liddell" && attr["mailbox"] != ""`, true},
		{`attr.kind == ""`, true},
		{`attr.missing != "x"`, false},
		{`user == "Alice" || attr.missing == "x"`, false}, // lacking it decides
		{`[for g in groups : g if g == "staff"] == ["staff"]`, true},
		{`contains([for g in groups : upper(g)], "STAFF")`, true},
	} {
		got, err := matches(account(t, "when = "+tc.when+"\nmaildrop = user"), alice)
		if err != nil || got != tc.want {
			t.Errorf("%s: %t, %v", tc.when, got, err)
		}
	}
}

func TestMatchesByMaildrop(t *testing.T) {
	for body, want := range map[string]bool{
		`maildrop = attr.mailbox`:                 true,
		`maildrop = attr.missing`:                 false,
		`maildrop = regex("^([a-z]+)$", user)[0]`: false,
		`maildrop = regex("^([A-Z])", user)[0]`:   true,
	} {
		if got, err := matches(account(t, body), alice); err != nil || got != want {
			t.Errorf("%s: %t, %v", body, got, err)
		}
	}
}

// A name that the rules cannot see as it is decides nothing.
func TestUnsuitableFacts(t *testing.T) {
	for what, user := range map[string]string{
		"not UTF-8":        "al\xffce",
		"decomposed":       "re\u0301ne",
		"the Kelvin sign":  "\u212Aate", // normalises to Kate
		"too long":         strings.Repeat("x", 5000),
		"overlong slash":   "a\xc0\xafb",
		"a lone surrogate": "\xed\xa0\x80",
	} {
		a := account(t, `when = user != "root"`+"\nmaildrop = user")
		if ok, err := matches(a, config.Facts{User: user}); ok || !errors.Is(err, config.ErrFact) {
			t.Errorf("%s: matches %t, %v", what, ok, err)
		}
		if name, err := a.MaildropName(config.Facts{User: user}); !errors.Is(err, config.ErrFact) {
			t.Errorf("%s: name %q, %v", what, name, err)
		}
	}
	// Unless no rule looks at it; and a group that is no text is nobody's.
	f := config.Facts{User: "\xff", Groups: []string{"\xff", "staff"}}
	if ok, err := matches(account(t, `when = contains(groups, "staff")`+"\nmaildrop = \"x\""), f); !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestMaildropName(t *testing.T) {
	user := func(s string) config.Facts { return config.Facts{User: s, Attr: map[string]string{"mailbox": s}} }
	for _, tc := range []struct {
		maildrop string
		facts    config.Facts
		want     string // "": refused
	}{
		{`user`, user("alice"), "alice"},
		{`lower(user)`, user("ALICE"), "alice"},
		{`lower(user)`, user("ÄRGER"), "Ärger"}, // only ASCII folds
		{`"partner/${lower(user)}"`, user("Bob"), "partner/bob"},
		{`"partner/${lower(user)}"`, user(""), ""},
		{`"partner/${lower(user)}"`, user(".."), ""},
		{`"partner/${lower(user)}"`, user("."), ""},
		{`"partner/${lower(user)}"`, user("x/../../y"), ""},
		{`"partner/${lower(user)}"`, user("a/b"), ""},
		{`"partner/${user}x"`, user("../"), ""},
		{`user`, user("/etc/passwd"), ""},
		{`user`, user("a/b"), ""},
		{`user`, user("%2e%2e%2f"), "%2e%2e%2f"},
		{`user`, user("${env(\"HOME\")}"), "${env(\"HOME\")}"}, // no value is an expression
		{`user`, user("a\x00b"), ""},
		{`user`, user("a\nb"), ""},
		{`user`, user("a\u0085b"), ""},
		{`user`, user(strings.Repeat("x", 255)), strings.Repeat("x", 255)},
		{`user`, user(strings.Repeat("x", 256)), ""},
		{`attr.mailbox`, user("x/y"), ""},
		{`attr.mailbox`, user("xy"), "xy"},
		{`replace(user, "/", "_")`, user("host/pop"), "host_pop"},
		{`basename(user)`, user("host/pop"), "pop"},
		{`replace(user, "@", "/")`, user("al@corp"), "al/corp"},
		{`replace(user, "@", "/")`, user("al@.."), ""},
		{`replace(user, "@", "/")`, user("@al"), ""},
		{`"${replace(user, "@", "/")}/${user}"`, user("a/b@c"), ""},
		{`join("/", split(".", user))`, user("a.b.c"), "a/b/c"},
		{`join("/", split(".", user))`, user("a...b"), ""},
		{`join("/", split(".", user))`, user("a.b/c"), ""},
		{`user == "a/b" ? "known/ab" : "other"`, user("a/b"), "known/ab"},
		{`contains(["a/b"], user) ? user : "x/y"`, user("a/b"), ""},
		{`contains(["a/b"], user) ? upper(user) : "x/y"`, user("a/b"), ""},
		{`{"a/b" = "x/y"}[user]`, user("a/b"), ""}, // no value without the slash
		{`sha256(user)`, user("a/b"), "c14cddc033f64b9dea80ea675cf280a015e672516090a5626781153dc68fea11"},
		{`"e${user}"`, user("\u0301"), ""}, // would be another normal form
		{`split("@", user)[1]`, user("alice"), ""},
		{`"${5}x"`, user("x"), "5x"},
	} {
		got, err := account(t, "maildrop = "+tc.maildrop).MaildropName(tc.facts)
		if got != tc.want && err == nil || (err == nil) != (tc.want != "") {
			t.Errorf("%s with %q: %q, %v; want %q", tc.maildrop, tc.facts.User, got, err, tc.want)
		}
		if err != nil && tc.facts.User != "" && len(tc.facts.User) > 2 && strings.Contains(err.Error(), tc.facts.User) {
			t.Errorf("the error quotes the client: %v", err)
		}
	}
}

// Every text fact is under the same suspicion, not the user only.
func TestSlashInAnyFact(t *testing.T) {
	for name, f := range map[string]config.Facts{
		"user":      {User: "a/b"},
		"domain":    {Domain: "a/b"},
		"principal": {Principal: "a/b"},
		"realm":     {Realm: "a/b"},
		"mechanism": {Mechanism: "a/b"},
		"listener":  {Listener: "a/b"},
		"address":   {Address: "a/b"},
		"groups[0]": {Groups: []string{"a/b"}},
		"attr.x":    {Attr: map[string]string{"x": "a/b"}},
	} {
		got, err := account(t, "maildrop = \"x/${"+name+"}\"").MaildropName(f)
		if !errors.Is(err, config.ErrName) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestAllowAuthzid(t *testing.T) {
	for body, want := range map[string]bool{
		``:                                          false,
		`allow_authzid = true`:                      true,
		`allow_authzid = false`:                     false,
		`allow_authzid = "bob"`:                     true,
		`allow_authzid = ["eve","bob"]`:             true,
		`allow_authzid = ["Bob"]`:                   false,
		`allow_authzid = []`:                        false,
		`allow_authzid = groups`:                    false,
		`allow_authzid = attr.missing`:              false,
		`allow_authzid = contains(groups, "staff")`: true,
		`allow_authzid = regex("^nobody", user) == "nobody"`:   false,
		`allow_authzid = [for g in ["bob"] : g if user != ""]`: true,
	} {
		from := ""
		if body != "" {
			from = "\nallow_authzid_from = [\"192.0.2.0/24\", \"::ffff:192.0.2.9\", \"unix\"]"
		}
		got, err := account(t, "maildrop = user\n"+body+from).AllowAuthzid(alice, "bob")
		if err != nil || got != want {
			t.Errorf("%s: %t, %v", body, got, err)
		}
	}
}

// Without an account block a name of one part is its maildrop's.
func TestDefaultAccount(t *testing.T) {
	f := mustParse(t, minimal)
	if len(f.Accounts) != 1 {
		t.Fatalf("%d accounts", len(f.Accounts))
	}
	a := &f.Accounts[0]
	for _, tc := range []struct {
		facts config.Facts
		want  bool
	}{
		{config.Facts{User: "alice"}, true},
		{config.Facts{User: "alice", Principal: "alice@CORP.EXAMPLE", Realm: "CORP.EXAMPLE"}, true},
		{config.Facts{User: "alice@OTHER.EXAMPLE", Principal: "alice@OTHER.EXAMPLE", Realm: "OTHER.EXAMPLE"}, false},
		{config.Facts{User: "host/x@CORP.EXAMPLE", Principal: "host/x@CORP.EXAMPLE", Realm: "CORP.EXAMPLE"}, false},
	} {
		if got, err := matches(a, tc.facts); err != nil || got != tc.want {
			t.Errorf("%+v: %t, %v", tc.facts, got, err)
		}
	}
	if name, err := a.MaildropName(config.Facts{User: "alice"}); name != "alice" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	if ok, err := a.AllowAuthzid(alice, "bob"); ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
}

// What env and file read when the file was loaded stays, and nothing else can
// be read later.
func TestOutsideIsReadOnce(t *testing.T) {
	t.Setenv("KPOPD_TEST_NAME", "before")
	a := account(t, `maildrop = env("KPOPD_TEST_NAME")`)
	b := account(t, `maildrop = env("KPOPD_TEST_UNSET", "fallback")`)
	t.Setenv("KPOPD_TEST_NAME", "after")
	t.Setenv("KPOPD_TEST_UNSET", "after")
	if name, err := a.MaildropName(alice); name != "before" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	if name, err := b.MaildropName(alice); name != "fallback" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	a := account(t, `when = regex("^(.)", user)[0] == "A" && env("HOME", "x") != ""`+"\nmaildrop = \"x/${lower(user)}\"")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				ok, err := matches(a, alice)
				name, err2 := a.MaildropName(alice)
				if !ok || err != nil || err2 != nil || name != "x/alice" {
					t.Errorf("%t, %v, %q, %v", ok, err, name, err2)
				}
			}
		})
	}
	wg.Wait()
}

func TestRelPath(t *testing.T) {
	for _, tc := range []struct {
		path, root string
		names      map[string]string
	}{
		{`"/srv/mail/${maildrop}/Maildir"`, "/srv/mail", map[string]string{
			"alice": "alice/Maildir", "partner/bob": "partner/bob/Maildir",
			"": "", "..": "", "a/../b": "", "/a": "", "a/": "", "a//b": "", "a\x00": "", "e\u0301": "", "\xff": "",
		}},
		{`"/var/mail/${maildrop}"`, "/var/mail", map[string]string{"alice": "alice", ".": ""}},
		{`"/m/u-${replace(maildrop, "@", "/")}"`, "", nil}, // "/m/u-" is no directory
		{`"/m/${replace(maildrop, "@", "/")}"`, "/m", map[string]string{"a@b": "a/b", "@": "", "a@..": "", "..@..@etc": ""}},
		{`"/m/${maildrop == "root" ? "/etc" : maildrop}"`, "/m", map[string]string{"root": "", "a": "a"}},
		{`"/m/${maildrop == "root" ? "." : maildrop}"`, "/m", map[string]string{"root": "", "a": "a"}},
		{`"/m/${maildrop == "root" ? "a/./b" : maildrop}"`, "/m", map[string]string{"root": "", "a": "a"}},
	} {
		text := strings.Replace(minimal, `"/srv/mail/${maildrop}/Maildir"`, tc.path, 1)
		f, diags := config.Parse("x.hcl", []byte(text))
		if (tc.root == "") != diags.HasErrors() {
			t.Errorf("%s: %v", tc.path, diags)
		}
		if f == nil {
			continue
		}
		if f.Maildrop.Root != tc.root {
			t.Errorf("%s: root %q", tc.path, f.Maildrop.Root)
		}
		for name, want := range tc.names {
			got, err := f.Maildrop.RelPath(name)
			if want == "" && !errors.Is(err, config.ErrName) || want != "" && (err != nil || got != want) {
				t.Errorf("%s of %q: %q, %v", tc.path, name, got, err)
			}
		}
	}
}
