package maildrop

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Policy is on what terms a session has a maildrop. The zero Policy lets it
// log in at any time and says nothing of expiry.
type Policy struct {
	// Expire is how many days after its delivery a message may be removed by
	// somebody else than its reader, seen or not (RFC 2449 §6.7). [Never]: it
	// is not; 0: nothing is said of it.
	Expire int
	// LoginDelay is how long after a login the next one is refused
	// (RFC 2449 §6.5). 0: it is not.
	LoginDelay time.Duration
	// Logins remembers when somebody logged in. nil: no LoginDelay holds.
	Logins Logins
	// Deletion is what becomes of messages that QUIT removes.
	Deletion Deletion
	// Keep is for how many days at least they are kept in quarantine.
	Keep int
	// MarkSeen: at QUIT, messages that were retrieved whole are marked as seen
	// for others who read the maildrop, by IMAP.
	MarkSeen bool
}

// A Deletion is what becomes of messages that a session deletes.
type Deletion int

// The values of Deletion.
const (
	DeleteRemove     Deletion = iota // nothing of them is left
	DeleteQuarantine                 // they can be restored until their time is over
	DeleteHide                       // they stay, but are never shown by POP3 again
)

// A Quarantiner is a [Box] that can keep messages for a while instead of
// removing them.
type Quarantiner interface {
	Box
	// Quarantine is Remove, but the messages can be restored until a time, and
	// have the same unique-ids then. Each is in one place, whenever it stops.
	Quarantine(ctx context.Context, indexes []int, until time.Time) error
}

// A Hider is a [Box] that can keep messages without showing them again.
type Hider interface {
	Box
	// Hide is Remove, but the messages stay for those who read the maildrop by
	// other ways.
	Hide(ctx context.Context, indexes []int) error
}

// A Marker is a [Box] that can mark messages as seen.
type Marker interface {
	Box
	// MarkSeen marks the messages at these indexes, as far as they are still
	// there. Nothing depends on it, and it need not be durable on return.
	MarkSeen(ctx context.Context, indexes []int) error
}

// ErrUnsupported means that a store cannot do what a Policy asks for.
var ErrUnsupported = errors.New("maildrop: this store cannot do that")

// deleter returns what deletes messages of b on the policy's terms.
func (p Policy) deleter(b Box) (func(ctx context.Context, indexes []int) error, error) {
	if part, ok := b.(*partBox); ok {
		whole, err := p.deleter(part.Box)
		return func(ctx context.Context, indexes []int) error { return whole(ctx, part.wholes(indexes)) }, err
	}
	switch p.Deletion {
	case DeleteRemove:
		return b.Remove, nil
	case DeleteHide:
		if h, ok := b.(Hider); ok {
			return h.Hide, nil
		}
	case DeleteQuarantine:
		if q, ok := b.(Quarantiner); ok {
			return func(ctx context.Context, indexes []int) error {
				return q.Quarantine(ctx, indexes, time.Now().AddDate(0, 0, p.Keep))
			}, nil
		}
	}
	return nil, fmt.Errorf("%w: deletion %d", ErrUnsupported, p.Deletion)
}

// marker returns what marks messages of b as seen. nil: nothing is to.
func (p Policy) marker(b Box) (func(ctx context.Context, indexes []int) error, error) {
	if !p.MarkSeen {
		return nil, nil
	}
	if part, ok := b.(*partBox); ok {
		whole, err := p.marker(part.Box)
		return func(ctx context.Context, indexes []int) error { return whole(ctx, part.wholes(indexes)) }, err
	}
	if m, ok := b.(Marker); ok {
		return m.MarkSeen, nil
	}
	return nil, fmt.Errorf("%w: marks of what was seen", ErrUnsupported)
}

// Never is the Expire of messages that stay until they are deleted.
const Never = -1

// Logins remember, by maildrop, when the last login was that opened it: for all
// processes that serve it, from one start to the next. It is asked under the
// maildrop's lease, and reports itself what goes wrong: no mail is kept from
// anybody for that.
type Logins interface {
	// Last returns the time of the last login; zero: none is known.
	Last(name string) time.Time
	// Note is told of a login.
	Note(name string, at time.Time)
}

// A TooSoonError refuses a login that comes before its time.
type TooSoonError struct {
	Delay time.Duration // the least time between two logins
	Left  time.Duration // of it
}

func (e *TooSoonError) Error() string {
	return fmt.Sprintf("maildrop: the last login was less than %v ago, %v are left", e.Delay, e.Left)
}

// Open locks the maildrop called name and opens it on the policy's terms.
// Errors wrap ErrLocked, ErrName, ErrNotExist, a *TooSoonError or what the
// store says; then nothing stays locked.
//
// A login counts for LoginDelay from when the maildrop is open, which is when
// the client is told +OK (RFC 2449 §6.5), however its session ends. One that
// was refused, for whatever reason, does not count.
func (p Policy) Open(ctx context.Context, name string, lk Locker, st Store) (*Drop, error) {
	lease, err := lk.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	d, err := p.open(ctx, lease, st)
	if err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	return d, nil
}

func (p Policy) open(ctx context.Context, lease Lease, st Store) (*Drop, error) {
	paced := p.LoginDelay > 0 && p.Logins != nil
	if paced {
		if err := p.pace(lease.Name(), time.Now()); err != nil {
			return nil, err
		}
	}
	box, err := st.Open(ctx, lease)
	if err != nil {
		return nil, err
	}
	d := &Drop{lease: lease, box: box, msgs: box.Messages(), policy: p}
	var unable error
	d.dispose, err = p.deleter(box)
	if d.mark, unable = p.marker(box); err != nil || unable != nil {
		return nil, errors.Join(err, unable, box.Close())
	}
	d.recount()
	if paced {
		p.Logins.Note(lease.Name(), time.Now())
	}
	return d, nil
}

// pace refuses a login that comes before its time. A last login in the future
// is one before the clock was set back, and keeps nobody out.
func (p Policy) pace(name string, now time.Time) error {
	left := p.LoginDelay - now.Sub(p.Logins.Last(name))
	if left <= 0 || left > p.LoginDelay {
		return nil
	}
	return &TooSoonError{Delay: p.LoginDelay, Left: left}
}
