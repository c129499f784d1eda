package userfile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	lookEvery = time.Second
	maxFile   = 64 << 20
	// settled is how old a file must be for its times to tell a change: clocks
	// of file systems tick in milliseconds, some in seconds.
	settled = 2 * time.Second
)

// current returns the users, read anew if the file has changed. One login in a
// second pays for looking, the others go on with what there is.
func (f *File) current() *table {
	due, now := f.due.Load(), int64(time.Since(f.started))
	if now >= due && f.due.CompareAndSwap(due, now+int64(lookEvery)) {
		f.look()
	}
	return f.users.Load()
}

// look reads the file if it is not the one that was read last.
func (f *File) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if info, err := os.Stat(f.path); err == nil && f.stamp.isOf(info) {
		return
	}
	before := f.users.Load()
	if err := f.read(); err != nil {
		if text := err.Error(); text != f.lastErr { // once for each state that the file is in
			f.lastErr = text
			f.log.Error("user file has changed and is not usable; the users read before stay", "path", f.path, "err", err)
		}
		return
	}
	if users := f.users.Load(); users != before {
		f.log.Info("user file read again", "path", f.path, "users", len(users.users))
	}
}

// Reload reads the file now. On an error the users read before stay in force.
func (f *File) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read()
}

// read reads the file and puts its users in force. f.mu is held. The stamp is
// also that of a file that is not usable, which is not read every second.
func (f *File) read() error {
	data, s, err := readFile(f.path)
	f.stamp = s
	if err != nil {
		return fmt.Errorf("user file: %w", err)
	}
	sum := sha256.Sum256(data)
	if f.users.Load() == nil || sum != f.sum {
		users, err := parse(f.path, data)
		if err != nil {
			return fmt.Errorf("user file: %w", err)
		}
		f.sum = sum
		f.users.Store(users)
	}
	f.lastErr = ""
	return nil
}

// readFile reads a file of secrets, and refuses one that anybody may read or
// change.
func readFile(path string) ([]byte, stamp, error) {
	// A FIFO must not block, nor a terminal take over.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, stamp{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	s := stampOf(info)
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, s, fmt.Errorf("%s: not a regular file", path)
	case mode.Perm()&0o006 != 0:
		return nil, s, fmt.Errorf("%s: mode %#o lets everybody at its secrets: chmod o-rw it", path, mode.Perm())
	case info.Size() > maxFile:
		return nil, s, fmt.Errorf("%s: larger than %d MiB", path, maxFile>>20)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = errors.New("grows while it is read")
	}
	return data, s, err
}

// A stamp tells one state of a file from another.
type stamp struct {
	device, inode   uint64
	size            int64
	mode            os.FileMode
	modified, state time.Time // state: of the inode, chmod included
	final           bool      // the file was settled when it was read
}

func stampOf(info os.FileInfo) stamp {
	s := stamp{size: info.Size(), mode: info.Mode(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = uint64(sys.Dev), sys.Ino
		s.state = time.Unix(sys.Ctim.Unix())
	}
	// A time in the future is that of a wrong clock, and as final.
	s.final = time.Since(s.modified).Abs() > settled && time.Since(s.state).Abs() > settled
	return s
}

// isOf reports whether info is of the same state of the same file, for sure.
func (s stamp) isOf(info os.FileInfo) bool {
	now := stampOf(info)
	return s.final && s == now
}
