package config_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"kpopd/config"
)

// withFolders is a configuration whose maildrops have folders, with these
// blocks beside it.
func withFolders(t *testing.T, blocks string) *config.File {
	t.Helper()
	return mustParse(t, strings.Replace(minimal, "/Maildir\"\n", "/Maildir\"\n  folder_separator = \"+\"\n", 1)+blocks)
}

// TestFolders: a folder is a directory of its owner's Maildir, and leads nowhere
// else.
func TestFolders(t *testing.T) {
	m := withFolders(t, "").Maildrop
	for name, want := range map[string]string{
		"alice":               "alice/Maildir",
		"alice+Sent":          "alice/Maildir/.Sent",
		"alice+Lists.Go":      "alice/Maildir/.Lists.Go",
		"partner/bob+Junk":    "partner/bob/Maildir/.Junk",
		"alice+C++":           "alice/Maildir/.C++",
		"alice+R&D":           "alice/Maildir/.R&-D",
		"alice+Entwürfe":      "alice/Maildir/.Entw&APw-rfe",
		"alice+台北.日本語":        "alice/Maildir/.&U,BTFw-.&ZeVnLIqe-", // as in RFC 3501 §5.1.3
		"alice+~peter.台北":     "alice/Maildir/.~peter.&U,BTFw-",
		"alice+😀":             "alice/Maildir/.&2D3eAA-",
		"alice+Sent Messages": "alice/Maildir/.Sent Messages",
		"alice+INBOXES":       "alice/Maildir/.INBOXES",
	} {
		if got, err := m.RelPath(name); got != want || err != nil {
			t.Errorf("%q is at %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{
		"alice+", "+Sent", "+", "alice+.Sent", "alice+Sent.", "alice+a..b", "alice+..", "alice+.", "alice+../bob", "alice+/bob",
		"alice+Sent/x", "alice+INBOX", "alice+inbox", "alice+Inbox.Sent", "alice+" + strings.Repeat("x", 255),
		"alice+" + strings.Repeat("ü", 100), "alice+a\x00", "../x+Sent",
	} {
		if got, err := m.RelPath(name); !errors.Is(err, config.ErrName) {
			t.Errorf("%q is at %q, %v; want ErrName", name, got, err)
		}
	}
	plain := mustParse(t, minimal).Maildrop
	if got, err := plain.RelPath("alice+Sent"); got != "alice+Sent/Maildir" || err != nil {
		t.Errorf("without folders: %q, %v", got, err)
	}
}

// TestFolderOfRule: a rule may name a folder; a user may not.
func TestFolderOfRule(t *testing.T) {
	f := withFolders(t, `
account {
  maildrop = "${user}+Archive.${realm}"
}
account {
  maildrop = user
}
`)
	folder, plain, last := &f.Accounts[0], &f.Accounts[1], &f.Accounts[2]
	if last.Match(config.Facts{User: "alice+Sent"}) != nil || last.Match(config.Facts{User: "alice"}) == nil {
		t.Error("who has no rule is not kept from folders, or from everything")
	}
	if name, err := folder.MaildropName(config.Facts{User: "alice", Realm: "X"}); name != "alice+Archive.X" || err != nil {
		t.Errorf("maildrop %q, %v", name, err)
	}
	for _, facts := range []config.Facts{{User: "alice+Sent"}, {User: "alice+Sent", Realm: "a/b"}, {User: "alice", Realm: "X+Y"}} {
		if name, err := folder.MaildropName(facts); !errors.Is(err, config.ErrName) {
			t.Errorf("%+v has the maildrop %q, %v", facts, name, err)
		}
	}
	if name, err := plain.MaildropName(config.Facts{User: "alice+Sent"}); !errors.Is(err, config.ErrName) {
		t.Errorf("alice+Sent has the maildrop %q, %v", name, err)
	}
}

// FuzzFolder: what is not refused is one directory that begins with a dot, of
// printable ASCII, and no other folder's.
func FuzzFolder(f *testing.F) {
	f.Add("Sent", "sent")
	f.Add("台北", "&U,BTFw-")
	f.Add("a&b", "a&-b")
	f.Add("..", ".")
	f.Fuzz(func(t *testing.T, one, two string) {
		a, err := config.FolderDir(one)
		if err != nil || !utf8.ValidString(one) || !utf8.ValidString(two) {
			return
		}
		if len(a) < 2 || a[0] != '.' || a[1] == '.' || len(a) > 255 || strings.ContainsFunc(a, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '/' }) {
			t.Errorf("%q is at %q", one, a)
		}
		if b, err := config.FolderDir(two); err == nil && (a == b) != (one == two) {
			t.Errorf("%q and %q are at %q", one, two, a)
		}
	})
}
