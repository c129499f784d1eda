package maildrop

import (
	"context"
	"errors"
)

// ErrNotLocked means that nobody has the lock that is to be taken away, or not
// by the grant that was named.
var ErrNotLocked = errors.New("maildrop: no such session has it")

// A Holder says for whom a maildrop is locked, so that people can be told. All
// of it is optional, and nothing is decided by it.
type Holder struct {
	Maildrop  string // the name, where the lock is of a place
	User      string // who was proven
	Mechanism string // and how
	Client    string // address and port
	Listener  string
	Conn      string // the connection's name in the log
}

type holderKey struct{}

// WithHolder returns a context that tells a [Locker] for whom it locks.
func WithHolder(ctx context.Context, h Holder) context.Context {
	return context.WithValue(ctx, holderKey{}, h)
}

// HolderOf returns what WithHolder was told.
func HolderOf(ctx context.Context) Holder {
	h, _ := ctx.Value(holderKey{}).(Holder)
	return h
}

// A Fencer is a Locker from whose holders a lock can be taken.
type Fencer interface {
	Locker
	// Fence takes the maildrop called name from its holder: when it returns
	// nil, the holder removes nothing any more, and the maildrop is free. It
	// needs no help of the holder's process, which may be stuck; but a removal
	// that is under way is waited for until ctx ends. token names the grant; 0:
	// whichever there is. ErrNotLocked: there is none.
	Fence(ctx context.Context, name string, token uint64) error
}

// Hold makes sure that l is still its session's and stays so until release is
// called, which the caller does soon: nobody takes the maildrop away between.
// ErrStale: it was lost. A [Lease] that can be fenced has a method Hold; of
// others it is known that they are live.
func Hold(l Lease) (release func(), err error) {
	if h, ok := l.(interface{ Hold() (func(), error) }); ok {
		return h.Hold()
	}
	return func() {}, Live(l)
}
