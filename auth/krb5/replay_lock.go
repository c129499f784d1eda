package krb5

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// The pauses between two tries for the file's lock.
const (
	lockPauseMin = 20 * time.Microsecond
	lockPauseMax = 2 * time.Millisecond
)

// lock gets the cache to itself, first among the goroutines that share r, then
// among all open files. The kernel frees the lock of a process that died. One
// that is stopped while it holds the lock makes the others fail, not hang.
func (r *FileReplay) lock(ctx context.Context) error {
	if r.tryLock() { // nobody is in the way, as nearly always
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	select {
	case r.sem <- struct{}{}:
	case <-ctx.Done():
		return refuseBusy(ctx)
	}
	err := r.flock(ctx)
	if err != nil {
		<-r.sem
	}
	return err
}

func (r *FileReplay) tryLock() bool {
	select {
	case r.sem <- struct{}{}:
		if r.file != nil && r.tryFlock() == nil {
			return true
		}
		<-r.sem
	default:
	}
	return false
}

func (r *FileReplay) tryFlock() error {
	return unix.Flock(int(r.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

func (r *FileReplay) flock(ctx context.Context) error {
	if r.file == nil {
		return refuseReplay(reasonReplayIO, "%s is closed", r.path)
	}
	// A blocking flock(2) would hold a thread and could not be called off.
	for pause := lockPauseMin; ; pause = min(2*pause, lockPauseMax) {
		err := r.tryFlock()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return refuseReplay(reasonReplayIO, "lock %s: %w", r.path, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return refuseBusy(ctx)
		}
	}
}

// unlock cannot fail on a lock that is held.
func (r *FileReplay) unlock() {
	_ = unix.Flock(int(r.file.Fd()), unix.LOCK_UN)
	<-r.sem
}

func refuseBusy(ctx context.Context) error {
	return refuseReplay(reasonReplayBusy, "lock: %w", context.Cause(ctx))
}
