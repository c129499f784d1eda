package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kpopd/config"
)

// escapeFilter is RFC 4515 §3.
func escapeFilter(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte("*()\\\x00", c) >= 0 || c >= 0x80 {
			fmt.Fprintf(&b, "\\%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestEvalEscaped(t *testing.T) {
	for _, tc := range []struct {
		filter      string
		user, princ string
		want        string
	}{
		{`"(uid=${user})"`, "alice", "", `(uid=alice)`},
		{`"(uid=${user})"`, "*", "", `(uid=\2a)`},
		{`"(uid=${user})"`, "a)(|(uid=*", "", `(uid=a\29\28|\28uid=\2a)`},
		{`"(uid=${user})"`, `\2a`, "", `(uid=\5c2a)`},
		{`"(uid=${user})"`, "a\x00", "", `(uid=a\00)`},
		{`"(uid=${lower(user)})"`, "A*", "", `(uid=a\2a)`},
		{`"(uid=${split("@", user)[0]})"`, "*@x", "", `(uid=\2a)`},
		{`"(|(uid=${user})(mail=${user}@x))"`, "(", "", `(|(uid=\28)(mail=\28@x))`},
		{`"(uid=${user == "*" ? "(literal)" : user})"`, "*", "", `(uid=(literal))`},
		{`"(uid=${user == "*" ? "(literal)" : user})"`, "(", "", `(uid=\28)`},
		{`"(uid=${"x${user}"})"`, "*", "", `(uid=x\2a)`},
		{`"(uid=${join("*", [user, user])})"`, "a", "", `(uid=a\2aa)`}, // computed, so escaped
		{`principal != "" ? "(krb=${principal})" : "(uid=${user})"`, "a*", "", `(uid=a\2a)`},
		{`principal != "" ? "(krb=${principal})" : "(uid=${user})"`, "a", "a*@X", `(krb=a\2a@X)`},
		{`"(&%{ if principal != "" }(krb=${principal})%{ else }(uid=${user})%{ endif })"`, "*", "", `(&(uid=\2a))`},
	} {
		f, diags := config.Parse("x.hcl", []byte(minimal+`
authenticator "ldap" "x" {
  urls    = ["ldaps://dc.example.com"]
  base_dn = "dc=example"
  filter  = `+tc.filter+"\n}\n"))
		if diags != nil {
			t.Errorf("%s: %v", tc.filter, diags)
			continue
		}
		facts := config.Facts{User: tc.user, Principal: tc.princ}
		got, err := f.Authenticators[0].LDAP.Filter.EvalEscaped(facts, escapeFilter)
		if err != nil || got != tc.want {
			t.Errorf("%s of %q: %s, %v; want %s", tc.filter, tc.user, got, err, tc.want)
		}
	}
}

func TestEvalEscapedErrors(t *testing.T) {
	f := mustParse(t, minimal+`
authenticator "ldap" "x" {
  urls    = ["ldaps://dc.example.com"]
  base_dn = "dc=example"
  filter  = "(uid=${regex("^[a-z]+$", user)})"
}
`)
	filter := f.Authenticators[0].LDAP.Filter
	if s, err := filter.EvalEscaped(config.Facts{User: "*"}, escapeFilter); !errors.Is(err, config.ErrNoMatch) {
		t.Errorf("no match: %q, %v", s, err)
	}
	if s, err := filter.EvalEscaped(config.Facts{User: "\xff"}, escapeFilter); !errors.Is(err, config.ErrFact) {
		t.Errorf("no text: %q, %v", s, err)
	}
}
