package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kpopd/auth/krb5"
)

// Two realms at home in one keytab make one user of two people.
func TestCheckSharedNames(t *testing.T) {
	dir := t.TempDir()
	mint, err := krb5.NewMint("ONE.TEST", "pop/localhost", "host/localhost")
	if err != nil {
		t.Fatal(err)
	}
	add := func(service string) {
		t.Helper()
		p, err := krb5.ParsePrincipal(service)
		if err == nil {
			err = mint.AddKey(p, 1, 18)
		}
		if err == nil {
			err = mint.WriteKeytab(filepath.Join(dir, "keytab"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	warned := func(realms string) bool {
		t.Helper()
		path := filepath.Join(dir, "kpopd.hcl")
		text := fmt.Sprintf("hostname = \"localhost\"\nlistener \"kpop\" {\n address = \"127.0.0.1:0\"\n protocol = \"kpop\"\n tls = \"off\"\n}\n"+
			"kerberos {\n keytab = %q\n%s}\nmaildrop \"maildir\" {\n path = \"%s/${maildrop}\"\n}\n", filepath.Join(dir, "keytab"), realms, dir)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, diags bytes.Buffer
		if status := run([]string{"kpopd", "check", "-config", path}, &out, &diags); status != exitOK {
			t.Fatalf("status %d\n%s", status, &diags)
		}
		return strings.Contains(diags.String(), "more than one of ONE.TEST, TWO.TEST is one user") ||
			strings.Contains(diags.String(), "Nobody of the keytab's own realm is let in: ONE.TEST is not in this list")
	}
	add("host/localhost@TWO.TEST")
	if warned("") {
		t.Error("warned of the key of another service")
	}
	if !warned("realms = [\"one.test\", \"TWO.TEST\"]\n") {
		t.Error("not warned of a list without the keytab's realm")
	}
	add("pop/localhost@TWO.TEST")
	if !warned("") {
		t.Error("not warned")
	}
	if warned("realms = [\"TWO.TEST\"]\n") {
		t.Error("warned of a realm that is not let in")
	}
}

// What is wrong with a keytab or a directory is said with what is there instead.
func TestCheckSaysWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	mint, err := krb5.NewMint("ONE.TEST", "pop/localhost", "host/localhost")
	if err == nil {
		err = mint.WriteKeytab(filepath.Join(dir, "keytab"))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "krb5.conf"), []byte("[libdefaults]\ndefault_realm = ONE.TEST\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	const good, byTicket = `base_dn = "dc=x"`, `krb5_conf = "krb5.conf"` + "\n" + `bind_keytab = "keytab"` + "\n"
	for _, c := range []struct{ kerberos, directory, filter, want string }{
		{"", good, "(uid=${user})", ""},
		{`service = "imap"`, good, "(uid=${user})", "no usable key for imap/*, only keys of host/localhost@ONE.TEST, pop/localhost@ONE.TEST"},
		{"", `base_dn = "people"`, "(uid=${user})", `the base "people" is no DN`},
		{"", good, "(&(uid=${user})", "is no filter"},
		{"", good + "\n" + `lookup_filter = "(uid=${user}"`, "(uid=${user})", "is no filter"},
		{"", byTicket + good, "(uid=${user})", "only keys of host/localhost@ONE.TEST, pop/localhost@ONE.TEST: say whose to use"},
		{"", byTicket + `bind_principal = "kpopd"` + "\n" + good, "(uid=${user})", "no usable key for kpopd/*, only keys of host/localhost@ONE.TEST"},
	} {
		path := filepath.Join(dir, "kpopd.hcl")
		text := fmt.Sprintf("hostname = \"localhost\"\nlistener \"kpop\" {\n address = \"127.0.0.1:0\"\n protocol = \"kpop\"\n tls = \"off\"\n}\n"+
			"kerberos {\n keytab = \"keytab\"\n %s\n}\nauthenticator \"ldap\" \"x\" {\n urls = [\"ldaps://localhost\"]\n filter = %q\n %s\n}\n"+
			"maildrop \"maildir\" {\n path = \"%s/${maildrop}\"\n}\n", c.kerberos, c.filter, c.directory, dir)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, diags bytes.Buffer
		status := run([]string{"kpopd", "check", "-config", path}, &out, &diags)
		if (status == exitOK) != (c.want == "") || !strings.Contains(diags.String(), c.want) {
			t.Errorf("%s, %s, %s: status %d\n%s", c.kerberos, c.directory, c.filter, status, &diags)
		}
	}
}

// Rules for local names are looked at with the keytab whose realm they are about.
func TestCheckLocalNames(t *testing.T) {
	dir := t.TempDir()
	mint, err := krb5.NewMint("ONE.TEST", "pop/localhost")
	if err == nil {
		err = mint.WriteKeytab(filepath.Join(dir, "keytab"))
	}
	if err != nil {
		t.Fatal(err)
	}
	profile := filepath.Join(dir, "krb5.conf")
	for _, c := range []struct{ rules, profile, want string }{
		{`auth_to_local = ["RULE:[1:$1](a*)s/a/b/g", "DEFAULT"]`, "", ""},
		{`auth_to_local = ["DEFAULT", "RULE:[1:$1]s/(a)\\1/b/"]`, "", "back references are not supported"},
		{`auth_to_local = ["alice"]`, "", "a rule begins with RULE:"},
		{`auth_to_local_file = "krb5.conf"`, "[libdefaults]\ndefault_realm = ONE.TEST\n", ""},
		{`auth_to_local_file = "krb5.conf"`, "", ""},
		{`auth_to_local_file = "krb5.conf"`, "[libdefaults]\ndefault_realm = TWO.TEST\n", `the default realm "TWO.TEST" is not one of the keytab's: ONE.TEST`},
		{`auth_to_local_file = "krb5.conf"`, "[realms]\nONE.TEST = {\nauth_to_local = RULE:[1:$2]\n}\n", `the rule "RULE:[1:$2]"`},
		{`auth_to_local_file = "krb5.conf"`, "[realms]\nONE.TEST = {\n", "krb5.conf: a } is missing"},
		{`auth_to_local_file = "missing"`, "", "no such file"},
	} {
		text := fmt.Sprintf("hostname = \"localhost\"\nlistener \"kpop\" {\n address = \"127.0.0.1:0\"\n protocol = \"kpop\"\n tls = \"off\"\n}\n"+
			"kerberos {\n keytab = \"keytab\"\n %s\n}\nmaildrop \"maildir\" {\n path = \"%s/${maildrop}\"\n}\n", c.rules, dir)
		for name, text := range map[string]string{profile: c.profile, filepath.Join(dir, "kpopd.hcl"): text} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out, diags bytes.Buffer
		status := run([]string{"kpopd", "check", "-config", filepath.Join(dir, "kpopd.hcl")}, &out, &diags)
		if (status == exitOK) != (c.want == "") || !strings.Contains(diags.String(), c.want) {
			t.Errorf("%s with %q: status %d\n%s", c.rules, c.profile, status, &diags)
		}
	}
}
