package maildir_test

import (
	"fmt"
	"sync"
	"testing"

	"kpopd/maildrop/maildir"
)

var _ maildir.Sizer = (*maildir.Sizes)(nil)

func TestSizes(t *testing.T) {
	var s maildir.Sizes
	if _, _, ok := s.Size("alice", "1"); ok {
		t.Error("an empty Sizes knows a size")
	}
	s.Learn("alice", "1", 5, true)
	s.Learn("alice", "2", 1<<40, false)
	s.Learn("alice2", "", 7, false)
	for _, want := range []struct {
		name, uid string
		size      int64
		ready, ok bool
	}{
		{"alice", "1", 5, true, true}, {"alice", "2", 1 << 40, false, true}, {"alice2", "", 7, false, true},
		{"alice", "", 0, false, false}, {"bob", "1", 0, false, false},
	} {
		size, ready, ok := s.Size(want.name, want.uid)
		if size != want.size || ready != want.ready || ok != want.ok {
			t.Errorf("Size(%q, %q) = %d, %v, %v", want.name, want.uid, size, ready, ok)
		}
	}
}

// It forgets what nobody asked for, keeps what somebody does, and never holds
// more than its bound.
func TestSizesForget(t *testing.T) {
	s := maildir.Sizes{Max: 100}
	s.Learn("alice", "asked", 1, false)
	s.Learn("alice", "not asked", 2, false)
	for i := range 1000 {
		s.Learn("bob", fmt.Sprint(i), 3, false)
		if _, _, ok := s.Size("alice", "asked"); !ok {
			t.Fatalf("forgot what was asked for after %d others", i)
		}
	}
	if _, _, ok := s.Size("alice", "not asked"); ok {
		t.Error("remembers what nobody asked for")
	}
	left := 0
	for i := range 1000 {
		if _, _, ok := s.Size("bob", fmt.Sprint(i)); ok {
			left++
		}
	}
	if left > 100 {
		t.Errorf("%d sizes are left of at most 100", left)
	}
}

func TestSizesConcurrent(t *testing.T) {
	s := maildir.Sizes{Max: 50}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := range 1000 {
				uid := fmt.Sprint(i % 100)
				s.Learn("alice", uid, int64(i%100), false)
				if size, _, ok := s.Size("alice", uid); ok && size != int64(i%100) {
					t.Errorf("goroutine %d: size %d of %s", g, size, uid)
				}
			}
		})
	}
	wait.Wait()
}
