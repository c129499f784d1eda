package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/server"
)

// A sweeper removes what is too old from maildrops, and what has been in
// quarantine long enough.
type sweeper struct {
	file   *config.File
	store  maildrop.Sweeper
	locker maildrop.Locker
	record func(ctx context.Context, e server.Event) error // of what is gone
	dry    bool
	// says is told what becomes of each message, and of maildrops that are left
	// out.
	says func(maildrop string, m *maildrop.Swept, err error)

	counts sweepCounts
}

// sweepCounts are what a sweep came to.
type sweepCounts struct{ maildrops, expired, purged, busy, failed int }

// attrs are for the log.
func (c sweepCounts) attrs() []any {
	return []any{slog.Int("maildrops", c.maildrops), slog.Int("expired", c.expired), slog.Int("purged", c.purged),
		slog.Int("busy", c.busy), slog.Int("failed", c.failed)}
}

// errNotSwept means that something went wrong, of which says was told.
var errNotSwept = errors.New("not all maildrops were swept")

// A placer is a store that finds its maildrops on disk.
type placer interface {
	// Places calls fn with the path below the root of each maildrop that is
	// there. An error of fn ends it.
	Places(ctx context.Context, fn func(rel string) error) error
}

// all sweeps all maildrops that there are.
func (s *sweeper) all(ctx context.Context) error {
	p, ok := s.store.(placer)
	if !ok || !s.file.Maildrop.Invertible() {
		return s.file.Errorf(s.file.Maildrop.At("path"), "No name can be told from a directory here: name the maildrops")
	}
	err := p.Places(ctx, func(rel string) error {
		if name, ok := s.file.Maildrop.NameOf(rel); ok {
			return s.one(ctx, name)
		}
		return nil
	})
	return errors.Join(err, s.outcome())
}

// named sweeps these maildrops.
func (s *sweeper) named(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := s.one(ctx, name); err != nil {
			return err
		}
	}
	return s.outcome()
}

func (s *sweeper) outcome() error {
	if s.counts.failed > 0 {
		return errNotSwept
	}
	return nil
}

// one sweeps one maildrop. What is wrong with that is told; an error is a
// reason to end.
func (s *sweeper) one(ctx context.Context, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var unrecorded error
	err := withLease(ctx, s.locker, name, func(l maildrop.Lease) error {
		s.counts.maildrops++
		sweep := maildrop.Sweep{Now: time.Now(), Dry: s.dry}
		if days := s.file.Expire(name); days > 0 {
			sweep.Before = sweep.Now.AddDate(0, 0, -days)
		}
		sweep.Report = func(m maildrop.Swept) { unrecorded = errors.Join(unrecorded, s.gone(ctx, name, m)) }
		return s.store.Sweep(ctx, l, sweep)
	})
	switch {
	case errors.Is(err, maildrop.ErrLocked):
		s.counts.busy++
		s.says(name, nil, err)
	case err != nil:
		s.counts.failed++
		s.says(name, nil, err)
		return errors.Join(unrecorded, context.Cause(ctx))
	}
	return unrecorded
}

// gone tells of a message, and records it. What cannot be recorded is the last.
func (s *sweeper) gone(ctx context.Context, name string, m maildrop.Swept) error {
	kind := server.EventExpired
	if m.Quarantined {
		s.counts.purged++
		kind = server.EventPurged
	} else {
		s.counts.expired++
	}
	s.says(name, &m, nil)
	if s.dry {
		return nil
	}
	err := s.record(context.WithoutCancel(ctx), messageEvent(kind, name, m.UID, slog.Time("delivered", m.Delivered.UTC())))
	if err != nil {
		return fmt.Errorf("the record of what was removed: %w", err)
	}
	return nil
}
