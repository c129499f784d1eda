package maildir_test

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/index"
	"kpopd/maildrop/maildir"
	"kpopd/maildrop/memory"
)

// newStore returns a store as configured by "<root>/${maildrop}/Maildir".
func newStore(root string) *maildir.Store {
	return &maildir.Store{
		Root:     root,
		Path:     func(name string) (string, error) { return name + "/Maildir", nil },
		Hostname: "pop.example.test",
	}
}

// newIndexed returns a store that remembers what it serves in a directory.
func newIndexed(root, dir string) *maildir.Store {
	s := newStore(root)
	s.Index = &index.Cache{Path: dir}
	s.Storm = 20
	return s
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

// filesBelow returns where the store at root has its files.
func filesBelow(root string) func(name string) (string, []string) {
	return func(name string) (string, []string) {
		dir := filepath.Join(root, name, "Maildir")
		return dir, []string{filepath.Join(dir, "new"), filepath.Join(dir, "cur")}
	}
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
	return fixtureIn(t, t.TempDir())
}

func fixtureIn(t *testing.T, root string) *fixture {
	t.Helper()
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
