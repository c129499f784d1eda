package maildir_test

import (
	"os"
	"strings"
	"testing"

	"kpopd/maildrop"
)

// foldersOpen returns how many directories of mail below dir this process has
// open.
func foldersOpen(t *testing.T, dir string) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, dir) {
			n++
		}
	}
	return n
}

// TestDescriptors: a session has no folder open before it asks for a message,
// whether the maildrop was read or had not changed.
func TestDescriptors(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.put("new/1.a", "x\n")
	f.settle()
	for _, kind := range []string{"read", "known"} {
		d := f.open()
		if n := foldersOpen(t, f.root); n != 0 {
			t.Errorf("%s: %d directories are open", kind, n)
		}
		if got := f.text(d, 1); got != "x\r\n" && got != "x\n" {
			t.Errorf("%s: %q", kind, got)
		}
		if n := foldersOpen(t, f.root); n != 2 {
			t.Errorf("%s: %d directories are open, want new and cur", kind, n)
		}
		f.must(d.Close())
		if n := foldersOpen(t, f.root); n != 0 {
			t.Errorf("%s: %d directories stay open", kind, n)
		}
	}
}

// TestOtherFolder: where the folders are others than those that were listed, or
// are not there, as where a file system is mounted no more, nothing is removed,
// and nobody is told that it is.
func TestOtherFolder(t *testing.T) {
	for name, put := range map[string]func(f *fixture){
		"gone":  func(*fixture) {},
		"empty": func(f *fixture) { f.must(os.MkdirAll(f.dir+"/new", 0o700)) },
		"alike": func(f *fixture) { f.put("new/1.a", "x\n") },
		"link":  func(f *fixture) { f.must(os.Symlink(f.dir+".old", f.dir)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.put("new/1.a", "x\n")
			d := f.open()
			f.must(os.Rename(f.dir, f.dir+".old"))
			if name == "alike" {
				f.must(os.MkdirAll(f.dir+"/new", 0o700))
			}
			put(f)
			if c, err := d.Retrieve(t.Context(), 1); err == nil {
				c.Close()
				t.Error("another message is sent")
			}
			f.must(d.Delete(1))
			if err := d.Update(t.Context()); err == nil {
				t.Error("it is said to be removed")
			}
			f.must(d.Close())
			if _, err := os.Stat(f.dir + ".old/new/1.a"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFolderBack: who cannot be served for a while is served when the folders
// are back.
func TestFolderBack(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "x\n")
	d, err := maildrop.Policy{Deletion: maildrop.DeleteQuarantine, Keep: 1}.Open(t.Context(), "alice", &f.locker, f.store)
	f.must(err)
	f.must(os.Rename(f.dir, f.dir+".old"))
	if c, err := d.Retrieve(t.Context(), 1); err == nil {
		c.Close()
		t.Error("it is there")
	}
	f.must(os.Rename(f.dir+".old", f.dir))
	f.text(d, 1)
	f.must(d.Delete(1))
	f.must(d.Update(t.Context()))
	f.must(d.Close())
}
