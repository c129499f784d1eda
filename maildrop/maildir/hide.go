package maildir

import (
	"context"
	"fmt"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/uidl"
)

var _ maildrop.Hider = (*box)(nil)

// Hide notes in the Maildir's list of unique-ids that the messages at these
// indexes are not shown again. The files stay as they are. It happens to all of
// them or to none.
func (b *box) Hide(ctx context.Context, indexes []int) error {
	err := b.enter()
	if err == nil {
		err = b.inMaildir(func(maildir *durable.Dir) error { return b.hide(ctx, maildir, indexes) })
	}
	if err != nil {
		return fmt.Errorf("hide in %q: %w", b.lease.Name(), err)
	}
	b.forget(indexes)
	return nil
}

func (b *box) hide(ctx context.Context, maildir *durable.Dir, indexes []int) error {
	ids, err := uidl.Load(maildir)
	if err != nil {
		return err
	}
	if ids == nil {
		ids = new(uidl.List)
	}
	for _, i := range indexes {
		if err := ids.Hide(b.base(i), b.Messages()[i].UID, true); err != nil {
			return err
		}
	}
	if err := b.pruneHidden(ids); err != nil {
		return err
	}
	if err := maildrop.Live(b.lease); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return ids.Store(maildir)
}

// pruneHidden drops the rows of messages that were hidden and that somebody has
// removed since, lest the list grow for ever. Rows that give a message another
// unique-id, or an order, stay: it may be in quarantine.
func (b *box) pruneHidden(ids *uidl.List) error {
	there := make(map[string]bool)
	if err := b.dirs.scan(func(_ folder, name []byte) { there[string(baseOfBytes(name))] = true }); err != nil {
		return err
	}
	ids.Prune(func(base string) bool {
		row, _ := ids.Find(base)
		return there[base] || row.Order > 0 || row.UID != uidOf(base)
	})
	return nil
}

// inMaildir calls fn with the Maildir.
func (b *box) inMaildir(fn func(*durable.Dir) error) error {
	return b.store.in(b.path, fn)
}

// hiddenIn returns the messages that are hidden, by base name, and the list that
// hides them.
func hiddenIn(maildir *durable.Dir) (map[string]maildrop.Kept, *uidl.List, error) {
	ids, err := uidl.Load(maildir)
	if ids == nil || err != nil {
		return nil, nil, err
	}
	var d dirs
	defer d.close()
	if err := d.open(maildir); err != nil {
		return nil, nil, err
	}
	found := make(map[string]maildrop.Kept)
	err = d.scan(func(in folder, name []byte) {
		base := string(baseOfBytes(name))
		if row, ok := ids.Find(base); ok && row.Hidden {
			st, _ := d[in].Lstat(string(name)) // of one that just moved no size is told
			found[base] = maildrop.Kept{UID: row.UID, Size: st.Size, Hidden: true}
		}
	})
	return found, ids, err
}
