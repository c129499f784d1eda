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

// TestSamba: the domain controller is what its description says.
func TestSamba(t *testing.T) {
	s := testenv.StartSamba(t)
	if testenv.StartSamba(t) != s {
		t.Error("a second domain controller")
	}
	t.Run("binds", func(t *testing.T) { checkSambaBinds(t, s) })
	t.Run("search", func(t *testing.T) { checkSambaSearch(t, s) })
	t.Run("tickets", func(t *testing.T) { checkSambaTickets(t, s) })
	t.Run("entries", func(t *testing.T) { checkSambaEntries(t, s) })
}

// checkSambaBinds: the codes of Active Directory say why a bind fails.
func checkSambaBinds(t *testing.T, s *testenv.Samba) {
	for user, code := range map[string]string{
		"disabled": "533", "expired": "701", "locked": "775", "mustchange": "773", "night": "530", "elsewhere": "531", "stale": "532",
		"nobody": "52e",
	} {
		out, err := sambaSearch(t, s, s.TLSURL, `EXAMPLE\`+user, s.Password(user), "(cn=x)")
		if err == nil || !strings.Contains(out, "data "+code+",") {
			t.Errorf("%s binds: %v: %s", user, err, out)
		}
	}
	for _, name := range []string{`EXAMPLE\alice`, "alice@AD.EXAMPLE.TEST", "alice.able@example.test", "CN=Alice Able," + testenv.SambaPeopleDN} {
		if out, err := sambaSearch(t, s, s.TLSURL, name, s.Password("alice"), "(cn=x)"); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	if out, err := sambaSearch(t, s, s.URL, `EXAMPLE\alice`, s.Password("alice"), "(cn=x)", "-ZZ"); err != nil {
		t.Errorf("StartTLS: %v: %s", err, out)
	}
}

func checkSambaSearch(t *testing.T, s *testenv.Samba) {
	out, err := sambaSearch(t, s, s.TLSURL, testenv.SambaServiceDN, testenv.SambaServicePassword, "(sAMAccountName=alice)")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"userPrincipalName: alice.able@example.test", "proxyAddresses: SMTP:alice@example.test", "memberOf: CN=staff," + testenv.SambaGroupsDN} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func checkSambaTickets(t *testing.T, s *testenv.Samba) {
	keys := klist(t, "-ek", s.Keytab)
	if strings.Count(keys, "pop/localhost@AD.EXAMPLE.TEST (aes") != 2 || strings.Contains(keys, "arcfour") {
		t.Errorf("keys of the service:\n%s", keys)
	}
	cache := s.Kinit(t, "alice")
	if kvno := s.Ticket(t, cache, "pop/localhost"); kvno != 1 {
		t.Errorf("a ticket for version %d of the key", kvno)
	}
	if list := klist(t, "-e", cache); strings.Count(list, "aes256-cts-hmac-sha1-96, aes256-cts-hmac-sha1-96") != 2 {
		t.Errorf("other tickets than AES-256 ones:\n%s", list)
	}
}

func checkSambaEntries(t *testing.T, s *testenv.Samba) {
	dn := s.AddUser(t, "erin", "servicePrincipalName: imap/localhost", "msDS-SupportedEncryptionTypes: 24")
	group := s.AddGroup(t, "readers", dn)
	out, err := sambaSearch(t, s, s.TLSURL, dn, s.Password("erin"), "(sAMAccountName=erin)")
	if err != nil || !strings.Contains(out, "memberOf: "+group) {
		t.Errorf("%v: %s", err, out)
	}
	s.Ticket(t, s.Kinit(t, "erin"), "imap/localhost")
	if keys := klist(t, "-k", s.ExportKeytab(t, "imap/localhost")); strings.Count(keys, "imap/localhost@AD.EXAMPLE.TEST") != 2 {
		t.Errorf("keys of the service:\n%s", keys)
	}
}

// sambaSearch binds and searches the domain.
func sambaSearch(t *testing.T, s *testenv.Samba, url, dn, password, filter string, flags ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	args := append([]string{"-x", "-LLL", "-o", "ldif-wrap=no", "-H", url, "-D", dn, "-w", password, "-b", testenv.SambaBaseDN}, flags...)
	cmd := exec.CommandContext(ctx, testenv.Need(t, "ldapsearch"), append(args, filter)...)
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+s.CA.File(t), "LDAPTLS_REQCERT=hard")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
