package krb5

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/auth"
)

// A cache with tickets of all enctypes is read as it was written, and each of
// them opens a session with this package's acceptor.
func TestCCache(t *testing.T) {
	g, m := newTestGSSAPI(t)
	for _, etype := range defaultEtypes {
		if err := m.AddKey(popService, uint32(etype), etype); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "cc")
		want := issue(t, m, alice, popService, TicketOptions{Etype: etype})
		old := issue(t, m, alice, popService, TicketOptions{Etype: etype, AuthTime: time.Now().Add(-2 * time.Hour), End: time.Now().Add(-time.Hour)})
		if err := WriteCCache(path, alice, old, want); err != nil {
			t.Fatal(err)
		}
		c, err := LoadCCache("FILE:" + path)
		if err != nil || len(c.tickets) != 2 {
			t.Fatalf("%d tickets, %v", len(c.tickets), err)
		}
		i, err := c.Start(t.Context(), "pop", "LOCALHOST", auth.Peer{})
		if err != nil {
			t.Fatal(err)
		}
		x := start(t, g)
		if err := shake(i, x, "bob", asIs); err != nil {
			t.Errorf("enctype %d: %v", etype, err)
		}
		if id := x.Identity(); id.User != "alice" || id.Authzid != "bob" {
			t.Errorf("enctype %d: %+v", etype, id)
		}
		if _, err := c.Start(t.Context(), "imap", "localhost", auth.Peer{}); err == nil || !strings.Contains(err.Error(), "no ticket for imap/localhost: kvno imap/localhost") {
			t.Errorf("no ticket: %v", err)
		}
		if err := WriteCCache(path, alice, old); err != nil {
			t.Fatal(err)
		}
		if c, err = LoadCCache(path); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Start(t.Context(), "pop", "localhost", auth.Peer{}); err == nil || !strings.Contains(err.Error(), "has expired") {
			t.Errorf("an old ticket: %v", err)
		}
	}
}

func TestCCacheRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cc")
	if err := WriteCCache(path, alice); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCCache(path); err != nil {
		t.Errorf("an empty cache: %v", err)
	}
	for _, name := range []string{"KEYRING:persistent:0", "KCM:", "DIR:/tmp", path + "-"} {
		if _, err := LoadCCache(name); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCCache(path); err == nil {
		t.Error("one that others can read is read")
	}
}

func FuzzCCache(f *testing.F) {
	m := newTestMint(f)
	path := filepath.Join(f.TempDir(), "cc")
	if err := WriteCCache(path, alice, issue(f, m, alice, popService, TicketOptions{})); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{5, 3, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		tickets, err := parseCCache(b)
		for _, k := range tickets {
			if err != nil || !wellFormedKey(k.Session) || k.Service.Valid() != nil {
				t.Errorf("%v, %v", k, err)
			}
		}
	})
}
