// Package maildir keeps each maildrop in a Maildir: a directory with tmp, new
// and cur, a file for each message. IMAP servers, delivery agents and people
// may use the same Maildir at the same time.
//
// What a message is, its file's base name says: the part before the colon,
// which stays while flags come and go and the file moves from new to cur. The
// unique-id is made from it, and files with one base name are one message.
// Only regular files count whose name begins neither with a dot nor a colon.
//
// Nothing is followed that is a symbolic link: not the Maildir, no directory
// above it up to the store's root, and no message. Hard links are messages like
// others, since IMAP servers and delivery agents make them for copies; whom
// the kernel lets link whose files is a matter of fs.protected_hardlinks.
//
// Opening a maildrop changes nothing in it: messages stay in new. A login that
// finds new, cur and the list of imported unique-ids ([kpopd/maildrop/uidl]) as
// the login before left them reads no directory and no message; one that does
// not reads new and cur, and looks at the messages that are new to it: of many
// whose names tell their sizes (S= and W=) at a hundred.
package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/index"
)

var _ maildrop.Store = (*Store)(nil)

// A Store is the Maildirs below one directory. It is safe for concurrent use;
// its fields are not changed once it is in use.
type Store struct {
	// Root is the directory that holds all Maildirs. It must exist: without it
	// nothing can be opened or delivered, for a file system may not be mounted.
	Root string
	// Path returns the path of a Maildir below Root, such as "alice/Maildir",
	// for a name that [maildrop.CheckName] accepts. nil: the name itself.
	Path func(name string) (string, error)
	// Hostname is this machine's part of the names of delivered messages.
	// Empty: [os.Hostname].
	Hostname string
	// SaveCRLF: what is delivered is kept with CRLF line ends, as it goes out.
	// Where no line begins with a dot, its name says so, and it can be sent
	// without being looked at.
	SaveCRLF bool
	// Index remembers what was served last, by maildrop. nil: every message is
	// looked at whenever its maildrop is opened.
	Index *index.Cache
	// Storm is the share, in percent, of the unique-ids that were served last
	// above which a maildrop is refused with [maildrop.ErrStorm] if the same
	// messages have others now. Fewer than ten are always let through. 0: as
	// 100, which lets all through. Messages are known again by what was looked
	// at of them: where that is some hundred of a large maildrop, it stands for
	// the rest.
	Storm int

	clock atomic.Int64  // the last microsecond that named a message
	count atomic.Uint64 // messages named
}

// Open returns a view of the Maildir that l locks. A Maildir that does not
// exist is empty, and stays inexistent.
func (s *Store) Open(ctx context.Context, l maildrop.Lease) (maildrop.Box, error) {
	if err := maildrop.Live(l); err != nil {
		return nil, fmt.Errorf("open %q: %w", l.Name(), err)
	}
	path, err := s.path(l.Name())
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", l.Name(), err)
	}
	b := &box{store: s, lease: l, path: path, index: new(index.Index)}
	err = s.in(path, func(maildir *durable.Dir) error { return b.load(ctx, maildir) })
	if errors.Is(err, errNoMaildir) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", l.Name(), err)
	}
	return b, nil
}

// AcceptUIDs forgets what was served last of the maildrop called name, so that
// the next session is served whatever unique-ids there are then. It reports
// whether anything was remembered.
func (s *Store) AcceptUIDs(name string) (bool, error) {
	path, err := s.path(name)
	if err != nil {
		return false, err
	}
	return s.Index.Forget(path)
}

// errNoMaildir means that a directory below the root is missing.
var errNoMaildir = errors.New("no such maildir")

// in calls fn with the Maildir at path, which is opened at once where the kernel
// can do that and all is as it should be, and else by walk.
func (s *Store) in(path string, fn func(*durable.Dir) error) error {
	root, err := durable.Open(s.Root)
	if err != nil {
		return err
	}
	maildir, err := root.OpenBelow(path)
	if err != nil {
		return walk(root, path, (*durable.Dir).Open, fn)
	}
	root.Close()
	defer maildir.Close()
	return fn(maildir)
}

// walk goes from dir, which it closes, to the Maildir at path, one component at a
// time, by step, and calls fn with it.
func walk(dir *durable.Dir, path string, step func(*durable.Dir, string) (*durable.Dir, error), fn func(*durable.Dir) error) error {
	for component := range strings.SplitSeq(path, "/") {
		next, err := step(dir, component)
		dir.Close()
		if errors.Is(err, fs.ErrNotExist) {
			return errNoMaildir
		}
		if err != nil {
			return err
		}
		dir = next
	}
	defer dir.Close()
	return fn(dir)
}

// path returns the path of the Maildir of name below the root: components that
// are neither empty nor "." nor "..", without control characters.
func (s *Store) path(name string) (string, error) {
	if err := maildrop.CheckName(name); err != nil {
		return "", err
	}
	if s.Path == nil {
		return name, nil
	}
	path, err := s.Path(name)
	if err != nil {
		return "", fmt.Errorf("path of %q: %w", name, err)
	}
	if !filepath.IsLocal(path) || filepath.Clean(path) != path || path == "." || hasControl(path) {
		return "", fmt.Errorf("%w: %q leads to %q", maildrop.ErrName, name, path)
	}
	return path, nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
