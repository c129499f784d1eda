// Package lease locks maildrops between the processes of one machine, with
// flock(2) on one file for each maildrop.
//
// The kernel holds the lock, not the file: it ends with the process however
// that ends, so a lock is never stale, and a file in the directory does not
// mean that anything is locked. Files therefore stay where they are. Removing
// them on release would need every locker to check afterwards that it locked
// the file that still has the name; it would lose the tokens; and a crash
// would leave files all the same. Who wants them gone may remove them while no
// server runs.
//
// A file says who has the maildrop, for people and tools:
//
//	token=0001795500000000001 pid=0000001234 since=2026-11-24T05:47:00Z maildrop="alice"
//
// A pid of zeros: nobody. After a crash the last holder's pid stays until the
// next session; only the flock, as in /proc/locks, says that it still holds.
package lease

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

var _ maildrop.Locker = (*Locker)(nil)

// A Locker locks by files in one directory. All processes that use the same
// directory on the same machine exclude each other, and so do the sessions of
// one process.
type Locker struct {
	dir *durable.Dir
}

// Open returns a Locker on the directory at path, which is made with mode 0700
// where it is missing. One that others may write to is refused: they could
// take its files away from under a session.
func Open(path string) (*Locker, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("locks: %w", err)
	}
	dir, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("locks: %w", err)
	}
	st, err := dir.Stat()
	if err == nil && st.Mode&0o022 != 0 {
		err = fmt.Errorf("%s: mode %04o lets others write", path, st.Mode&0o7777)
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("locks: %w", err)
	}
	k := &Locker{dir: dir}
	runtime.AddCleanup(k, func(d *durable.Dir) { d.Close() }, dir)
	return k, nil
}

// Close closes the directory. Leases stay as they are. No Lock may follow. As
// with an [os.File], a Locker that nobody can reach any more closes by itself:
// after a reload, the last session that had it does not know that it is.
func (k *Locker) Close() error {
	defer runtime.KeepAlive(k)
	return k.dir.Close()
}

// Lock locks the maildrop called name: ErrLocked where another session has it,
// in this process or another one.
func (k *Locker) Lock(ctx context.Context, name string) (maildrop.Lease, error) {
	defer runtime.KeepAlive(k)
	if err := maildrop.CheckName(name); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	file, err := k.dir.OpenFile(fileName(name), unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	l := &Lease{file: file, name: name, lost: make(chan struct{})}
	if err := l.take(); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	return l, nil
}

// fileName maps a maildrop's name to a file's: two names never share a file,
// no file begins with a dot, and none is longer than a file's name may be.
func fileName(name string) string {
	return maildrop.Escape(name, 200, func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("-_.@+=", c) >= 0
	})
}

// A Lease is the lock of one maildrop. Only Release ends it, and the end of
// the process.
type Lease struct {
	file  *durable.File
	name  string
	token uint64
	lost  chan struct{}
	once  sync.Once
	err   error // of Release
}

// Name returns the maildrop's.
func (l *Lease) Name() string { return l.name }

// Token returns the number of this grant. It exceeds that of the grant before,
// which the file remembers; and should the file be lost, the clock still makes
// it grow.
func (l *Lease) Token() uint64 { return l.token }

// Lost is closed by Release.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release ends the lease; further calls return what the first did. It is safe
// for concurrent use.
func (l *Lease) Release() error {
	l.once.Do(func() {
		close(l.lost)
		l.record(0)
		l.err = l.file.Unlock()
		if err := l.file.Close(); l.err == nil {
			l.err = err
		}
	})
	return l.err
}

// take gets the flock and a token.
func (l *Lease) take() error {
	if _, err := l.file.Size(); err != nil {
		return err
	}
	got, err := l.file.TryLock()
	if err != nil {
		return err
	}
	if !got {
		return maildrop.ErrLocked
	}
	last, err := l.lastToken()
	if err != nil {
		return err
	}
	l.token = max(last+1, uint64(time.Now().UnixMicro()))
	l.record(os.Getpid())
	return nil
}

// lastToken reads the token of the grant before; 0: there is no sound one.
func (l *Lease) lastToken() (uint64, error) {
	var buf [len("token=") + tokenDigits]byte
	n, err := l.file.ReadAt(buf[:], 0)
	if err != nil {
		return 0, err
	}
	text, _ := strings.CutPrefix(string(buf[:n]), "token=")
	token, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, nil
	}
	return token, nil
}

const tokenDigits = 19

// record writes who has the maildrop; pid 0: nobody. All records of one file
// are of one length, so that each replaces the one before in one write. The
// lock holds without it: a full disk must not keep people from their mail,
// and that is why its failure is passed over.
func (l *Lease) record(pid int) {
	now := time.Now().UTC().Format("2006-01-02T15:04:05Z")
	text := fmt.Sprintf("token=%0*d pid=%010d since=%s maildrop=%q\n", tokenDigits, l.token, pid, now, l.name)
	_, _ = l.file.WriteAt([]byte(text), 0)
}
