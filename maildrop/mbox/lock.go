package mbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// A Lock is a way by which programs keep each other from a mailbox. All of them
// on a machine must agree.
type Lock string

// The ways.
const (
	// Fcntl is the record lock of fcntl(2).
	Fcntl Lock = "fcntl"
	// Flock is that of flock(2).
	Flock Lock = "flock"
	// Dotlock is a file beside the mailbox, called like it with ".lock" behind,
	// as liblockfile, procmail and mutt make it.
	Dotlock Lock = "dotlock"
	// DotlockTry is Dotlock where the directory lets us make a file.
	DotlockTry Lock = "dotlock_try"
)

// AllLocks are the ways there are.
var AllLocks = []Lock{Fcntl, Flock, Dotlock, DotlockTry}

// DefaultLocks are what Debian asks of all that touch a mailbox.
var DefaultLocks = []Lock{Fcntl, Dotlock}

const (
	defaultLockTimeout = 30 * time.Second
	// staleAge is how old a dotlock gets whose owner cannot be seen.
	staleAge = 5 * time.Minute
	// foreignAge is how long one is respected that names a process, perhaps of
	// another machine, that is not here.
	foreignAge = time.Minute
	// touchAge is how old one of ours gets before it is touched.
	touchAge = 30 * time.Second
)

// errHeld means that another program has a lock.
var errHeld = errors.New("locked by another program")

// A hold is a mailbox that is open and locked.
type hold struct {
	spot  *spot
	file  *durable.File
	dot   *durable.File // the dotlock; nil: none
	ino   uint64        // its
	fresh time.Time     // when it was touched
	taken []Lock
	// hadNew: there was new mail when messages were removed.
	hadNew bool
}

// lock opens and locks the mailbox; create: it is made if it is missing, else
// the error is [fs.ErrNotExist]. No lock is kept while another is waited for, so
// that the order in which programs take them does not matter. Somebody who
// keeps it too long makes the error ErrLocked.
func (s *spot) lock(ctx context.Context, exclusive, create bool) (*hold, error) {
	timeout := s.store.LockTimeout
	if timeout == 0 {
		timeout = defaultLockTimeout
	}
	end := time.Now().Add(timeout)
	pause := 2 * time.Millisecond
	for {
		h, err := s.tryLock(exclusive, create)
		if err == nil || !errors.Is(err, errHeld) {
			return h, err
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("%w: %w", maildrop.ErrLocked, err)
		}
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, context.Cause(ctx)
		}
		pause = min(2*pause, 50*time.Millisecond)
	}
}

// tryLock takes all locks or none.
func (s *spot) tryLock(exclusive, create bool) (*hold, error) {
	mode := unix.O_RDONLY
	if exclusive {
		mode = unix.O_RDWR
	}
	if create {
		mode |= unix.O_CREAT
	}
	file, err := s.dir.OpenFile(s.name, mode, 0o600)
	if err != nil {
		return nil, err
	}
	h := &hold{spot: s, file: file}
	st, err := s.check(file)
	if err == nil {
		err = h.take(exclusive)
	}
	if err == nil {
		err = h.current(&st)
	}
	if err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

// check refuses what is no file of its own: a FIFO, a device, or a hard link,
// which may be somebody else's mailbox.
func (s *spot) check(file *durable.File) (unix.Stat_t, error) {
	if _, err := file.Size(); err != nil {
		return unix.Stat_t{}, err
	}
	st, err := file.Stat()
	if err == nil && st.Nlink > 1 {
		err = fmt.Errorf("%s: %w", s.path(), ErrHardLink)
	}
	return st, err
}

// ErrHardLink means a mailbox that has another name, perhaps in another's place.
var ErrHardLink = errors.New("has several hard links, and is not touched")

// current reports with errHeld that the name means another file by now.
func (h *hold) current(st *unix.Stat_t) error {
	now, err := h.spot.dir.Lstat(h.spot.name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (now.Ino != st.Ino || now.Dev != st.Dev) {
		return fmt.Errorf("%s: %w", h.spot.path(), errHeld)
	}
	return err
}

func (h *hold) take(exclusive bool) error {
	locks := h.spot.store.Locks
	if len(locks) == 0 {
		locks = DefaultLocks
	}
	for _, l := range locks {
		var ok bool
		var err error
		switch l {
		case Fcntl:
			ok, err = h.file.TryRecordLock(exclusive)
		case Flock:
			ok, err = h.file.TryFlock()
		default:
			ok, err = h.dotlock()
			if l == DotlockTry && (errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)) {
				continue
			}
		}
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s: %w (%s)", h.spot.path(), errHeld, l)
		}
		h.taken = append(h.taken, l)
	}
	return nil
}

// release gives all locks back and closes the file.
func (h *hold) release() {
	h.unlock()
	h.file.Close()
}

// unlock gives all locks back; the file stays open.
func (h *hold) unlock() {
	if h.dot != nil {
		h.undot()
	}
	for _, l := range h.taken {
		switch l {
		case Fcntl:
			_ = h.file.Unlock(0, 0) // fails where nothing is locked
		case Flock:
			_ = h.file.Unflock()
		}
	}
	h.taken = nil
}

// dotlock makes the lock file, complete from its first moment.
func (h *hold) dotlock() (bool, error) {
	s := h.spot
	name := s.name + dotlockSuffix
	f, err := s.newDotlock(name)
	if err == nil {
		var st unix.Stat_t
		if st, err = f.Stat(); err == nil {
			h.dot, h.ino, h.fresh = f, st.Ino, time.Now()
			return true, nil
		}
		f.Close()
	}
	if errors.Is(err, fs.ErrExist) {
		return false, s.breakStale(name, time.Now())
	}
	return false, err
}

// newDotlock makes a file called name that tells who we are.
func (s *spot) newDotlock(name string) (*durable.File, error) {
	text := fmt.Sprintf("%d:%s\n", os.Getpid(), hostname())
	f, err := s.dir.Temp(0o600)
	if err == nil {
		_, _ = f.Write([]byte(text)) // on a full disk it is empty, and a lock all the same
		if err = f.Link(name); err == nil {
			return f, nil
		}
		f.Close()
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EINVAL) &&
		(!errors.Is(err, fs.ErrNotExist) || f == nil) {
		return nil, err
	}
	// NFS has no files without a name, and there may be no /proc.
	if f, err = s.dir.OpenFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600); err == nil {
		_, _ = f.Write([]byte(text))
	}
	return f, err
}

const dotlockSuffix = ".lock"

// undot removes our lock file, unless somebody broke it and has his own there.
func (h *hold) undot() {
	name := h.spot.name + dotlockSuffix
	if st, err := h.spot.dir.Lstat(name); err == nil && st.Ino == h.ino {
		_ = h.spot.dir.Remove(name)
	}
	h.dot.Close()
	h.dot = nil
}

// touch keeps our lock file from looking stale during long work.
func (h *hold) touch() {
	if h.dot == nil || time.Since(h.fresh) < touchAge {
		return
	}
	h.fresh = time.Now()
	now := unix.NsecToTimespec(h.fresh.UnixNano())
	_ = h.dot.SetTimes(now, now)
}

// breakStale removes a lock file that nobody can own any more. It is moved
// away first, and back if it was another one by then.
func (s *spot) breakStale(name string, now time.Time) error {
	st, err := s.dir.Lstat(name)
	if err != nil || !s.stale(name, &st, now) {
		return nil
	}
	away := fmt.Sprintf(".%.100s.stale-%d-%d", s.name, os.Getpid(), rand.Uint32())
	if err := s.dir.Move(name, s.dir, away); err != nil {
		return nil
	}
	if moved, err := s.dir.Lstat(away); err == nil && moved.Ino != st.Ino {
		_ = s.dir.Move(away, s.dir, name)
		return nil
	}
	_ = s.dir.Remove(away)
	s.log().Warn("stale lock of a mailbox broken", "file", s.path()+dotlockSuffix, "age", now.Sub(time.Unix(st.Mtim.Unix())))
	return nil
}

// stale: it is older than any program lets its own become, or its owner is a
// process of this machine that has ended.
func (s *spot) stale(name string, st *unix.Stat_t, now time.Time) bool {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false // nothing that a program made to lock
	}
	age := now.Sub(time.Unix(st.Mtim.Unix()))
	if age > staleAge {
		return true
	}
	b, err := readFile(s.dir, name)
	if err != nil || len(b) > 300 {
		return false
	}
	pid, host, named := strings.Cut(strings.TrimSpace(string(b)), ":")
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 0 || unix.Kill(n, 0) != unix.ESRCH {
		return false
	}
	return named && host == hostname() || !named && age > foreignAge
}

// hostname is what tells this machine from others that share the directory.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "?"
	}
	return name
}
