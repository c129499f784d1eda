package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// The octets of a lock file.
const (
	session int64 = 0 // for as long as it lasts
	removal int64 = 1 // for a moment
	both    int64 = 2 // how many there are, from session on
)

// patience bounds how long octet 1 is waited for that only somebody who fences
// can have, who needs it for the time of a rename.
const patience = 10 * time.Second

// A Lease is the lock of one maildrop. Release ends it, the end of the process,
// and who takes it away.
type Lease struct {
	locker *Locker
	name   string
	id     fileID // of file
	size   int64  // of file
	token  uint64
	holder maildrop.Holder

	lost     chan struct{}
	loseOnce sync.Once
	once     sync.Once
	err      error // of Release

	mu      sync.Mutex // guards what follows
	file    *durable.File
	written uint64 // the token that the file has while the lease is this session's
	holds   int
}

// Name returns the maildrop's.
func (l *Lease) Name() string { return l.name }

// Token returns the number of this grant. It exceeds that of the grant before,
// which the file remembers; and should the file be lost, the clock still makes
// it grow.
func (l *Lease) Token() uint64 { return l.token }

// Lost is closed by Release, and some seconds after the lock was taken away: on
// NFS, up to a minute.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

func (l *Lease) lose() { l.loseOnce.Do(func() { close(l.lost) }) }

// take gets the lock and a token.
func (l *Lease) take(ctx context.Context) error {
	st, err := l.file.Stat()
	if err != nil {
		return err
	}
	l.id, l.size = idOf(&st), st.Size
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return durable.ErrNotRegular
	}
	if err := l.lock(ctx); err != nil {
		return err
	}
	if named, err := l.locker.named(l.name, l.id); !named {
		return errors.Join(err, errReplaced)
	}
	last, err := readToken(l.file)
	if err != nil {
		return err
	}
	l.token, l.holder = next(last), maildrop.HolderOf(ctx)
	l.write(l.locker.pid)
	return l.file.Unlock(removal, 1)
}

// next returns the token that follows the last one.
func next(last uint64) uint64 { return max(last+1, uint64(time.Now().UnixMicro())) }

// lock takes both octets: ErrLocked where another session has the first. The
// second is soon free.
func (l *Lease) lock(ctx context.Context) error {
	for end := time.Now().Add(patience); ; {
		got, err := l.file.TryLock(session, both)
		if err != nil || got {
			return err
		}
		taken, err := l.file.Locked(session, 1)
		if err != nil {
			return err
		}
		if taken {
			return maildrop.ErrLocked
		}
		if err := pauseUntil(ctx, end); err != nil {
			return fmt.Errorf("%w: somebody is taking it away: %w", maildrop.ErrLocked, err)
		}
	}
}

// write writes the record. The lock holds without it: a full disk must not keep
// people from their mail, and that is why its failure is passed over.
func (l *Lease) write(pid int) {
	r := Record{Token: l.token, PID: pid, Host: l.locker.host, Since: time.Now(), Place: l.name}
	if pid != 0 {
		r.Holder = l.holder
	}
	text := r.encode(l.size)
	l.written, l.size = l.token, max(l.size, int64(len(text)))
	if _, err := l.file.WriteAt(text, 0); err != nil {
		l.written, _ = readToken(l.file)
	}
}

// Hold implements what [maildrop.Hold] asks for: from here to release, nobody
// takes the lock away. ErrStale: somebody has.
func (l *Lease) Hold() (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := maildrop.Live(l); err != nil {
		return nil, err
	}
	if err := l.hold(); err != nil {
		return nil, fmt.Errorf("lock of %q: %w", l.name, err)
	}
	l.holds++
	return sync.OnceFunc(l.letGo), nil
}

// hold takes octet 1, and octet 0 again, which a server of NFS may have
// forgotten.
func (l *Lease) hold() error {
	if err := l.lock(context.Background()); err != nil {
		return fmt.Errorf("%w: %w", maildrop.ErrStale, err)
	}
	err := l.check()
	if err != nil && l.holds == 0 {
		_ = l.file.Unlock(removal, 1) // what cannot be kept may go
	}
	return err
}

// check makes sure, under octet 1, that the lease is still this session's. An
// error that says neither yes nor no counts as no, but is not for good.
func (l *Lease) check() error {
	named, err := l.locker.named(l.name, l.id)
	if err != nil {
		return fmt.Errorf("%w: %w", maildrop.ErrStale, err)
	}
	token, err := readToken(l.file)
	if err != nil {
		return fmt.Errorf("%w: %w", maildrop.ErrStale, err)
	}
	if !named || token != l.written {
		l.lose()
		return maildrop.ErrStale
	}
	return nil
}

func (l *Lease) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holds--; l.holds == 0 {
		_ = l.file.Unlock(removal, 1) // fails only where Release has closed it
	}
}

// Release ends the lease; further calls return what the first did. It is safe
// for concurrent use.
func (l *Lease) Release() error {
	l.once.Do(func() {
		l.lose()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.signOff()
		l.err = l.file.Unlock(session, both)
		if err := l.file.Close(); l.err == nil {
			l.err = err
		}
		l.locker.drop(l)
	})
	return l.err
}

// signOff writes that nobody has the maildrop, unless somebody else has.
func (l *Lease) signOff() {
	if got, err := l.file.TryLock(session, both); !got || err != nil {
		return
	}
	if token, err := readToken(l.file); err == nil && token == l.written {
		l.write(0)
	}
}
