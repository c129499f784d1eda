package maildrop

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
)

// A Drop is a maildrop as one POP3 session sees it: locked, its messages
// numbered from 1, its marks and totals kept (RFC 1939 §5). Nothing leaves the
// maildrop but by Update. One goroutine owns a Drop.
type Drop struct {
	lease   Lease
	policy  Policy
	box     Box
	dispose func(ctx context.Context, indexes []int) error // as the policy has it
	mark    func(ctx context.Context, indexes []int) error // as seen. nil: none is to be
	msgs    []Message
	deleted []bool // nil: none
	seen    []bool // nil: none
	count   int    // of the messages that are not marked
	octets  int64  // of the same
	updated bool
	outcome error // of Update
	closed  bool
}

// Open locks the maildrop called name and opens it, as [Policy.Open] does on no
// terms.
func Open(ctx context.Context, name string, lk Locker, st Store) (*Drop, error) {
	return Policy{}.Open(ctx, name, lk, st)
}

// Name returns the name of the maildrop.
func (d *Drop) Name() string { return d.lease.Name() }

// Policy returns the terms on which the session has the maildrop.
func (d *Drop) Policy() Policy { return d.policy }

// Lost is closed when the session no longer has the maildrop: the lock was
// lost, or Close released it. What was not updated by then stays.
func (d *Drop) Lost() <-chan struct{} { return d.lease.Lost() }

// Count returns the highest message number, marked or not.
func (d *Drop) Count() int { return len(d.msgs) }

// Stat returns how many messages are not marked as deleted, and the sum of
// their sizes. RFC 1939 §5, STAT.
func (d *Drop) Stat() (n int, octets int64) { return d.count, d.octets }

// All yields the messages that are not marked as deleted with their numbers,
// in order. RFC 1939 §5, LIST.
func (d *Drop) All() iter.Seq2[int, Message] {
	return func(yield func(int, Message) bool) {
		for i, m := range d.msgs {
			if d.marked(i) {
				continue
			}
			if !yield(i+1, m) {
				return
			}
		}
	}
}

// Message returns message n: ErrNoMessage where there is none, ErrDeleted where
// it is marked.
func (d *Drop) Message(n int) (Message, error) {
	switch {
	case n < 1 || n > len(d.msgs):
		return Message{}, ErrNoMessage
	case d.marked(n - 1):
		return Message{}, ErrDeleted
	}
	return d.msgs[n-1], nil
}

// Retrieve opens the text of message n. Besides the errors of Message:
// ErrVanished when somebody else took it, ErrStale when the lock was lost. The
// caller closes the Content.
func (d *Drop) Retrieve(ctx context.Context, n int) (Content, error) {
	if _, err := d.Message(n); err != nil {
		return Content{}, err
	}
	if err := d.live(); err != nil {
		return Content{}, err
	}
	return d.box.Retrieve(ctx, n-1)
}

// A Remeasurer is a Box whose store remembers sizes.
type Remeasurer interface {
	// Remeasure reads the message at index i, whose text was not as long as the
	// listing says, and remembers its size for the views to come. This one
	// stays as it is.
	Remeasure(ctx context.Context, i int) error
}

// Remeasure has the store remember how long message n is now. It is for one
// that proved not to be as long as announced. The Drop stays as it is. Its
// errors are those of Retrieve.
func (d *Drop) Remeasure(ctx context.Context, n int) error {
	if _, err := d.Message(n); err != nil {
		return err
	}
	if r, ok := d.box.(Remeasurer); ok {
		return r.Remeasure(ctx, n-1)
	}
	return nil
}

// Delete marks message n; it goes with Update only. RFC 1939 §5, DELE. Besides
// the errors of Message: ErrStale after Update or Close.
func (d *Drop) Delete(n int) error {
	m, err := d.Message(n)
	if err != nil {
		return err
	}
	if d.updated || d.closed {
		return ErrStale
	}
	if d.deleted == nil {
		d.deleted = make([]bool, len(d.msgs))
	}
	d.deleted[n-1] = true
	d.count--
	d.octets -= m.Size
	return nil
}

// Reset takes all marks away. RFC 1939 §5, RSET. After Update or Close it does
// nothing.
func (d *Drop) Reset() {
	if d.updated || d.closed {
		return
	}
	d.deleted = nil
	d.recount()
}

// Seen notes that all of message n was sent, for MarkSeen.
func (d *Drop) Seen(n int) {
	if d.mark == nil || n < 1 || n > len(d.msgs) {
		return
	}
	if d.seen == nil {
		d.seen = make([]bool, len(d.msgs))
	}
	d.seen[n-1] = true
}

// MarkSeen marks the messages that were seen, where the policy says so; it comes
// after Update, which may have removed some of them. A session that ends
// otherwise marks nothing. An error changes nothing for the client.
func (d *Drop) MarkSeen(ctx context.Context) error {
	var indexes []int
	for i, seen := range d.seen {
		if seen && !d.marked(i) {
			indexes = append(indexes, i)
		}
	}
	if len(indexes) == 0 {
		return nil
	}
	if err := d.live(); err != nil {
		return err
	}
	release, err := Hold(d.lease)
	if err != nil {
		return err
	}
	defer release()
	return d.mark(ctx, indexes)
}

// Update removes the marked messages, no others, and returns nil when all of
// them are durably gone. RFC 1939 §6. It happens once: later calls return the
// outcome of the first, and only Close remains useful.
//
// Without a live lock it removes nothing and returns ErrStale; a lock that is
// lost half-way ends it. The end of ctx prevents Update but does not cut it
// short: a client that hangs up after QUIT still gets what it asked for.
func (d *Drop) Update(ctx context.Context) error {
	if d.updated {
		return d.outcome
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("update %q: %w", d.Name(), err)
	}
	d.updated = true
	if d.outcome = d.live(); d.outcome == nil && d.deleted != nil {
		d.outcome = d.remove(context.WithoutCancel(ctx))
	}
	return d.outcome
}

// remove removes the marked messages while it holds the lock, under a context
// that ends should that be lost all the same.
func (d *Drop) remove(ctx context.Context) error {
	var indexes []int
	for i, marked := range d.deleted {
		if marked {
			indexes = append(indexes, i)
		}
	}
	if len(indexes) == 0 {
		return nil
	}
	release, err := Hold(d.lease)
	if err != nil {
		return fmt.Errorf("update %q: %w", d.Name(), err)
	}
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-d.lease.Lost():
			cancel(ErrStale)
		case <-ctx.Done():
		}
	})
	defer watch.Wait()
	defer cancel(nil)
	return d.dispose(ctx, indexes)
}

// Close ends the session's hold on the maildrop: it closes the view, then
// releases the lock. It removes nothing and is idempotent.
func (d *Drop) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	return errors.Join(d.box.Close(), d.lease.Release())
}

func (d *Drop) marked(i int) bool { return d.deleted != nil && d.deleted[i] }

func (d *Drop) recount() {
	d.count, d.octets = len(d.msgs), 0
	for _, m := range d.msgs {
		d.octets += m.Size
	}
}

func (d *Drop) live() error {
	if d.closed {
		return ErrStale
	}
	return Live(d.lease)
}

// Live returns nil while l is held and ErrStale once it was lost or released.
// Stores ask it before they act on a lease.
func Live(l Lease) error {
	select {
	case <-l.Lost():
		return ErrStale
	default:
		return nil
	}
}
