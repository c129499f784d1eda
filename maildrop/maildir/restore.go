package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/uidl"
)

var _ maildrop.Restorer = (*Store)(nil)

// ErrPresent means a message of the quarantine that the maildrop has as well.
var ErrPresent = errors.New("the maildrop has a message of that name")

// Kept lists the quarantine of the Maildir that l locks.
func (s *Store) Kept(ctx context.Context, l maildrop.Lease) ([]maildrop.Kept, error) {
	var all []maildrop.Kept
	err := s.eachDay(ctx, l, func(_, _ *durable.Dir, files []quarantined) error {
		for _, q := range files {
			all = appendKept(all, q.Kept)
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b maildrop.Kept) int { return a.Deleted.Compare(b.Deleted) })
	if err != nil {
		return all, err
	}
	err = s.inMaildirOf(l, func(maildir *durable.Dir) error {
		hidden, _, err := hiddenIn(maildir)
		for _, base := range slices.Sorted(maps.Keys(hidden)) {
			all = append(all, hidden[base])
		}
		return err
	})
	return all, err
}

// appendKept makes one of the files of a message.
func appendKept(all []maildrop.Kept, k maildrop.Kept) []maildrop.Kept {
	if n := len(all); n > 0 && all[n-1].UID == k.UID {
		return all
	}
	return append(all, k)
}

// Restore moves the messages that want accepts to new, or to cur where they
// have flags, and makes that durable, there first.
func (s *Store) Restore(ctx context.Context, l maildrop.Lease, want func(maildrop.Kept) bool) ([]maildrop.Kept, error) {
	r := &restorer{want: want, present: map[string]bool{}}
	defer r.dirs.close()
	err := s.eachDay(ctx, l, r.restoreDay)
	if err == nil {
		err = s.inMaildirOf(l, r.unhide)
	}
	if err != nil {
		err = fmt.Errorf("restore %q: %w", l.Name(), err)
	}
	return r.back, err
}

// A quarantined is a file in quarantine.
type quarantined struct {
	maildrop.Kept
	file string
}

// eachDay calls fn for each day of the quarantine of a Maildir. An error of fn
// does not keep it from the next.
func (s *Store) eachDay(ctx context.Context, l maildrop.Lease, fn func(maildir, day *durable.Dir, files []quarantined) error) error {
	if err := maildrop.Live(l); err != nil {
		return err
	}
	return s.inMaildirOf(l, func(maildir *durable.Dir) error {
		ids, err := uidl.Load(maildir)
		if err != nil {
			return err
		}
		all, err := maildir.Open(quarantineName)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer all.Close()
		days, err := daysIn(all)
		errs := []error{err}
		for _, name := range days {
			if err := errors.Join(context.Cause(ctx), maildrop.Live(l)); err != nil {
				return errors.Join(append(errs, err)...)
			}
			errs = append(errs, onDay(all, name, ids, func(day *durable.Dir, files []quarantined) error {
				return fn(maildir, day, files)
			}))
		}
		return errors.Join(errs...)
	})
}

// inMaildirOf calls fn with the Maildir that l locks, if there is one.
func (s *Store) inMaildirOf(l maildrop.Lease, fn func(*durable.Dir) error) error {
	path, err := s.path(l.Name())
	if err != nil {
		return err
	}
	err = s.in(path, fn)
	if errors.Is(err, errNoMaildir) {
		return nil
	}
	return err
}

// onDay calls fn for one day.
func onDay(all *durable.Dir, name string, ids *uidl.List, fn func(*durable.Dir, []quarantined) error) error {
	day, err := all.Open(name)
	if err != nil {
		return err
	}
	defer day.Close()
	until, err := time.Parse(dayLayout, name)
	if err != nil {
		return err
	}
	names, err := filesIn(day)
	if err != nil {
		return err
	}
	var files []quarantined
	for _, file := range names {
		st, err := day.Lstat(file)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		files = append(files, quarantined{file: file, Kept: maildrop.Kept{UID: uidBy(ids, baseOf(file)), Size: st.Size,
			Deleted: time.Unix(st.Ctim.Sec, st.Ctim.Nsec), Until: until}})
	}
	return fn(day, files)
}

// A restorer is one call of Restore.
type restorer struct {
	dirs
	want    func(maildrop.Kept) bool
	present map[string]bool // base names that the maildrop had before
	opened  bool
	back    []maildrop.Kept
}

// open opens the folders, which are made where they are missing, and notes what
// is in them.
func (r *restorer) open(maildir *durable.Dir) error {
	if r.opened {
		return nil
	}
	for in, name := range folderNames {
		dir, err := maildir.Make(name, 0o700)
		if err != nil {
			return err
		}
		r.dirs[in] = dir
	}
	r.opened = true
	return r.scan(func(_ folder, name []byte) { r.present[string(baseOfBytes(name))] = true })
}

// restoreDay moves back what is wanted of one day.
func (r *restorer) restoreDay(maildir, day *durable.Dir, files []quarantined) error {
	defer dropUsage(maildir)
	if err := r.open(maildir); err != nil {
		return err
	}
	var back []maildrop.Kept
	var errs []error
	for _, q := range files {
		if !r.want(q.Kept) {
			continue
		}
		if err := r.restore(day, q.file); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", q.UID, err))
			continue
		}
		back = appendKept(back, q.Kept)
	}
	if len(back) > 0 {
		for _, dir := range []*durable.Dir{r.dirs[inNew], r.dirs[inCur], day} {
			if err := dir.Sync(); err != nil {
				return err // it is not known what would be there after a crash
			}
		}
	}
	r.back = append(r.back, back...)
	return errors.Join(errs...)
}

// restore moves one file back. A message of two files comes back with both.
func (r *restorer) restore(day *durable.Dir, file string) error {
	base, flags, flagged := strings.Cut(file, ":")
	if r.present[base] {
		return ErrPresent
	}
	to := place{inNew, base}
	if flagged {
		to = place{inCur, file}
	}
	if strings.HasPrefix(flags, "1,") { // see moveAway
		to.name = base + ":2,"
	}
	return day.Move(file, r.dirs[to.in], to.name)
}

// unhide shows the hidden messages again that are wanted.
func (r *restorer) unhide(maildir *durable.Dir) error {
	hidden, ids, err := hiddenIn(maildir)
	if err != nil {
		return err
	}
	var back []maildrop.Kept
	for _, base := range slices.Sorted(maps.Keys(hidden)) {
		k := hidden[base]
		if !r.want(k) {
			continue
		}
		if err := ids.Hide(base, k.UID, false); err != nil {
			return err
		}
		back = append(back, k)
	}
	if len(back) == 0 {
		return nil
	}
	if err := ids.Store(maildir); err != nil {
		return err
	}
	r.back = append(r.back, back...)
	return nil
}
