package clientcert

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	lookEvery = time.Second
	maxLists  = 64 << 20 // octets of a file of lists
	// settled is how old a file must be for its times to tell a change: clocks
	// of file systems tick in milliseconds, some in seconds.
	settled = 2 * time.Second
)

// A file holds lists, and is read again when it has changed.
type file struct {
	path    string
	check   func(*list) error // whether it may be used
	log     *slog.Logger
	started time.Time
	due     atomic.Int64 // after started: when to look again

	mu      sync.Mutex
	stamp   stamp
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
	if info, err := os.Stat(f.path); err == nil && f.stamp.isOf(info) {
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
	data, s, err := readFile(f.path, maxLists)
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

// readFile reads a regular file of at most max octets.
func readFile(path string, max int64) ([]byte, stamp, error) {
	// A FIFO must not block, nor a terminal take over.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, stamp{}, err
	case !info.Mode().IsRegular():
		return nil, stampOf(info), fmt.Errorf("%s: not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%s: larger than %d MiB", path, max>>20)
	}
	return data, stampOf(info), err
}

// A stamp tells one state of a file from another.
type stamp struct {
	device, inode uint64
	size          int64
	modified      time.Time
	final         bool // the file was settled when it was read
}

func stampOf(info os.FileInfo) stamp {
	s := stamp{size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = uint64(sys.Dev), sys.Ino
	}
	// A time in the future is that of a wrong clock, and as final.
	s.final = time.Since(s.modified).Abs() > settled
	return s
}

// isOf reports whether info is of the same state of the same file, for sure.
func (s stamp) isOf(info os.FileInfo) bool { return s.final && s == stampOf(info) }
