package lease_test

import (
	"context"
	"os"
	"testing"

	"kpopd/maildrop/lease"
)

// The holder of a lock is known to who does not lock.
func TestHolder(t *testing.T) {
	dir := t.TempDir()
	k, err := lease.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	holds := func(name string, want int) {
		t.Helper()
		if pid, err := lease.Holder(dir, name); pid != want || err != nil {
			t.Errorf("holder of %s: %d, %v, want %d", name, pid, err, want)
		}
	}
	holds("alice", 0)
	l, err := k.Lock(context.Background(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	holds("alice", os.Getpid())
	holds("bob", 0)
	l.Release()
	holds("alice", 0)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: looking made a file", entries, err)
	}
}
