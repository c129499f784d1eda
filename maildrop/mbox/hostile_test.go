package mbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
)

// refused: neither opens, nor takes mail, nor makes anybody wait.
func (f *fixture) refused(name, why string) {
	f.Helper()
	if d, err := maildrop.Open(f.Context(), name, &f.locker, f.store); err == nil || !strings.Contains(err.Error(), why) {
		f.Errorf("Open(%s) = %v, %v", name, d, err)
	}
	if err := f.store.Deliver(f.Context(), name, strings.NewReader("x\n")); err == nil || !strings.Contains(err.Error(), why) {
		f.Errorf("Deliver(%s) = %v", name, err)
	}
}

// Nothing but a regular file of one name is a mailbox, and nothing makes a
// session wait.
func TestHostileFiles(t *testing.T) {
	f := newFixture(t)
	f.put(big(1))
	mail := filepath.Join(f.base, "mail")
	at := func(name string) string { return filepath.Join(mail, name) }
	f.must(os.Symlink("alice", at("link")))
	f.must(os.Symlink("/nowhere", at("dangling")))
	f.must(unix.Mkfifo(at("fifo"), 0o600))
	f.must(os.Mkdir(at("directory"), 0o700))
	f.must(os.Symlink(".", at("sub")))
	f.must(os.WriteFile(at("prose"), []byte("Dear diary\n"), 0o600))
	f.must(os.WriteFile(at("one"), []byte(big(1)), 0o600))
	f.must(os.Link(at("one"), at("other")))
	f.refused("link", "symbolic link")
	f.refused("dangling", "symbolic link")
	f.refused("sub/alice", "symbolic link")
	f.refused("fifo", "")
	f.refused("directory", "directory")
	f.refused("prose", "not an mbox")
	f.refused("one", "several hard links")
	f.refused("alice.lock", "not acceptable")
	if os.Geteuid() == 0 {
		f.must(unix.Mknod(at("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5)))) // /dev/zero
		f.refused("device", "not a regular file")
	}
	if text := f.file(); text != big(1) {
		t.Errorf("alice's mailbox holds %.40q", text)
	}
	for name, want := range map[string]string{"prose": "Dear diary\n", "one": big(1)} {
		if text, err := os.ReadFile(at(name)); err != nil || string(text) != want {
			t.Errorf("%s holds %.40q, %v", name, text, err)
		}
	}
}

// What Path returns is checked as well as what it is given.
func TestPaths(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"", ".", "..", "../x", "a/../../x", "a/..", "/etc", "a//b", "a/", "./a", "a\x00b", "a\nb", "a.lock", strings.Repeat("x", 250)} {
		f.store.Path = func(string) (string, error) { return path, nil }
		if err := f.store.Deliver(t.Context(), "alice", strings.NewReader("x\n")); !errors.Is(err, maildrop.ErrName) {
			t.Errorf("path %q: Deliver = %v, want ErrName", path, err)
		}
	}
	f.store.Path = func(name string) (string, error) { return "home/" + name + "/mbox", nil }
	f.deliver("x\n")
	f.want(f.texts(), "x\n")
	if info, err := os.Stat(filepath.Join(f.base, "mail/home/alice/mbox")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// A root that is missing may be a file system that is not mounted: an error,
// no empty maildrop.
func TestMissing(t *testing.T) {
	f := newFixture(t)
	if got := f.texts(); len(got) != 0 {
		t.Errorf("nobody has %q", got)
	}
	if list, err := os.ReadDir(filepath.Join(f.base, "mail")); err != nil || len(list) > 0 {
		t.Errorf("login made %v, %v", list, err)
	}
	f.store.Root = filepath.Join(f.base, "unmounted")
	f.refused("alice", "root")
	f.store.Root = filepath.Join(f.base, "mail")
	f.store.StateDir = filepath.Join(f.base, "elsewhere")
	f.refused("alice", "state")
}

// A rewritten mailbox has the owner, group, mode and attributes that it had, by
// whichever way; and new mail still looks new.
func TestKeepsWhatItWas(t *testing.T) {
	for _, rewrite := range mbox.Rewrites {
		f := newFixture(t)
		f.store.Rewrite = rewrite
		f.put(big(1) + big(2) + big(3))
		f.must(os.Chmod(f.path, 0o660))
		if os.Geteuid() == 0 {
			f.must(os.Chown(f.path, 1234, 8))
		}
		before := f.stat()
		f.remove(1)
		after := f.stat()
		if after.Mode != before.Mode || after.Uid != before.Uid || after.Gid != before.Gid {
			t.Errorf("%s: %+v, was %+v", rewrite, after, before)
		}
		if same := after.Ino == before.Ino; same != (rewrite == mbox.InPlace) {
			t.Errorf("%s: the same file: %t", rewrite, same)
		}
		if after.Mtim.Nano() > after.Atim.Nano() {
			t.Errorf("%s: new mail, without any", rewrite)
		}
		f.deliver("x\n")
		if st := f.stat(); st.Mtim.Nano() <= st.Atim.Nano() {
			t.Errorf("%s: what was delivered does not look new", rewrite)
		}
	}
	f := newFixture(t)
	f.put(big(1) + big(2) + big(3))
	if err := unix.Setxattr(f.path, "user.note", []byte("x"), 0); err != nil {
		t.Logf("no attributes here: %v", err)
		return
	}
	f.remove(1)
	var buf [8]byte
	if n, err := unix.Getxattr(f.path, "user.note", buf[:]); err != nil || n != 1 {
		t.Errorf("the attribute is gone: %v", err)
	}
}

func (f *fixture) stat() (st unix.Stat_t) {
	f.Helper()
	f.must(unix.Lstat(f.path, &st))
	return st
}

// full gives the test a file system of a few kilobytes, or says why it cannot.
func full(t *testing.T, dir string, size string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no file system to fill: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, 0) })
}

// A disk that is full, of mail or of state, loses nothing and leaves no part.
func TestFullDisk(t *testing.T) {
	for _, which := range []string{"mail", "state"} {
		t.Run(which, func(t *testing.T) {
			f := newFixture(t)
			full(t, filepath.Join(f.base, which), "128k")
			f.put(big(1) + big(2) + big(3))
			before := f.file()
			large := strings.Repeat("0123456789abcde\n", 400<<10/16)
			if err := f.store.Deliver(t.Context(), "alice", strings.NewReader(large)); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("Deliver = %v, want ENOSPC", err)
			}
			if f.file() != before {
				t.Error("the mailbox is another")
			}
			f.want(f.texts(), textOf(big(1)), textOf(big(2)), textOf(big(3)))
			// Fill it to the brim: then a message can be removed all the same,
			// or none is.
			filler := filepath.Join(f.base, which, "filler")
			f.must(errors.Join(nil, fill(filler)))
			for _, rewrite := range mbox.Rewrites {
				f.store.Rewrite = rewrite
				d := f.open()
				f.must(d.Delete(1))
				err := d.Update(t.Context())
				f.must(d.Close())
				if got := f.texts(); err != nil {
					f.want(got, textOf(big(1)), textOf(big(2)), textOf(big(3)))
				} else {
					f.want(got, textOf(big(2)), textOf(big(3)))
					f.put(big(1) + big(2) + big(3))
				}
			}
			f.must(os.Remove(filler))
			f.remove(1)
			f.want(f.texts(), textOf(big(2)), textOf(big(3)))
			f.want(f.state())
		})
	}
}

// fill writes until the disk is full.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, size := range []int{4096, 1} {
		for err == nil {
			_, err = file.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			return err
		}
		err = nil
	}
	return nil
}
