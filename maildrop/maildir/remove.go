package maildir

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// Remove removes every file of the messages at these indexes, then makes that
// durable. A failure with one message does not spare the others; a lease that
// is lost, or the end of ctx, does.
func (b *box) Remove(ctx context.Context, indexes []int) error {
	r := remover{box: b, missing: make(map[string]bool)}
	r.take = func(p place) error { return b.dirs[p.in].Remove(p.name) }
	err := b.enter()
	if err == nil {
		err = r.run(ctx, indexes)
		b.forget(indexes)
	}
	if err != nil {
		return fmt.Errorf("remove from %q: %w", b.lease.Name(), err)
	}
	return nil
}

// forget takes messages that were removed from what was served last: nobody
// wonders that they are gone. Of a few it does not: what is gone is no storm as
// long as nothing comes back, and the next session finds out. What could not be
// removed is looked at again.
func (b *box) forget(indexes []int) {
	const few = 8 // less than one of so many
	if b.store.Index == nil || len(indexes)*few < b.index.Len() {
		return
	}
	removed := make([]bool, b.index.Len())
	for _, i := range indexes {
		removed[i] = true
	}
	left := b.record.Without(func(i int) bool { return removed[i] })
	if maildrop.Live(b.lease) == nil {
		b.store.Index.Put(b.path, left)
	}
}

// A remover takes the files of messages away, wherever they have gone.
type remover struct {
	*box
	take    func(place) error // a file out of its folder; [fs.ErrNotExist] where it is not
	into    *durable.Dir      // where take puts it. nil: nowhere
	touched [folders]bool
	missing map[string]bool // base names that were not where they had been
	errs    []error
	failed  int
	octets  int64 // of what was taken, as far as names tell
	files   int64 // that were taken
	unsized bool  // some names do not tell
}

// run takes the messages at these indexes of the listing.
func (r *remover) run(ctx context.Context, indexes []int) error {
	defer r.account()
	for _, i := range indexes {
		if err := r.live(ctx); err != nil {
			return err
		}
		base, places := r.places(i)
		for _, p := range places {
			r.unlink(base, p)
		}
	}
	return r.finish(ctx)
}

// places are where the message at an index of the listing was last.
func (b *box) places(i int) (base string, places []place) {
	base = b.base(i)
	return base, append([]place{b.place(i)}, b.more[base]...)
}

// finish takes what had moved, and makes all of it durable.
func (r *remover) finish(ctx context.Context) error {
	if err := r.chase(ctx); err != nil {
		return err
	}
	r.sync()
	if r.failed > len(r.errs) {
		r.errs = append(r.errs, fmt.Errorf("and %d more", r.failed-len(r.errs)))
	}
	return errors.Join(r.errs...)
}

func (r *remover) live(ctx context.Context) error {
	if err := maildrop.Live(r.lease); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// unlink takes one file. One that is not there moved, or was removed by
// somebody else, perhaps not durably yet.
func (r *remover) unlink(base string, p place) {
	r.touched[p.in] = true
	err := r.take(p)
	switch {
	case gone(err):
		r.missing[base] = true
		r.touched = [folders]bool{true, true}
	case err != nil:
		r.fail(err)
	default:
		size, ok := octetsOf(p.name)
		r.octets, r.files, r.unsized = r.octets+size, r.files+1, r.unsized || !ok
	}
}

// account takes what was taken off the Maildir's usage.
func (r *remover) account() {
	if r.files == 0 {
		return
	}
	_ = r.store.in(r.path, func(maildir *durable.Dir) error {
		if r.unsized {
			dropUsage(maildir)
		} else {
			addUsage(maildir, -r.octets, -r.files)
		}
		return nil
	})
}

// chase looks for the missing files, which may have moved, until none is left.
// They may move again while it looks.
func (r *remover) chase(ctx context.Context) error {
	const patience = 20 * time.Second // another program may get most of the processor
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if len(r.missing) == 0 {
			return nil
		}
		if err := r.live(ctx); err != nil {
			return err
		}
		found, err := r.find(r.missing)
		if err != nil {
			return err
		}
		clear(r.missing)
		for base, places := range found {
			for _, p := range places {
				r.unlink(base, p)
			}
		}
	}
	for base := range r.missing {
		r.fail(fmt.Errorf("%s: moves faster than it can be removed", base))
	}
	return nil
}

// sync makes the removals durable, all at once. What was moved is durable where
// it is before it is where it was: a crash may leave it in both, not in none.
func (r *remover) sync() {
	if r.into != nil {
		if err := r.into.Sync(); err != nil {
			r.fail(err)
			return
		}
	}
	for in, dir := range r.dirs {
		if dir == nil || !r.touched[in] {
			continue
		}
		if err := dir.Sync(); err != nil {
			r.fail(err)
		}
	}
}

// fail notes an error; of many, the first few say enough.
func (r *remover) fail(err error) {
	const enough = 8
	if r.failed++; len(r.errs) < enough {
		r.errs = append(r.errs, err)
	}
}
