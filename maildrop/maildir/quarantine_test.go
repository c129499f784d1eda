package maildir_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/maildir"
	"kpopd/maildrop/storetest"
	"kpopd/maildrop/uidl"
)

// The suite holds whatever becomes of deleted messages, and when messages are
// marked.
func TestStoreByPolicy(t *testing.T) {
	t.Parallel()
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			storetest.TestStore(t, func(t *testing.T) storetest.Instance {
				root := storetest.TempDir(t)
				return storetest.Instance{
					Store: newStore(root),
					Again: func(*testing.T) maildrop.Store { return newStore(root) },
					Files: filesBelow(root),
					Disturb: func(t *testing.T, name string) {
						if err := disturb(filepath.Join(root, name, "Maildir")); err != nil {
							t.Error(err)
						}
					},
					Policy: policy,
				}
			})
		})
	}
}

// delete deletes messages by number, on a policy's terms.
func (f *fixture) delete(p maildrop.Policy, numbers ...int) error {
	f.Helper()
	d, err := p.Open(f.Context(), "alice", &f.locker, f.store)
	f.must(err)
	defer d.Close()
	for _, n := range numbers {
		f.must(d.Delete(n))
	}
	return d.Update(f.Context())
}

// locked calls fn with the maildrop's lease.
func (f *fixture) locked(fn func(ctx context.Context, l maildrop.Lease)) {
	f.Helper()
	l, err := f.locker.Lock(f.Context(), "alice")
	f.must(err)
	defer l.Release()
	fn(f.Context(), l)
}

func (f *fixture) kept() (all []string) {
	f.Helper()
	f.locked(func(ctx context.Context, l maildrop.Lease) {
		list, err := f.store.Kept(ctx, l)
		f.must(err)
		for _, k := range list {
			all = append(all, k.UID)
		}
	})
	slices.Sort(all)
	return all
}

// restore restores the messages with these unique-ids.
func (f *fixture) restore(uids ...string) (back []string, err error) {
	f.Helper()
	f.locked(func(ctx context.Context, l maildrop.Lease) {
		var list []maildrop.Kept
		list, err = f.store.Restore(ctx, l, func(k maildrop.Kept) bool { return slices.Contains(uids, k.UID) })
		for _, k := range list {
			back = append(back, k.UID)
		}
	})
	return back, err
}

// What QUIT removes comes back with its unique-id, number, flags and text.
func TestQuarantineAndRestore(t *testing.T) {
	f := newFixture(t)
	for i, name := range []string{"new/1.a", "cur/2.a:2,S", "new/3.a,S=2", "cur/3.a,S=2:2,FS", "new/4.a"} {
		f.put(name, string(rune('1'+i))+"\n")
	}
	before := f.uids()
	until := time.Now().UTC().AddDate(0, 0, 14).Add(24*time.Hour - 1).Format(time.DateOnly)
	f.must(f.delete(policies["quarantine"], 1, 2, 3))
	f.want(f.uids(), []string{"4.a"})
	f.want(f.kept(), []string{"1.a", "2.a", "3.a,S=2"})
	f.want(f.files(), []string{"kpopd-quarantine/" + until + "/1.a", "kpopd-quarantine/" + until + "/2.a:2,S",
		"kpopd-quarantine/" + until + "/3.a,S=2", "kpopd-quarantine/" + until + "/3.a,S=2:2,FS", "new/4.a"})

	back, err := f.restore("3.a,S=2", "1.a", "none")
	f.must(err)
	f.want(back, []string{"1.a", "3.a,S=2"})
	back, err = f.restore("2.a", "1.a")
	f.must(err)
	f.want(back, []string{"2.a"})
	f.want(f.files(), []string{"cur/2.a:2,S", "cur/3.a,S=2:2,FS", "new/1.a", "new/3.a,S=2", "new/4.a"})
	f.want(f.uids(), before)
	f.want(f.kept(), nil)
}

// The unique-ids that were imported come back too, and are told.
func TestRestoreImportedUID(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "1\n")
	var list uidl.List
	f.must(list.Add("1.a", uidl.Row{UID: "0001-old", Order: 1}))
	dir, err := durable.Open(f.dir)
	f.must(err)
	defer dir.Close()
	f.must(list.Store(dir))
	f.must(f.delete(policies["quarantine"], 1))
	f.want(f.kept(), []string{"0001-old"})
	back, err := f.restore("0001-old")
	f.must(err)
	f.want(back, []string{"0001-old"})
}

// Messages whose files have one name, in both folders or on two occasions, are
// all kept, and a link that a crash left of a moved file is no second message.
func TestQuarantineOfOneName(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "new\n")
	f.put("cur/1.a", "cur\n")
	f.must(f.delete(policies["quarantine"], 1))
	f.put("new/1.a", "again\n")
	f.must(f.delete(policies["quarantine"], 1))
	f.want(f.uids(), nil)
	f.want(f.kept(), []string{"1.a"})
	var texts []string
	for _, name := range f.files() {
		text, err := os.ReadFile(filepath.Join(f.dir, name))
		f.must(err)
		texts = append(texts, string(text))
	}
	slices.Sort(texts)
	f.want(texts, []string{"again\n", "cur\n", "new\n"})

	f.put("new/2.a", "linked\n")
	day := filepath.Dir(f.files()[0])
	f.must(os.Link(filepath.Join(f.dir, "new/2.a"), filepath.Join(f.dir, day, "2.a")))
	f.must(f.delete(policies["quarantine"], 1))
	if n := len(f.files()); n != 4 {
		t.Errorf("%q: %d files, want 4", f.files(), n)
	}
}

// A message that the maildrop has is not replaced.
func TestRestorePresent(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "old\n")
	f.put("new/2.a", "2\n")
	f.must(f.delete(policies["quarantine"], 1, 2))
	f.put("cur/1.a:2,S", "new\n")
	back, err := f.restore("1.a", "2.a")
	if !errors.Is(err, maildir.ErrPresent) {
		t.Errorf("Restore = %v, want ErrPresent", err)
	}
	f.want(back, []string{"2.a"})
	f.want(f.kept(), []string{"1.a"})
	f.want(f.uids(), []string{"1.a", "2.a"})
}

// Links in the place of the quarantine or of a day are not followed, and nothing
// is lost to them.
func TestHostileQuarantine(t *testing.T) {
	outside := t.TempDir()
	for _, at := range []string{"kpopd-quarantine", "kpopd-quarantine/" + time.Now().UTC().AddDate(0, 0, 14).Add(24*time.Hour-1).Format(time.DateOnly)} {
		f := newFixture(t)
		f.put("new/1.a", "1\n")
		f.must(os.MkdirAll(filepath.Dir(filepath.Join(f.dir, at)), 0o700))
		f.must(os.Symlink(outside, filepath.Join(f.dir, at)))
		if err := f.delete(policies["quarantine"], 1); !errors.Is(err, durable.ErrLink) {
			t.Errorf("%s: Update = %v, want ErrLink", at, err)
		}
		f.want(f.uids(), []string{"1.a"})
		f.locked(func(ctx context.Context, l maildrop.Lease) {
			sw := maildrop.Sweep{Now: time.Now().AddDate(1, 0, 0), Report: func(m maildrop.Swept) { t.Errorf("removed %v", m) }}
			if err := f.store.Sweep(ctx, l, sw); at == "kpopd-quarantine" && !errors.Is(err, durable.ErrLink) {
				t.Errorf("Sweep = %v, want ErrLink", err)
			}
		})
	}
	if list, err := os.ReadDir(outside); len(list) > 0 || err != nil {
		t.Errorf("%v, %v outside", list, err)
	}
}

// swept sweeps, and returns what was reported.
func (f *fixture) swept(s maildrop.Sweep) (all []string) {
	f.Helper()
	s.Report = func(m maildrop.Swept) {
		text := m.UID
		if m.Quarantined {
			text += " quarantined"
		}
		all = append(all, text)
	}
	f.locked(func(ctx context.Context, l maildrop.Lease) { f.must(f.store.Sweep(ctx, l, s)) })
	return all
}

// touch sets the time of a file's last change.
func (f *fixture) touch(name string, at time.Time) {
	f.Helper()
	f.must(os.Chtimes(filepath.Join(f.dir, name), at, at))
}

// A message is removed if its name and its file are both old. A dry run says
// what would be, and does nothing.
func TestExpire(t *testing.T) {
	f := newFixture(t)
	old, young := time.Unix(1_000_000_000, 0), time.Unix(1_700_000_000, 0)
	for name, at := range map[string]time.Time{
		"new/1000000000.old": old, "cur/1000000001.old:2,F": old, "cur/noname": old, "new/1000000000.copied": young,
		"new/1700000000.imported": old, "new/1700000000.young": young, "new/99999999999999999999.future": old,
		"new/1000000002.both": old, "cur/1000000002.both:2,S": old, "new/1000000003.half": old, "cur/1000000003.half:2,S": young,
		"new/1650000000.limit": time.Unix(1_650_000_000, 0), "tmp/1000000000.tmp": old,
	} {
		f.put(name, "x\n")
		f.touch(name, at)
	}
	before := f.files()
	sweep := maildrop.Sweep{Before: time.Unix(1_650_000_000, 0), Now: time.Unix(1_700_000_000, 0), Dry: true}
	want := []string{"noname", "1000000000.old", "1000000001.old", "1000000002.both"}
	got := f.swept(sweep)
	slices.Sort(got)
	slices.Sort(want)
	f.want(got, want)
	f.want(f.files(), before)
	sweep.Dry = false
	got = f.swept(sweep)
	slices.Sort(got)
	f.want(got, want)
	f.want(f.files(), []string{"cur/1000000003.half:2,S", "new/1000000000.copied", "new/1000000003.half", "new/1650000000.limit",
		"new/1700000000.imported", "new/1700000000.young", "new/99999999999999999999.future", "tmp/1000000000.tmp"})
	f.want(f.swept(sweep), nil)
	f.want(f.swept(maildrop.Sweep{Now: time.Now().AddDate(100, 0, 0)}), nil)
}

// A message goes from the quarantine when its day is over, and not before.
func TestPurge(t *testing.T) {
	f := newFixture(t)
	now := time.Date(2026, 11, 24, 23, 59, 59, 0, time.UTC)
	f.must(os.MkdirAll(filepath.Join(f.dir, "kpopd-quarantine", "2026-11-24", "not ours"), 0o700))
	f.must(os.MkdirAll(filepath.Join(f.dir, "kpopd-quarantine", "2026-11-25"), 0o700))
	f.must(os.MkdirAll(filepath.Join(f.dir, "kpopd-quarantine", "2026-11-23"), 0o700))
	f.put("kpopd-quarantine/2026-11-23/2.a:2,S", "2\n")
	f.put("kpopd-quarantine/2026-11-23/1.a", "1\n")
	f.put("kpopd-quarantine/2026-11-24/3.a", "3\n")
	f.put("kpopd-quarantine/2026-11-25/4.a", "4\n")
	f.put("kpopd-quarantine/5.a", "5\n")
	f.put("new/1.b", "here\n")
	before := f.files()
	want := []string{"1.a quarantined", "2.a quarantined", "3.a quarantined"}
	f.want(f.swept(maildrop.Sweep{Now: now, Dry: true}), want)
	f.want(f.files(), before)
	f.want(f.swept(maildrop.Sweep{Now: now}), want)
	f.want(f.files(), []string{"kpopd-quarantine/2026-11-25/4.a", "kpopd-quarantine/5.a", "new/1.b"})
	if _, err := os.Stat(filepath.Join(f.dir, "kpopd-quarantine", "2026-11-23")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty day: %v", err)
	}
	f.want(f.swept(maildrop.Sweep{Now: now.Add(time.Second)}), []string{"4.a quarantined"})
}

// A sweep of a maildrop whose lease was lost, or that does not exist, removes
// nothing.
func TestSweepWithoutLease(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "1\n")
	f.touch("new/1.a", time.Unix(1, 0))
	l, err := f.locker.Lock(f.Context(), "alice")
	f.must(err)
	l.Release()
	sweep := maildrop.Sweep{Before: time.Now(), Now: time.Now(), Report: func(m maildrop.Swept) { t.Errorf("removed %v", m) }}
	if err := f.store.Sweep(f.Context(), l, sweep); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Sweep = %v, want ErrStale", err)
	}
	if _, err := f.store.Restore(f.Context(), l, nil); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Restore = %v, want ErrStale", err)
	}
	f.want(f.uids(), []string{"1.a"})
	bob, err := f.locker.Lock(f.Context(), "bob")
	f.must(err)
	defer bob.Release()
	f.must(f.store.Sweep(f.Context(), bob, sweep))
}

// everything returns the texts of the maildrop and of its quarantine, sorted.
func (s *scene) everything() []string {
	s.Helper()
	var all []string
	for _, name := range s.files() {
		if strings.HasPrefix(name, uidl.Name) { // or what a crash left of it
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		s.must(err)
		all = append(all, string(text))
	}
	slices.Sort(all)
	return all
}

var fiveTexts = []string{"1\n", "2\n", "3\n", "3\n", "4\n", "5\n"}

// A crash at any system call of a QUIT that moves messages to the quarantine
// leaves each file in one place.
func TestCrashInQuarantine(t *testing.T) {
	t.Parallel()
	everyChange(t, "quarantine", five, func(s *scene, trace *storetest.Trace) {
		s.want(s.everything(), fiveTexts)
		got := s.texts()
		if trace.Output == done {
			s.want(got, []string{"2\n", "5\n"})
			s.want(s.kept(), []string{"1.a", "3.a,S=2,W=3", "4.a"})
		}
		if !slices.ContainsFunc(trace.Calls, func(c storetest.Call) bool { return c.Name == "renameat2" }) {
			s.want(got, []string{"1\n", "2\n", "3\n", "4\n", "5\n"})
		}
	})
}

// A crash at any system call of a restoration leaves each file in one place.
func TestCrashInRestore(t *testing.T) {
	t.Parallel()
	setUp := func(s *scene) {
		five(s)
		s.must(s.delete(policies["quarantine"], doomed...))
	}
	everyChange(t, "restore", setUp, func(s *scene, trace *storetest.Trace) {
		s.want(s.everything(), fiveTexts)
		if trace.Output == done {
			s.want(s.texts(), []string{"1\n", "2\n", "3\n", "4\n", "5\n"})
		}
	})
}

// A crash at any system call of a sweep leaves what is not due.
func TestCrashInSweep(t *testing.T) {
	t.Parallel()
	setUp := func(s *scene) {
		five(s)
		for _, name := range s.files() {
			s.touch(name, time.Unix(3, 0))
		}
		s.touch("new/5.a", time.Now())
		s.put("cur/20.a", "20\n")
		for _, day := range []string{"2000-01-01", "2999-01-01"} {
			s.must(os.MkdirAll(filepath.Join(s.dir, "kpopd-quarantine", day), 0o700))
			s.put("kpopd-quarantine/"+day+"/1.q", day)
		}
	}
	everyChange(t, "sweep", setUp, func(s *scene, trace *storetest.Trace) {
		got := s.everything()
		kept := slices.DeleteFunc(slices.Clone(got), func(text string) bool {
			return slices.Contains([]string{"1\n", "2\n", "3\n", "4\n", "2000-01-01"}, text)
		})
		s.want(kept, []string{"20\n", "2999-01-01", "5\n"})
		if trace.Output == done {
			s.want(got, kept)
		}
	})
}

// What is moved is durable where it goes before it is where it was, and both
// before QUIT is acknowledged.
func TestQuarantineSyncs(t *testing.T) {
	s := newScene(t)
	five(s)
	trace := s.run("quarantine", 0)
	said := s.index(trace, "write", "pipe:")
	moved, day := s.index(trace, "renameat2", "kpopd-quarantine/"), s.index(trace, "fsync", "kpopd-quarantine/")
	for _, sub := range []string{"Maildir/new", "Maildir/cur"} {
		s.ascending(trace, moved, day, s.index(trace, "fsync", sub), said)
	}
	if !followed(trace.Calls, "mkdirat", "Maildir/kpopd-quarantine", "fsync", "alice/Maildir") {
		t.Errorf("the quarantine is not durable after mkdirat: %v", trace.Calls)
	}
	trace = s.run("restore", 0)
	said = s.index(trace, "write", "pipe:")
	s.ascending(trace, s.index(trace, "renameat2", "Maildir/"), s.index(trace, "fsync", "Maildir/new"),
		s.index(trace, "fsync", "Maildir/cur"), s.index(trace, "fsync", "kpopd-quarantine/"), said)
}
