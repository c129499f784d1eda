package durable_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kpopd/maildrop/durable"
)

func open(t *testing.T, path string) *durable.Dir {
	t.Helper()
	d, err := durable.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create writes a file called name in d.
func create(t *testing.T, d *durable.Dir, name, text string) {
	t.Helper()
	f, err := d.OpenFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	must(t, err)
	_, err = io.WriteString(f, text)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	must(t, d.Sync())
}

// read returns what the file at path holds; "" if there is none.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

// Every method takes one plain component and nothing else.
func TestNames(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "in", "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, "precious"), []byte("x"), 0o600))
	d := open(t, filepath.Join(root, "in"))
	create(t, d, "file", "y")
	for _, name := range []string{"", ".", "..", "../precious", "sub/x", "/etc/passwd", "sub/", "a\x00b"} {
		_, openErr := d.Open(name)
		_, makeErr := d.Make(name, 0o700)
		_, fileErr := d.OpenFile(name, unix.O_RDWR|unix.O_CREAT, 0o600)
		_, lstatErr := d.Lstat(name)
		for what, err := range map[string]error{
			"Open": openErr, "Make": makeErr, "OpenFile": fileErr, "Lstat": lstatErr,
			"Remove": d.Remove(name), "RemoveDir": d.RemoveDir(name), "Move from": d.Move(name, d, "x"), "Move to": d.Move("file", d, name),
			"Replace from": d.Replace(name, "x"), "Replace to": d.Replace("file", name),
		} {
			if !errors.Is(err, unix.EINVAL) {
				t.Errorf("%s %q = %v, want EINVAL", what, name, err)
			}
		}
	}
	if read(t, filepath.Join(root, "precious")) != "x" || read(t, filepath.Join(root, "in", "file")) != "y" {
		t.Error("something happened all the same")
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "real"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, "file"), []byte("x"), 0o600))
	must(t, os.Symlink("real", filepath.Join(root, "dirlink")))
	must(t, os.Symlink("file", filepath.Join(root, "filelink")))
	must(t, os.Symlink("nothing", filepath.Join(root, "dangling")))
	d := open(t, root)
	for _, name := range []string{"dirlink", "filelink", "dangling"} {
		if _, err := d.Open(name); !errors.Is(err, durable.ErrLink) {
			t.Errorf("Open(%q) = %v, want ErrLink", name, err)
		}
		if _, err := d.Make(name, 0o700); !errors.Is(err, durable.ErrLink) {
			t.Errorf("Make(%q) = %v, want ErrLink", name, err)
		}
		if _, err := d.OpenFile(name, unix.O_RDWR|unix.O_CREAT, 0o600); !errors.Is(err, durable.ErrLink) {
			t.Errorf("OpenFile(%q) = %v, want ErrLink", name, err)
		}
	}
	if _, err := d.Open("file"); !errors.Is(err, unix.ENOTDIR) || errors.Is(err, durable.ErrLink) {
		t.Errorf("Open of a file = %v, want ENOTDIR", err)
	}
	if _, err := os.Lstat(filepath.Join(root, "nothing")); err == nil {
		t.Error("a link's target was made")
	}
	must(t, d.Remove("filelink"))
	if read(t, filepath.Join(root, "file")) != "x" {
		t.Error("Remove followed the link")
	}
}

func TestMake(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	for range 2 { // made, then found
		sub, err := d.Make("sub", 0o700)
		must(t, err)
		must(t, sub.Close())
		must(t, sub.Close())
	}
	st, err := d.Lstat("sub")
	if err != nil || st.Mode != unix.S_IFDIR|0o700 {
		t.Errorf("mode %o, %v", st.Mode, err)
	}
}

// Move and its stand-in do the same: they never replace a file.
func TestMove(t *testing.T) {
	for name, move := range map[string]func(*durable.Dir, string, *durable.Dir, string) error{
		"rename": (*durable.Dir).Move, "link": durable.Relink,
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			d := open(t, root)
			to, err := d.Make("to", 0o700)
			must(t, err)
			defer to.Close()
			create(t, d, "a", "1")
			create(t, d, "b", "2")
			must(t, move(d, "a", to, "c"))
			if err := move(d, "b", to, "c"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("Move over a file = %v, want ErrExist", err)
			}
			if err := move(d, "none", to, "d"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Move of nothing = %v, want ErrNotExist", err)
			}
			got := [3]string{read(t, filepath.Join(root, "a")), read(t, filepath.Join(root, "b")), read(t, filepath.Join(root, "to/c"))}
			if got != [3]string{"", "2", "1"} {
				t.Errorf("files hold %q", got)
			}
		})
	}
}

func TestReplace(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	create(t, d, "a", "1")
	create(t, d, "b", "2")
	must(t, os.Symlink("b", filepath.Join(root, "link")))
	must(t, d.Replace("a", "link")) // the link goes, not what it means
	if err := d.Replace("a", "b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Replace by nothing = %v, want ErrNotExist", err)
	}
	if got := [2]string{read(t, filepath.Join(root, "link")), read(t, filepath.Join(root, "b"))}; got != [2]string{"1", "2"} {
		t.Errorf("files hold %q", got)
	}
	must(t, d.Replace("link", "b"))
	if got := read(t, filepath.Join(root, "b")); got != "1" {
		t.Errorf("b holds %q", got)
	}
}

// Each sees every entry once, of a directory that takes several calls to read,
// and again from the start.
func TestEach(t *testing.T) {
	root := t.TempDir()
	var want []string
	for i := range 5000 {
		name := fmt.Sprintf("%04d%s", i, strings.Repeat("x", i%200))
		must(t, os.WriteFile(filepath.Join(root, name), nil, 0o600))
		want = append(want, name)
	}
	must(t, os.WriteFile(filepath.Join(root, ".hidden"), nil, 0o600))
	d := open(t, root)
	for range 2 {
		var got []string
		must(t, d.Each(func(name []byte, kind durable.Kind) {
			got = append(got, string(name))
			if kind != durable.Regular && kind != durable.Unknown {
				t.Errorf("%s is of kind %d", name, kind)
			}
		}))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%d entries, want %d, or others", len(got), len(want))
		}
	}
}

func TestFile(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	create(t, d, "file", "0123456789")
	f, err := d.OpenFile("file", unix.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if n, err := f.WriteAt([]byte("ab"), 2); n != 2 || err != nil {
		t.Errorf("WriteAt = %d, %v", n, err)
	}
	var b [4]byte
	if n, err := f.ReadAt(b[:], 1); n != 4 || err != nil || string(b[:]) != "1ab4" {
		t.Errorf("ReadAt = %d, %v: %q", n, err, b)
	}
	if n, err := f.ReadAt(b[:], 100); n != 0 || err != nil {
		t.Errorf("ReadAt behind the end = %d, %v", n, err)
	}
	if text, err := io.ReadAll(f); err != nil || string(text) != "01ab456789" {
		t.Errorf("read %q, %v", text, err)
	}
	if size, err := f.Size(); size != 10 || err != nil {
		t.Errorf("Size = %d, %v", size, err)
	}
	must(t, f.Close())
	must(t, f.Close())
	if _, err := f.Read(b[:]); err == nil {
		t.Error("a closed file can be read")
	}
}

// Opening what is no file does not block, and is told by Size.
func TestNotRegular(t *testing.T) {
	root := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	must(t, os.Mkdir(filepath.Join(root, "dir"), 0o700))
	d := open(t, root)
	for _, name := range []string{"fifo", "dir"} {
		f, err := d.OpenFile(name, unix.O_RDONLY, 0)
		must(t, err)
		if _, err := f.Size(); !errors.Is(err, durable.ErrNotRegular) {
			t.Errorf("%s: Size = %v, want ErrNotRegular", name, err)
		}
		must(t, f.Close())
	}
}

// The descriptor shares its position with Read.
func TestFd(t *testing.T) {
	d := open(t, t.TempDir())
	create(t, d, "file", "text")
	f, err := d.OpenFile("file", unix.O_RDONLY, 0)
	must(t, err)
	_, err = unix.Read(int(f.Fd()), make([]byte, 2))
	must(t, err)
	text, err := io.ReadAll(f)
	if err != nil || string(text) != "xt" {
		t.Errorf("read %q, %v", text, err)
	}
	must(t, f.Close())
}

func TestLock(t *testing.T) {
	d := open(t, t.TempDir())
	var files [2]*durable.File
	for i := range files {
		f, err := d.OpenFile("lock", unix.O_RDWR|unix.O_CREAT, 0o600)
		must(t, err)
		defer f.Close()
		files[i] = f
	}
	try := func(i int, off, n int64, want bool) {
		t.Helper()
		taken, err := files[i].Locked(off, n)
		must(t, err)
		if got, err := files[i].TryLock(off, n); got != want || err != nil || taken == want {
			t.Errorf("TryLock of opening %d = %v, %v, Locked = %v; want %v", i, got, err, taken, want)
		}
	}
	try(0, 0, 2, true)
	try(1, 0, 1, false)
	must(t, files[0].Unlock(1, 1))
	try(1, 0, 1, false)
	try(1, 1, 1, true)
	try(0, 0, 1, true)  // its own
	try(0, 0, 2, false) // takes nothing new, and keeps what it has
	must(t, files[1].Unlock(1, 1))
	try(1, 0, 1, false)
	must(t, files[0].Close())
	try(1, 0, 2, true)
}

// A disk that is full, as /dev/full plays it, is an error of Write.
func TestFullDisk(t *testing.T) {
	d := open(t, "/dev")
	f, err := d.OpenFile("full", unix.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	if n, err := f.Write([]byte("text")); n != 0 || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Write = %d, %v; want ENOSPC", n, err)
	}
	if n, err := f.WriteAt([]byte("text"), 3); n != 0 || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("WriteAt = %d, %v; want ENOSPC", n, err)
	}
}

// TestLstatIn: an entry of a subdirectory is found, and nothing outside.
func TestLstatIn(t *testing.T) {
	dir, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for range 2 {
		sub, err := dir.MakeSoon("sub", 0o700)
		if err != nil {
			t.Fatal(err)
		}
		file, err := sub.OpenFile("file", unix.O_WRONLY|unix.O_CREAT, 0o600)
		if err := errors.Join(err, file.Close(), sub.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := dir.LstatIn("sub", "file"); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		t.Errorf("%o, %v", st.Mode, err)
	}
	for _, names := range [][2]string{{"sub", "none"}, {"none", "file"}} {
		if _, err := dir.LstatIn(names[0], names[1]); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", names, err)
		}
	}
	for _, names := range [][2]string{{"..", "x"}, {"sub", ".."}, {"sub/x", "x"}, {"sub", "x/y"}, {"", "x"}} {
		if _, err := dir.LstatIn(names[0], names[1]); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%q: %v", names, err)
		}
	}
}

// TestBelow: a directory is found at once as by steps, as what it is, and none
// behind a link or outside.
func TestBelow(t *testing.T) {
	root := t.TempDir()
	dir, err := durable.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	err = errors.Join(os.MkdirAll(filepath.Join(root, "a/b"), 0o700), os.Symlink("a", filepath.Join(root, "link")),
		os.Symlink("b", filepath.Join(root, "a/link")), os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	b, err := dir.OpenBelow("a/b")
	if errors.Is(err, unix.ENOSYS) {
		t.Skip("the kernel has no openat2(2)")
	} else if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, path := range []string{"link/b", "a/link", "a/../a", "..", "/", "none", "file", "a/b/../../.."} {
		sub, err := dir.OpenBelow(path)
		if err == nil && path != "a/../a" { // which leads nowhere else
			t.Errorf("%s is open", path)
		}
		if err == nil {
			sub.Close()
		}
	}
	want, err := b.Stat()
	a, err2 := dir.Open("a")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	defer a.Close()
	got, err := a.LstatDir("b")
	if err != nil || got.Dev != want.Dev || got.Ino != want.Ino || got.Size != want.Size || got.Mtim != want.Mtim || got.Ctim != want.Ctim {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for name, want := range map[string]error{"link": unix.ENOTDIR, "none": fs.ErrNotExist, "..": unix.EINVAL} {
		if _, err := a.LstatDir(name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}
