package clientcert

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kpopd/auth"
)

const (
	lookEvery = time.Second
	maxLists  = 64 << 20 // octets of a file of lists
)

// A file holds lists, and is read again when it has changed.
type file struct {
	path    string
	check   func(*list) error // whether it may be used
	log     *slog.Logger
	started time.Time
	due     atomic.Int64 // after started: when to look again

	mu      sync.Mutex
	stamp   auth.Stamp
	lastErr string
	lists   atomic.Pointer[[]*list]
}

// current returns the lists, read anew if the file has changed. One login in a
// second pays for looking, the others go on with what there is.
func (f *file) current() []*list {
	due, now := f.due.Load(), int64(time.Since(f.started))
	if now >= due && f.due.CompareAndSwap(due, now+int64(lookEvery)) {
		f.look()
	}
	return *f.lists.Load()
}

// look reads the file if it is not the one that was read last. One that is not
// usable leaves the lists as they were, until they end.
func (f *file) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stamp.IsOf(f.path) {
		return
	}
	err := f.read()
	switch {
	case err != nil && err.Error() != f.lastErr:
		f.lastErr = err.Error()
		f.log.Error("revocation list has changed and is not usable; the one read before stays", "path", f.path, "err", err)
	case err == nil:
		f.lastErr = ""
	}
}

// read reads the file and puts its lists in force. f.mu is held, or f is new.
func (f *file) read() error {
	data, s, err := auth.ReadFile(f.path, maxLists, 0)
	f.stamp = s
	if err != nil {
		return err
	}
	lists, err := parseLists(data)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	for _, l := range lists {
		if err := f.check(l); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	f.lists.Store(&lists)
	return nil
}
