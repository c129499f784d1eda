package ldap_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
	"kpopd/testenv"
)

// TestPolicy has OpenLDAP's password policy refuse right passwords, each for
// its reason, and lock an account.
func TestPolicy(t *testing.T) {
	w := testenv.Start(t)
	unit := people(t, w, map[string]string{"fresh": "right", "old": "right", "guessed": "right", "guarded": "right"})
	c := admin(t, w)
	policy := func(user string, rules map[string][]string) {
		dn := "cn=" + user + "," + unit
		rules["objectClass"], rules["cn"], rules["pwdAttribute"] = []string{"device", "pwdPolicy"}, []string{user}, []string{"userPassword"}
		add(t, c, dn, rules)
		modify(t, c, "uid="+user+","+unit, "pwdPolicySubentry", dn)
	}
	lockout := func() map[string][]string { return map[string][]string{"pwdLockout": {"TRUE"}, "pwdMaxFailure": {"4"}} }
	policy("fresh", map[string][]string{"pwdMustChange": {"TRUE"}})
	modify(t, c, "uid=fresh,"+unit, "pwdReset", "TRUE")
	policy("old", map[string][]string{"pwdMaxAge": {"1"}})
	modify(t, c, "uid=old,"+unit, "userPassword", hashed("right")) // its age counts from here
	policy("guessed", lockout())
	policy("guarded", lockout())

	conf := config(t, w, unit)
	d := open(t, conf)
	refused := func(user, reason string) {
		t.Helper()
		if _, err := try(t, d, user, "right"); !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != reason {
			t.Errorf("%s: reason %q, want %q: %v", user, auth.Reason(err), reason, err)
		}
	}
	refused("fresh", "password-must-change")
	for range 4 {
		try(t, d, "guessed", "wrong")
	}
	refused("guessed", "account-locked")
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); { // it is a second old soon
		if _, err := try(t, d, "old", "right"); err != nil {
			break
		}
	}
	refused("old", "password-expired")

	conf.LockoutThreshold, conf.LockoutWindow = 4, time.Hour
	d = open(t, conf)
	for i := range 20 {
		if _, err := try(t, d, "guarded", fmt.Sprint("guess ", i)); !errors.Is(err, auth.ErrCredentials) {
			t.Error(err)
		}
	}
	if err := c.Bind("uid=guarded,"+unit, "right"); err != nil {
		t.Errorf("a guesser has locked an account: %v", err)
	}
	if err := c.Bind(testenv.AdminDN, testenv.AdminPassword); err != nil {
		t.Fatal(err)
	}
}

func modify(t testing.TB, c *goldap.Conn, dn, attr string, values ...string) {
	t.Helper()
	r := goldap.NewModifyRequest(dn, nil)
	r.Replace(attr, values)
	if err := c.Modify(r); err != nil {
		t.Fatalf("%s: %s: %v", dn, attr, err)
	}
}
