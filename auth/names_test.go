package auth_test

import (
	"testing"

	"kpopd/auth"
)

func TestPrepare(t *testing.T) {
	for _, test := range []struct {
		in, want string
		ok       bool
	}{
		// RFC 4013 §3
		{"I\u00adX", "IX", true},
		{"user", "user", true},
		{"USER", "USER", true},
		{"\u00aa", "a", true},
		{"\u2168", "IX", true},
		{"\u0007", "\u0007", false},
		{"\u0627\u0031", "\u0627\u0031", false},
		// ours
		{"", "", false},
		{"\u00ad", "\u00ad", false}, // nothing is left
		{"a\u00a0b", "a b", true},
		{"e\u0301", "\u00e9", true},
		{"stra\xdfe", "stra\xdfe", false},
		{"\U0001f511", "\U0001f511", false}, // newer than Unicode 3.2
		{"tab\there", "tab\there", false},
		{" spaces ", " spaces ", true},
	} {
		if got, ok := auth.Prepare(test.in); got != test.want || ok != test.ok {
			t.Errorf("Prepare(%q) = %q, %v, want %q, %v", test.in, got, ok, test.want, test.ok)
		}
	}
}

func TestUnescapeName(t *testing.T) {
	for s, want := range map[string]string{
		"alice": "alice", "a=2Cb": "a,b", "a=3D=2C": "a=,", "=3D2C": "=2C", "jürgen": "jürgen",
		"": "", "=": "", "a=": "", "a=2c": "", "a=00": "", "=3D=": "", "a\x00": "",
	} {
		name, ok := auth.UnescapeName(s)
		if ok != (want != "") || ok && name != want {
			t.Errorf("%q: %q, %v, want %q", s, name, ok, want)
		}
	}
}

// TestLoose: what Active Directory takes for one name has one key, and others
// have others.
func TestLoose(t *testing.T) {
	for _, c := range []struct{ a, b string }{
		{"alice", "ÁLICE"}, {"alice", "A\u0308lice"}, {"alice", "ａｌｉｃｅ"}, {"strasse", "STRAẞE"}, {"alice", "al\u0131ce"}, {"alice", "\U0001f600alice\ufff9"},
		{"b0b", "b\u2070b"}, {"дима", "ДИМА"}, {"o'neil", "O'Neil"},
	} {
		if x, y := auth.Loose(c.a), auth.Loose(c.b); x != y || x == "" {
			t.Errorf("%q %q: %q %q", c.a, c.b, x, y)
		}
	}
	for _, c := range []struct{ a, b string }{{"alice", "alicf"}, {"a.b", "ab"}, {"a-b", "ab"}, {"дима", "дина"}, {"田中", "中田"}} {
		if x := auth.Loose(c.a); x == auth.Loose(c.b) {
			t.Errorf("%q %q: %q", c.a, c.b, x)
		}
	}
}

// RFC 4013 §2.3, of which RFC 6856 §2.2 speaks.
func TestIsProhibited(t *testing.T) {
	for _, s := range []string{"\xff", "m\xfcller", "a\u0000b", "a\u007f", "\u0080", "\u06dd", "\ue000", "\U000f0000", "\ufdd0", "\ufffe", "\ufffd", "\u2ff0", "\u0340", "\u202e", "\U000e0041", "\ufff9"} {
		if !auth.IsProhibited(s) {
			t.Errorf("%q is not prohibited", s)
		}
	}
	// U+200D and U+00AD are mapped to nothing, U+00A0 to a space, and U+1F600 is
	// newer than the tables.
	for _, s := range []string{"", "alice", "müller", "mu\u0308ller", "a\u200db", "a\u00adb", "a\u00a0b", "\u0627\u0031", "アリス", "\U0001f600"} {
		if auth.IsProhibited(s) {
			t.Errorf("%q is prohibited", s)
		}
	}
}
