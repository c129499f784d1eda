package mbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
	"kpopd/maildrop/memory"
	"kpopd/maildrop/storetest"
)

// crashEnv makes the test binary a process that works on the mailboxes in the
// current directory and may be killed: "deliver", "rename" and "in-place", which
// delete messages, "import", which gives unique-ids, or "repair", which only
// looks.
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

// done is what a victim says once its work is acknowledged.
const done = "done\n"

func victim(ctx context.Context, work string) error {
	base, err := os.Getwd()
	if err != nil {
		return err
	}
	store := newStore(base, mbox.RD)
	if work == "in-place" {
		store.Rewrite = mbox.InPlace
	}
	if err := storetest.AwaitTracer(); err != nil {
		return err
	}
	if work == "deliver" {
		return errors.Join(store.Deliver(ctx, "alice", strings.NewReader(delivered)), storetest.Say(done))
	}
	if work == "import" {
		return errors.Join(importInto(ctx, store, imported(5)), storetest.Say(done))
	}
	d, err := maildrop.Open(ctx, "alice", new(memory.Locker), store)
	if err != nil {
		return err
	}
	if work != "repair" {
		for _, n := range doomed {
			if err := d.Delete(n); err != nil {
				return err
			}
		}
	}
	return errors.Join(d.Update(ctx), storetest.Say(done), d.Close())
}

// delivered is larger than one write.
var delivered = "Subject: x\n\n" + strings.Repeat("0123456789abcde\n", 300<<10/16) + "end\n"

// doomed are the messages that an updating victim deletes.
var doomed = []int{1, 3, 4}

// big makes the message of a number; equal numbers make equal messages.
func big(n int) string {
	return fmt.Sprintf("From a@b Tue Nov 24 12:10:4%d 2026\nSubject: %d\n\n%s\n\n", n, n, strings.Repeat(fmt.Sprintf("line of %d\n", n), 2000))
}

// five are five messages; the first and the last are equal.
var five = big(1) + big(2) + big(3) + big(4) + big(1)

// late is one that arrives after a crash.
const late = "From c@d Tue Nov 24 12:20:00 2026\nSubject: late\n\nlate\n\n"

func textOf(message string) string {
	_, text, _ := strings.Cut(message, "\n")
	return strings.TrimSuffix(text, "\n")
}

// run runs a victim that is killed at its n-th call.
func (f *fixture) run(work string, n int) *storetest.Trace {
	f.Helper()
	return storetest.RunSelf(f, f.base, crashEnv+"="+work, n)
}

// writes: the call changes something.
func writes(c storetest.Call) bool {
	switch c.Name {
	case "openat", "linkat", "renameat2", "unlinkat", "mkdirat", "write", "pwrite64", "ftruncate", "fsync", "utimensat":
		return true
	}
	return false
}

// everyCall runs check for a victim killed at each call in turn that may change
// something, and for one that is not killed.
func everyCall(t *testing.T, work string, setUp func(*fixture), check func(*fixture, *storetest.Trace)) {
	t.Helper()
	whole := newFixture(t)
	setUp(whole)
	trace := whole.run(work, 0)
	check(whole, trace)
	kills := 0
	for n, c := range trace.Calls {
		if t.Failed() || !writes(c) {
			continue
		}
		f := newFixture(t)
		setUp(f)
		cut := f.run(work, n+1)
		if check(f, cut); t.Failed() {
			t.Errorf("killed at call %d of %v", n+1, trace.Calls)
		}
		kills++
	}
	t.Logf("%s: survived %d kills", work, kills)
	if kills < 10 || trace.Output != done {
		t.Errorf("that is few; the victim said %q", trace.Output)
	}
}

// checkUpdate: nothing is lost that was not deleted, nothing is doubled, nothing
// that was acknowledged comes back, and what is left has its unique-ids. more is
// what arrived since.
func checkUpdate(f *fixture, acknowledged bool, uids []string, more ...string) {
	f.Helper()
	all := []string{textOf(big(1)), textOf(big(2)), textOf(big(3)), textOf(big(4)), textOf(big(1))}
	kept := []string{all[1], all[4]}
	now, got := f.uids(), f.texts()
	switch {
	case slices.Equal(got, append(kept, more...)):
		f.want(now[:2], uids[1], uids[4])
	case slices.Equal(got, append(all, more...)) && !acknowledged:
		f.want(now[:5], uids...)
	default:
		f.Errorf("%d messages are left: %.20q", len(got), got)
	}
	f.deliver("next\n") // it does not mind what is left, and tidies up
	f.want(f.state())
	if list, err := filepath.Glob(f.path + ".lock"); err != nil || len(list) > 0 {
		f.Errorf("a lock file is left: %v %v", list, err)
	}
}

// A crash at any system call from login to the end of QUIT.
func TestCrashInUpdate(t *testing.T) {
	for _, work := range []string{"rename", "in-place"} {
		t.Run(work, func(t *testing.T) {
			t.Parallel()
			var uids []string
			everyCall(t, work, func(f *fixture) {
				f.put(five)
				uids = f.uids()
			}, func(f *fixture, trace *storetest.Trace) {
				checkUpdate(f, trace.Output == done, uids)
			})
		})
	}
}

// A crash of a rewriting in place, and mail that comes before anybody repairs
// it; then a crash at any call of the repair.
func TestCrashAndArrival(t *testing.T) {
	t.Parallel()
	first := newFixture(t)
	first.put(five)
	uids := first.uids()
	calls := first.run("in-place", 0).Calls
	for n, c := range calls {
		if !writes(c) || !strings.HasSuffix(c.Paths[0], "/mail/alice") {
			continue
		}
		setUp := func(f *fixture) {
			f.put(five)
			f.uids()
			if trace := f.run("in-place", n+1); !trace.Killed {
				f.Fatal("not killed")
			}
			f.add(late)
		}
		f := newFixture(t)
		setUp(f)
		checkUpdate(f, false, uids, textOf(late))
		if c.Name == "ftruncate" { // the tail is written, and what came is behind the old one
			everyCall(t, "repair", setUp, func(f *fixture, trace *storetest.Trace) {
				checkUpdate(f, false, uids, textOf(late))
			})
		}
	}
}

// A crash at any system call of a delivery leaves the message there whole or
// not at all, and there if it was acknowledged; and all that was there before.
func TestCrashInDeliver(t *testing.T) {
	for name, before := range map[string]string{"first": "", "later": big(1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everyCall(t, "deliver", func(f *fixture) {
				if before != "" {
					f.put(before)
				}
			}, func(f *fixture, trace *storetest.Trace) {
				var want []string
				if before != "" {
					want = append(want, textOf(before))
				}
				got := f.texts()
				if whole := append(slices.Clone(want), delivered); slices.Equal(got, whole) || trace.Output == done {
					want = whole
				}
				f.want(got, want...)
				f.deliver("next\n")
				f.want(f.texts(), append(want, "next\n")...)
				f.want(f.state())
			})
		})
	}
}

// A crash of a delivery, and mail that another program appends before anybody
// cuts off what is there of it.
func TestCrashInDeliverAndArrival(t *testing.T) {
	t.Parallel()
	whole := newFixture(t)
	whole.put(big(1))
	for n, c := range whole.run("deliver", 0).Calls {
		if !writes(c) {
			continue
		}
		f := newFixture(t)
		f.put(big(1))
		f.run("deliver", n+1)
		if torn := strings.TrimPrefix(f.file(), big(1)); torn != "" && !strings.HasSuffix(torn, "\n") {
			f.add("\n") // as procmail does
		}
		f.add(late)
		if got := f.texts(); len(got) == 3 {
			f.want(got, textOf(big(1)), delivered, textOf(late))
		} else {
			f.want(got, textOf(big(1)), textOf(late))
		}
		if f.Failed() {
			f.Fatalf("killed at call %d, %v", n+1, c)
		}
	}
}

// All is on disk before it is acknowledged, and the journal before what it is
// about.
func TestSyncBeforeAcknowledgement(t *testing.T) {
	t.Parallel()
	for work, want := range map[string][]string{
		"deliver":  {"fsync .journal", "fsync /state/mbox", "pwrite64 /alice", "fsync /alice", "fsync /mail", "write pipe:"},
		"import":   {"fsync .alice.kpopd", "renameat2 /alice", "fsync /mail", "fsync .index.new", "renameat2 .index", "fsync /state/mbox", "write pipe:"},
		"rename":   {"fsync .alice.kpopd", "renameat2 /alice", "fsync /mail", "write pipe:"},
		"in-place": {"fsync .journal.new", "renameat2 .journal", "fsync /state/mbox", "pwrite64 /alice", "fsync /alice", "pwrite64 /alice", "fsync /alice", "ftruncate /alice", "fsync /alice", "write pipe:"},
	} {
		f := newFixture(t)
		if work != "deliver" {
			f.put(five)
		}
		trace := f.run(work, 0)
		left := want
		for _, c := range trace.Calls {
			if name, path, _ := strings.Cut(left[0], " "); c.Name == name && strings.Contains(c.Paths[len(c.Paths)-1], path) {
				if left = left[1:]; len(left) == 0 {
					break
				}
			}
		}
		if len(left) > 0 {
			t.Errorf("%s: no %q in its turn of %q in %v", work, left[0], want, trace.Calls)
		}
	}
}

// What a power failure leaves of a delivery: any page may be zeros, or not there
// at all. None of it stays, and nothing else goes.
func TestPowerFailureInDeliver(t *testing.T) {
	t.Parallel()
	whole := newFixture(t)
	whole.put(big(1))
	calls := whole.run("deliver", 0).Calls
	cleared := slices.IndexFunc(calls, func(c storetest.Call) bool {
		return c.Name == "ftruncate" && strings.HasSuffix(c.Paths[0], ".journal")
	})
	start := int64(len(big(1)))
	for what, lose := range map[string]func(file []byte) []byte{
		"all":          func(b []byte) []byte { clear(b[start:]); return b },
		"the first":    func(b []byte) []byte { clear(b[start : start+4096]); return b },
		"one between":  func(b []byte) []byte { clear(b[start+8192 : start+12288]); return b },
		"the last":     func(b []byte) []byte { clear(b[start+(int64(len(b))-start)/4096*4096:]); return b },
		"what follows": func(b []byte) []byte { return b[:start+10000] },
		"nearly all":   func(b []byte) []byte { return b[:start+5] },
		"and more":     func(b []byte) []byte { clear(b[start+8192 : start+12288]); return append(b, late...) },
	} {
		f := newFixture(t)
		f.put(big(1))
		if trace := f.run("deliver", cleared+1); !trace.Killed {
			f.Fatal("not killed")
		}
		f.put(string(lose([]byte(f.file()))))
		want := []string{textOf(big(1))}
		if what == "and more" {
			want = append(want, textOf(late))
		}
		if got := f.texts(); !slices.Equal(got, want) {
			t.Errorf("%s: %d messages, the last %.30q", what, len(got), got[len(got)-1])
		}
		f.want(f.state())
	}
}
