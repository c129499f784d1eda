package krb5

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// What a mint writes is read by the library's readers too, and by nobody but
// its owner.
func TestMintFiles(t *testing.T) {
	m := newTestMint(t)
	dir := t.TempDir()
	kt, cc := filepath.Join(dir, "keytab"), filepath.Join(dir, "cc")
	for range 2 { // the second time in place of the first
		if err := m.WriteKeytab(kt); err != nil {
			t.Fatal(err)
		}
		if err := WriteCCache(cc, alice, issue(t, m, alice, popService, TicketOptions{})); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("files %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if k, err := keytab.Load(kt); err != nil || len(k.Entries) != 1 || k.Entries[0].Principal.String() != "pop/localhost@EXAMPLE.TEST" {
		t.Errorf("keytab: %v", err)
	}
	c, err := credentials.LoadCCache(cc)
	if err != nil || c.GetClientPrincipalName().PrincipalNameString() != "alice" || len(c.Credentials) != 1 {
		t.Fatalf("credentials cache: %+v, %v", c, err)
	}
	if k, err := LoadKeytab(kt, KeytabOptions{}); err != nil || k.Path() != kt || !k.Keys().Knows(popService) {
		t.Errorf("keytab: %v", err)
	}
}

func TestMintRefuses(t *testing.T) {
	for _, name := range []string{"", "pop/", "a@B@C", `pop\`} {
		if _, err := NewMint(testRealm, name); err == nil {
			t.Errorf("a service called %q", name)
		}
	}
	if _, err := NewMint("", "pop/localhost"); err == nil {
		t.Error("a realm without a name")
	}
	m := newTestMint(t)
	if err := m.AddKey(popService, 2, 23); err == nil {
		t.Error("a key of RC4")
	}
	if _, err := m.Ticket(alice, wrongService, TicketOptions{}); err == nil {
		t.Error("a ticket for a service without a key")
	}
	if _, err := m.Ticket(alice, popService, TicketOptions{Etype: 20}); err == nil {
		t.Error("a ticket sealed with a key that there is not")
	}
	if _, err := m.Ticket(alice, popService, TicketOptions{SessionEtype: 23}); err == nil {
		t.Error("a session key of RC4")
	}
	if err := m.WriteKeytab(filepath.Join(t.TempDir(), "missing", "keytab")); err == nil {
		t.Error("a file in a directory that there is not")
	}
	m.RemoveKeys(popService, 2)
	if m.Keys().HasService("pop") {
		t.Error("the removed key is still there")
	}
}
