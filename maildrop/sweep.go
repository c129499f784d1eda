package maildrop

import (
	"context"
	"time"
)

// A Sweeper is a [Store] from which old messages can be removed without a
// session: those that are too old, and those in quarantine whose time is over.
type Sweeper interface {
	Store
	// Sweep removes from the maildrop that l locks what s says, durably. What
	// it reported is gone, whatever the error.
	Sweep(ctx context.Context, l Lease, s Sweep) error
}

// A Sweep says what is to be removed from one maildrop.
type Sweep struct {
	// Before is when a message was delivered that is too old now. Zero: none is.
	Before time.Time
	// Now is when the sweep takes place: what is in quarantine until an earlier
	// time goes.
	Now time.Time
	// Dry: nothing is removed, only reported.
	Dry bool
	// Report is told of each message that is gone or, in a dry run, would be.
	Report func(Swept)
}

// A Swept is a message that a Sweep removed.
type Swept struct {
	UID string
	// Delivered is when it came, as far as its age was judged by.
	Delivered time.Time
	// Quarantined: it was deleted before, and its time in quarantine is over.
	Quarantined bool
}

// A Restorer is a [Store] that keeps deleted messages, for a while in quarantine
// or hidden where they are.
type Restorer interface {
	Store
	// Kept lists the deleted messages of the maildrop that l locks: those in
	// quarantine, by when they were deleted, then those that are hidden.
	Kept(ctx context.Context, l Lease) ([]Kept, error)
	// Restore puts back those of Kept that want accepts, each with the unique-id
	// it had, durably. It returns those that are back. A
	// message of which the maildrop has the unique-id is an error, and stays
	// where it is.
	Restore(ctx context.Context, l Lease, want func(Kept) bool) ([]Kept, error)
}

// A Kept is a deleted message that can be restored.
type Kept struct {
	UID string
	// Size is the octets of its text as it is stored.
	Size int64
	// Hidden: it is not in quarantine, but hidden where it is. When it was
	// deleted is not known, and it stays.
	Hidden bool
	// Deleted is when it came to the quarantine, as the file system tells.
	Deleted time.Time
	// Until is how long it stays there at least.
	Until time.Time
}
