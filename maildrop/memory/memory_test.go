package memory_test

import (
	"errors"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/memory"
	"kpopd/maildrop/storetest"
)

func TestStore(t *testing.T) {
	storetest.TestStore(t, func(*testing.T) storetest.Instance {
		return storetest.Instance{Store: new(memory.Store)}
	})
}

func TestLocker(t *testing.T) {
	storetest.TestLocker(t, func(*testing.T) (a, b maildrop.Locker) {
		k := new(memory.Locker)
		return k, k
	})
}

// A lease is live but its token was overtaken: two lockers that do not know of
// each other grant one maildrop.
func TestOvertaken(t *testing.T) {
	ctx := t.Context()
	store := new(memory.Store)
	var old, young memory.Locker
	first, err := old.Lock(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	box, err := store.Open(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time with a higher token
		l, err := young.Lock(ctx, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(ctx, l); err != nil {
			t.Fatal(err)
		}
		l.Release()
	}
	if err := box.Remove(ctx, nil); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Remove = %v, want ErrStale", err)
	}
	if _, err := store.Open(ctx, first); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Open = %v, want ErrStale", err)
	}
}
