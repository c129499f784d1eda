package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"kpopd/maildrop"
)

// TestLocker runs the suite for lockers. fresh returns two that exclude each
// other, as two processes do where the locker works across processes; they may
// be one and the same.
func TestLocker(t *testing.T, fresh func(t *testing.T) (a, b maildrop.Locker)) {
	tests := []struct {
		name string
		run  func(t *testing.T, ctx context.Context, a, b maildrop.Locker)
	}{
		{"Exclude", exclude},
		{"Tokens", tokens},
		{"Lost", lost},
		{"Names", lockNames},
		{"EndedContext", lockEnded},
		{"Race", lockRace},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			a, b := fresh(t)
			test.run(t, ctx, a, b)
		})
	}
}

func mustLock(t *testing.T, ctx context.Context, k maildrop.Locker, name string) maildrop.Lease {
	t.Helper()
	l, err := k.Lock(ctx, name)
	if err != nil {
		t.Fatalf("Lock(%s): %v", shorten(name), err)
	}
	if l.Name() != name {
		t.Errorf("Name = %q, want %q", l.Name(), name)
	}
	return l
}

func mustRelease(t *testing.T, l maildrop.Lease) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Errorf("Release: %v", err)
	}
}

func exclude(t *testing.T, ctx context.Context, a, b maildrop.Locker) {
	first := mustLock(t, ctx, a, "alice")
	for i, k := range []maildrop.Locker{a, b} {
		if l, err := k.Lock(ctx, "alice"); !errors.Is(err, maildrop.ErrLocked) {
			t.Errorf("locker %d: Lock = %v, %v; want ErrLocked", i, l, err)
		}
	}
	mustRelease(t, mustLock(t, ctx, b, "bob")) // others are free
	mustRelease(t, first)
	second := mustLock(t, ctx, b, "alice")
	mustRelease(t, first) // must not release the second
	if _, err := a.Lock(ctx, "alice"); !errors.Is(err, maildrop.ErrLocked) {
		t.Errorf("after a second Release of the first lease: Lock = %v, want ErrLocked", err)
	}
	mustRelease(t, second)
}

func tokens(t *testing.T, ctx context.Context, a, b maildrop.Locker) {
	var last uint64
	for i := range 100 {
		k := a
		if i%2 == 1 {
			k = b
		}
		l := mustLock(t, ctx, k, "alice")
		if l.Token() <= last {
			t.Fatalf("token %d came after %d", l.Token(), last)
		}
		last = l.Token()
		mustRelease(t, l)
	}
}

func lost(t *testing.T, ctx context.Context, a, _ maildrop.Locker) {
	l := mustLock(t, ctx, a, "alice")
	if err := maildrop.Live(l); err != nil {
		t.Errorf("a fresh lease is not live: %v", err)
	}
	mustRelease(t, l)
	select {
	case <-l.Lost():
	case <-ctx.Done():
		t.Error("Lost is open after Release")
	}
}

func lockNames(t *testing.T, ctx context.Context, a, b maildrop.Locker) {
	for _, name := range RefusedNames() {
		if _, err := a.Lock(ctx, name); !errors.Is(err, maildrop.ErrName) {
			t.Errorf("Lock(%s) = %v, want ErrName", shorten(name), err)
		}
	}
	var all []maildrop.Lease
	for _, name := range StrangeNames() {
		all = append(all, mustLock(t, ctx, a, name)) // all at once: none shares
		if _, err := b.Lock(ctx, name); !errors.Is(err, maildrop.ErrLocked) {
			t.Errorf("Lock(%s) again = %v, want ErrLocked", shorten(name), err)
		}
	}
	for _, l := range all {
		mustRelease(t, l)
	}
}

func lockEnded(t *testing.T, ctx context.Context, a, _ maildrop.Locker) {
	cause := errors.New("enough")
	ended, cancel := context.WithCancelCause(ctx)
	cancel(cause)
	if _, err := a.Lock(ended, "alice"); !errors.Is(err, cause) {
		t.Errorf("Lock = %v, want the cause", err)
	}
	mustRelease(t, mustLock(t, ctx, a, "alice"))
}

// lockRace: of many that want it at once, one at a time has it.
func lockRace(t *testing.T, ctx context.Context, a, b maildrop.Locker) {
	var holders, grants atomic.Int32
	var all sync.WaitGroup
	for i := range 16 {
		k := a
		if i%2 == 1 {
			k = b
		}
		all.Go(func() {
			for got := 0; got < 10 && ctx.Err() == nil; {
				l, err := k.Lock(ctx, "alice")
				if errors.Is(err, maildrop.ErrLocked) {
					continue
				}
				if err != nil {
					t.Errorf("Lock: %v", err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				got++
				grants.Add(1)
				holders.Add(-1)
				mustRelease(t, l)
			}
		})
	}
	all.Wait()
	if grants.Load() != 160 {
		t.Errorf("%d grants, want 160", grants.Load())
	}
}
