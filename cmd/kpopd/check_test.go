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
		return strings.Contains(diags.String(), "more than one of ONE.TEST, TWO.TEST is one user")
	}
	add("host/localhost@TWO.TEST")
	if warned("") {
		t.Error("warned of the key of another service")
	}
	add("pop/localhost@TWO.TEST")
	if !warned("") {
		t.Error("not warned")
	}
	if warned("realms = [\"TWO.TEST\"]\n") {
		t.Error("warned of a realm that is not let in")
	}
}
