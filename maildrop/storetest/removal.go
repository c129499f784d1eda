package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"kpopd/maildrop"
)

// remove: marks alone change nothing; Update removes them and nothing else.
func remove(s *suite) {
	s.deliver("alice", "one\n", "two\n", "three\n", "four\n")
	d := s.open(s.Store, "alice")
	for _, n := range []int{2, 4} {
		if err := d.Delete(n); err != nil {
			s.Fatal(err)
		}
	}
	s.closeDrop(d) // no QUIT
	if got := s.read("alice"); len(got) != 4 {
		s.Fatalf("without Update, %q is left", got)
	}
	s.remove("alice", 2, 4)
	if got, want := s.read("alice"), []string{"one\n", "three\n"}; !slices.Equal(got, want) {
		s.Fatalf("left: %q, want %q", got, want)
	}
	s.remove("alice", 1, 2)
	if got := s.read("alice"); len(got) != 0 {
		s.Errorf("left: %q, want nothing", got)
	}
	s.deliver("alice", "five\n")
	if got, want := s.read("alice"), []string{"five\n"}; !slices.Equal(got, want) {
		s.Errorf("left: %q, want %q", got, want)
	}
}

// removeTwice: Remove is idempotent, in one view and over two.
func removeTwice(s *suite) {
	s.deliver("alice", "one\n", "two\n", "three\n")
	lease, err := s.locker.Lock(s.ctx, "alice")
	if err != nil {
		s.Fatal(err)
	}
	defer lease.Release()
	var boxes []maildrop.Box
	for range 2 {
		box, err := s.Store.Open(s.ctx, lease)
		if err != nil {
			s.Fatal(err)
		}
		defer box.Close()
		boxes = append(boxes, box)
	}
	s.disturb("alice")
	for i, indexes := range [][]int{{0}, {0}, {1, 0}} {
		if err := boxes[0].Remove(s.ctx, indexes); err != nil {
			s.Errorf("Remove, %d. time: %v", i+1, err)
		}
	}
	if err := boxes[1].Remove(s.ctx, []int{0, 1}); err != nil {
		s.Errorf("Remove by another view: %v", err)
	}
	lease.Release()
	if got, want := s.read("alice"), []string{"three\n"}; !slices.Equal(got, want) {
		s.Errorf("left: %q, want %q", got, want)
	}
}

// vanishedMessage: another program took the message.
func vanishedMessage(s *suite) {
	s.deliver("alice", "one\n", "two\n")
	lease, err := s.locker.Lock(s.ctx, "alice")
	if err != nil {
		s.Fatal(err)
	}
	defer lease.Release()
	first, err := s.Store.Open(s.ctx, lease)
	if err != nil {
		s.Fatal(err)
	}
	defer first.Close()
	second, err := s.Store.Open(s.ctx, lease)
	if err != nil {
		s.Fatal(err)
	}
	defer second.Close()
	if err := first.Remove(s.ctx, []int{0}); err != nil {
		s.Fatal(err)
	}
	if c, err := second.Retrieve(s.ctx, 0); !errors.Is(err, maildrop.ErrVanished) {
		s.Errorf("Retrieve = %v, want ErrVanished", err)
		if err == nil {
			c.Close()
		}
	}
	c, err := second.Retrieve(s.ctx, 1)
	if err != nil {
		s.Fatalf("the other message: %v", err)
	}
	c.Close()
}

// stale: a lease that was released opens and removes nothing.
func stale(s *suite) {
	s.deliver("alice", "one\n")
	lease, err := s.locker.Lock(s.ctx, "alice")
	if err != nil {
		s.Fatal(err)
	}
	box, err := s.Store.Open(s.ctx, lease)
	if err != nil {
		s.Fatal(err)
	}
	defer box.Close()
	if err := lease.Release(); err != nil {
		s.Fatal(err)
	}
	if err := box.Remove(s.ctx, []int{0}); !errors.Is(err, maildrop.ErrStale) {
		s.Errorf("Remove = %v, want ErrStale", err)
	}
	if b, err := s.Store.Open(s.ctx, lease); !errors.Is(err, maildrop.ErrStale) {
		s.Errorf("Open = %v, want ErrStale", err)
		if err == nil {
			b.Close()
		}
	}
	if got, want := s.read("alice"), []string{"one\n"}; !slices.Equal(got, want) {
		s.Errorf("left: %q, want %q", got, want)
	}
}

const deliverers, each = 4, 25

// deliverAll delivers texts "<who>-<count>" from several goroutines at once.
func (s *suite) deliverAll(name string) {
	var all sync.WaitGroup
	for who := range deliverers {
		all.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%d-%d\n", who, i)
				if err := s.Store.Deliver(s.ctx, name, strings.NewReader(text)); err != nil {
					s.Errorf("Deliver: %v", err)
				}
			}
		})
	}
	all.Wait()
}

// checkAll reports texts that deliverAll delivered and got has not exactly once.
func (s *suite) checkAll(got []string) {
	count := make(map[string]int)
	for _, text := range got {
		count[text]++
	}
	for who := range deliverers {
		for i := range each {
			text := fmt.Sprintf("%d-%d\n", who, i)
			if count[text] != 1 {
				s.Errorf("%q came %d times", text, count[text])
			}
			delete(count, text)
		}
	}
	if len(count) > 0 {
		s.Errorf("nobody delivered %v", count)
	}
}

func manyDeliveries(s *suite) {
	s.deliverAll("alice")
	s.checkAll(s.read("alice"))
}

// deliverWhileSessions: sessions take and delete what there is while more is
// delivered and other programs move messages about. Each message is seen by
// exactly one session.
func deliverWhileSessions(s *suite) {
	var done atomic.Bool
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		defer done.Store(true)
		s.deliverAll("alice")
	})
	all.Go(func() {
		for !done.Load() {
			s.disturb("alice")
		}
	})
	var got []string
	for last := false; !last && s.ctx.Err() == nil; {
		last = done.Load()
		got = append(got, s.takeAll("alice")...)
	}
	all.Wait()
	s.checkAll(got)
}

// takeAll retrieves and removes what a session sees.
func (s *suite) takeAll(name string) []string {
	d := s.open(s.Store, name)
	var got []string
	for n := range d.All() {
		got = append(got, s.text(d, n))
	}
	for n := range d.Count() {
		if err := d.Delete(n + 1); err != nil {
			s.Fatal(err)
		}
	}
	s.update(d)
	return got
}
