package mbox_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
	"kpopd/maildrop/memory"
	"kpopd/maildrop/storetest"
)

// newStore returns a store below base, which has the directories "mail" and
// "state".
func newStore(base string, format mbox.Format) *mbox.Store {
	return &mbox.Store{
		Root: filepath.Join(base, "mail"), StateDir: filepath.Join(base, "state"), Format: format,
		Log: slog.New(slog.DiscardHandler),
	}
}

func newBase(t *testing.T, base string) string {
	t.Helper()
	for _, dir := range []string{"mail", "state"} {
		if err := os.Mkdir(filepath.Join(base, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return base
}

// A fixture is a store with one mailbox, of alice, that a test writes.
type fixture struct {
	*testing.T
	store  *mbox.Store
	locker memory.Locker
	base   string
	path   string // of the mailbox
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	base := newBase(t, storetest.TempDir(t))
	return &fixture{T: t, store: newStore(base, mbox.RD), base: base, path: filepath.Join(base, "mail", "alice")}
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// put writes the mailbox, as other programs do, some time ago.
func (f *fixture) put(text string) {
	f.Helper()
	f.must(os.WriteFile(f.path, []byte(text), 0o600))
	f.age()
}

// age makes the last change of the mailbox one of a minute ago.
func (f *fixture) age() {
	f.Helper()
	then := time.Now().Add(-time.Minute)
	f.must(os.Chtimes(f.path, then, then))
}

// add appends to the mailbox.
func (f *fixture) add(text string) {
	f.Helper()
	f.put(f.file() + text)
}

func (f *fixture) file() string {
	f.Helper()
	text, err := os.ReadFile(f.path)
	f.must(err)
	return string(text)
}

func (f *fixture) deliver(texts ...string) {
	f.Helper()
	for _, text := range texts {
		f.must(f.store.Deliver(f.Context(), "alice", strings.NewReader(text)))
	}
}

func (f *fixture) open() *maildrop.Drop {
	f.Helper()
	d, err := maildrop.Open(f.Context(), "alice", &f.locker, f.store)
	f.must(err)
	f.Cleanup(func() { d.Close() })
	return d
}

// uids returns the unique-ids that a session of its own sees.
func (f *fixture) uids() []string {
	f.Helper()
	d := f.open()
	defer d.Close()
	var all []string
	for _, m := range d.All() {
		all = append(all, m.UID)
	}
	return all
}

// texts returns what a session of its own retrieves; sizes are as announced.
func (f *fixture) texts() []string {
	f.Helper()
	d := f.open()
	defer d.Close()
	var all []string
	for n, m := range d.All() {
		text := f.text(d, n)
		if size, _, _ := maildrop.Measure(strings.NewReader(text)); size != m.Size {
			f.Errorf("message %d: size %d, measured %d", n, m.Size, size)
		}
		all = append(all, text)
	}
	return all
}

func (f *fixture) text(d *maildrop.Drop, n int) string {
	f.Helper()
	text, err := read(d, n)
	f.must(err)
	return text
}

func read(d *maildrop.Drop, n int) (string, error) {
	c, err := d.Retrieve(context.Background(), n)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	return string(text), errors.Join(err, c.Close())
}

// remove deletes messages in a session of its own.
func (f *fixture) remove(numbers ...int) {
	f.Helper()
	d := f.open()
	for _, n := range numbers {
		f.must(d.Delete(n))
	}
	f.must(d.Update(f.Context()))
	f.must(d.Close())
}

func (f *fixture) want(got []string, want ...string) {
	f.Helper()
	if !slices.Equal(got, want) {
		f.Errorf("got  %.300q\nwant %.300q", got, want)
	}
}

// state returns the files of the store's state that hold something, indexes
// apart.
func (f *fixture) state() []string {
	f.Helper()
	var all []string
	list, err := os.ReadDir(filepath.Join(f.base, "state", "mbox"))
	f.must(err)
	for _, e := range list {
		if info, err := e.Info(); err == nil && info.Size() > 0 && !strings.Contains(e.Name(), ".index") {
			all = append(all, e.Name())
		}
	}
	return all
}

// forget removes what the store remembers of mailboxes.
func (f *fixture) forget() {
	f.Helper()
	f.must(os.RemoveAll(filepath.Join(f.base, "state", "mbox")))
}

// An outsider is another program that locks as Debian asks, in its own way.
type outsider struct {
	*os.File
	dot string
}

// lockOutside waits for both locks.
func lockOutside(path string) (*outsider, error) {
	for range 20_000 {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK}
		if err = unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &lock); err == nil {
			var dot *os.File
			if dot, err = os.OpenFile(path+".lock", os.O_CREATE|os.O_EXCL, 0o600); err == nil {
				dot.Close()
				if same(file, path) {
					return &outsider{file, path + ".lock"}, nil
				}
				os.Remove(path + ".lock")
			}
		}
		file.Close()
		unix.Select(0, nil, nil, nil, &unix.Timeval{Usec: 500 + rand.Int64N(1000)})
	}
	return nil, errors.New("no lock to be had")
}

func same(file *os.File, path string) bool {
	a, err := file.Stat()
	b, err2 := os.Stat(path)
	return err == nil && err2 == nil && os.SameFile(a, b)
}

func (o *outsider) unlock() {
	os.Remove(o.dot)
	o.Close()
}

var statusLine = regexp.MustCompile(`(?m)^Status: .*\nX-Status: .*\n`)
var fromLine = regexp.MustCompile(`(?m)^From \S+ \w{3} \w{3} .*\n`)

// disturb does what a mail program does when it marks messages as read: it
// rewrites the file, and other lines in the headers change.
func disturb(path string) error {
	o, err := lockOutside(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Select(0, nil, nil, nil, &unix.Timeval{Usec: 5000}) // others want it too
	defer o.unlock()
	text, err := io.ReadAll(o)
	if err != nil {
		return err
	}
	text = statusLine.ReplaceAll(text, nil)
	status := []string{"", "Status: O\nX-Status: \n", "Status: RO\nX-Status: A\n"}[rand.IntN(3)]
	text = fromLine.ReplaceAll(text, []byte("${0}"+status))
	if _, err := o.WriteAt(text, 0); err != nil {
		return err
	}
	return o.Truncate(int64(len(text)))
}

// index returns the path of the only index.
func (f *fixture) index() string {
	f.Helper()
	all, err := filepath.Glob(filepath.Join(f.base, "state", "mbox", "*.index"))
	f.must(err)
	if len(all) != 1 {
		f.Fatalf("indexes %q", all)
	}
	return all[0]
}
