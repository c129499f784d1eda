package maildir_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/index"
	"kpopd/maildrop/storetest"
)

// settle makes everything in the Maildir as old as it has to be for an index to
// trust it, without waiting: the kernel gives a directory the time of its last
// change, which then is in the past.
func (f *fixture) settle() { settle(f, f.dir) }

func settle(t testing.TB, dir string) {
	t.Helper()
	for {
		young := false
		for _, sub := range []string{"new", "cur", "kpopd-uidl"} {
			info, err := os.Stat(filepath.Join(dir, sub))
			young = young || err == nil && time.Since(info.ModTime()) < 25*time.Millisecond
		}
		if !young {
			return
		}
		time.Sleep(time.Millisecond) // for the kernel's clock, which nothing can turn
	}
}

// indexed gives the fixture's store an index.
func (f *fixture) indexed() string {
	dir := filepath.Join(f.TempDir(), "index")
	f.store = newIndexed(f.root, dir)
	return dir
}

// calls counts the system calls of a session by name.
func calls(t *testing.T, messages int, work string) map[string]int {
	s := newScene(t)
	s.put("new/1.a", "x\n")
	for i := range messages - 1 {
		s.must(os.Link(filepath.Join(s.dir, "new/1.a"), filepath.Join(s.dir, fmt.Sprintf("cur/%d.a,S=2,W=3:2,S", 1_700_000_000+i))))
	}
	s.settle()
	s.list()
	count := make(map[string]int)
	for _, c := range s.run(work, 0).Calls {
		count[c.Name]++
	}
	return count
}

// TestCallsOfALogin: a login that finds everything as it was makes the same
// system calls whatever is there, and reads no directory and no message,
// whether this process has seen it before or another.
func TestCallsOfALogin(t *testing.T) {
	t.Parallel()
	for work, most := range map[string]int{"again": 22, "known": 32} {
		few, many := calls(t, 10, work), calls(t, 10_000, work)
		total := 0
		for name, n := range many {
			if total += n; few[name] != n {
				t.Errorf("%s: %d of %s with few messages, %d with many", work, few[name], name, n)
			}
		}
		if many["getdents64"] > 0 || total > most || total == 0 {
			t.Errorf("%s: %v", work, many)
		}
		t.Logf("%s: %d calls: %v", work, total, many)
	}
}

// TestAllocationsOfALogin: a login that finds everything as it was allocates the
// same whatever is there.
func TestAllocationsOfALogin(t *testing.T) {
	allocations := func(messages int) float64 {
		root := fill(t, messages, sizedName)
		settle(t, filepath.Join(root, "alice", "Maildir"))
		store := newIndexed(root, t.TempDir())
		return testing.AllocsPerRun(20, func() { openAlice(t, store).Close() })
	}
	few, many := allocations(10), allocations(10_000)
	if many > few+1 || many > 45 {
		t.Errorf("%v allocations with few messages, %v with many", few, many)
	}
	t.Logf("%v allocations", many)
}

// TestHundredThousand: a maildrop of 100,000 messages takes some 10 MB, however
// it was opened, and a session that finds it unchanged takes next to nothing.
func TestHundredThousand(t *testing.T) {
	const messages, octets = 100_000, 64 + 24 + 24 // of names and in tables
	root, dir := fill(t, messages, sizedName), t.TempDir()
	settle(t, filepath.Join(root, "alice", "Maildir"))
	before := heap()
	for _, kind := range []string{"cold", "known"} {
		store := newIndexed(root, dir)
		d := openAlice(t, store)
		if n, size := d.Stat(); n != messages || size != messages*4160 {
			t.Errorf("%s: STAT %d %d", kind, n, size)
		}
		used := heap() - before
		t.Logf("%s: %d octets a message", kind, used/messages)
		if used > messages*octets*3/2 {
			t.Errorf("%s: %d octets a message", kind, used/messages)
		}
		again := openAlice(t, store)
		if more := heap() - before - used; int64(more) > messages {
			t.Errorf("%s: a second session takes %d octets", kind, more)
		}
		again.Close()
		d.Close()
		runtime.KeepAlive(store)
	}
}

// TestIndexFollows: whatever happens to a Maildir between two sessions, the
// second sees it, in this process and in another one.
func TestIndexFollows(t *testing.T) {
	f := newFixture(t)
	dir := f.indexed()
	other := newIndexed(f.root, dir)
	steps := []struct {
		name string
		do   func()
		want []string
	}{
		{"nothing", func() {}, nil},
		{"new", func() { f.put("new/1.a", "one\n") }, []string{"1.a"}},
		{"moved", func() { f.rename("new/1.a", "cur/1.a:2,") }, []string{"1.a"}},
		{"flagged", func() { f.rename("cur/1.a:2,", "cur/1.a:2,S") }, []string{"1.a"}},
		{"another", func() { f.put("cur/0.z", "zero\n") }, []string{"0.z", "1.a"}},
		{"removed", func() { f.must(os.Remove(filepath.Join(f.dir, "cur/1.a:2,S"))) }, []string{"0.z"}},
		{"replaced", func() {
			f.must(os.Remove(filepath.Join(f.dir, "cur/0.z")))
			f.put("cur/2.b", "two\n")
		}, []string{"2.b"}},
		{"folder gone", func() { f.must(os.RemoveAll(filepath.Join(f.dir, "cur"))) }, nil},
		{"folder back", func() {
			f.must(os.Mkdir(filepath.Join(f.dir, "cur"), 0o700))
			f.put("cur/2.b", "two\n")
		}, []string{"2.b"}},
		{"old mtime", func() {
			at := filepath.Join(f.dir, "cur")
			info, err := os.Stat(at)
			f.must(err)
			f.put("cur/3.c", "three\n")
			f.must(os.Chtimes(at, info.ModTime(), info.ModTime()))
		}, []string{"2.b", "3.c"}},
	}
	for i, step := range steps {
		step.do()
		if i%2 == 0 {
			f.settle() // else the index is of a moment ago
		}
		for range 2 {
			f.want(f.uids(), step.want)
			f.store, other = other, f.store
		}
		if f.Failed() {
			t.Fatalf("after %q", step.name)
		}
	}
}

// TestIndexOfUpdate: what a session removed is not in the index either.
func TestIndexOfUpdate(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	for i := range 5 {
		f.put(fmt.Sprintf("new/%d.a", i+1), "x\n")
	}
	f.settle()
	d := f.open()
	f.must(d.Delete(2))
	f.must(d.Delete(5))
	f.must(d.Update(t.Context()))
	f.must(d.Close())
	if n := f.store.Index.Get("alice/Maildir").Len(); n != 3 {
		t.Errorf("the index has %d messages", n)
	}
	f.want(f.uids(), []string{"1.a", "3.a", "4.a"})
}

// TestSizesAreKept: a message is looked at once. Its text is made unreadable by
// being another's, which a look would tell.
func TestSizesAreKept(t *testing.T) {
	f := newFixture(t)
	dir := f.indexed()
	f.put("new/1.a", "one\n")
	f.put("cur/2.a,W=9001:2,S", strings.Repeat("0123456\n", 1000))
	want := f.list()
	for _, name := range []string{"new/1.a", "cur/2.a,W=9001:2,S"} {
		f.put(name, "changed, which no program does\n")
	}
	f.put("new/3.a", "three\n")
	want = append(want, maildrop.Message{UID: "3.a", Size: 7})
	for range 2 {
		if got := f.list(); !slices.Equal(got, want) {
			t.Errorf("listing %v, want %v", got, want)
		}
		f.store = newIndexed(f.root, dir) // as after a restart
	}
}

// TestBrokenIndex: an index that is damaged, empty, another maildrop's or gone
// makes no difference to a listing.
func TestBrokenIndex(t *testing.T) {
	f := newFixture(t)
	dir := f.indexed()
	f.put("new/1.a", "one\n")
	f.put("cur/2.b:2,S", "two two\n")
	f.settle()
	want := f.list()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	whole, err := os.ReadFile(files[0])
	f.must(err)
	bob := &index.Cache{Path: filepath.Join(t.TempDir(), "other")}
	bob.Put("bob/Maildir", f.store.Index.Get("alice/Maildir"))
	others, err := filepath.Glob(filepath.Join(bob.Path, "*", "*"))
	f.must(err)
	foreign, err := os.ReadFile(others[0])
	f.must(err)
	for kind, b := range map[string][]byte{
		"empty": {}, "half": whole[:len(whole)/2], "zeros": make([]byte, len(whole)), "foreign": foreign,
		"flipped": append(append(slices.Clone(whole[:200]), whole[200]^4), whole[201:]...),
		"version": bytes.Replace(whole, []byte("kpopidx\x01"), []byte("kpopidx\x00"), 1),
	} {
		f.must(os.WriteFile(files[0], b, 0o600))
		f.store = newIndexed(f.root, dir)
		if got := f.list(); !slices.Equal(got, want) {
			t.Errorf("%s: listing %v, want %v", kind, got, want)
		}
		if b, err := os.ReadFile(files[0]); err != nil || len(b) != len(whole) {
			t.Errorf("%s: the index was not made anew: %d octets, %v", kind, len(b), err)
		}
	}
	f.must(os.RemoveAll(dir))
	if got := f.list(); !slices.Equal(got, want) {
		t.Errorf("removed: listing %v, want %v", got, want)
	}
}

// TestIndexIsNoTruth: an index whose unique-ids are not those of the names, but
// which is sound otherwise, is not served once anything has changed.
func TestIndexIsNoTruth(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.put("new/1.a", "one\n")
	f.settle()
	f.list()
	b := index.NewBuilder(0, 0)
	b.Add(index.Entry{Name: "1.a", UID: "forged", Size: 5, Sure: true, Extra: 3})
	f.store.Index.Put("alice/Maildir", b.Index("another stamp"))
	f.want(f.uids(), []string{"1.a"})
}

// TestIndexInMotion: with an index too, every session sees every message while
// an IMAP server moves them and mail arrives.
func TestIndexInMotion(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	const messages = 300
	for i := range messages {
		f.put(fmt.Sprintf("new/%d.a", 1000+i), "x\n")
	}
	stop := f.server()
	for i := range 40 {
		f.must(f.store.Deliver(t.Context(), "alice", strings.NewReader("y\n")))
		if n := len(f.list()); n != messages+i+1 {
			t.Fatalf("a session sees %d messages of %d", n, messages+i+1)
		}
	}
	stop()
	if n := len(f.list()); n != messages+40 {
		t.Errorf("in the end %d messages", n)
	}
}

// TestDeliveryWhileOpening: a session sees all that was delivered before it
// began, whatever is delivered while it opens the maildrop, and nothing that an
// earlier one saw is missing.
func TestDeliveryWhileOpening(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	const messages = 150
	var delivered atomic.Int64
	var deliverer sync.WaitGroup
	deliverer.Go(func() {
		for range messages {
			if err := f.store.Deliver(t.Context(), "alice", strings.NewReader("x\n")); err != nil {
				t.Error(err)
			}
			delivered.Add(1)
		}
	})
	var seen []string
	for last := false; !last; {
		before := int(delivered.Load())
		last = before == messages
		now := f.uids()
		if len(now) < before || len(now) < len(seen) || !slices.Equal(now[:len(seen)], seen) {
			t.Errorf("%d messages of %d, %d of which were there before", len(now), before, len(seen))
			break
		}
		seen = now
	}
	deliverer.Wait()
}

// The suite, with an index that each process shares.
func TestIndexedStore(t *testing.T) {
	t.Parallel()
	storetest.TestStore(t, func(t *testing.T) storetest.Instance {
		root, dir := storetest.TempDir(t), storetest.TempDir(t)
		return storetest.Instance{
			Store: newIndexed(root, dir),
			Again: func(*testing.T) maildrop.Store { return newIndexed(root, dir) },
			Files: filesBelow(root),
			Disturb: func(t *testing.T, name string) {
				if err := disturb(filepath.Join(root, name, "Maildir")); err != nil {
					t.Error(err)
				}
			},
		}
	})
}
