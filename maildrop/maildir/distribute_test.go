package maildir_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/storetest"
)

// threefold are three deliveries, of which the first and the last may share
// one file.
var threefold = []maildrop.Delivery{
	{Name: "alice", Head: []byte("To: one\n")},
	{Name: "bob", Head: []byte("To: another\n")},
	{Name: "carol", Head: []byte("To: one\n")},
}

// messagesOf returns the texts in new of somebody's Maildir, and their inodes.
func messagesOf(t *testing.T, root, name string) (texts []string, inodes []uint64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, name, "Maildir", "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		var st unix.Stat_t
		if err = errors.Join(err, unix.Lstat(file, &st)); err != nil {
			t.Fatal(err)
		}
		texts, inodes = append(texts, string(text)), append(inodes, st.Ino)
	}
	return texts, inodes
}

// left returns the files in tmp of all Maildirs.
func left(t *testing.T, root string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "*", "Maildir", "tmp", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestDistribute(t *testing.T) {
	root := t.TempDir()
	errs := newStore(root).Distribute(t.Context(), threefold, strings.NewReader(delivered))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	inodes := map[string]uint64{}
	for _, d := range threefold {
		texts, ino := messagesOf(t, root, d.Name)
		if !slices.Equal(texts, []string{string(d.Head) + delivered}) {
			t.Fatalf("%s has %d messages, or another", d.Name, len(texts))
		}
		inodes[d.Name] = ino[0]
	}
	if inodes["alice"] != inodes["carol"] || inodes["alice"] == inodes["bob"] {
		t.Errorf("inodes %v, want one file for alice and carol", inodes)
	}
	if files := left(t, root); len(files) > 0 {
		t.Errorf("left in tmp: %q", files)
	}
}

// Where lines are kept with CRLF, so are those of the heads.
func TestDistributeCRLF(t *testing.T) {
	root := t.TempDir()
	store := newStore(root)
	store.SaveCRLF = true
	errs := store.Distribute(t.Context(), threefold, strings.NewReader("one\ntwo\r\nthree"))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, d := range threefold {
		want := strings.ReplaceAll(string(d.Head), "\n", "\r\n") + "one\r\ntwo\r\nthree\r\n"
		if texts, _ := messagesOf(t, root, d.Name); !slices.Equal(texts, []string{want}) {
			t.Errorf("%s has %q", d.Name, texts)
		}
	}
}

// One recipient's trouble is his alone, whichever he is.
func TestDistributeTrouble(t *testing.T) {
	refused := errors.New("refused")
	names := []string{"alice", "bob", "carol"}
	for i, name := range names {
		for what, spoil := range map[string]func(root string, d *maildrop.Delivery) error{
			"refused": func(_ string, d *maildrop.Delivery) error {
				d.Accept = func() error { return refused }
				return nil
			},
			"name": func(_ string, d *maildrop.Delivery) error { d.Name = "../" + d.Name; return nil },
			"a file": func(root string, d *maildrop.Delivery) error {
				return os.WriteFile(filepath.Join(root, d.Name), nil, 0o600)
			},
			"link": func(root string, d *maildrop.Delivery) error {
				return os.Symlink(t.TempDir(), filepath.Join(root, d.Name))
			},
			"no link": func(string, *maildrop.Delivery) error { return nil },
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				root := t.TempDir()
				all := slices.Clone(threefold)
				if err := spoil(root, &all[i]); err != nil {
					t.Fatal(err)
				}
				errs := newStore(root).Distribute(t.Context(), all, strings.NewReader("text\n"))
				for j, other := range names {
					bad := j == i && what != "no link"
					if texts, _ := messagesOf(t, root, other); (errs[j] != nil) != bad || len(texts) == 1 == bad {
						t.Errorf("%s: %v, %q", other, errs[j], texts)
					}
				}
				if files := left(t, root); len(files) > 0 {
					t.Errorf("left in tmp: %q", files)
				}
			})
		}
	}
}

// A text that breaks off is nobody's.
func TestDistributeBroken(t *testing.T) {
	root := t.TempDir()
	broken := errors.New("broken")
	text := io.MultiReader(strings.NewReader(delivered), iotest.ErrReader(broken))
	for i, err := range newStore(root).Distribute(t.Context(), threefold, text) {
		if texts, _ := messagesOf(t, root, threefold[i].Name); !errors.Is(err, broken) || len(texts) > 0 {
			t.Errorf("%s: %v, %d messages", threefold[i].Name, err, len(texts))
		}
	}
	if files := left(t, root); len(files) > 0 {
		t.Errorf("left in tmp: %q", files)
	}
}

// Where the second Maildir is on another file system there is a copy.
func TestDistributeElsewhere(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "kpopd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	root := t.TempDir()
	mount := filepath.Join(root, "carol")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(shm, mount, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("root alone may mount: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(mount, 0) })
	errs := newStore(root).Distribute(t.Context(), threefold, strings.NewReader(delivered))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if texts, _ := messagesOf(t, root, "carol"); !slices.Equal(texts, []string{"To: one\n" + delivered}) {
		t.Errorf("carol has %d messages, or another", len(texts))
	}
}

// A crash at any system call leaves each recipient the whole message or none,
// and the message where it was acknowledged.
func TestCrashInDistribute(t *testing.T) {
	t.Parallel()
	everyCall(t, "distribute", func(s *scene) { s.must(os.RemoveAll(filepath.Join(s.root, "alice"))) }, func(s *scene, trace *storetest.Trace) {
		for _, d := range threefold {
			texts, _ := messagesOf(t, s.root, d.Name)
			whole := slices.Equal(texts, []string{string(d.Head) + delivered})
			if len(texts) > 0 && !whole {
				s.Errorf("%s has %d messages, or a part of one", d.Name, len(texts))
			}
			if trace.Output == done && !whole {
				s.Errorf("the acknowledged message of %s is not there", d.Name)
			}
		}
	})
}

// Each name is durable before the acknowledgement, and the text before any.
func TestSyncBeforeSharing(t *testing.T) {
	s := newScene(t)
	trace := s.run("distribute", 0)
	said := s.index(trace, "write", "pipe:")
	for _, name := range []string{"alice", "carol"} {
		call := map[string]string{"alice": "renameat2", "carol": "linkat"}[name]
		s.ascending(trace, s.index(trace, "fsync", "alice/Maildir/tmp/"),
			s.index(trace, call, name+"/Maildir/new/"), s.index(trace, "fsync", name+"/Maildir/new"), said)
	}
	s.ascending(trace, s.index(trace, "fsync", "bob/Maildir/tmp/"),
		s.index(trace, "renameat2", "bob/Maildir/new/"), s.index(trace, "fsync", "bob/Maildir/new"), said)
}
