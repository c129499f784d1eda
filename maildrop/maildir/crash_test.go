package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kpopd/maildrop"
	"kpopd/maildrop/lease"
	"kpopd/maildrop/maildir"
	"kpopd/maildrop/storetest"
)

// crashEnv makes the test binary a process that works on the Maildirs in the
// current directory and may be killed: "deliver", "distribute", "update",
// "quarantine" or "hide", which is an update by that policy, "restore", "sweep",
// "cut", which ends without QUIT,
// "again", which does so after another session that is not traced, or "known",
// which does so as a process that has not seen the Maildir before.
const crashEnv = "KPOPD_TEST_CRASH"

func TestMain(m *testing.M) {
	if work := os.Getenv(crashEnv); work != "" {
		if err := victim(context.Background(), work); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// done is what a victim says once its work is acknowledged: the reply to QUIT
// or to the end of DATA, as it were.
const done = "done\n"

func victim(ctx context.Context, work string) error {
	locker, err := lease.Open("locks")
	if err != nil {
		return err
	}
	store := newIndexed("mail", "index")
	if work == "again" {
		d, err := maildrop.Open(ctx, "alice", locker, store)
		if err != nil {
			return err
		}
		d.Close()
	}
	if err := storetest.AwaitTracer(); err != nil {
		return err
	}
	if work == "deliver" {
		return errors.Join(store.Deliver(ctx, "alice", strings.NewReader(delivered)), storetest.Say(done))
	}
	if work == "distribute" {
		errs := store.Distribute(ctx, threefold, strings.NewReader(delivered))
		return errors.Join(errors.Join(errs...), storetest.Say(done))
	}
	if work == "restore" || work == "sweep" {
		return errors.Join(upkeep(ctx, work, locker, store), storetest.Say(done))
	}
	d, err := policies[work].Open(ctx, "alice", locker, store)
	if err != nil {
		return err
	}
	if work == "again" || work == "known" {
		return errors.Join(d.Close(), storetest.Say(done))
	}
	for _, n := range doomed {
		if err := d.Delete(n); err != nil {
			return err
		}
	}
	if work == "cut" {
		return errors.Join(d.Close(), storetest.Say(done))
	}
	return errors.Join(d.Update(ctx), storetest.Say(done), d.Close())
}

// policies are those of the victims that update.
var policies = map[string]maildrop.Policy{
	"quarantine": {Deletion: maildrop.DeleteQuarantine, Keep: 14},
	"hide":       {Deletion: maildrop.DeleteHide, MarkSeen: true},
}

// upkeep is what happens to a maildrop without a session.
func upkeep(ctx context.Context, work string, locker *lease.Locker, store *maildir.Store) error {
	l, err := locker.Lock(ctx, "alice")
	if err != nil {
		return err
	}
	defer l.Release()
	if work == "sweep" {
		return store.Sweep(ctx, l, maildrop.Sweep{Before: time.Unix(10, 0), Now: time.Now(), Report: func(maildrop.Swept) {}})
	}
	_, err = store.Restore(ctx, l, func(maildrop.Kept) bool { return true })
	return err
}

// delivered is larger than one write.
var delivered = strings.Repeat("0123456789abcde\n", 3*64<<10/16) + "end"

// A scene is the directory that a victim works in.
type scene struct {
	*fixture
	base string
}

func newScene(t *testing.T) *scene {
	base := storetest.TempDir(t)
	f := fixtureIn(t, filepath.Join(base, "mail"))
	f.store = newIndexed(f.root, filepath.Join(base, "index"))
	return &scene{f, base}
}

// run runs a victim that is killed at its n-th call.
func (s *scene) run(work string, n int) *storetest.Trace {
	s.Helper()
	return storetest.RunSelf(s, s.base, crashEnv+"="+work, n)
}

// texts returns what a session after the crash finds. It must get the lock.
func (s *scene) texts() []string {
	s.Helper()
	locker, err := lease.Open(filepath.Join(s.base, "locks"))
	s.must(err)
	defer locker.Close()
	d, err := maildrop.Open(s.Context(), "alice", locker, s.store)
	s.must(err)
	defer d.Close()
	var all []string
	for n, m := range d.All() {
		text := s.text(d, n)
		if size, _, _ := maildrop.Measure(strings.NewReader(text)); size != m.Size {
			s.Errorf("message %d: size %d, measured %d", n, m.Size, size)
		}
		all = append(all, text)
	}
	return all
}

// everyCall runs check for a victim killed at each of its calls in turn, and
// for one that is not killed.
func everyCall(t *testing.T, work string, setUp func(*scene), check func(*scene, *storetest.Trace)) {
	t.Helper()
	everyCallFrom(t, 1, work, setUp, check)
}

// everyChange is everyCall from the first call on that changes the Maildir: what
// is before is the same login for every kind of work.
func everyChange(t *testing.T, work string, setUp func(*scene), check func(*scene, *storetest.Trace)) {
	t.Helper()
	s := newScene(t)
	setUp(s)
	first := slices.IndexFunc(s.run(work, 0).Calls, func(c storetest.Call) bool {
		return slices.Contains([]string{"mkdirat", "renameat2", "unlinkat"}, c.Name) && strings.Contains(c.Paths[0], "Maildir")
	})
	if first < 0 {
		t.Fatal("nothing changes")
	}
	everyCallFrom(t, first, work, setUp, check)
}

func everyCallFrom(t *testing.T, n int, work string, setUp func(*scene), check func(*scene, *storetest.Trace)) {
	t.Helper()
	for ; ; n++ {
		s := newScene(t)
		setUp(s)
		trace := s.run(work, n)
		check(s, trace)
		if t.Failed() {
			t.Fatalf("killed at call %d of %v", n, trace.Calls)
		}
		if !trace.Killed {
			t.Logf("%s: killed at each call up to %d", work, n-1)
			if n < 10 || trace.Output != done {
				t.Fatalf("that is few; the victim said %q", trace.Output)
			}
			return
		}
	}
}

// doomed are the messages that an updating victim deletes.
var doomed = []int{1, 3, 4}

// five puts five messages; the third is in both folders.
func five(s *scene) {
	s.put("new/1.a", "1\n")
	s.put("cur/2.a:2,S", "2\n")
	s.put("new/3.a,S=2,W=3", "3\n")
	s.put("cur/3.a,S=2,W=3:2,", "3\n")
	s.put("cur/4.a:2,", "4\n")
	s.put("new/5.a", "5\n")
}

// A crash at any system call between login and the end of QUIT loses nothing
// that was not deleted, doubles nothing and leaves no lock; and nothing that
// was acknowledged comes back.
func TestCrashInUpdate(t *testing.T) {
	t.Parallel()
	everyCall(t, "update", five, func(s *scene, trace *storetest.Trace) {
		got := s.texts()
		kept := slices.DeleteFunc(slices.Clone(got), func(text string) bool {
			return text == "1\n" || text == "3\n" || text == "4\n"
		})
		s.want(kept, []string{"2\n", "5\n"})
		all := []string{"1\n", "2\n", "3\n", "4\n", "5\n"}
		for _, text := range all {
			if n := len(slices.DeleteFunc(slices.Clone(got), func(t string) bool { return t != text })); n > 1 {
				s.Errorf("%q is there %d times", text, n)
			}
		}
		first := slices.IndexFunc(trace.Calls, func(c storetest.Call) bool { return c.Name == "unlinkat" })
		if first < 0 || trace.Killed && first == len(trace.Calls)-1 {
			s.want(got, all) // before the first removal
		}
		if trace.Output == done {
			s.want(got, kept)
		}
	})
}

// A session that ends without QUIT removes nothing, and writes to nothing but
// its lock and the index.
func TestNoUpdateWithoutQuit(t *testing.T) {
	s := newScene(t)
	five(s)
	trace := s.run("cut", 0)
	s.want(s.texts(), []string{"1\n", "2\n", "3\n", "4\n", "5\n"})
	for _, c := range trace.Calls {
		switch c.Name {
		case "openat", "openat2", "read", "pread64", "close", "getdents64", "fcntl", "fstat", "newfstatat", "statx":
		case "mkdirat", "fsync", "renameat2":
			if !strings.HasSuffix(c.Paths[0], s.base) && !strings.Contains(c.Paths[0], "/index") {
				t.Errorf("%v", c)
			}
		case "pwrite64", "write":
			if !strings.Contains(c.Paths[0], "/locks/") && !strings.Contains(c.Paths[0], "/index/") && !strings.Contains(c.Paths[0], "pipe:") {
				t.Errorf("%v", c)
			}
		default:
			t.Errorf("%v", c)
		}
	}
}

// A crash at any system call of a delivery leaves the message there whole or
// not at all, and there if it was acknowledged.
func TestCrashInDeliver(t *testing.T) {
	t.Parallel()
	for name, setUp := range map[string]func(*scene){
		"first": func(s *scene) { s.must(os.RemoveAll(filepath.Join(s.root, "alice"))) },
		"later": func(s *scene) { s.put("new/1.a", "1\n") },
	} {
		t.Run(name, func(t *testing.T) {
			everyCall(t, "deliver", setUp, func(s *scene, trace *storetest.Trace) {
				got := s.texts()
				if name == "later" {
					if len(got) == 0 || got[0] != "1\n" {
						s.Fatalf("the message that was there is not: %d messages", len(got))
					}
					got = got[1:]
				}
				if len(got) > 1 || len(got) == 1 && got[0] != delivered {
					s.Errorf("%d messages, or a part of one", len(got))
				}
				if trace.Output == done && len(got) != 1 {
					s.Error("the acknowledged message is not there")
				}
				// The next delivery does not mind what the last left.
				s.must(s.store.Deliver(s.Context(), "alice", strings.NewReader("next\n")))
				if again := s.texts(); len(again) == 0 || again[len(again)-1] != "next\n" {
					s.Error("the next message is not there")
				}
			})
		})
	}
}

// index returns where in the trace the call is that name and the end of its
// last path describe; the last one if there are several.
func (s *scene) index(trace *storetest.Trace, name, path string) int {
	s.Helper()
	for i, c := range slices.Backward(trace.Calls) {
		if c.Name == name && strings.Contains(c.Paths[len(c.Paths)-1], path) {
			return i
		}
	}
	s.Fatalf("no %s of %s in %v", name, path, trace.Calls)
	return 0
}

// ascending checks that calls were made in the order of the arguments.
func (s *scene) ascending(trace *storetest.Trace, calls ...int) {
	s.Helper()
	if !slices.IsSorted(calls) {
		s.Errorf("calls %v are out of order: %v", calls, trace.Calls)
	}
}

// What power loss would leave cannot be tried, but the order of calls can be
// seen: all is on disk before it is acknowledged, the text before its name.
func TestSyncBeforeAcknowledgement(t *testing.T) {
	t.Run("deliver", func(t *testing.T) {
		s := newScene(t)
		s.must(os.RemoveAll(filepath.Join(s.root, "alice")))
		trace := s.run("deliver", 0)
		said := s.index(trace, "write", "pipe:")
		for _, made := range [][2]string{
			{"mail/alice", "/mail"}, {"mail/alice/Maildir", "/mail/alice"}, {"Maildir/new", "/alice/Maildir"},
		} {
			if !followed(trace.Calls, "mkdirat", made[0], "fsync", made[1]) {
				t.Errorf("%s is not durable after mkdirat: %v", made[0], trace.Calls)
			}
		}
		s.ascending(trace,
			s.index(trace, "openat", "Maildir/tmp/"), s.index(trace, "write", "Maildir/tmp/"),
			s.index(trace, "fsync", "Maildir/tmp/"), s.index(trace, "renameat2", "Maildir/new/"),
			s.index(trace, "fsync", "Maildir/new"), said)
	})
	t.Run("update", func(t *testing.T) {
		s := newScene(t)
		five(s)
		trace := s.run("update", 0)
		said := s.index(trace, "write", "pipe:")
		for _, sub := range []string{"Maildir/new", "Maildir/cur"} {
			s.ascending(trace, s.index(trace, "unlinkat", sub+"/"), s.index(trace, "fsync", sub), said)
		}
		s.ascending(trace, said, s.index(trace, "fcntl", "locks/alice")) // released last
	})
}

// followed reports whether a call that ends in the first path was followed at
// once by one that ends in the second.
func followed(calls []storetest.Call, name, path, then, thenPath string) bool {
	for i, c := range calls[:len(calls)-1] {
		next := calls[i+1]
		if c.Name == name && strings.HasSuffix(c.Paths[0], path) {
			return next.Name == then && strings.HasSuffix(next.Paths[0], thenPath)
		}
	}
	return false
}
