package config_test

import (
	"testing"

	"kpopd/config"
)

// With auth_to_local, whom no rule matches has the maildrop of his local name,
// and without one there is none; a login name is its own.
func TestImpliedLocalAccounts(t *testing.T) {
	const kerberos = "kerberos {\n  keytab = \"/etc/krb5.keytab\"\n  auth_to_local = [\"DEFAULT\"]\n}\n"
	f := mustParse(t, minimal+kerberos+"account {\n  when = user == \"admin\"\n  maildrop = \"postmaster\"\n}\n")
	for _, tc := range []struct {
		facts config.Facts
		want  string // "": none
	}{
		{config.Facts{User: "alice"}, "alice"},
		{config.Facts{User: "admin"}, "postmaster"},
		{config.Facts{User: "alice", Principal: "alice@CORP.EXAMPLE", Realm: "CORP.EXAMPLE", LocalUser: "al"}, "al"},
		{config.Facts{User: "alice", Principal: "alice@CORP.EXAMPLE", Realm: "CORP.EXAMPLE"}, ""},
		{config.Facts{User: "alice@OTHER.EXAMPLE", Principal: "alice@OTHER.EXAMPLE", Realm: "OTHER.EXAMPLE"}, ""},
		{config.Facts{User: "x", Principal: "x@CORP.EXAMPLE", Realm: "CORP.EXAMPLE", LocalUser: "../x"}, ""},
		{config.Facts{User: "x", Principal: "x@CORP.EXAMPLE", Realm: "CORP.EXAMPLE", LocalUser: "a/x"}, ""},
		{config.Facts{User: "x", Principal: "x@CORP.EXAMPLE", Realm: "CORP.EXAMPLE", LocalUser: "\xff"}, ""},
	} {
		got := ""
		for i := range f.Accounts {
			a := &f.Accounts[i]
			ok, err := matches(a, tc.facts)
			if !ok && err == nil {
				continue
			}
			if err == nil {
				if name, err := a.MaildropName(tc.facts); err == nil {
					got = name
				}
			}
			break
		}
		if got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.facts, got, tc.want)
		}
	}
}
