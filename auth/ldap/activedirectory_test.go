package ldap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
	"kpopd/testenv"
)

func TestPrimaryGroup(t *testing.T) {
	const sid = "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x4e\x04\x00\x00"
	for _, c := range []struct{ sid, id, want string }{
		{sid, "513", "S-1-5-21-1-2-3-513"},
		{sid, "", ""},
		{sid, "-1", ""},
		{sid, "4294967296", ""},
		{sid, "513)(cn=*", ""},
		{"", "513", ""},
		{sid[:len(sid)-1], "513", ""},
		{sid + "\x00", "513", ""},
		{"\x02" + sid[1:], "513", ""},
		{"\x01\x01\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00", "513", ""},
	} {
		e := goldap.NewEntry("cn=x", map[string][]string{"objectSID": {c.sid}, "primaryGroupid": {c.id}})
		if got := primaryGroup(e); got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.sid, c.id, got, c.want)
		}
	}
}

func TestRootOf(t *testing.T) {
	ad := map[string][]string{"supportedCapabilities": {"1.2.3", isActiveDirectory}, "defaultNamingContext": {"DC=test"}}
	for _, c := range []struct {
		name      string
		attrs     map[string][]string
		catalogue bool
		want      root
	}{
		{"Active Directory", ad, false, root{chains: true, base: "DC=test"}},
		{"global catalogue", ad, true, root{chains: true}},
		{"no domain", map[string][]string{"supportedCapabilities": {isActiveDirectory}}, false, root{}},
		{"another", map[string][]string{"defaultNamingContext": {"DC=test"}}, false, root{}},
	} {
		if got := rootOf(goldap.NewEntry("", c.attrs), c.catalogue); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestSambaRanges goes on where a range ends that Samba, which sends none
// unasked, was asked for.
func TestSambaRanges(t *testing.T) {
	s := testenv.StartSamba(t)
	var members []string
	for i := range 5 {
		members = append(members, s.AddUser(t, fmt.Sprint("ranged", i)))
	}
	group := s.AddGroup(t, "ranges", members...)
	d, err := New(Config{URLs: []string{s.TLSURL}, CAs: s.CA.Pool(), BindDN: testenv.SambaServiceDN,
		BindPassword: func() (auth.Secret, error) { return testenv.SambaServicePassword, nil },
		Filter:       func(auth.Identity, func(string) string) (string, error) { return "(cn=x)", nil }, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	raw, err := d.readEntry(t.Context(), group, "member;range=0-1")
	if err != nil || len(raw.Attributes) != 1 || len(raw.Attributes[0].Values) != 2 {
		t.Fatalf("%+v, %v", raw, err)
	}
	changed, err := d.complete(t.Context(), raw)
	got := raw.GetAttributeValues("member")
	slices.Sort(got)
	if err != nil || !changed || !slices.Equal(got, members) {
		t.Errorf("%q, %v, want %q", got, err, members)
	}
}

// TestSIDElsewhere: to another directory a SID is no name, which is no outage.
func TestSIDElsewhere(t *testing.T) {
	w := testenv.Start(t)
	d, err := New(Config{URLs: []string{w.LDAP(t).TLSURL}, CAs: w.CA.Pool(), Timeout: 20 * time.Second,
		Filter: func(auth.Identity, func(string) string) (string, error) { return "(cn=x)", nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if e, err := d.readEntry(t.Context(), "<SID=S-1-5-21-1-2-3-513>", "1.1"); err != nil || e.DN != "" {
		t.Errorf("%+v, %v", e, err)
	}
}

func FuzzDomainOf(f *testing.F) {
	f.Add([]byte("\x01\x02\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x02\x03\x04"))
	f.Add([]byte("\x01\xff\x00\x00\x00\x00\x00\x05"))
	f.Fuzz(func(t *testing.T, sid []byte) {
		text := domainOf(sid)
		if text != "" && (!strings.HasPrefix(text, "S-1-") || strings.Trim(text, "S-0123456789") != "" || len(text) > 200) {
			t.Errorf("%x: %q", sid, text)
		}
	})
}

func FuzzSpan(f *testing.F) {
	for _, name := range []string{"memberOf;range=0-1499", "memberOf;range=1500-*", "memberOf", ";range=0-*", "a;range=5-4", "a;range=-1-*", "a;range=0-99999999999"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		s, ok := parseSpan(name)
		if ok && (s.attr == "" || s.low < 0 || s.next != 0 && s.next <= s.low) {
			t.Errorf("%q: %+v", name, s)
		}
	})
}
