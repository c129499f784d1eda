package ldap_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/auth/ldap"
	"kpopd/testenv"
)

// sambaNames finds somebody of Active Directory by any of his names.
const sambaNames = "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName=${user})(userPrincipalName=${user})(mail=${user})(proxyAddresses=smtp:${user})))"

// sambaConfig is a configuration for the domain controller.
func sambaConfig(s *testenv.Samba) ldap.Config {
	return ldap.Config{
		Source: "ldap samba", URLs: []string{s.TLSURL}, CAs: s.CA.Pool(),
		BindDN: testenv.SambaServiceDN, BindPassword: func() (auth.Secret, error) { return testenv.SambaServicePassword, nil },
		BaseDN: testenv.SambaBaseDN, Filter: template(sambaNames), LookupFilter: template("(sAMAccountName=${user})"),
		Attributes: []string{"sAMAccountName"}, Timeout: 20 * time.Second, Log: quiet(),
	}
}

// TestSambaReasons: each of Active Directory's reasons as a controller gives
// it, once the password is right; a wrong one is told nothing.
func TestSambaReasons(t *testing.T) {
	s := testenv.StartSamba(t)
	conf := sambaConfig(s)
	d := open(t, conf)
	for user, reason := range map[string]string{
		"disabled": "account-disabled", "expired": "account-expired", "locked": "account-locked", "mustchange": "password-must-change",
		"night": "logon-hours", "elsewhere": "workstation-not-allowed", "stale": "password-expired",
	} {
		id, err := try(t, d, user, s.Password(user))
		if !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != reason || id.User != "" {
			t.Errorf("%s: %+v, %v, want %s", user, id, err, reason)
		}
		id, err = try(t, d, user, "wrong")
		if !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != "wrong-password" && user != "locked" || id.User != "" {
			t.Errorf("%s, with a wrong password: %+v, %v", user, id, err)
		}
	}
	if _, err := try(t, d, "nobody", "wrong"); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("nobody: %v", err)
	}
	// In the clear Samba takes no password, and the service's is the first.
	conf.URLs, conf.Clear = []string{s.URL}, true
	if _, err := try(t, open(t, conf), "alice", s.Password("alice")); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("in the clear: %v", err)
	}
	conf.Clear = false
	if id, err := try(t, open(t, conf), "alice", s.Password("alice")); err != nil || id.User != "alice" {
		t.Errorf("StartTLS: %+v, %v", id, err)
	}
}

// TestSambaLockout: the directory locks an account at its fifth wrong password,
// and fewer reach it.
func TestSambaLockout(t *testing.T) {
	s := testenv.StartSamba(t)
	s.AddUser(t, "target")
	conf := sambaConfig(s)
	conf.LockoutThreshold, conf.LockoutWindow = 5, time.Hour
	d := open(t, conf)
	for i := range 8 {
		if _, err := try(t, d, "target", fmt.Sprint("guess ", i)); !errors.Is(err, auth.ErrCredentials) {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	if _, err := try(t, open(t, sambaConfig(s)), "target", s.Password("target")); err != nil {
		t.Errorf("the account is locked: %v", err)
	}
}

// TestSambaGroups finds the groups of groups in one search, and the primary
// group, which memberOf does not name.
func TestSambaGroups(t *testing.T) {
	s := testenv.StartSamba(t)
	group := func(name string) string { return "CN=" + name + "," + testenv.SambaGroupsDN }
	const domainUsers = "CN=Domain Users,CN=Users," + testenv.SambaBaseDN
	names := func(id auth.Identity) []string {
		return slices.DeleteFunc(slices.Sorted(slices.Values(id.Groups)), func(name string) bool { return !strings.Contains(name, "=") })
	}
	direct := []string{domainUsers, group("staff")}
	all := []string{domainUsers, "CN=Users,CN=Builtin," + testenv.SambaBaseDN, group("employees"), group("pop-users"), group("staff")}
	s.Modify(t, "dn: "+group("staff")+"\nchangetype: modify\nadd: member\nmember: "+group("pop-users")+"\n") // a circle
	t.Cleanup(func() {
		s.Modify(t, "dn: "+group("staff")+"\nchangetype: modify\ndelete: member\nmember: "+group("pop-users")+"\n")
	})
	for _, c := range []struct {
		url    string
		nested bool
		want   []string
	}{
		{s.TLSURL, false, direct},
		{s.TLSURL, true, all},
		{s.TLSURL + ":3269", true, all},
	} {
		conf := sambaConfig(s)
		conf.URLs, conf.NestedGroups, conf.BaseDN = []string{c.url}, c.nested, testenv.SambaPeopleDN
		d := open(t, conf)
		if id, err := try(t, d, "alice", s.Password("alice")); err != nil || !slices.Equal(names(id), c.want) {
			t.Errorf("%s, nested %v: %q, %v, want %q", c.url, c.nested, names(id), err, c.want)
		}
		if id, err := d.Lookup(t.Context(), auth.Identity{User: "alice"}); err != nil || !slices.Equal(names(id), c.want) {
			t.Errorf("%s, nested %v, by ticket: %q, %v", c.url, c.nested, names(id), err)
		}
	}
}

// TestSambaManyGroups asks for more than one page of groups.
func TestSambaManyGroups(t *testing.T) {
	s := testenv.StartSamba(t)
	const many = 210
	hub := s.AddGroup(t, "hub", s.AddUser(t, "joiner"))
	var add, remove strings.Builder
	for i := range many {
		group := fmt.Sprintf("CN=many%d,%s", i, testenv.SambaGroupsDN)
		fmt.Fprintf(&add, "dn: %s\nchangetype: add\nobjectClass: group\nmember: %s\n\n", group, hub)
		fmt.Fprintf(&remove, "dn: %s\nchangetype: delete\n\n", group)
	}
	s.Modify(t, add.String())
	t.Cleanup(func() { s.Modify(t, remove.String()) })
	conf := sambaConfig(s)
	conf.NestedGroups = true
	id, err := try(t, open(t, conf), "joiner", s.Password("joiner"))
	if err != nil || !slices.Contains(id.Groups, fmt.Sprint("many", many-1)) || len(id.Groups) < 2*many {
		t.Errorf("%d names of groups, %v", len(id.Groups), err)
	}
}

// TestSambaHostileNames shows a domain controller names that are none: nobody
// is let in but alice, as alice, and nothing is an outage.
func TestSambaHostileNames(t *testing.T) {
	s := testenv.StartSamba(t)
	conf := sambaConfig(s)
	search := open(t, conf)
	conf.Filter, conf.BindAs = nil, []ldap.Template{template("${user}@ad.example.test"), template(testenv.SambaDomain + `\${user}`),
		template("CN=${user}," + testenv.SambaPeopleDN)}
	direct := open(t, conf)
	for _, user := range append(slices.Clone(hostileNames), "administrator", "alice$", "DC1$") {
		for _, d := range []auth.Authenticator{search, direct} {
			for _, password := range []string{s.Password("alice"), " ", "\x00"} {
				id, err := try(t, d, user, password)
				if err == nil && (id.User != "alice" || user != "\uff41lice") {
					t.Errorf("%q is let in as %q", user, id.User)
				}
				if errors.Is(err, auth.ErrUnavailable) {
					t.Errorf("%q: %v", user, err)
				}
			}
		}
	}
}

// TestSambaPasswords: a password is sent as it was typed.
func TestSambaPasswords(t *testing.T) {
	s := testenv.StartSamba(t)
	dn := s.AddUser(t, "speaker")
	d := open(t, sambaConfig(s))
	for _, password := range []string{" ", " leading", "trailing ", "two  spaces", "sesam öffne dich", "пароль", `quoted "\" %s $x`, strings.Repeat("x", 128)} {
		s.Modify(t, "dn: "+dn+"\nchangetype: modify\nreplace: unicodePwd\npassword: "+password+"\n")
		if id, err := try(t, d, "speaker", password); err != nil || id.User != "speaker" {
			t.Errorf("%q: %+v, %v", password, id, err)
		}
		if _, err := try(t, d, "speaker", strings.ToUpper(password)+"x"); !errors.Is(err, auth.ErrCredentials) {
			t.Errorf("not %q: %v", password, err)
		}
		s.Modify(t, "dn: "+dn+"\nchangetype: modify\nreplace: lockoutTime\nlockoutTime: 0\n")
	}
}
