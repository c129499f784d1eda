// Package lease locks maildrops between the processes that use one directory,
// on one machine or, where the directory is on NFS, on several: with open file
// description locks (fcntl(2)) on one file for each maildrop.
//
// The kernel holds the lock, not the file: it ends with the process however
// that ends, so a lock is never stale, and a file in the directory does not
// mean that anything is locked. A file stays where it is. Its two octets are:
//
//	0  the session's, as long as it lasts
//	1  held for a moment by the session that has 0, while it removes messages
//	   or writes the record; and by who takes the lock away from it
//
// [Locker.Fence] takes a lock away without the help of its holder, which may be
// stopped or stuck: it puts a new file in the place of the old one while it has
// octet 1 of that. The holder locks a file that has no name any more, and finds
// that out before it removes anything, under octet 1. What it is just removing
// is waited for. Who removes lock files while a server runs does the same, but
// for the waiting.
//
// # NFS
//
// A directory on NFS, which all machines mount with the same protocol version
// and without nolock or local_lock (which Open refuses), excludes the sessions of all of them. That
// flock(2) does not do on every NFS, so it is not used. A machine that loses its
// server for longer than the server's lease, 90 seconds of most, loses its
// locks: the server gives them to others, and Linux answers EIO where the lock
// is used again. A session asks the server for both octets and for the record
// before it removes anything, so one that was overtaken removes nothing. What
// no lock of NFS can rule out is a machine that stops in the middle of a
// removal, is taken for dead, and goes on. When the server restarts, clients
// get their locks back within its grace period, or the same happens to them.
package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

var _ maildrop.Fencer = (*Locker)(nil)

// A Locker locks by files in one directory. All processes that use the same
// directory exclude each other, and so do the sessions of one process.
type Locker struct {
	dir  *durable.Dir
	host string
	pid  int

	listing sync.Mutex // the directory is being read

	mu     sync.Mutex
	held   map[*Lease]struct{}
	closed bool
	watch  watch
}

// Open returns a Locker on the directory at path, which is made with mode 0700
// where it is missing. One that others may write to is refused: they could
// take its files away from under a session.
func Open(path string) (*Locker, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("locks: %w", err)
	}
	return OpenExisting(path)
}

// OpenExisting is Open for who only looks: it makes no directory.
func OpenExisting(path string) (*Locker, error) {
	dir, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("locks: %w", err)
	}
	st, err := dir.Stat()
	if err == nil && st.Mode&0o022 != 0 {
		err = fmt.Errorf("%s: mode %04o lets others write", path, st.Mode&0o7777)
	}
	if err == nil {
		err = checkMount(path, &st)
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("locks: %w", err)
	}
	host, _ := os.Hostname() // "" is not known
	k := &Locker{dir: dir, host: host, pid: os.Getpid(), held: make(map[*Lease]struct{})}
	runtime.AddCleanup(k, func(d *durable.Dir) { d.Close() }, dir)
	return k, nil
}

// Close closes the directory once the last lease is released. No Lock may
// follow. As with an [os.File], a Locker that nobody can reach any more closes
// by itself: after a reload, the last session that had it does not know that it
// is.
func (k *Locker) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	return k.closeIdle()
}

// errReplaced means that a file was locked which no longer has its name.
var errReplaced = errors.New("the lock file is replaced again and again")

// attempts bounds how often a lock file may be replaced in the meantime.
const attempts = 16

// Lock locks the maildrop called name: ErrLocked where another session has it,
// in this process or another one.
func (k *Locker) Lock(ctx context.Context, name string) (maildrop.Lease, error) {
	if err := maildrop.CheckName(name); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	err := errReplaced
	for range attempts {
		var l *Lease
		if l, err = k.try(ctx, name); err == nil {
			return l, nil
		}
		if !errors.Is(err, errReplaced) {
			break
		}
	}
	return nil, fmt.Errorf("lock %q: %w", name, err)
}

func (k *Locker) try(ctx context.Context, name string) (*Lease, error) {
	file, err := k.dir.OpenFile(fileName(name), unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Lease{locker: k, file: file, name: name, lost: make(chan struct{})}
	if err := l.take(ctx); err != nil {
		file.Close()
		return nil, err
	}
	k.add(l)
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

// A fileID tells a file from all others that there are.
type fileID struct{ dev, ino uint64 }

func idOf(st *unix.Stat_t) fileID { return fileID{uint64(st.Dev), st.Ino} }

// named reports whether the lock file of name is still this one.
func (k *Locker) named(name string, id fileID) (bool, error) {
	now, err := k.dir.Lstat(fileName(name))
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil && idOf(&now) == id, err
}

// pause waits for the next look at what nothing tells of.
func pause(ctx context.Context) error {
	t := time.NewTimer(5 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pauseUntil is pause as long as it is not too late for that.
func pauseUntil(ctx context.Context, end time.Time) error {
	if !time.Now().Before(end) {
		return context.DeadlineExceeded
	}
	return pause(ctx)
}
