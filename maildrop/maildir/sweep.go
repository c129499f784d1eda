package maildir

import (
	"cmp"
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

var _ maildrop.Sweeper = (*Store)(nil)

// Sweep removes what s says from new and cur, and from the quarantine. A
// message is as old as the younger of two times says: that which its name
// begins with, and that of its file's last change. Delivery sets both; but mail
// that was brought here from elsewhere may have a new name and its old time, and
// what was copied without care an old name and a new time.
func (s *Store) Sweep(ctx context.Context, l maildrop.Lease, sw maildrop.Sweep) error {
	path, err := s.path(l.Name())
	if err != nil {
		return fmt.Errorf("sweep %q: %w", l.Name(), err)
	}
	b := &box{store: s, lease: l, path: path}
	defer b.Close()
	err = s.in(path, func(maildir *durable.Dir) error {
		ids, err := uidl.Load(maildir)
		if err == nil {
			err = b.dirs.open(maildir)
		}
		if err != nil {
			return err
		}
		w := &sweeping{Sweep: sw, remover: remover{box: b, missing: make(map[string]bool)}, ids: ids}
		return errors.Join(w.expire(ctx), w.purge(ctx, maildir))
	})
	if err != nil && !errors.Is(err, errNoMaildir) {
		return fmt.Errorf("sweep %q: %w", l.Name(), err)
	}
	return nil
}

// A sweeping is one call of Sweep.
type sweeping struct {
	maildrop.Sweep
	remover
	ids *uidl.List // for reports
}

// expire removes the messages that are too old.
func (w *sweeping) expire(ctx context.Context) error {
	if w.Before.IsZero() {
		return nil
	}
	old, err := w.old()
	if err != nil {
		return err
	}
	defer w.account()
	var gone []maildrop.Swept
	w.take = func(p place) error { return w.dirs[p.in].Remove(p.name) }
	for _, m := range old {
		if err := w.live(ctx); err != nil {
			return err
		}
		if failed := w.failed; !w.Dry {
			for _, p := range m.places {
				w.unlink(m.base, p)
			}
			if w.failed > failed {
				continue
			}
		}
		gone = append(gone, maildrop.Swept{UID: uidBy(w.ids, m.base), Delivered: m.time})
	}
	if !w.Dry {
		err = w.finish(ctx)
	}
	w.report(gone, err)
	return err
}

// report reports what is gone for good.
func (w *sweeping) report(all []maildrop.Swept, err error) {
	if err != nil && w.failed == 0 {
		return // it is not known to be durable
	}
	for _, m := range all {
		w.Report(m)
	}
}

// An agedMessage is a message that is older than it may be.
type agedMessage struct {
	base   string
	time   time.Time // of its delivery
	places []place
}

// old returns the messages that are too old, by age. Only of those whose names
// say so is the file looked at.
func (w *sweeping) old() ([]agedMessage, error) {
	places := map[string][]place{}
	limit := w.Before.Unix()
	err := w.dirs.scan(func(in folder, name []byte) {
		base, p := string(baseOfBytes(name)), place{in, string(name)}
		if t := timeOf(base); limit > 0 && t < uint64(limit) && !slices.Contains(places[base], p) {
			places[base] = append(places[base], p)
		}
	})
	if err != nil {
		return nil, err
	}
	var all []agedMessage
	for base, at := range places {
		m := agedMessage{base: base, places: at, time: time.Unix(secondsOf(base), 0)}
		if w.aged(&m) {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b agedMessage) int {
		return cmp.Or(a.time.Compare(b.time), strings.Compare(a.base, b.base))
	})
	return all, nil
}

// aged reports whether the files of m are as old as its name says, and sets its
// time. A file that just moved is looked at the next time.
func (w *sweeping) aged(m *agedMessage) bool {
	for _, p := range m.places {
		st, err := w.dirs[p.in].Lstat(p.name)
		if err != nil {
			return false
		}
		changed := time.Unix(st.Mtim.Sec, st.Mtim.Nsec)
		if !changed.Before(w.Before) {
			return false
		}
		if changed.After(m.time) {
			m.time = changed
		}
	}
	return true
}

// purge empties the days of the quarantine that are over.
func (w *sweeping) purge(ctx context.Context, maildir *durable.Dir) error {
	all, err := maildir.Open(quarantineName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer all.Close()
	days, err := daysIn(all)
	if err != nil {
		return err
	}
	var errs []error
	for _, day := range days {
		if err := w.live(ctx); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if day <= w.Now.UTC().Format(dayLayout) {
			errs = append(errs, w.purgeDay(all, day))
		}
	}
	return errors.Join(errs...)
}

// purgeDay removes the messages of one day, and the day.
func (w *sweeping) purgeDay(all *durable.Dir, name string) error {
	day, err := all.Open(name)
	if err != nil {
		return err
	}
	defer day.Close()
	files, err := filesIn(day)
	if err != nil {
		return err
	}
	gone := map[string]bool{} // by base name
	for _, file := range files {
		if !w.Dry {
			err = errors.Join(err, day.Remove(file))
		}
		gone[baseOf(file)] = true
	}
	if !w.Dry {
		if err = errors.Join(err, day.Sync()); err != nil {
			return err
		}
	}
	for _, base := range slices.Sorted(maps.Keys(gone)) {
		w.Report(maildrop.Swept{UID: uidBy(w.ids, base), Delivered: time.Unix(secondsOf(base), 0), Quarantined: true})
	}
	if w.Dry {
		return nil
	}
	// Somebody else's file keeps the day where it is.
	if err := all.RemoveDir(name); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return all.Sync()
}

// daysIn returns the days of a quarantine, in order.
func daysIn(quarantine *durable.Dir) ([]string, error) {
	var days []string
	err := quarantine.Each(func(name []byte, kind durable.Kind) {
		if _, err := time.Parse(dayLayout, string(name)); err == nil && (kind == durable.Directory || kind == durable.Unknown) {
			days = append(days, string(name))
		}
	})
	slices.Sort(days)
	return days, err
}

// filesIn returns the messages of a day, in order.
func filesIn(day *durable.Dir) ([]string, error) {
	var files []string
	err := day.Each(func(name []byte, kind durable.Kind) {
		if name[0] != ':' && (kind == durable.Regular || kind == durable.Unknown) {
			files = append(files, string(name))
		}
	})
	slices.SortFunc(files, func(a, b string) int {
		return cmp.Or(cmp.Compare(timeOf(baseOf(a)), timeOf(baseOf(b))), strings.Compare(a, b))
	})
	return files, err
}

// secondsOf is the delivery time that a base name tells, as far as there are
// such times.
func secondsOf(base string) int64 { return int64(min(timeOf(base), 1<<40)) }

// uidBy returns the unique-id of the message with this base name.
func uidBy(ids *uidl.List, base string) string { return (&listing{ids: ids}).uid(base) }
