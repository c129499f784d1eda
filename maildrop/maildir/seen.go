package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

var _ maildrop.Marker = (*box)(nil)

// MarkSeen gives the messages at these indexes the flag S, which is for files in
// cur. What has moved since, another program takes care of, and it is left as it
// is. The next login reads both folders, since they have changed, but knows the
// messages.
func (b *box) MarkSeen(ctx context.Context, indexes []int) error {
	err := b.enter()
	if err == nil {
		err = b.makeCur()
	}
	if err != nil {
		return fmt.Errorf("mark as seen in %q: %w", b.lease.Name(), err)
	}
	for _, i := range indexes {
		if err := errors.Join(maildrop.Live(b.lease), context.Cause(ctx)); err != nil {
			return err
		}
		p := b.place(i)
		name, ok := seenName(p.name)
		if !ok || p.in == inCur && name == p.name || b.more[b.base(i)] != nil {
			continue
		}
		err := b.dirs[p.in].Move(p.name, b.dirs[inCur], name)
		if err != nil && !gone(err) && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("mark as seen in %q: %w", b.lease.Name(), err)
		}
	}
	return nil
}

// makeCur opens cur, which is made where it is missing.
func (b *box) makeCur() error {
	if b.dirs[inCur] != nil {
		return nil
	}
	return b.inMaildir(func(maildir *durable.Dir) (err error) {
		b.dirs[inCur], err = maildir.Make(folderNames[inCur], 0o700)
		return err
	})
}

// seenName returns the name that a file has with the flag S: behind ":2," flags
// stand in the order of their characters. ok is false where that is not known
// of its flags.
func seenName(name string) (seen string, ok bool) {
	base, info, flagged := strings.Cut(name, ":")
	if !flagged {
		return name + ":2,S", len(name) <= 255-len(":2,S")
	}
	flags, ok := strings.CutPrefix(info, "2,")
	if !ok || strings.Contains(flags, "S") {
		return name, ok
	}
	sorted := append([]byte(flags), 'S')
	slices.Sort(sorted)
	return base + ":2," + string(sorted), len(name) < 255
}
