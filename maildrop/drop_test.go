package maildrop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/memory"
)

// A desk is a store and a locker with one maildrop, of alice.
type desk struct {
	*testing.T
	store  memory.Store
	locker memory.Locker
}

func newDesk(t *testing.T, texts ...string) *desk {
	t.Helper()
	k := &desk{T: t}
	for _, text := range texts {
		k.must(k.store.Deliver(t.Context(), "alice", strings.NewReader(text)))
	}
	return k
}

func (k *desk) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *desk) open() *maildrop.Drop {
	k.Helper()
	d, err := maildrop.Open(k.Context(), "alice", &k.locker, &k.store)
	k.must(err)
	k.Cleanup(func() { d.Close() })
	return d
}

// state is what STAT and LIST would say.
func state(d *maildrop.Drop) string {
	n, octets := d.Stat()
	s := fmt.Sprintf("%d %d:", n, octets)
	for n, m := range d.All() {
		s += fmt.Sprintf(" %d/%d", n, m.Size)
	}
	return s
}

func (k *desk) want(d *maildrop.Drop, want string) {
	k.Helper()
	if got := state(d); got != want {
		k.Errorf("state %q, want %q", got, want)
	}
}

func TestMarks(t *testing.T) {
	k := newDesk(t, "1\n", "22\n", "333\n")
	d := k.open()
	k.want(d, "3 12: 1/3 2/4 3/5")
	k.must(d.Delete(2))
	k.want(d, "2 8: 1/3 3/5")
	for n, want := range map[int]error{
		-1: maildrop.ErrNoMessage, 0: maildrop.ErrNoMessage, 4: maildrop.ErrNoMessage, 2: maildrop.ErrDeleted,
	} {
		if _, err := d.Message(n); !errors.Is(err, want) {
			t.Errorf("Message(%d) = %v, want %v", n, err, want)
		}
		if _, err := d.Retrieve(t.Context(), n); !errors.Is(err, want) {
			t.Errorf("Retrieve(%d) = %v, want %v", n, err, want)
		}
		if err := d.Delete(n); !errors.Is(err, want) {
			t.Errorf("Delete(%d) = %v, want %v", n, err, want)
		}
	}
	k.want(d, "2 8: 1/3 3/5")
	if d.Count() != 3 || d.Name() != "alice" {
		t.Errorf("Count = %d, Name = %q", d.Count(), d.Name())
	}
	d.Reset()
	k.want(d, "3 12: 1/3 2/4 3/5")
	k.must(d.Delete(3))
	k.must(d.Update(t.Context()))
	k.must(d.Close())
	k.want(k.open(), "2 7: 1/3 2/4")
}

func TestAllStops(t *testing.T) {
	d := newDesk(t, "1\n", "2\n", "3\n").open()
	var seen []int
	for n := range d.All() {
		if seen = append(seen, n); n == 2 {
			break
		}
	}
	if !slices.Equal(seen, []int{1, 2}) {
		t.Errorf("saw %v", seen)
	}
}

func TestCloseRemovesNothing(t *testing.T) {
	k := newDesk(t, "1\n", "2\n")
	d := k.open()
	k.must(d.Delete(1))
	k.must(d.Close())
	k.must(d.Close())
	for what, err := range map[string]error{
		"Update": d.Update(t.Context()), "Delete": d.Delete(2), "Retrieve": retrieve(d, 2),
	} {
		if !errors.Is(err, maildrop.ErrStale) {
			t.Errorf("%s after Close = %v, want ErrStale", what, err)
		}
	}
	select {
	case <-d.Lost():
	default:
		t.Error("Lost is open after Close")
	}
	k.want(k.open(), "2 6: 1/3 2/3")
}

func retrieve(d *maildrop.Drop, n int) error {
	c, err := d.Retrieve(context.Background(), n)
	if err == nil {
		c.Close()
	}
	return err
}

// After Update nothing can be marked, and a second Update removes nothing.
func TestUpdateOnce(t *testing.T) {
	k := newDesk(t, "1\n", "2\n", "3\n")
	d := k.open()
	k.must(d.Delete(1))
	k.must(d.Update(t.Context()))
	if err := d.Delete(2); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Delete after Update = %v, want ErrStale", err)
	}
	d.Reset()
	k.must(d.Update(t.Context()))
	k.must(d.Close())
	k.want(k.open(), "2 6: 1/3 2/3")
}

func TestLocked(t *testing.T) {
	k := newDesk(t)
	d := k.open()
	if _, err := maildrop.Open(t.Context(), "alice", &k.locker, &k.store); !errors.Is(err, maildrop.ErrLocked) {
		t.Errorf("Open = %v, want ErrLocked", err)
	}
	k.must(d.Close())
	k.open()
}

// A store that fails leaves the maildrop unlocked.
func TestOpenReleases(t *testing.T) {
	k := newDesk(t)
	broken := errors.New("no disk")
	if _, err := maildrop.Open(t.Context(), "alice", &k.locker, &brokenStore{open: broken}); !errors.Is(err, broken) {
		t.Errorf("Open = %v, want the store's error", err)
	}
	k.open()
}

// A brokenStore is a memory.Store whose parts fail where an error is set.
type brokenStore struct {
	memory.Store
	open, close error
	remove      func(context.Context) error
}

func (s *brokenStore) Open(ctx context.Context, l maildrop.Lease) (maildrop.Box, error) {
	if s.open != nil {
		return nil, s.open
	}
	box, err := s.Store.Open(ctx, l)
	return &brokenBox{box, s}, err
}

type brokenBox struct {
	maildrop.Box
	store *brokenStore
}

func (b *brokenBox) Remove(ctx context.Context, indexes []int) error {
	if b.store.remove != nil {
		return b.store.remove(ctx)
	}
	return b.Box.Remove(ctx, indexes)
}

func (b *brokenBox) Close() error { return b.store.close }

// Close releases the lock even if the store cannot close.
func TestCloseReleases(t *testing.T) {
	k := newDesk(t)
	broken := errors.New("no disk")
	d, err := maildrop.Open(t.Context(), "alice", &k.locker, &brokenStore{close: broken})
	k.must(err)
	if err := d.Close(); !errors.Is(err, broken) {
		t.Errorf("Close = %v, want the store's error", err)
	}
	k.open()
}

func TestLostLock(t *testing.T) {
	k := newDesk(t, "1\n")
	thief := &thief{Locker: &k.locker}
	d, err := maildrop.Open(t.Context(), "alice", thief, &k.store)
	k.must(err)
	k.must(d.Delete(1))
	thief.lease.Release()
	if err := d.Update(t.Context()); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Update = %v, want ErrStale", err)
	}
	k.want(k.open(), "1 3: 1/3")
}

// A thief keeps the lease that it hands out.
type thief struct {
	maildrop.Locker
	lease maildrop.Lease
}

func (t *thief) Lock(ctx context.Context, name string) (maildrop.Lease, error) {
	l, err := t.Locker.Lock(ctx, name)
	t.lease = l
	return l, err
}

// A lock that is lost while the store removes ends that; a client that goes
// away does not.
func TestUpdateContext(t *testing.T) {
	k := newDesk(t)
	store := new(brokenStore)
	k.must(store.Deliver(t.Context(), "alice", strings.NewReader("1\n")))
	ctx, hangUp := context.WithCancel(t.Context())
	thief := &thief{Locker: &k.locker}
	store.remove = func(inner context.Context) error {
		hangUp()
		if inner.Err() != nil {
			t.Error("the client's end reached the store")
		}
		thief.lease.Release()
		<-inner.Done() // without the loss, this test would hang
		return context.Cause(inner)
	}
	d, err := maildrop.Open(t.Context(), "alice", thief, store)
	k.must(err)
	k.must(d.Delete(1))
	if err := d.Update(ctx); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Update = %v, want ErrStale", err)
	}
}

// A context that has ended prevents Update, and a later one may do it.
func TestUpdateNotBegun(t *testing.T) {
	k := newDesk(t, "1\n")
	d := k.open()
	k.must(d.Delete(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Update(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, want Canceled", err)
	}
	k.must(d.Update(t.Context()))
	k.must(d.Close())
	k.want(k.open(), "0 0:")
}

func ExampleOpen() {
	ctx := context.Background()
	var store memory.Store
	var locker memory.Locker
	for _, text := range []string{"Subject: one\n\nHello.\n", "Subject: two\n\nHello again.\n"} {
		if err := store.Deliver(ctx, "alice", strings.NewReader(text)); err != nil {
			fmt.Println(err)
		}
	}
	drop, err := maildrop.Open(ctx, "alice", &locker, &store)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop.Close()
	for n, m := range drop.All() {
		fmt.Println(n, m.Size)
	}
	content, err := drop.Retrieve(ctx, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer content.Close()
	text, _ := io.ReadAll(content)
	fmt.Printf("%s", text)
	// QUIT after DELE 1:
	fmt.Println(drop.Delete(1), drop.Update(ctx))
	// Output:
	// 1 24
	// 2 30
	// Subject: one
	//
	// Hello.
	// <nil> <nil>
}

// A guarded lease says whether it can be held.
type guarded struct {
	maildrop.Lease
	err  error
	held *int
}

func (g guarded) Hold() (func(), error) {
	if g.err != nil {
		return nil, g.err
	}
	*g.held++
	return func() { *g.held-- }, nil
}

type guard struct {
	maildrop.Locker
	guarded
}

func (g *guard) Lock(ctx context.Context, name string) (_ maildrop.Lease, err error) {
	g.Lease, err = g.Locker.Lock(ctx, name)
	return g.guarded, err
}

// Messages are removed while the lock is held against who would take it, and
// not at all where it was taken.
func TestUpdateHolds(t *testing.T) {
	k := newDesk(t)
	store := new(brokenStore)
	k.must(store.Deliver(t.Context(), "alice", strings.NewReader("1\n")))
	held, removed := 0, 0
	store.remove = func(context.Context) error {
		if removed++; held != 1 {
			t.Errorf("held %d times while messages are removed", held)
		}
		return nil
	}
	for _, stale := range []error{nil, maildrop.ErrStale} {
		d, err := maildrop.Open(t.Context(), "alice", &guard{&k.locker, guarded{err: stale, held: &held}}, store)
		k.must(err)
		k.must(d.Delete(1))
		if err := d.Update(t.Context()); !errors.Is(err, stale) {
			t.Errorf("Update = %v, want %v", err, stale)
		}
		k.must(d.Close())
	}
	if held != 0 || removed != 1 {
		t.Errorf("held %d times at the end, removed %d times, want 0 and 1", held, removed)
	}
}
