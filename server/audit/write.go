package audit

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"
)

// write writes records until Close.
func (l *Log) write() {
	defer close(l.done)
	for rec := range l.lines {
		err := l.append(rec.text)
		if err != nil {
			l.losses.add(l.log, err)
		} else {
			l.losses.over(l.log)
		}
		if rec.written != nil {
			rec.written <- err
		}
	}
}

// append writes one line in one write, so that no other can get into it.
func (l *Log) append(text []byte) error {
	for {
		f := l.file.Load()
		if f == nil {
			return os.ErrClosed
		}
		err := l.appendTo(f, text)
		if !errors.Is(err, os.ErrClosed) || l.file.Load() == f {
			return err
		}
		// It was rotated meanwhile.
	}
}

// appendTo appends to f. A file that was full may end in half a line; the next
// begins behind that.
func (l *Log) appendTo(f *os.File, text []byte) error {
	if l.last != f {
		l.last, l.torn = f, false
	}
	if l.torn {
		text = append([]byte("\n"), text...)
	}
	n, err := f.Write(text)
	l.torn = err != nil && (n > 0 || l.torn)
	return err
}

// losses are the records that were not written since the log said so.
type losses struct {
	mu     sync.Mutex
	count  int
	logged time.Time
}

// add counts one, and says so unless that was done within the last second.
func (s *losses) add(log *slog.Logger, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if now := time.Now(); now.Sub(s.logged) >= time.Second {
		log.Error("the audit log cannot be written", "err", err, "lost", s.count)
		s.logged, s.count = now, 0
	}
}

// over says how many were lost that nobody has been told of.
func (s *losses) over(log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count > 0 {
		log.Error("the audit log is written again", "lost", s.count)
		s.count = 0
	}
}
