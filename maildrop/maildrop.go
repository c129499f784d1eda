// Package maildrop keeps what: messages, in maildrops, one session at a time.
//
// A [Drop] is a maildrop as a POP3 session sees it (RFC 1939): numbering,
// marks, totals, RSET and "nothing goes without UPDATE" are written once, in
// Drop. A backend provides a [Store], whose [Box] is a frozen view of one
// maildrop. Nobody opens a Box without a [Lease], which a [Locker] grants to
// one session at a time.
package maildrop

import (
	"context"
	"errors"
	"io"
)

// The errors that callers test for with [errors.Is].
var (
	// ErrLocked means that another session has the maildrop. RFC 2449 §8.1.2:
	// [IN-USE].
	ErrLocked = errors.New("maildrop: in use by another session")
	// ErrNotExist means that there is no such maildrop, where the store does
	// not treat that as an empty one.
	ErrNotExist = errors.New("maildrop: no such maildrop")
	// ErrName means that a maildrop name is not acceptable to the store, for
	// example because it would lead out of its root.
	ErrName = errors.New("maildrop: name not acceptable")
	// ErrNoMessage means a number that no message of the listing has.
	ErrNoMessage = errors.New("maildrop: no such message")
	// ErrDeleted means a message that is marked as deleted.
	ErrDeleted = errors.New("maildrop: message is deleted")
	// ErrVanished means that a message that was listed is gone or changed.
	ErrVanished = errors.New("maildrop: message vanished or changed")
	// ErrStorm means that messages which clients know have other unique-ids than
	// they had, so many that clients would fetch all their mail again.
	ErrStorm = errors.New("maildrop: unique-ids would change")
	// ErrStale means a lease that was lost or released.
	ErrStale = errors.New("maildrop: the lock was lost")
)

// A Message is one entry of a maildrop's listing.
type Message struct {
	// UID is the unique-id: 1 to 70 octets of 0x21 to 0x7E, the same in every
	// session as long as the message lives, never given to another one
	// (RFC 1939 §7).
	UID string
	// Size is the message's octets as RETR sends them, with CRLF line ends,
	// before dot-stuffing and without the final dot (RFC 1939 §11).
	Size int64
}

// A Content is the text of a message as it is stored. Line ends may be LF or
// CRLF; [Measure] defines what becomes of it on the wire.
type Content struct {
	io.ReadCloser
	// WireReady: every line ends with CRLF, the last one too, and none begins
	// with a dot. The octets may go out as they are, by sendfile(2) where
	// ReadCloser is a [File].
	WireReady bool
}

// A File is a text that is a file, or begins it. Who sends it by sendfile(2)
// takes octets from the descriptor, and says so.
type File interface {
	io.ReadCloser
	// Fd is the file's descriptor, at the position where the text goes on.
	Fd() uintptr
	// Len is how many octets of the text are left.
	Len() int64
	// Skip says that the next n octets have been taken from Fd.
	Skip(n int64)
}

// A Box is a store's frozen view of one maildrop, owned by one goroutine.
// Messages that arrive later are not in it.
type Box interface {
	// Messages returns the listing. The caller does not change it.
	Messages() []Message
	// Retrieve opens the message at index i of the listing. ErrVanished: it
	// is gone. The caller closes the Content.
	Retrieve(ctx context.Context, i int) (Content, error)
	// Remove removes the messages at these indexes, by unique-id. It is
	// idempotent: one that is gone already counts as removed. When it returns
	// nil, all are durably gone; on an error some may be.
	Remove(ctx context.Context, indexes []int) error
	// Close releases what the view holds; it does not release the lease.
	Close() error
}

// A Store keeps maildrops. It is safe for concurrent use.
type Store interface {
	// Open returns a view of the maildrop that l locks. It refuses a lease
	// that was lost or released with ErrStale. A maildrop that does not exist
	// yet is empty or ErrNotExist, as the store documents.
	Open(ctx context.Context, l Lease) (Box, error)
	// Deliver adds msg to the maildrop called name. It is atomic, durable
	// when it returns nil, and needs no lease.
	Deliver(ctx context.Context, name string, msg io.Reader) error
}

// A Locker grants the exclusive lock that RFC 1939 §4 asks for. It is safe for
// concurrent use, by several processes where it documents so.
type Locker interface {
	// Lock locks the maildrop called name without waiting for another
	// session to end: ErrLocked. The lock of a process that died is free.
	Lock(ctx context.Context, name string) (Lease, error)
}

// A Lease is the lock of one maildrop for one session. See [Hold] too.
type Lease interface {
	// Name is the maildrop's.
	Name() string
	// Token grows with each grant of the same maildrop, so that a store can
	// refuse a holder that was overtaken.
	Token() uint64
	// Lost is closed when the lock is lost or released.
	Lost() <-chan struct{}
	// Release ends the lease. It is idempotent.
	Release() error
}
