package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestLocalNames lets principals in under the names that MIT's rules give them,
// some in the configuration and some in a krb5.conf.
func TestLocalNames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write(t, "krb5.conf", `[libdefaults]
  default_realm = EXAMPLE.TEST
[realms]
  EXAMPLE.TEST = {
    auth_to_local_names = {
      bob = robert
    }
    auth_to_local = RULE:[1:$1](admin)s/admin/postmaster/
    auth_to_local = DEFAULT
  }
`)
	rules := `realms = ["EXAMPLE.TEST", "PARTNER.TEST"]
  auth_to_local      = ["RULE:[1:$1@$0](.*@PARTNER\\.TEST)s/@.*/-partner/", "RULE:[2:$1;$2](.*;admin)s/;admin//"]
  auth_to_local_file = "krb5.conf"`
	d := s.startEdited(t, `realms = ["EXAMPLE.TEST", "PARTNER.TEST"]`, rules,
		"account {\n  when     = realm == \"PARTNER.TEST\"\n  maildrop = \"partner/${lower(split(\"@\", user)[0])}\"\n}",
		"account {\n  when     = local_user == \"dave\"\n  maildrop = \"d/${local_user}\"\n}")
	path := filepath.Join(s.Dir, "kpopd.hcl")
	for _, c := range []struct{ name, local, maildrop, reason string }{
		{"alice@EXAMPLE.TEST", "alice", "alice", ""},
		{"bob@EXAMPLE.TEST", "robert", "robert", ""},
		{"admin@EXAMPLE.TEST", "postmaster", "postmaster", ""},
		{"dave@EXAMPLE.TEST", "dave", "d/dave", ""},
		{"alice/admin@EXAMPLE.TEST", "alice", "alice", ""}, // two names of one person
		{"bob@PARTNER.TEST", "bob-partner", "bob-partner", ""},
		{"alice/x@EXAMPLE.TEST", "", "", "unacceptable-maildrop"},
		{"alice/x@PARTNER.TEST", "", "", "unacceptable-maildrop"},
	} {
		x, _ := explained(t, path, c.name, "-mechanism", "GSSAPI")
		got := x.Identity.LocalUser + " " + strings.Join(x.Reasons, ",") + " "
		if x.Maildrop != nil {
			got += x.Maildrop.Name
		}
		want := c.local + " " + c.reason + " " + c.maildrop
		if got != want {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	}
	mark := d.log.mark()
	runClient(t, s.world.Env(s.world.Kinit(t, carol)), "", "curl", "-sS", "-m", "50", "--login-options", "AUTH=GSSAPI", "-u", ":",
		"pop3://localhost:"+d.port(t, "pop3")).exits(t, 0)
	d.loggedIn(t, mark, "GSSAPI", "carol-partner")
	d.stop(t)
}
