package maildir_test

import (
	"strings"
	"testing"

	"kpopd/maildrop/maildir"
)

// A unique-id is of RFC 1939 §7's characters and length, differs between
// messages, and does not change with flags.
func FuzzUID(f *testing.F) {
	f.Add("1700000000.M1P2Q3.host,S=1,W=2", "1700000000.M1P2Q4.host,S=1,W=2", "2,S")
	f.Add("a b", "a%20b", "")
	f.Add("%-"+strings.Repeat("0", 64), strings.Repeat("x", 71), ":::")
	f.Add("a:b", "a:c", "1,x")
	f.Fuzz(func(t *testing.T, a, b, info string) {
		baseA, baseB := maildir.BaseOf(a), maildir.BaseOf(b)
		if baseA == "" || baseB == "" {
			t.Skip("no message has such a name")
		}
		uid := maildir.UIDOf(baseA)
		if len(uid) < 1 || len(uid) > 70 {
			t.Errorf("%q: %d octets", a, len(uid))
		}
		for _, c := range []byte(uid) {
			if c < 0x21 || c > 0x7e {
				t.Errorf("%q: octet %#x", a, c)
			}
		}
		if flagged := maildir.UIDOf(maildir.BaseOf(baseA + ":" + info)); flagged != uid {
			t.Errorf("%q becomes %q with flags %q", uid, flagged, info)
		}
		if (baseA == baseB) != (uid == maildir.UIDOf(baseB)) {
			t.Errorf("%q and %q: %q", a, b, uid)
		}
	})
}

// A size that is believed could be that of a file with the name's S=.
func FuzzFileName(f *testing.F) {
	f.Add("1700000000.M1P2Q3.host,S=1,W=2:2,S")
	f.Add("1,W=99999999999999999999")
	f.Add("1,S=5,W=5,D=0")
	f.Fuzz(func(t *testing.T, name string) {
		base := maildir.BaseOf(name)
		size, ok := maildir.SizeOf(base)
		if size < 0 && ok {
			t.Errorf("%q: size %d", name, size)
		}
		if maildir.ReadyOf(base) && !(strings.Contains(base, ",S=") && strings.Contains(base, ",W=") && strings.Contains(base, ",D=0")) {
			t.Errorf("%q: ready by nothing", name)
		}
		if ok && !strings.Contains(base, ",W=") {
			t.Errorf("%q: size %d out of nothing", name, size)
		}
		if base != "" && (base[0] < '0' || base[0] > '9') && maildir.TimeOf(base) != 0 {
			t.Errorf("%q: time %d", name, maildir.TimeOf(base))
		}
	})
}
