package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
		{"Hold", hold},
		{"Fence", fence},
		{"FenceWaits", fenceWaits},
		{"FenceRace", fenceRace},
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

// hold: it takes no lock from anybody, gives none away, and needs one.
func hold(t *testing.T, ctx context.Context, a, b maildrop.Locker) {
	l := mustLock(t, ctx, a, "alice")
	first, second := mustHold(t, l), mustHold(t, l)
	for i, release := range []func(){first, first, second} {
		if _, err := b.Lock(ctx, "alice"); !errors.Is(err, maildrop.ErrLocked) {
			t.Errorf("hold %d: Lock = %v, want ErrLocked", i, err)
		}
		release()
	}
	third := mustHold(t, l)
	mustRelease(t, l)
	third()
	if _, err := maildrop.Hold(l); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Hold after Release = %v, want ErrStale", err)
	}
	mustRelease(t, mustLock(t, ctx, b, "alice"))
}

func mustHold(t *testing.T, l maildrop.Lease) (release func()) {
	t.Helper()
	release, err := maildrop.Hold(l)
	if err != nil {
		t.Fatalf("Hold: %v", err)
	}
	return release
}

// fence: the maildrop is free at once, and the holder cannot hold it any more.
func fence(t *testing.T, ctx context.Context, a, b maildrop.Locker) {
	f, ok := b.(maildrop.Fencer)
	if !ok {
		return // not every locker can
	}
	refused := func(name string, token uint64) {
		t.Helper()
		if err := f.Fence(ctx, name, token); !errors.Is(err, maildrop.ErrNotLocked) {
			t.Errorf("Fence(%s, %d) = %v, want ErrNotLocked", name, token, err)
		}
	}
	refused("alice", 0)
	first := mustLock(t, ctx, a, "alice")
	refused("alice", first.Token()+1)
	refused("bob", 0)
	mustHold(t, first)()
	if err := f.Fence(ctx, "alice", first.Token()); err != nil {
		t.Fatal(err)
	}
	second := mustLock(t, ctx, b, "alice")
	if second.Token() <= first.Token() {
		t.Errorf("token %d after %d", second.Token(), first.Token())
	}
	if _, err := maildrop.Hold(first); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Hold of the fenced = %v, want ErrStale", err)
	}
	mustRelease(t, first)
	if _, err := a.Lock(ctx, "alice"); !errors.Is(err, maildrop.ErrLocked) {
		t.Errorf("Lock after the Release of the fenced = %v, want ErrLocked", err)
	}
	mustHold(t, second)()
	mustRelease(t, second)
	refused("alice", 0)
}

// fenceWaits: a removal under way is waited for, not for ever.
func fenceWaits(t *testing.T, ctx context.Context, a, b maildrop.Locker) {
	f, ok := b.(maildrop.Fencer)
	if !ok {
		return
	}
	l := mustLock(t, ctx, a, "alice")
	release := mustHold(t, l)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := f.Fence(short, "alice", 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Fence = %v, want the deadline", err)
	}
	done := make(chan error)
	go func() { done <- f.Fence(ctx, "alice", 0) }()
	select {
	case err := <-done:
		t.Fatalf("Fence = %v while the maildrop is held", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := maildrop.Live(l); err != nil {
		t.Error(err)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	mustRelease(t, mustLock(t, ctx, a, "alice"))
	mustRelease(t, l)
}

// fenceRace: whatever is taken away when, of those who hold there is one.
func fenceRace(t *testing.T, ctx context.Context, a, b maildrop.Locker) {
	f, ok := b.(maildrop.Fencer)
	if !ok {
		return
	}
	var holders, held atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		k := a
		if i%2 == 1 {
			k = b
		}
		all.Go(func() {
			for range 30 {
				fencedSession(t, ctx, k, &holders, &held)
			}
		})
	}
	stop := make(chan struct{})
	var fencer sync.WaitGroup
	fencer.Go(func() { fenceUntil(t, ctx, f, stop) })
	all.Wait()
	close(stop)
	fencer.Wait()
	if held.Load() == 0 {
		t.Error("nobody could ever hold it")
	}
}

// fenceUntil takes the maildrop away from whoever has it, again and again.
func fenceUntil(t *testing.T, ctx context.Context, f maildrop.Fencer, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if err := f.Fence(ctx, "alice", 0); err != nil && !errors.Is(err, maildrop.ErrNotLocked) {
			t.Errorf("Fence: %v", err)
		}
	}
}

func fencedSession(t *testing.T, ctx context.Context, k maildrop.Locker, holders, held *atomic.Int32) {
	l, err := k.Lock(ctx, "alice")
	if errors.Is(err, maildrop.ErrLocked) {
		return
	}
	if err != nil {
		t.Errorf("Lock: %v", err)
		return
	}
	defer mustRelease(t, l)
	release, err := maildrop.Hold(l)
	if errors.Is(err, maildrop.ErrStale) {
		return
	}
	if err != nil {
		t.Errorf("Hold: %v", err)
		return
	}
	if n := holders.Add(1); n != 1 {
		t.Errorf("%d hold it", n)
	}
	held.Add(1)
	holders.Add(-1)
	release()
}
