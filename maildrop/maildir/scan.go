package maildir

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop/durable"
	"kpopd/maildrop/uidl"
)

// A place is where a file is: its directory and its name there.
type place struct {
	in   folder
	name string
}

// A folder is one of the two directories that messages are in.
type folder uint8

const (
	inNew folder = iota
	inCur
	folders
)

var folderNames = [folders]string{"new", "cur"}

// dirs are the open folders of one Maildir; nil: it is missing.
type dirs [folders]*durable.Dir

// open opens the folders that are there and not open yet.
func (d *dirs) open(maildir *durable.Dir) error {
	for in, name := range folderNames {
		if d[in] != nil {
			continue
		}
		dir, err := maildir.Open(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d[in] = dir
	}
	return nil
}

func (d *dirs) close() error {
	var errs []error
	for in, dir := range d {
		if dir != nil {
			errs = append(errs, dir.Close())
		}
		d[in] = nil
	}
	return errors.Join(errs...)
}

// An inode tells a directory from others. Its zero value means that there is
// none.
type inode struct{ dev, ino uint64 }

// check makes sure that the open folders are those, as far as there were any.
func (d *dirs) check(listed [folders]inode) error {
	for in, want := range listed {
		if want == (inode{}) {
			continue
		}
		st, err := d.stat(folderNames[in])
		if err != nil {
			return err
		}
		if want != (inode{uint64(st.Dev), st.Ino}) {
			return &fs.PathError{Op: "open", Path: d[in].Path(), Err: errors.New("is another directory than the one that was listed")}
		}
	}
	return nil
}

// stat returns what fstat(2) says of a folder.
func (d *dirs) stat(name string) (unix.Stat_t, error) {
	in := slices.Index(folderNames[:], name)
	if d[in] == nil {
		return unix.Stat_t{}, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return d[in].Stat()
}

// scan calls fn for each message file. A file that is renamed during the scan
// is seen under one of its names at least, perhaps under both: new is read
// before cur, since messages move that way, and cur again while it changes,
// since a directory that is being read may show neither the old name nor the
// new one: with 6,000 messages that are renamed without pause, one scan missed
// 5 %. Ten scans seldom have to be made, and miss none.
func (d *dirs) scan(fn func(in folder, name []byte)) error {
	if d[inNew] != nil {
		if err := d.each(inNew, fn); err != nil {
			return err
		}
	}
	const attempts = 10
	for range attempts {
		if d[inCur] == nil {
			return nil
		}
		steady, err := d.steady(inCur, func() error { return d.each(inCur, fn) })
		if err != nil || steady {
			return err
		}
	}
	return nil
}

// steady calls fn and reports whether the folder did not change meanwhile. A
// change moments before fn counts, because another one may bear the same time
// then.
func (d *dirs) steady(in folder, fn func() error) (bool, error) {
	before, err := d[in].Stat()
	if err != nil {
		return false, err
	}
	now := time.Now()
	if err := fn(); err != nil {
		return false, err
	}
	after, err := d[in].Stat()
	return settled(&before, now) && before.Mtim == after.Mtim, err
}

// settled reports whether whatever changes a directory or file from now on
// gives it other times than st has.
func settled(st *unix.Stat_t, now time.Time) bool {
	tick := 20 * time.Millisecond // more than any kernel's clock takes
	if st.Mtim.Nsec == 0 && st.Ctim.Nsec == 0 {
		tick = 3 * time.Second // a file system that counts seconds, or every other
	}
	return now.Sub(time.Unix(st.Mtim.Unix())) >= tick && now.Sub(time.Unix(st.Ctim.Unix())) >= tick
}

// A stamp is what a Maildir looks like from outside: while it stays, so do its
// messages and their unique-ids.
type stamp struct {
	text    string
	settled bool           // it changes with the next change
	inodes  [folders]inode // of the folders
}

// stampOf returns that of new, cur and the list of unique-ids; stat looks at a
// folder. It reads no directory.
func stampOf(maildir *durable.Dir, stat func(name string) (unix.Stat_t, error)) (stamp, error) {
	s := stamp{settled: true}
	now := time.Now()
	var text []byte
	add := func(st unix.Stat_t, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			st, err = unix.Stat_t{}, nil
		}
		text = appendStat(text, &st)
		s.settled = s.settled && settled(&st, now)
		return err
	}
	for in, name := range folderNames {
		st, err := stat(name)
		if err := add(st, err); err != nil {
			return s, err
		}
		s.inodes[in] = inode{uint64(st.Dev), st.Ino}
	}
	err := add(maildir.Lstat(uidl.Name))
	s.text = string(text)
	return s, err
}

func appendStat(b []byte, st *unix.Stat_t) []byte {
	for _, n := range []int64{int64(st.Dev), int64(st.Ino), st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// maxName is the longest name that an entry has room for. Hardly any file system
// has longer ones.
const maxName = 255

func (d *dirs) each(in folder, fn func(in folder, name []byte)) error {
	return d[in].Each(func(name []byte, kind durable.Kind) {
		if name[0] == ':' || len(name) > maxName {
			return
		}
		if kind == durable.Regular || kind == durable.Unknown && d.regular(in, string(name)) {
			fn(in, name)
		}
	})
}

func (d *dirs) regular(in folder, name string) bool {
	st, err := d[in].Lstat(name)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

// find returns all places of the messages with these base names.
func (d *dirs) find(bases map[string]bool) (map[string][]place, error) {
	found := make(map[string][]place)
	err := d.scan(func(in folder, name []byte) {
		if base := baseOfBytes(name); bases[string(base)] {
			p := place{in, string(name)}
			if at := found[string(base)]; !slices.Contains(at, p) {
				found[string(base)] = append(at, p)
			}
		}
	})
	return found, err
}
