package testenv_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kpopd/testenv"
)

// mean is the user whose name wants escaping in a filter and in a DN.
const mean = "o'brien (test)*"

func checkLDAP(t *testing.T, w *testenv.World) {
	l := w.LDAP(t)
	if w.LDAP(t) != l {
		t.Error("a second directory server")
	}
	t.Run("search", func(t *testing.T) {
		out, err := ldap(t, w, "ldapsearch", "-x", "-LLL", "-ZZ", "-H", l.URL, "-D", testenv.ServiceDN, "-w", testenv.ServicePassword,
			"-b", testenv.PeopleDN, "(krbPrincipalName=bob@EXAMPLE.TEST)", "uid", "mailbox", "memberOf", "userPassword")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, want := range []string{"uid: bob", "mailbox: shared/bob", "memberOf: cn=pop-users,ou=groups," + testenv.BaseDN} {
			if !strings.Contains(out, want+"\n") {
				t.Errorf("no %q in:\n%s", want, out)
			}
		}
		if strings.Contains(out, "userPassword") {
			t.Errorf("the service reads passwords:\n%s", out)
		}
	})
	t.Run("bind", func(t *testing.T) {
		for _, user := range []string{"alice", "bob", "carol", "dave", mean} {
			dn := "uid=" + user + "," + testenv.PeopleDN
			if out, err := ldap(t, w, "ldapwhoami", "-x", "-H", l.TLSURL, "-D", dn, "-w", w.Password(user)); err != nil {
				t.Errorf("%s: %v: %s", user, err, out)
			}
			if out, err := ldap(t, w, "ldapwhoami", "-x", "-H", l.TLSURL, "-D", dn, "-w", "wrong"); err == nil {
				t.Errorf("%s: a wrong password is good: %s", user, out)
			}
		}
	})
	t.Run("others", func(t *testing.T) {
		out, err := ldap(t, w, "ldapsearch", "-x", "-LLL", "-H", l.URL, "-b", testenv.BaseDN)
		if err == nil || strings.Contains(out, "dn:") {
			t.Errorf("anybody may search: %v\n%s", err, out)
		}
	})
	if l.Socket != "" {
		t.Run("socket", func(t *testing.T) {
			out, err := ldap(t, w, "ldapwhoami", "-Q", "-Y", "EXTERNAL", "-H", l.Socket)
			if err != nil || strings.TrimSpace(out) != "dn:"+testenv.AdminDN {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// ldap runs one of OpenLDAP's clients, which trusts the world's authority.
func ldap(t *testing.T, w *testenv.World, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := os.Stat("/usr/bin/" + program); err != nil {
		t.Fatalf("%v; run: apt-get install ldap-utils", err)
	}
	cmd := exec.CommandContext(ctx, "/usr/bin/"+program, args...)
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+w.CA.File(t), "LDAPTLS_REQCERT=hard")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
