package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/maildir"
	"kpopd/maildrop/memory"
	"kpopd/maildrop/storetest"
)

// newStore returns a store as configured by "<root>/${maildrop}/Maildir".
func newStore(root string) *maildir.Store {
	return &maildir.Store{
		Root:     root,
		Path:     func(name string) (string, error) { return name + "/Maildir", nil },
		Hostname: "pop.example.test",
	}
}

func TestStore(t *testing.T) {
	storetest.TestStore(t, func(t *testing.T) storetest.Instance {
		root := t.TempDir()
		return storetest.Instance{
			Store: newStore(root),
			Again: func(*testing.T) maildrop.Store { return newStore(root) },
			Disturb: func(t *testing.T, name string) {
				if err := disturb(filepath.Join(root, name, "Maildir")); err != nil {
					t.Error(err)
				}
			},
		}
	})
}

// disturb does to a Maildir what IMAP servers do: moves messages from new to
// cur and changes their flags.
func disturb(dir string) error {
	flags := []string{":2,", ":2,S", ":2,RS", ":2,FRSa"}
	for _, sub := range []string{"new", "cur"} {
		list, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range list {
			base, _, _ := strings.Cut(e.Name(), ":")
			to := base + flags[rand.IntN(len(flags))]
			err := os.Rename(filepath.Join(dir, sub, e.Name()), filepath.Join(dir, "cur", to))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// A fixture is a store with one Maildir, of alice, whose files a test writes.
type fixture struct {
	*testing.T
	store  *maildir.Store
	locker memory.Locker
	root   string
	dir    string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	root := t.TempDir()
	f := &fixture{T: t, store: newStore(root), root: root, dir: filepath.Join(root, "alice", "Maildir")}
	for _, sub := range []string{"tmp", "new", "cur"} {
		f.must(os.MkdirAll(filepath.Join(f.dir, sub), 0o700))
	}
	return f
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// put writes a file, "new/name" or "cur/name", as other programs do.
func (f *fixture) put(name, text string) {
	f.Helper()
	f.must(os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600))
}

func (f *fixture) rename(from, to string) {
	f.Helper()
	f.must(os.Rename(filepath.Join(f.dir, from), filepath.Join(f.dir, to)))
}

func (f *fixture) open() *maildrop.Drop {
	f.Helper()
	d, err := maildrop.Open(f.Context(), "alice", &f.locker, f.store)
	f.must(err)
	f.Cleanup(func() { d.Close() })
	return d
}

// list returns the listing of a session of its own.
func (f *fixture) list() []maildrop.Message {
	f.Helper()
	d := f.open()
	defer d.Close()
	var all []maildrop.Message
	for _, m := range d.All() {
		all = append(all, m)
	}
	return all
}

func (f *fixture) uids() []string {
	f.Helper()
	var all []string
	for _, m := range f.list() {
		all = append(all, m.UID)
	}
	return all
}

func (f *fixture) text(d *maildrop.Drop, n int) string {
	f.Helper()
	c, err := d.Retrieve(f.Context(), n)
	f.must(err)
	text, err := io.ReadAll(c)
	f.must(errors.Join(err, c.Close()))
	return string(text)
}

// files returns the names of all files below the Maildir.
func (f *fixture) files() []string {
	f.Helper()
	var all []string
	f.must(filepath.WalkDir(f.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(f.dir, path)
			all = append(all, name)
		}
		return err
	}))
	return all
}

func (f *fixture) want(got, want []string) {
	f.Helper()
	if !slices.Equal(got, want) {
		f.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestNothingIsMadeAtLogin(t *testing.T) {
	root := t.TempDir()
	store := newStore(root)
	d, err := maildrop.Open(t.Context(), "alice", new(memory.Locker), store)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Update(t.Context()), d.Close()); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(root); err != nil || len(list) != 0 {
		t.Errorf("root holds %v, %v; want nothing", list, err)
	}
}

// A root that is missing may be a file system that is not mounted: an error,
// no empty maildrop.
func TestMissingRoot(t *testing.T) {
	store := newStore(filepath.Join(t.TempDir(), "unmounted"))
	if d, err := maildrop.Open(t.Context(), "alice", new(memory.Locker), store); err == nil {
		t.Errorf("Open = %v without a root", d)
	}
	if err := store.Deliver(t.Context(), "alice", strings.NewReader("x\n")); err == nil {
		t.Error("Deliver succeeded without a root")
	}
}

func TestOrderAndNames(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{
		"new/1700000010.b.host", "cur/1700000010.a.host:2,S", "new/999.z.host", "cur/1700000002.x.host:2,",
		"new/noTime", "cur/1699999999.M1P1.host,S=2,W=3:2,FS", "new/99999999999999999999999.far",
	} {
		f.put(name, "x\n")
	}
	f.put("new/.hidden", "x\n")
	f.put("cur/:2,S", "x\n")
	f.put("tmp/1700000000.unfinished", "x\n")
	f.want(f.uids(), []string{
		"noTime", "999.z.host", "1699999999.M1P1.host,S=2,W=3", "1700000002.x.host",
		"1700000010.a.host", "1700000010.b.host", "99999999999999999999999.far",
	})
}

func TestUIDMapping(t *testing.T) {
	f := newFixture(t)
	long := "1700000005." + strings.Repeat("l", 60)
	for _, name := range []string{
		"1700000001.a b", "1700000002.a%20b", "1700000003.\xff\x7f\t~", "1700000004." + strings.Repeat("l", 59), long,
	} {
		f.put("new/"+name, "x\n")
	}
	got := f.uids()
	f.want(got[:4], []string{
		"1700000001.a%20b", "1700000002.a%2520b", "1700000003.%FF%7F%09~", "1700000004." + strings.Repeat("l", 59),
	})
	if hashed := got[4]; len(hashed) != 66 || !strings.HasPrefix(hashed, "%-") {
		t.Errorf("of 71 octets became %q", hashed)
	}
	f.rename("new/"+long, "cur/"+long+":2,RS")
	f.want(f.uids(), got)
}

// One base name is one message, however many files have it: an IMAP server may
// be caught between link and unlink, a backup may have been laid over.
func TestOneBaseNameOneMessage(t *testing.T) {
	f := newFixture(t)
	f.put("new/1700000001.a", "one\n")
	f.must(os.Link(filepath.Join(f.dir, "new/1700000001.a"), filepath.Join(f.dir, "cur/1700000001.a:2,S")))
	f.put("cur/1700000001.a:2,RS", "one\n")
	f.put("new/1700000002.b", "two\n")
	f.want(f.uids(), []string{"1700000001.a", "1700000002.b"})
	d := f.open()
	f.must(d.Delete(1))
	f.must(d.Update(t.Context()))
	f.must(d.Close())
	f.want(f.files(), []string{"new/1700000002.b"})
}

func TestSizesFromNames(t *testing.T) {
	f := newFixture(t)
	text := "one\ntwo\n" // 8 octets, 10 on the wire
	for name, want := range map[string]int64{
		"1.h,W=77":                          77, // believed
		"1.h,S=60,W=77":                     77,
		"1.h,W=77,S=60":                     77,
		"1.h,S=8,W=10,T=3":                  10,
		"1.h,S=0,W=0":                       0,
		"1.h,S=0,W=5":                       10, // not to be believed, from here on
		"1.h,S=60,W=59":                     10,
		"1.h,S=60,W=123":                    10,
		"1.h,W=":                            10,
		"1.h,W=-5":                          10,
		"1.h,W=+5":                          10,
		"1.h,W=0x10":                        10,
		"1.h,W=5,W=6":                       10,
		"1.h,W=99999999999999999999":        10,
		"1.h,W=9999999999999999":            10,
		"W=5":                               10,
		"1.h,XW=5":                          10,
		"1.h,S=8":                           10,
		"1.h,w=5":                           10,
		"1.h" + strings.Repeat(",T=9", 50):  10,
		"1.h,S=8,W=10" + "\x01:2,S,W=12345": 10,
	} {
		f.put("cur/"+name, text)
		if got := f.list()[0].Size; got != want {
			t.Errorf("%q: size %d, want %d", name, got, want)
		}
		f.must(os.Remove(filepath.Join(f.dir, "cur", name)))
	}
}

// A sizer is a map.
type sizer map[string]int64

func (s sizer) Size(name, uid string) (int64, bool, bool) {
	size, ok := s[name+" "+uid]
	return size, false, ok
}

func (s sizer) Learn(name, uid string, size int64, _ bool) { s[name+" "+uid] = size }

func TestSizer(t *testing.T) {
	f := newFixture(t)
	memory := make(sizer)
	f.store.Sizes = memory
	f.put("new/1.a", "one\n")
	f.put("new/2.a,S=4,W=5", "two\n")
	f.list()
	if len(memory) != 1 || memory["alice 1.a"] != 5 {
		t.Errorf("learnt %v", memory)
	}
	memory["alice 1.a"] = 123
	if got := f.list()[0].Size; got != 123 {
		t.Errorf("size %d, want what the sizer says", got)
	}
}

// Files that move during a session are found by their base names, wherever
// they are.
func TestMovedMessages(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "one\n")
	f.put("new/2.a", "two\n")
	f.put("cur/3.a:2,", "three\n")
	d := f.open()
	f.rename("new/1.a", "cur/1.a:2,S")
	f.rename("cur/3.a:2,", "cur/3.a:2,RS")
	for n, want := range []string{"one\n", "two\n", "three\n"} {
		if got := f.text(d, n+1); got != want {
			t.Errorf("message %d = %q, want %q", n+1, got, want)
		}
	}
	f.rename("cur/1.a:2,S", "cur/1.a:2,RS")
	f.rename("cur/3.a:2,RS", "new/3.a") // by hand
	f.must(d.Delete(1))
	f.must(d.Delete(3))
	f.must(d.Update(t.Context()))
	f.want(f.files(), []string{"new/2.a"})
}

// A Maildir whose cur is made only during the session.
func TestLateFolder(t *testing.T) {
	f := newFixture(t)
	f.must(os.Remove(filepath.Join(f.dir, "cur")))
	f.put("new/1.a", "one\n")
	f.put("new/2.a", "two\n")
	d := f.open()
	f.must(os.Mkdir(filepath.Join(f.dir, "cur"), 0o700))
	f.rename("new/1.a", "cur/1.a:2,S")
	f.rename("new/2.a", "cur/2.a:2,S")
	if got := f.text(d, 1); got != "one\n" {
		t.Errorf("message 1 = %q", got)
	}
	f.must(d.Delete(1))
	f.must(d.Update(t.Context()))
	f.want(f.files(), []string{"cur/2.a:2,S"})
}

// server runs disturb over and over until the function that it returns is
// called.
func (f *fixture) server() (stop func()) {
	quit := make(chan struct{})
	var server sync.WaitGroup
	server.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
				if err := disturb(f.dir); err != nil {
					f.Error(err)
				}
			}
		}
	})
	stop = sync.OnceFunc(func() { close(quit); server.Wait() })
	f.Cleanup(stop)
	return stop
}

// A folder that takes several system calls to read shows every message, though
// flags change between them.
func TestLargeFolderInMotion(t *testing.T) {
	f := newFixture(t)
	const messages = 4000
	for i := range messages {
		f.put(fmt.Sprintf("cur/%d.M123456P12345Q%d.%s,S=2,W=3:2,", 1_700_000_000+i, i, strings.Repeat("h", 60)), "")
	}
	f.server()
	for range 4 {
		if n := len(f.list()); n != messages {
			t.Fatalf("a session sees %d messages of %d", n, messages)
		}
	}
}

// While an IMAP server works on the Maildir, every session sees every message,
// and what it deletes is gone for good.
func TestMovingMessages(t *testing.T) {
	const rounds, messages = 20, 60
	for range rounds {
		f := newFixture(t)
		for i := range messages {
			f.put(fmt.Sprintf("new/%d.a,S=2,W=3", 1000+i), "x\n")
		}
		stop := f.server()
		for range 5 {
			if n := len(f.list()); n != messages {
				t.Errorf("a session sees %d messages of %d", n, messages)
			}
		}
		d := f.open()
		for n := range messages {
			f.must(d.Delete(n + 1))
		}
		err := d.Update(t.Context())
		stop()
		if left := f.files(); err != nil || len(left) > 0 {
			t.Errorf("Update = %v; left: %q", err, left)
		}
		d.Close()
	}
}

func TestRemovedUnderneath(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "one\n")
	f.put("new/2.a", "two\n")
	d := f.open()
	f.must(os.Remove(filepath.Join(f.dir, "new/1.a")))
	if _, err := d.Retrieve(t.Context(), 1); !errors.Is(err, maildrop.ErrVanished) {
		t.Errorf("Retrieve = %v, want ErrVanished", err)
	}
	f.must(d.Delete(1))
	f.must(d.Delete(2))
	f.must(d.Update(t.Context()))
	f.want(f.files(), nil)
}

// One message that cannot be removed does not spare the others.
func TestPartialRemoval(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "one\n")
	f.put("cur/2.a:2,S", "two\n")
	f.put("new/3.a", "three\n")
	d := f.open()
	f.must(os.Remove(filepath.Join(f.dir, "new/1.a")))
	f.must(os.Mkdir(filepath.Join(f.dir, "new/1.a"), 0o700)) // unlink of it fails
	for n := range 3 {
		f.must(d.Delete(n + 1))
	}
	err := d.Update(t.Context())
	if !errors.Is(err, unix.EISDIR) {
		t.Errorf("Update = %v, want EISDIR", err)
	}
	if again := d.Update(t.Context()); again != err {
		t.Errorf("Update again = %v, want the same", again)
	}
	f.want(f.files(), nil)
}

func TestLargeTextIsAFile(t *testing.T) {
	f := newFixture(t)
	large := strings.Repeat("0123456789abcd\r\n", 4097) // 65,552 octets
	f.put("new/1.a", large)
	f.put("new/2.a", large[:64<<10])
	d := f.open()
	for n, want := range []bool{true, false} {
		c, err := d.Retrieve(t.Context(), n+1)
		f.must(err)
		if _, isFile := c.ReadCloser.(*os.File); isFile != want {
			t.Errorf("message %d: *os.File is %v", n+1, isFile)
		}
		if !c.WireReady {
			t.Errorf("message %d: not WireReady", n+1)
		}
		f.must(c.Close())
		c.Close() // no harm
	}
	if got := f.text(d, 1); got != large {
		t.Errorf("%d octets came back, or others", len(got))
	}
}

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
}

// Something else took the place of a message after the listing.
func TestReplacedMessage(t *testing.T) {
	for kind, replace := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		f := newFixture(t)
		f.put("new/1.a", "one\n")
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

func TestOpenEndsWithContext(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "one\n") // has to be read
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	lease, err := f.locker.Lock(ctx, "alice")
	f.must(err)
	cancel(cause)
	if _, err := f.store.Open(ctx, lease); !errors.Is(err, cause) {
		t.Errorf("Open = %v, want the cause", err)
	}
}
