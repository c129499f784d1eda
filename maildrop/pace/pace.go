// Package pace remembers when maildrops were last logged in to, for LOGIN-DELAY
// (RFC 2449 §6.5): in one file for each maildrop, which all processes that share
// the directory see, and which outlives them.
//
// A file holds one line, the time in UTC:
//
//	2026-11-24T05:47:00.000000Z
//
// Who has the maildrop's lease writes it, and nobody else, so that there is no
// lock here. It is not fsynced: a machine that crashes lets somebody in early.
// What is in a file that cannot be read as a time counts as no login, and
// whoever wants to let somebody in at once removes the file.
package pace

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

var _ maildrop.Logins = (*Logins)(nil)

// Logins are the last logins in one directory. They are safe for concurrent
// use.
type Logins struct {
	dir *durable.Dir
	// Log gets what goes wrong. nil: [slog.Default].
	Log *slog.Logger
}

// Open returns the logins in the directory at path, which is made with mode
// 0700 where it is missing. Who cannot be reached any more closes by itself.
func Open(path string) (*Logins, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("logins: %w", err)
	}
	dir, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("logins: %w", err)
	}
	l := &Logins{dir: dir}
	runtime.AddCleanup(l, func(d *durable.Dir) { d.Close() }, dir)
	return l, nil
}

// Close closes the directory. Nothing may follow.
func (l *Logins) Close() error {
	defer runtime.KeepAlive(l)
	return l.dir.Close()
}

const layout = "2006-01-02T15:04:05.000000Z"

// Last implements [maildrop.Logins].
func (l *Logins) Last(name string) time.Time {
	defer runtime.KeepAlive(l)
	at, err := l.last(name)
	if err != nil {
		l.warn("the last login is not known", name, err)
	}
	return at
}

func (l *Logins) last(name string) (time.Time, error) {
	file, err := l.dir.OpenFile(fileName(name), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	defer file.Close()
	if _, err := file.Size(); err != nil { // not a file
		return time.Time{}, err
	}
	var text [len(layout)]byte
	n, err := file.ReadAt(text[:], 0)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(layout, string(text[:n]))
}

// Note implements [maildrop.Logins].
func (l *Logins) Note(name string, at time.Time) {
	defer runtime.KeepAlive(l)
	if err := l.note(name, at); err != nil {
		l.warn("the login is not remembered", name, err)
	}
}

func (l *Logins) note(name string, at time.Time) error {
	file, err := l.dir.OpenFile(fileName(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Size(); err != nil {
		return err
	}
	_, err = file.WriteAt([]byte(at.UTC().Format(layout)+"\n"), 0)
	return err
}

func (l *Logins) warn(text, name string, err error) {
	log := l.Log
	if log == nil {
		log = slog.Default()
	}
	log.Warn(text, "maildrop", name, "err", err)
}

// fileName maps a maildrop's name to a file's: two names never share one, and
// none begins with a dot.
func fileName(name string) string {
	return maildrop.Escape(name, 200, func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("-_.@+=", c) >= 0
	})
}
