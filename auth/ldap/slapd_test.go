package ldap_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
	"kpopd/auth/authtest"
	"kpopd/auth/ldap"
	"kpopd/testenv"
)

func TestAuthenticator(t *testing.T) {
	w := testenv.Start(t)
	unit := people(t, w, authtest.Users())
	for _, c := range []struct {
		name string
		edit func(*ldap.Config)
	}{
		{"LDAPS", func(*ldap.Config) {}},
		{"StartTLS", func(c *ldap.Config) { c.URLs = []string{w.LDAP(t).URL} }},
		{"remembering", func(c *ldap.Config) {
			c.Remember, c.RememberWrong, c.LockoutThreshold, c.LockoutWindow = time.Minute, time.Minute, 5, time.Minute
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := config(t, w, unit)
			c.edit(&conf)
			authtest.TestAuthenticator(t, open(t, conf), auth.Peer{})
		})
	}
}

// TestSocket binds over a Unix socket, which needs no TLS.
func TestSocket(t *testing.T) {
	w := testenv.Start(t)
	if w.LDAP(t).Socket == "" {
		t.Log("NOT TESTED: there is no socket to a container")
		return
	}
	conf := config(t, w, testenv.PeopleDN)
	conf.URLs = []string{w.LDAP(t).Socket}
	if _, err := try(t, open(t, conf), "alice", w.Password("alice")); err != nil {
		t.Error(err)
	}
}

// TestEntry sees what an entry adds to an identity.
func TestEntry(t *testing.T) {
	w := testenv.Start(t)
	d := open(t, config(t, w, testenv.PeopleDN))
	const popUsers = "cn=pop-users,ou=groups," + testenv.BaseDN
	id, err := try(t, d, "bob", w.Password("bob"))
	if err != nil || id.Attrs["mailbox"] != "shared/bob" || !slices.Equal(id.Groups, []string{popUsers, "pop-users"}) {
		t.Errorf("bob: %+v, %v", id, err)
	}
	// The name is from here on the directory's, or a rule about "bob" would be
	// none about "BOB".
	if id, err := try(t, d, "BOB", w.Password("bob")); err != nil || id.User != "bob" {
		t.Errorf("BOB: %+v, %v", id, err)
	}
	if _, err := try(t, d, "o'brien (test)*", w.Password("o'brien (test)*")); err != nil {
		t.Errorf("a name with syntax in it: %v", err)
	}
	_, err = try(t, d, "dave", w.Password("dave"))
	if !errors.Is(err, auth.ErrDenied) || auth.Reason(err) != "account-disabled" {
		t.Errorf("dave, who is disabled: %v", err)
	}
	if _, err := try(t, d, "dave", "wrong"); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("a wrong password learns that dave is disabled: %v", err)
	}
}

// TestNestedGroups climbs from group to group, round a circle too.
func TestNestedGroups(t *testing.T) {
	w := testenv.Start(t)
	unit := people(t, w, map[string]string{"alice": "x"})
	c := admin(t, w)
	group := func(name string, members ...string) string {
		dn := "cn=" + name + "," + unit
		add(t, c, dn, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {name}, "member": members})
		return dn
	}
	inner := group("inner", "uid=alice,"+unit)
	middle := group("middle", inner)
	outer := group("outer", middle)
	modify(t, c, inner, "member", "uid=alice,"+unit, outer) // and so outer is in inner
	conf := config(t, w, unit)
	id, err := try(t, open(t, conf), "alice", "x")
	if want := []string{inner, "inner"}; err != nil || !slices.Equal(id.Groups, want) {
		t.Errorf("%q, %v, want %q", id.Groups, err, want)
	}
	conf.NestedGroups = true
	id, err = try(t, open(t, conf), "alice", "x")
	if want := []string{inner, "inner", middle, "middle", outer, "outer"}; err != nil || !slices.Equal(id.Groups, want) {
		t.Errorf("%q, %v, want %q", id.Groups, err, want)
	}
}

func TestLookup(t *testing.T) {
	w := testenv.Start(t)
	d := open(t, config(t, w, testenv.PeopleDN))
	ticket := func(principal string) auth.Identity {
		name, realm, _ := strings.Cut(principal, "@")
		return auth.Identity{User: name, Mechanism: "GSSAPI", Source: "kerberos",
			Attrs: map[string]string{"principal": principal, "realm": realm}}
	}
	id, err := d.Lookup(t.Context(), ticket("carol@PARTNER.TEST"))
	if err != nil || id.User != "carol" || id.Source != "kerberos" || id.Attrs["mailbox"] != "partner/carol" ||
		id.Attrs["principal"] != "carol@PARTNER.TEST" || !slices.Contains(id.Groups, "pop-users") {
		t.Errorf("carol: %+v, %v", id, err)
	}
	for principal, want := range map[string]error{
		"mallory@EXAMPLE.TEST": auth.ErrUnknown, "*": auth.ErrUnknown, "carol@*": auth.ErrUnknown,
		"dave@EXAMPLE.TEST": auth.ErrDenied,
	} {
		if id, err := d.Lookup(t.Context(), ticket(principal)); !errors.Is(err, want) || id.User != "" {
			t.Errorf("%s: %+v, %v, want %v", principal, id, err, want)
		}
	}
	conf := config(t, w, testenv.PeopleDN)
	conf.BindPassword = func() (auth.Secret, error) { return "wrong", nil }
	if _, err := open(t, conf).Lookup(t.Context(), ticket("carol@PARTNER.TEST")); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("with a wrong password of the service: %v", err)
	}
}

// hostileNames were meant to be something else than names, alice's above all.
var hostileNames = []string{
	"*", "a)(uid=*", "a)(|(uid=*", "alice)(uid=*", `\2a`, `\61lice`, "alice\x00", "\x00", strings.Repeat("a", 10<<10), "../x",
	"CN=x,DC=y", "alice,ou=people", "alice+cn=x", "uid=alice", "#616c696365", "alice\\", "ali\u0301ce", "alic\u00e9", "\uff41lice",
	"alice ", " alice", "al  ice", "${user}", "%u", "\xff\xfe", "alice\r\n", "o'brien  (test)*", "<SID=S-1-5-32-544>", "alice@", `\alice`,
}

// TestHostileNames shows names that were meant to be something else.
func TestHostileNames(t *testing.T) {
	w := testenv.Start(t)
	conf := config(t, w, testenv.PeopleDN)
	search := open(t, conf)
	conf.Filter, conf.BindAs = nil, []ldap.Template{template("uid=${user}," + testenv.PeopleDN), template("${user}@example.test"), template(`CORP\${user}`)}
	direct := open(t, conf)
	for _, user := range hostileNames {
		for _, d := range []auth.Authenticator{search, direct} {
			for _, password := range []string{w.Password("alice"), w.Password("o'brien (test)*"), "", "\x00", " "} {
				id, err := try(t, d, user, password)
				// A full-width letter is the same letter by SASLprep; then it is alice who logs in, as alice.
				if err == nil && (id.User != "alice" || user != "\uff41lice") {
					t.Errorf("%q is let in as %q", user, id.User)
				}
				if errors.Is(err, auth.ErrUnavailable) {
					t.Errorf("%q: %v", user, err)
				}
			}
		}
	}
	if _, err := try(t, direct, "alice", w.Password("alice")); err != nil {
		t.Errorf("alice: %v", err)
	}
}

// TestAmbiguous: two entries of one name prove nothing, whoever's the password
// is.
func TestAmbiguous(t *testing.T) {
	w := testenv.Start(t)
	unit := people(t, w, map[string]string{"one": "first password", "two": "second password"})
	c := admin(t, w)
	for _, user := range []string{"one", "two"} {
		r := goldap.NewModifyRequest("uid="+user+","+unit, nil)
		r.Add("mail", []string{"both@example.test"})
		if err := c.Modify(r); err != nil {
			t.Fatal(err)
		}
	}
	conf := config(t, w, unit)
	conf.Filter = template("(|(uid=${user})(mail=${user}))")
	d := open(t, conf)
	for _, password := range []string{"first password", "second password"} {
		if _, err := try(t, d, "both@example.test", password); !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != "ambiguous-user" {
			t.Errorf("%v", err)
		}
	}
	if id, err := try(t, d, "one", "first password"); err != nil || id.User != "one" {
		t.Errorf("one: %+v, %v", id, err)
	}
}

// TestUntrusted: a server whose certificate nobody vouches for is none.
func TestUntrusted(t *testing.T) {
	w := testenv.Start(t)
	other, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{w.LDAP(t).TLSURL, w.LDAP(t).URL} {
		conf := config(t, w, testenv.PeopleDN)
		conf.URLs, conf.CAs = []string{u}, other.Pool()
		if _, err := try(t, open(t, conf), "alice", w.Password("alice")); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// TestFindBound: of who binds by a name made of his own, Find tells what a right
// password would.
func TestFindBound(t *testing.T) {
	w := testenv.Start(t)
	conf := config(t, w, testenv.PeopleDN)
	conf.Filter, conf.LookupFilter, conf.BindAs = nil, nil, []ldap.Template{template("uid=${user}," + testenv.PeopleDN)}
	d := open(t, conf)
	for _, user := range []string{"alice", "bob", "BOB", "dave", " bob", "b\u00a0ob"} {
		want, wantErr := try(t, d, user, w.Password(strings.ToLower(strings.TrimSpace(user))))
		got, err := d.Find(t.Context(), auth.Peer{}, user)
		if got.User != want.User || !slices.Equal(got.Groups, want.Groups) || !maps.Equal(got.Attrs, want.Attrs) ||
			(err == nil) != (wantErr == nil) || err != nil && auth.Reason(err) != auth.Reason(wantErr) {
			t.Errorf("%q: %+v, %v; a login has %+v, %v", user, got, err, want, wantErr)
		}
	}
	if dn, err := d.DN(t.Context(), auth.Identity{User: "bob", Source: d.Source()}); err != nil || dn != "uid=bob,"+testenv.PeopleDN {
		t.Errorf("bob's entry: %q, %v", dn, err)
	}
	if dn, err := d.DN(t.Context(), auth.Identity{User: "nobody", Source: d.Source()}); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("nobody's entry: %q, %v", dn, err)
	}
}
