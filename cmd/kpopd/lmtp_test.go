package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/maildrop/maildir"
)

// Whether a maildrop is there is told without making it, and no link is
// followed on the way, whoever tells.
func TestExists(t *testing.T) {
	root := t.TempDir()
	f, diags := config.Parse("test.hcl", []byte("hostname = \"localhost\"\nlistener \"pop3\" {\n  address = \"127.0.0.1:0\"\n  protocol = \"pop3\"\n  tls = \"off\"\n}\n"+
		"maildrop \"maildir\" {\n  path = \""+root+"/${maildrop}/Maildir\"\n}\n"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	err := errors.Join(os.MkdirAll(filepath.Join(root, "alice", "Maildir"), 0o700), os.Mkdir(filepath.Join(root, "bob"), 0o700),
		os.Symlink(filepath.Join(root, "alice"), filepath.Join(root, "carol")))
	if err != nil {
		t.Fatal(err)
	}
	for what, p := range map[string]maildrop.Prober{
		"place": places{&f.Maildrop}, "store": &maildir.Store{Root: root, Path: f.Maildrop.RelPath},
	} {
		for name, want := range map[string]bool{"alice": true, "bob": false, "dave": false} {
			if got, err := p.Exists(t.Context(), name); got != want || err != nil {
				t.Errorf("%s: %s: %v, %v", what, name, got, err)
			}
		}
		for _, name := range []string{"carol", "..", "alice/../bob", ""} {
			if got, err := p.Exists(t.Context(), name); got || err == nil {
				t.Errorf("%s: %q: %v, %v", what, name, got, err)
			}
		}
	}
	if entries, err := os.ReadDir(root); len(entries) != 3 || err != nil {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}
