package krb5

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/testenv"
)

// TestSambaPasswords: passwords that Active Directory's KDC judges. Who logs in
// by password is in the groups that his ticket would say, or a rule about groups
// would not hold for him.
func TestSambaPasswords(t *testing.T) {
	s := testenv.StartSamba(t)
	c, err := LoadConf(s.Krb5Conf)
	if err != nil {
		t.Fatal(err)
	}
	conf := PasswordConfig{Client: &Client{Conf: c, Timeout: time.Minute}, Realm: testenv.SambaRealm,
		Keys: keytabAt(t, s.Keytab), Host: "localhost", PAC: PACRequire, Log: quiet}
	p := passwords(t, conf)
	user, groups := tokenGroups(t, s, "CN=Alice Able,"+testenv.SambaPeopleDN)
	for _, name := range []string{"alice", "ALICE"} {
		id, err := try(t, p, name, s.Password("alice"))
		got := slices.DeleteFunc(id.Groups, func(g string) bool { return g == "S-1-18-1" })
		slices.Sort(got)
		slices.Sort(groups)
		if err != nil || id.User != name || len(groups) < 2 || !slices.Equal(got, groups) {
			t.Errorf("%s: %+v, %v, want the groups %q", name, id, err, groups)
		}
		wantAttrs(t, id, map[string]string{attrSID: string(user), attrAccount: "alice", attrUPN: "alice.able@example.test"})
	}
	for _, c := range []struct{ user, reason string }{
		{"disabled", "account-locked"}, {"expired", "account-locked"}, {"locked", "account-locked"}, {"night", "account-locked"},
		{"mustchange", "password-expired"}, {"stale", "password-expired"}, {"Guest", "weak-enctype"},
	} {
		id, err := try(t, p, c.user, s.Password(c.user))
		if !errors.Is(err, auth.ErrCredentials) || auth.Reason(err) != c.reason || id.User != "" {
			t.Errorf("%s: %+v, %v, want %s", c.user, id, err, c.reason)
		}
	}
	conf.PAC = PACIgnore
	if id, err := try(t, passwords(t, conf), "alice", s.Password("alice")); err != nil || len(id.Groups) > 0 || id.Attrs[attrSID] != "" {
		t.Errorf("a PAC that is to be ignored: %+v, %v", id, err)
	}
}

// A ticket without a PAC is refused where there must be one, also as the proof
// of a password.
func TestPasswordPACMissing(t *testing.T) {
	w := testenv.Start(t)
	user := freshUser(t, w, "nopac", "")
	service := freshService("nopac")
	path := w.AddService(t, service)
	w.Kadmin(t, testenv.Realm, "modprinc +no_auth_data_required "+service)
	conf := passwordConfig(t, w, nil)
	conf.Keys, conf.Host, conf.PAC = keytabAt(t, path), service[len("pop/"):], PACRequire
	if id, err := try(t, passwords(t, conf), user, w.Password(user)); !errors.Is(err, auth.ErrDenied) || id.User != "" {
		t.Errorf("%+v, %v", id, err)
	}
	conf.PAC = PACIfValid
	if id, err := try(t, passwords(t, conf), user, w.Password(user)); err != nil || id.User != user {
		t.Errorf("%+v, %v", id, err)
	}
}
