package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kpopd/config"
)

// FuzzLoad looks for texts that panic, or whose diagnostics do.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.hcl")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "example.hcl") {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		// By paragraphs: the fuzzer spends its time on making long texts short.
		for part := range strings.SplitSeq(string(text), "\n\n") {
			f.Add([]byte(part))
		}
	}
	f.Add([]byte(minimal))
	f.Add([]byte("a = [[[[[[\n"))
	f.Add([]byte("password = <<X\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			t.Skip() // TestHugeFiles is about size
		}
		file, diags := config.Parse("fuzz.hcl", text)
		if (file == nil) != diags.HasErrors() {
			t.Fatalf("File is nil: %t, errors: %v", file == nil, diags)
		}
		var b strings.Builder
		if err := diags.WriteText(&b, 60, false); err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(b.String()) {
			t.Errorf("no UTF-8: %q", &b)
		}
		if file == nil {
			return
		}
		for i := range file.Accounts { // whatever was loaded can be evaluated
			if file.Accounts[i].Match(alice) == nil {
				checkMaildropName(t, &file.Accounts[i], alice)
			}
		}
	})
}

// FuzzMaildropName looks for facts that lead out of the root, or whose slashes
// become the name's.
func FuzzMaildropName(f *testing.F) {
	for _, s := range []string{"alice", "..", "a/../b", "/", "a\x00b", "\xff", "e\u0301", "a@b@..", "%2e%2e", "\uE000", "a.b/c"} {
		f.Add(s, s, s)
	}
	rules := []string{`user`, `"x/${lower(user)}"`, `"${domain}/${user}"`, `attr.mailbox`, `replace(user, "@", "/")`,
		`join("/", split(".", user))`, `user == domain ? "same/${user}" : "x/${basename(domain)}"`}
	var accounts []*config.Account
	for _, r := range rules {
		accounts = append(accounts, account(f, "maildrop = "+r))
	}
	f.Fuzz(func(t *testing.T, user, domain, mailbox string) {
		facts := config.Facts{User: user, Domain: domain, Attr: map[string]string{"mailbox": mailbox}}
		for i, a := range accounts {
			name := checkMaildropName(t, a, facts)
			slashes := strings.Count(name, "/")
			switch i {
			case 0, 3:
				if slashes != 0 {
					t.Errorf("%s made %q of %+v", rules[i], name, facts)
				}
			case 1, 2, 6:
				if name != "" && slashes != 1 {
					t.Errorf("%s made %q of %+v", rules[i], name, facts)
				}
			}
		}
	})
}

// checkMaildropName returns the name that a gives, after checking that it
// stays where it should; "" if there is none.
func checkMaildropName(t *testing.T, a *config.Account, facts config.Facts) string {
	t.Helper()
	name, err := a.MaildropName(facts)
	if err != nil {
		return ""
	}
	if !filepath.IsLocal(name) || filepath.Clean(name) != name || name == "." || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, unicode.IsControl) || len(name) > 1024 {
		t.Errorf("%q is the name for %+v", name, facts)
	}
	m := mailStore()
	rel, err := m.RelPath(name)
	if err != nil && !errors.Is(err, config.ErrName) || err == nil && rel != name+"/Maildir" {
		t.Errorf("%q is the path of %q, %v", rel, name, err)
	}
	return name
}

var mailStore = func() func() *config.Maildrop {
	f, _ := config.Parse("x.hcl", []byte(minimal))
	return func() *config.Maildrop { return &f.Maildrop }
}()
