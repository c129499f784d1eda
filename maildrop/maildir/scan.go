package maildir

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop/durable"
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
	for _, dir := range d {
		if dir != nil {
			errs = append(errs, dir.Close())
		}
	}
	return errors.Join(errs...)
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
	const tick = 20 * time.Millisecond // more than any kernel's clock takes
	before, err := d[in].Stat()
	if err != nil {
		return false, err
	}
	recent := time.Since(time.Unix(before.Mtim.Unix())) < tick
	if err := fn(); err != nil {
		return false, err
	}
	after, err := d[in].Stat()
	return !recent && before.Mtim == after.Mtim, err
}

func (d *dirs) each(in folder, fn func(in folder, name []byte)) error {
	return d[in].Each(func(name []byte, kind durable.Kind) {
		if name[0] == ':' {
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

// An entry is a message that a scan found.
type entry struct {
	name      string
	time      uint64 // see timeOf
	base      uint8  // length of the base name, which name begins with
	in        folder
	wireReady bool // known to be so
}

// Base returns the base name.
func (e *entry) Base() string { return e.name[:e.base] }

// listing are the messages of a Maildir in the order of their numbers: by
// delivery time, then by base name. more has the other files of those that
// have several, which seldom happens.
type listing struct {
	entries []entry
	more    map[string][]place // by base name
}

func (d *dirs) list() (listing, error) {
	type end struct {
		at int
		in folder
	}
	var names strings.Builder // all of them in one allocation
	var ends []end
	err := d.scan(func(in folder, name []byte) {
		names.Write(name)
		ends = append(ends, end{names.Len(), in})
	})
	if err != nil {
		return listing{}, err
	}
	list := make([]entry, len(ends))
	text, from := names.String(), 0
	for i, e := range ends {
		name := text[from:e.at]
		base := baseOf(name)
		list[i] = entry{name: name, time: timeOf(base), base: uint8(len(base)), in: e.in}
		from = e.at
	}
	slices.SortFunc(list, byNumber)
	return merge(list), nil
}

// byNumber orders messages as they are numbered, and the files of one message
// so that the likeliest to be there still comes last: messages move from new
// to cur.
func byNumber(a, b entry) int {
	if c := cmp.Compare(a.time, b.time); c != 0 {
		return c
	}
	if c := strings.Compare(a.Base(), b.Base()); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.in, b.in), strings.Compare(a.name, b.name))
}

// merge makes one entry of those with one base name: the last, which keeps the
// others in more.
func merge(list []entry) listing {
	l := listing{entries: list[:0]}
	for _, e := range list {
		last := len(l.entries) - 1
		if last < 0 || l.entries[last].Base() != e.Base() {
			l.entries = append(l.entries, e)
			continue
		}
		if l.more == nil {
			l.more = make(map[string][]place)
		}
		before := &l.entries[last]
		l.more[e.Base()] = append(l.more[e.Base()], place{before.in, before.name})
		*before = e
	}
	return l
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
