package userfile

import (
	"crypto/sha256"
	"fmt"
	"time"

	"kpopd/auth"
)

const (
	lookEvery = time.Second
	maxFile   = 64 << 20
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
	if f.stamp.IsOf(f.path) {
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
	data, s, err := auth.ReadFile(f.path, maxFile, 0o006)
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
