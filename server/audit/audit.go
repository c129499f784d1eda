// Package audit keeps the record of who came, who was refused, who acted as
// whom, and what was removed: one JSON object a line, in a file that only grows.
//
// The events are those of the log, so that both agree. What a record holds:
//
//	time         when it happened, in UTC (RFC 3339)
//	seq          its number since the process began; one that is missing was lost
//	event        "login", "refused", "impersonation", "update", "end" or "delivery"; and
//	             "expired", "purged" or "restored", of one message, whose
//	             unique-id is in uid, and "accepted", of a maildrop's unique-ids,
//	             on no connection
//	conn         the connection, as the log names it
//	listener     the listener's name
//	address      the client's, with its port; "unix" on a Unix socket
//	user         who was proven or, in a refusal, claimed to be
//	maildrop     whose mail it is
//	mechanism    how it was proven, and source, by whom
//	principal    of a ticket, and authzid, whom the client asked to act as
//	rule         of an impersonation: the account rule that allows it, file:line
//	reason, err  why not, in a stable word and in full
//	deleted      of an update: how many messages are removed; marked, if it
//	             failed and how many of them are gone is not known
//
//	sender       of a delivery, and recipient, addresses of the envelope; id, in
//	             Received of the message too; octets; status (RFC 3463)
//
// and messages, tls, quit, retrieved and octets as the log has them. What does
// not apply is absent. No record holds a secret.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/server"
)

// ErrBusy means that more records wait to be written than are kept.
var ErrBusy = errors.New("audit: the file cannot keep up")

// queued is how many records may wait for a file that is slow.
const queued = 4096

// A Log is a [server.Recorder] that writes to a file. Sessions do not wait for
// the file, but for the record of an impersonation; who works without one does. What cannot be written is
// lost, and counted in the log at level error, at most once a second.
type Log struct {
	log   *slog.Logger
	file  atomic.Pointer[os.File] // nil: nothing is recorded
	lines chan line
	done  chan struct{}

	mu     sync.RWMutex // against closing lines while somebody sends
	closed bool

	seq    atomic.Uint64
	losses losses

	// Of the goroutine that writes:
	last *os.File // where it wrote last
	torn bool     // that ends in half a line
}

var _ server.Recorder = (*Log)(nil)

// A line is a record on its way. written, where it is not nil, takes its fate.
type line struct {
	text    []byte
	written chan error
}

// New returns a Log without a file, which keeps nothing until Swap gives it
// one. Close it.
func New(log *slog.Logger) *Log {
	l := &Log{log: log, lines: make(chan line, queued), done: make(chan struct{})}
	go l.write()
	return l
}

// OpenFile opens a file to append to, of mode 0640 where it is new. A symbolic
// link and a file that everybody may change are refused.
func OpenFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = CheckFile(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// CheckFile says what is wrong with a file to keep records in. nil: nothing.
func CheckFile(path string, info os.FileInfo) error {
	switch mode := info.Mode(); {
	case mode&os.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link", path)
	case mode.IsRegular() && mode.Perm()&0o002 != 0:
		return fmt.Errorf("%s: mode %04o lets everybody change the records: chmod o-w it", path, mode.Perm())
	case !mode.IsRegular() && mode&os.ModeCharDevice == 0:
		return fmt.Errorf("%s is not a file", path)
	}
	return nil
}

// Swap directs the records to come to f, nil for nowhere, and returns the file
// before, which is the caller's to close.
func (l *Log) Swap(f *os.File) (old *os.File) { return l.file.Swap(f) }

// Close writes what waits, within a deadline, and closes the file. What is
// recorded afterwards is lost.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.lines)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(5 * time.Second):
		return errors.New("audit: the file takes no records any more")
	}
	if f := l.Swap(nil); f != nil {
		return f.Close()
	}
	return nil
}

// Record implements [server.Recorder].
func (l *Log) Record(ctx context.Context, c *server.Conn, e server.Event) error {
	if e.Kind == server.EventTLS || l.file.Load() == nil {
		return nil
	}
	rec := line{text: record(time.Now(), l.seq.Add(1), c, e)}
	if e.Kind == server.EventImpersonation || c == nil {
		rec.written = make(chan error, 1)
	}
	if err := l.send(rec); err != nil {
		l.losses.add(l.log, err)
		return err
	}
	if rec.written == nil {
		return nil
	}
	select {
	case err := <-rec.written:
		return err
	case <-ctx.Done():
		return fmt.Errorf("audit: %w", context.Cause(ctx))
	}
}

func (l *Log) send(rec line) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return os.ErrClosed
	}
	select {
	case l.lines <- rec:
		return nil
	default:
		return ErrBusy
	}
}
