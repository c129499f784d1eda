package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/server"
)

// A sweepTask sweeps again and again, in a goroutine of its own, from start to
// stop. Both are called by the goroutine that owns the service.
type sweepTask struct {
	cancel context.CancelFunc // nil: there is none
	done   sync.WaitGroup
}

// start begins the sweeps of a configuration, in the place of those before.
func (t *sweepTask) start(f *config.File, next *parts, record server.Recorder, log *slog.Logger) {
	t.stop()
	b := &builder{file: f, next: next}
	store, ok := next.store.(maildrop.Sweeper)
	if f.SweepInterval == 0 || !ok {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	t.done.Go(func() {
		// Soon after the start, since a server may be started every day; but not
		// all servers of a store at once.
		first := min(f.SweepInterval/10, 10*time.Minute)
		timer := time.NewTimer(rand.N(first))
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			sweepOnce(ctx, &sweeper{file: f, store: store, locker: b.locker()}, record, log)
			timer.Reset(f.SweepInterval)
		}
	})
}

// sweepOnce sweeps all maildrops and says so in the log.
func sweepOnce(ctx context.Context, s *sweeper, record server.Recorder, log *slog.Logger) {
	s.record = func(ctx context.Context, e server.Event) error {
		log.LogAttrs(ctx, slog.LevelInfo, string(e.Kind), e.LogAttrs()...)
		return record.Record(ctx, nil, e)
	}
	s.says = func(name string, m *maildrop.Swept, err error) {
		if m == nil && !errors.Is(err, maildrop.ErrLocked) { // who has it open keeps it till the next time
			log.Warn("maildrop not swept", "maildrop", name, "err", err)
		}
	}
	err := s.all(ctx)
	if err != nil && !errors.Is(err, errNotSwept) && ctx.Err() == nil {
		log.Error("the sweep ended early", "err", err)
	}
	log.Info("swept", s.counts.attrs()...)
}

// stop ends the sweeps, in the middle of one perhaps, and waits for it.
func (t *sweepTask) stop() {
	if t.cancel == nil {
		return
	}
	t.cancel()
	t.done.Wait()
	t.cancel = nil
}
