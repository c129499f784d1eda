package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// quarantineName is the directory of a Maildir that keeps deleted messages: in
// one subdirectory for each day, whose name is the day they are kept until, in
// UTC, so that whoever empties it needs to know nothing else. A message keeps
// its file's name, and with it its unique-id.
//
// The directory has no dot before its name and neither new nor cur in it: it is
// no Maildir++ folder, and IMAP servers do not show it.
const quarantineName = "kpopd-quarantine"

// dayLayout is the name of a day.
const dayLayout = time.DateOnly

// dayUntil is the first day that begins when until is over.
func dayUntil(until time.Time) string {
	return until.UTC().Add(24*time.Hour - 1).Format(dayLayout)
}

var _ maildrop.Quarantiner = (*box)(nil)

// Quarantine moves every file of the messages at these indexes to the
// quarantine, then makes that durable, in the quarantine first. What holds of
// Remove holds here too.
func (b *box) Quarantine(ctx context.Context, indexes []int, until time.Time) error {
	if err := b.quarantine(ctx, indexes, until); err != nil {
		return fmt.Errorf("remove from %q into the quarantine: %w", b.lease.Name(), err)
	}
	return nil
}

func (b *box) quarantine(ctx context.Context, indexes []int, until time.Time) error {
	if err := b.enter(); err != nil {
		return err
	}
	day, err := b.makeDay(dayUntil(until))
	if err != nil {
		return err
	}
	defer day.Close()
	r := remover{box: b, missing: make(map[string]bool), into: day}
	r.take = func(p place) error { return moveAway(b.dirs[p.in], p.name, day) }
	err = r.run(ctx, indexes)
	b.forget(indexes)
	return err
}

// makeDay opens the quarantine of a day, which is made where it is missing.
func (b *box) makeDay(name string) (day *durable.Dir, err error) {
	err = b.inMaildir(func(maildir *durable.Dir) error {
		all, err := maildir.Make(quarantineName, 0o700)
		if err != nil {
			return err
		}
		defer all.Close()
		day, err = all.Make(name, 0o700)
		return err
	})
	return day, err
}

// moveAway moves a file to a day's quarantine. Where its name is taken, by the
// other file of a message that has two, it gets other flags, which do not
// matter: "1," are those that nobody has given a meaning. The same file under
// both names, as a crash may leave it, is moved already.
func moveAway(from *durable.Dir, name string, day *durable.Dir) error {
	to := name
	for try := 1; ; try++ {
		err := from.Move(name, day, to)
		if try == nameAttempts || !errors.Is(err, fs.ErrExist) {
			return err
		}
		if sameFile(from, name, day, to) {
			return from.Remove(name)
		}
		to = fmt.Sprintf("%s:1,%d", baseOf(name), try)
	}
}

// sameFile reports whether two names are links of one file.
func sameFile(a *durable.Dir, name string, b *durable.Dir, other string) bool {
	x, err := a.Lstat(name)
	y, err2 := b.Lstat(other)
	return err == nil && err2 == nil && x.Dev == y.Dev && x.Ino == y.Ino && x.Mode&unix.S_IFMT == unix.S_IFREG
}
