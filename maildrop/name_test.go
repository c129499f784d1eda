package maildrop_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"kpopd/maildrop"
	"kpopd/maildrop/storetest"
)

func TestCheckName(t *testing.T) {
	for _, name := range storetest.RefusedNames() {
		if err := maildrop.CheckName(name); !errors.Is(err, maildrop.ErrName) {
			t.Errorf("CheckName(%.50q) = %v, want ErrName", name, err)
		}
	}
	for _, name := range storetest.StrangeNames() {
		if err := maildrop.CheckName(name); err != nil {
			t.Errorf("CheckName(%.50q) = %v", name, err)
		}
	}
}

// A name that is accepted is a local path and stays one below any other.
func FuzzName(f *testing.F) {
	for _, name := range append(storetest.RefusedNames(), storetest.StrangeNames()...) {
		if len(name) < 1000 {
			f.Add(name)
		}
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := maildrop.CheckName(name); err != nil {
			if !errors.Is(err, maildrop.ErrName) {
				t.Errorf("CheckName = %v, want ErrName", err)
			}
			return
		}
		if !filepath.IsLocal(name) || filepath.Clean(name) != name || filepath.Clean("/root/"+name) != "/root/"+name {
			t.Errorf("%q does not stay below", name)
		}
		if !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\r\n") || strings.Contains("/"+name, "/.") {
			t.Errorf("%q was accepted", name)
		}
	})
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
}

func TestEscape(t *testing.T) {
	for s, want := range map[string]string{
		"":                       "",
		"abc":                    "abc",
		"a b":                    "a%20b",
		"%":                      "%25",
		"%20":                    "%2520",
		"\x00\xff":               "%00%FF",
		strings.Repeat("x", 70):  strings.Repeat("x", 70),
		strings.Repeat("x", 71):  "%-",
		strings.Repeat("/", 23):  strings.Repeat("%2F", 23),
		strings.Repeat("/", 24):  "%-",
		"%-" + "not really hash": "%25-not%20really%20hash",
	} {
		got := maildrop.Escape(s, 70, plain)
		if want == "%-" {
			if len(got) != 66 || !strings.HasPrefix(got, "%-") {
				t.Errorf("Escape(%q) = %q, want a hash", s, got)
			}
		} else if got != want {
			t.Errorf("Escape(%q) = %q, want %q", s, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a", "%61")
	f.Add("%", "%25")
	f.Add("a b", "a%20b")
	f.Add(strings.Repeat("x", 71), "%-"+strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, a, b string) {
		ea, eb := maildrop.Escape(a, 70, plain), maildrop.Escape(b, 70, plain)
		if (a == b) != (ea == eb) {
			t.Errorf("Escape(%q) = %q, Escape(%q) = %q", a, ea, b, eb)
		}
		for _, c := range []byte(ea) {
			if !plain(c) && c != '%' {
				t.Errorf("Escape(%q) = %q", a, ea)
			}
		}
		if len(ea) > 70 {
			t.Errorf("Escape(%q) has %d octets", a, len(ea))
		}
	})
}
