package ldap_test

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"

	"kpopd/auth"
	"kpopd/auth/ldap"
	"kpopd/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.M(m)) }

// template is a filter or a name with ${user} and ${principal} in it.
func template(text string) ldap.Template {
	return func(id auth.Identity, escape func(string) string) (string, error) {
		for name, value := range map[string]string{"${user}": id.User, "${principal}": id.Attrs["principal"]} {
			if head, tail, ok := strings.Cut(text, name); ok { // evaluated only where it stands
				return head + escape(value) + strings.ReplaceAll(tail, name, escape(value)), nil
			}
		}
		return text, nil
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// admin returns a connection of the directory's administrator.
func admin(t testing.TB, w *testenv.World) *goldap.Conn {
	t.Helper()
	c, err := goldap.DialURL(w.LDAP(t).TLSURL, goldap.DialWithTLSConfig(&tls.Config{RootCAs: w.CA.Pool()}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetTimeout(30 * time.Second)
	if err := c.Bind(testenv.AdminDN, testenv.AdminPassword); err != nil {
		t.Fatal(err)
	}
	return c
}

// people makes a unit of the directory with these users, and returns its DN.
func people(t testing.TB, w *testenv.World, users map[string]string) string {
	t.Helper()
	c := admin(t, w)
	unit := "ou=" + goldap.EscapeDN(strings.ReplaceAll(t.Name(), "/", " ")) + "," + testenv.BaseDN
	add(t, c, unit, map[string][]string{"objectClass": {"organizationalUnit"}})
	for user, password := range users {
		add(t, c, "uid="+goldap.EscapeDN(user)+","+unit, map[string][]string{"objectClass": {"inetOrgPerson", "mailUser"},
			"uid": {user}, "cn": {user}, "sn": {user}, "mailbox": {"box of " + user}, "userPassword": {hashed(password)}})
	}
	return unit
}

// hashed is a password as slapd keeps it; one that begins with a brace would
// be taken for a hash (RFC 2307 §5.3).
func hashed(password string) string {
	sum := sha1.Sum([]byte(password + "salt"))
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], "salt"...))
}

func add(t testing.TB, c *goldap.Conn, dn string, attrs map[string][]string) {
	t.Helper()
	r := goldap.NewAddRequest(dn, nil)
	for name, values := range attrs {
		r.Attribute(name, values)
	}
	if err := c.Add(r); err != nil {
		t.Fatalf("%s: %v", dn, err)
	}
	t.Cleanup(func() {
		if err := c.Del(goldap.NewDelRequest(dn, nil)); err != nil {
			t.Errorf("%s: %v", dn, err)
		}
	})
}

// config is a configuration for the world's directory: nothing is remembered
// and nobody locked.
func config(t testing.TB, w *testenv.World, base string) ldap.Config {
	t.Helper()
	return ldap.Config{
		Source: "ldap test", URLs: []string{w.LDAP(t).TLSURL}, CAs: w.CA.Pool(),
		BindDN: testenv.ServiceDN, BindPassword: func() (auth.Secret, error) { return testenv.ServicePassword, nil },
		BaseDN: base, Filter: template("(&(objectClass=person)(uid=${user}))"),
		LookupFilter: template("(krbPrincipalName=${principal})"), Attributes: []string{"mailbox"},
		DisabledAttribute: "mailboxDisabled", Timeout: 20 * time.Second, Log: quiet(),
	}
}

func open(t testing.TB, c ldap.Config) *ldap.Directory {
	t.Helper()
	d, err := ldap.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// try shows a password.
func try(t testing.TB, d auth.Authenticator, user, password string) (auth.Identity, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	return d.Authenticate(ctx, auth.Peer{}, auth.Password{User: user, Secret: auth.Secret(password)})
}
