package krb5

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These tests run MIT's tools on what a Mint writes. They need klist (Debian:
// krb5-user), and fail without it.

// A mitWorld is a configuration of MIT's library with a mint's realm, no KDC
// in reach, and a cache that holds one ticket.
type mitWorld struct {
	dir  string
	mint *Mint
}

func newMITWorld(t *testing.T) mitWorld {
	t.Helper()
	w := mitWorld{dir: t.TempDir(), mint: newTestMint(t)}
	conf := fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	dns_canonicalize_hostname = false
	dns_lookup_kdc = false
	rdns = false
[realms]
	%[1]s = {
		kdc = 127.0.0.1:1
	}
[domain_realm]
	localhost = %[1]s
`, testRealm)
	if err := os.WriteFile(filepath.Join(w.dir, "krb5.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	w.hold(t, issue(t, w.mint, alice, popService, TicketOptions{}))
	return w
}

// hold puts a ticket into the cache.
func (w mitWorld) hold(t *testing.T, ticket *Ticket) {
	t.Helper()
	if err := WriteCCache(filepath.Join(w.dir, "cc"), alice, ticket); err != nil {
		t.Fatal(err)
	}
}

func (w mitWorld) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+w.dir,
		"KRB5_CONFIG="+filepath.Join(w.dir, "krb5.conf"), "KRB5CCNAME=FILE:"+filepath.Join(w.dir, "cc"))
	return cmd
}

func TestMITReadsCCache(t *testing.T) {
	w := newMITWorld(t)
	out, err := w.command(t, "klist", "-e", "-f").CombinedOutput()
	if err != nil {
		t.Fatalf("klist: %v\n%s", err, out)
	}
	for _, want := range []string{"Default principal: alice@EXAMPLE.TEST", "pop/localhost@EXAMPLE.TEST", "aes256-cts-hmac-sha1-96", "Flags: IA"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("klist does not say %q:\n%s", want, out)
		}
	}
}

func TestMITReadsKeytab(t *testing.T) {
	w := newMITWorld(t)
	if err := w.mint.AddKey(principal("pop/mail.example.test@EXAMPLE.TEST"), 300, 20); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "keytab")
	if err := w.mint.WriteKeytab(path); err != nil {
		t.Fatal(err)
	}
	out, err := w.command(t, "klist", "-k", "-e", path).CombinedOutput()
	if err != nil {
		t.Fatalf("klist -k: %v\n%s", err, out)
	}
	for _, want := range []string{"   1 pop/localhost@EXAMPLE.TEST (aes256-cts-hmac-sha1-96)", " 300 pop/mail.example.test@EXAMPLE.TEST (aes256-cts-hmac-sha384-192)"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("klist -k does not say %q:\n%s", want, out)
		}
	}
}
