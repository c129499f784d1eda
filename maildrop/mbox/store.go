// Package mbox keeps each maildrop in one file, the way of /var/mail. Mail
// programs, delivery agents and people at a shell may use the same file at the
// same time, if they lock it.
//
// A session holds no lock of the file: one is taken while the file is read,
// rewritten or appended to, and delivery never waits for a client. What another
// program changed meanwhile is noticed by the file's size, times and inode;
// then the file is read again, and messages are found by their unique-ids.
//
// README.md beside this file says what is shown of a file, where unique-ids come
// from, and what becomes of a file at a crash.
//
// Nothing is followed that is a symbolic link, from the store's root to the
// mailbox; a mailbox with several hard links is not touched.
package mbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"strings"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

var _ maildrop.Store = (*Store)(nil)

// A Store is the mailboxes below one directory. It is safe for concurrent use;
// its fields are not changed once it is in use.
type Store struct {
	// Root is the directory that holds all mailboxes. It must exist: without it
	// nothing can be opened or delivered, for a file system may not be mounted.
	Root string
	// Path returns the path of a mailbox below Root, such as "alice/mbox", for
	// a name that [maildrop.CheckName] accepts. nil: the name itself.
	Path func(name string) (string, error)
	// StateDir is where indexes and journals are kept, in a directory "mbox". It
	// must exist, on a file system that survives a crash.
	StateDir string
	// Format is the dialect of all mailboxes. Empty: RD.
	Format Format
	// UIDs says where unique-ids come from. Empty: ByHeader.
	UIDs UIDs
	// Locks are the ways to lock, all of which are used. None: DefaultLocks.
	Locks []Lock
	// LockTimeout bounds how long a lock of another program is waited for. 0:
	// 30 seconds.
	LockTimeout time.Duration
	// Storm is the share, in percent, of the unique-ids that were served last
	// above which a mailbox is refused with [maildrop.ErrStorm] if the same
	// messages have others now, because UIDs is another. Fewer than ten are
	// always let through. 0: as 100, which lets all through.
	Storm int
	// Rewrite says how messages are removed. Empty: Auto.
	Rewrite Rewrite
	// Log is told of what was repaired. nil: [slog.Default].
	Log *slog.Logger
}

func (s *Store) format() Format {
	if s.Format == "" {
		return RD
	}
	return s.Format
}

// made tells listings of differently configured stores apart.
func (s *Store) made() string {
	uids := s.UIDs
	if uids == "" {
		uids = ByHeader
	}
	return fmt.Sprintf("%s %s", s.format(), uids)
}

// Open returns a view of the mailbox that l locks. A mailbox that does not
// exist is empty, and stays inexistent. ErrLocked: another program keeps its
// lock for too long.
func (s *Store) Open(ctx context.Context, l maildrop.Lease) (maildrop.Box, error) {
	if err := maildrop.Live(l); err != nil {
		return nil, fmt.Errorf("open %q: %w", l.Name(), err)
	}
	b := &box{store: s, lease: l}
	if err := b.load(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("open %q: %w", l.Name(), err)
	}
	return b, nil
}

// A spot is where one mailbox is.
type spot struct {
	store *Store
	dir   *durable.Dir // that the mailbox is in
	name  string       // of the file
	state *durable.Dir
	key   string // what the files in state begin with
}

// spot goes to the mailbox of name, from the root one component at a time, by
// step. The error is [fs.ErrNotExist] where a directory below the root is
// missing.
func (s *Store) spot(name string, step func(*durable.Dir, string) (*durable.Dir, error)) (*spot, error) {
	rel, err := s.path(name)
	if err != nil {
		return nil, err
	}
	dir, err := durable.Open(s.Root)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errRoot, err)
	}
	parent, base := path.Split(rel)
	for component := range strings.SplitSeq(strings.TrimSuffix(parent, "/"), "/") {
		if component == "" {
			break
		}
		next, err := step(dir, component)
		dir.Close()
		if err != nil {
			return nil, err
		}
		dir = next
	}
	state, err := s.stateDir()
	if err != nil {
		dir.Close()
		return nil, err
	}
	sum := sha256.Sum256([]byte(s.Root))
	key := hex.EncodeToString(sum[:4]) + "-" + maildrop.Escape(rel, 200, inKey)
	return &spot{store: s, dir: dir, name: base, state: state, key: key}, nil
}

// errRoot is no [fs.ErrNotExist]: the root may not be mounted.
var errRoot = errors.New("the root of all mailboxes cannot be opened")

func (s *Store) stateDir() (*durable.Dir, error) {
	top, err := durable.Open(s.StateDir)
	if err != nil {
		return nil, fmt.Errorf("the directory for state cannot be opened: %v", err)
	}
	defer top.Close()
	return top.Make("mbox", 0o700)
}

func inKey(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '@' || c == '.'
}

func (s *spot) close() {
	s.dir.Close()
	s.state.Close()
}

func (s *spot) path() string { return s.dir.Path() + "/" + s.name }

func (s *spot) log() *slog.Logger {
	if s.store.Log != nil {
		return s.store.Log
	}
	return slog.Default()
}

// path returns the path of the mailbox of name below the root: components that
// are neither empty nor "." nor "..", without control characters; the last is
// not what the lock of another mailbox is called, and leaves room for its own.
func (s *Store) path(name string) (string, error) {
	if err := maildrop.CheckName(name); err != nil {
		return "", err
	}
	rel := name
	if s.Path != nil {
		var err error
		if rel, err = s.Path(name); err != nil {
			return "", fmt.Errorf("path of %q: %w", name, err)
		}
	}
	base := path.Base(rel)
	if !filepath.IsLocal(rel) || path.Clean(rel) != rel || rel == "." || hasControl(rel) ||
		strings.HasSuffix(base, dotlockSuffix) || len(base) > maxBase {
		return "", fmt.Errorf("%w: %q leads to %q", maildrop.ErrName, name, rel)
	}
	return rel, nil
}

// maxBase leaves room for what is put behind, below NAME_MAX.
const maxBase = 240

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// missing: the mailbox, or a directory on the way to it, does not exist.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errRoot) }
