package krb5

import (
	"strings"
	"testing"
)

func TestPrincipalString(t *testing.T) {
	for _, test := range []struct {
		p    Principal
		want string
	}{
		{Principal{[]string{"alice"}, "R"}, `alice@R`},
		{Principal{[]string{"pop", "h"}, "R"}, `pop/h@R`},
		{Principal{[]string{"pop/h"}, "R"}, `pop\/h@R`},
		{Principal{[]string{"a@B"}, "R"}, `a\@B@R`},
		{Principal{[]string{`a\`}, "R"}, `a\\@R`},
		{Principal{[]string{"\n\t\b\x00"}, "R"}, `\n\t\b\0@R`},
		{Principal{[]string{"a"}, "R/@"}, `a@R\/\@`},
		{Principal{[]string{"älïce"}, "R"}, `älïce@R`},
	} {
		if got := test.p.String(); got != test.want {
			t.Errorf("%#v prints %q, want %q", test.p, got, test.want)
		}
		back, err := ParsePrincipal(test.want)
		if err != nil || !back.Equal(test.p) {
			t.Errorf("%q reads as %#v, %v", test.want, back, err)
		}
	}
}

func TestParsePrincipal(t *testing.T) {
	if p, err := ParsePrincipal("pop/localhost"); err != nil || p.Realm != "" || len(p.Components) != 2 {
		t.Errorf("without a realm: %#v, %v", p, err)
	}
	for _, s := range []string{"", "@R", "a/@R", "/a@R", "a@R@S", "a@R/S", `a\`, "a//b"} {
		if p, err := ParsePrincipal(s); err == nil {
			t.Errorf("%q reads as %#v", s, p)
		}
	}
}

func TestPrincipalValid(t *testing.T) {
	for _, p := range []Principal{
		{}, {[]string{"a"}, ""}, {nil, "R"}, {[]string{""}, "R"}, {[]string{"a", ""}, "R"},
		{[]string{"a\x00"}, "R"}, {[]string{"a\r\n"}, "R"}, {[]string{"a\u0085"}, "R"}, {[]string{"a\x7f"}, "R"},
		{[]string{"\xff"}, "R"}, {[]string{"a"}, "R\xc0\x80"}, {[]string{strings.Repeat("a", 1025)}, "R"},
	} {
		if p.Valid() == nil {
			t.Errorf("%q is valid", p.Components)
		}
	}
	if err := principal("älice/x@R").Valid(); err != nil {
		t.Error(err)
	}
}

func FuzzPrincipal(f *testing.F) {
	for _, s := range []string{"a@R", `a\/b/c\@d@R\\`, "a", `\n\t\b\0@R`, "é@É"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePrincipal(s)
		if err != nil || p.Realm == "" {
			return
		}
		back, err := ParsePrincipal(p.String())
		if err != nil || !back.Equal(p) {
			t.Errorf("%q reads as %#v, which prints %q, which reads as %#v, %v", s, p, p.String(), back, err)
		}
	})
}
