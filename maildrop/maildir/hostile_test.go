package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/maildir"
)

// Nothing but regular files is a message, and nothing makes a session wait.
func TestHostileFiles(t *testing.T) {
	f := newFixture(t)
	secret := filepath.Join(t.TempDir(), "secret")
	f.must(os.WriteFile(secret, []byte("secret\n"), 0o600))
	f.put("new/5.good", "good\n")
	for _, sub := range []string{"new/", "cur/"} {
		at := func(name string) string { return filepath.Join(f.dir, sub+name) }
		f.must(os.Symlink(secret, at("1.link,S=7,W=8")))
		f.must(os.Symlink("5.good", at("1.inside")))
		f.must(os.Symlink("/nowhere", at("1.dangling")))
		f.must(unix.Mkfifo(at("2.fifo,W=5"), 0o600))
		f.must(os.Mkdir(at("3.directory,W=5"), 0o700))
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		f.must(err)
		defer unix.Close(fd)
		t.Chdir(filepath.Join(f.dir, sub)) // socket addresses are short
		f.must(unix.Bind(fd, &unix.SockaddrUnix{Name: "4.socket"}))
		if os.Geteuid() == 0 {
			f.must(unix.Mknod(at("6.device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5)))) // /dev/zero
		}
	}
	f.want(f.uids(), []string{"5.good"})
	f.indexed()
	for range 3 {
		f.want(f.uids(), []string{"5.good"})
	}
}

// A file without end holds up a session for as long as that may take to open a
// maildrop, and no longer; what it found out meanwhile the next one knows.
func TestEndlessMessage(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	const small = 200
	for i := range small {
		f.put(fmt.Sprintf("new/%d.small", 1_700_000_000+i), "text\n")
	}
	f.put("cur/1700009999.endless:2,", "text\n")
	f.must(os.Truncate(filepath.Join(f.dir, "cur/1700009999.endless:2,"), 1<<43))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if d, err := maildrop.Open(ctx, "alice", &f.locker, f.store); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open = %v, %v", d, err)
	}
	if n := f.store.Index.Get("alice/Maildir\x00refused").Len(); n != small {
		t.Errorf("%d of %d messages are known", n, small)
	}
	if n := f.store.Index.Get("alice/Maildir").Len(); n != 0 {
		t.Errorf("%d messages count as served", n)
	}
	f.must(os.Remove(filepath.Join(f.dir, "cur/1700009999.endless:2,")))
	if n := len(f.uids()); n != small {
		t.Errorf("%d messages", n)
	}
	if x := f.store.Index.Get("alice/Maildir\x00refused"); x != nil {
		t.Error("what was found out is still there")
	}
}

// Something else took the place of a message after the listing.
func TestReplacedMessage(t *testing.T) {
	for kind, replace := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"socket":    func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	} {
		f := newFixture(t)
		f.indexed()
		f.put("new/1.a", "one\n")
		f.settle()
		f.list()
		d := f.open()
		path := filepath.Join(f.dir, "new/1.a")
		f.must(os.Remove(path))
		f.must(replace(path))
		if c, err := d.Retrieve(t.Context(), 1); !errors.Is(err, maildrop.ErrVanished) {
			t.Errorf("%s: Retrieve = %v, %v; want ErrVanished", kind, c, err)
		}
		d.Close()
	}
}

func TestHardLinkIsAMessage(t *testing.T) {
	f := newFixture(t)
	copied := filepath.Join(f.root, "copy")
	f.must(os.WriteFile(copied, []byte("one\n"), 0o600))
	f.must(os.Link(copied, filepath.Join(f.dir, "new/1.a")))
	d := f.open()
	if got := f.text(d, 1); got != "one\n" {
		t.Errorf("message = %q", got)
	}
	f.must(d.Delete(1))
	f.must(d.Update(t.Context()))
	if text, err := os.ReadFile(copied); err != nil || string(text) != "one\n" {
		t.Errorf("the other link holds %q, %v", text, err)
	}
}

// No directory on the way from the root to the messages may be a link, not
// even one that stays inside: it would lead to another's mail.
func TestLinkedDirectories(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "alice's\n")
	link := func(to, name string) {
		f.Helper()
		path := filepath.Join(f.root, name)
		f.must(os.MkdirAll(filepath.Dir(path), 0o700))
		f.must(os.Symlink(to, path))
	}
	link("alice", "bob")
	link("../alice/Maildir", "carol/Maildir")
	for _, sub := range []string{"new", "cur", "tmp"} {
		f.must(os.MkdirAll(filepath.Join(f.root, "dave-"+sub, "Maildir"), 0o700))
		link("../../alice/Maildir/"+sub, "dave-"+sub+"/Maildir/"+sub)
	}
	before := f.files()
	for _, name := range []string{"bob", "carol", "dave-new", "dave-cur"} {
		if d, err := maildrop.Open(t.Context(), name, &f.locker, f.store); err == nil {
			n, _ := d.Stat()
			t.Errorf("%s has %d messages", name, n)
		} else if !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: %v; want an error that tells of the link", name, err)
		}
	}
	for _, name := range []string{"bob", "carol", "dave-new", "dave-cur", "dave-tmp"} {
		if err := f.store.Deliver(t.Context(), name, strings.NewReader("x\n")); err == nil {
			t.Errorf("something was delivered to %s", name)
		}
	}
	f.want(f.files(), before)
}

// What Path returns is checked as well as what it is given.
func TestPaths(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", ".", "..", "../x", "a/../../x", "a/..", "/etc", "a//b", "a/", "./a", "a/./b", "a\x00b", "a\nb"} {
		store := &maildir.Store{Root: root, Path: func(string) (string, error) { return path, nil }}
		if err := store.Deliver(t.Context(), "alice", strings.NewReader("x\n")); !errors.Is(err, maildrop.ErrName) {
			t.Errorf("path %q: Deliver = %v, want ErrName", path, err)
		}
	}
	store := &maildir.Store{Root: root}
	if err := store.Deliver(t.Context(), "a/b", strings.NewReader("x\n")); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(filepath.Join(root, "a/b/new")); err != nil || len(list) != 1 {
		t.Errorf("a/b/new holds %v, %v", list, err)
	}
	broken := errors.New("no such attribute")
	store.Path = func(string) (string, error) { return "", broken }
	if err := store.Deliver(t.Context(), "alice", strings.NewReader("x\n")); !errors.Is(err, broken) {
		t.Errorf("Deliver = %v, want Path's error", err)
	}
}
