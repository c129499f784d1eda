package maildir_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/storetest"
	"kpopd/maildrop/uidl"
)

// list of unique-ids of the Maildir.
func (f *fixture) ids() *uidl.List {
	f.Helper()
	dir, err := durable.Open(f.dir)
	f.must(err)
	defer dir.Close()
	list, err := uidl.Load(dir)
	f.must(err)
	return list
}

// What is hidden stays where it is and is not shown again, wherever its file
// moves, until it is restored; imported unique-ids are kept.
func TestHide(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"new/1.a", "cur/2.a:2,S", "new/3.a"} {
		f.put(name, "x\n")
	}
	var list uidl.List
	f.must(list.Add("3.a", uidl.Row{UID: "old-3", Order: 1}))
	dir, err := durable.Open(f.dir)
	f.must(err)
	defer dir.Close()
	f.must(list.Store(dir))

	before := f.uids()
	f.want(before, []string{"old-3", "1.a", "2.a"})
	f.must(f.delete(policies["hide"], 1, 3))
	f.want(f.uids(), []string{"1.a"})
	f.want(f.files(), []string{"cur/2.a:2,S", "kpopd-uidl", "new/1.a", "new/3.a"})
	f.rename("new/3.a", "cur/3.a:2,")
	f.want(f.uids(), []string{"1.a"})
	f.want(f.kept(), []string{"2.a", "old-3"})

	back, err := f.restore("2.a", "old-3", "1.a")
	f.must(err)
	f.want(back, []string{"2.a", "old-3"})
	f.want(f.uids(), before)
	f.want(f.kept(), nil)
}

// The list forgets hidden messages that somebody has removed, and nothing else.
func TestHideForgets(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"new/1.a", "new/2.a", "new/3.a", "new/4.a"} {
		f.put(name, "x\n")
	}
	list := f.ids()
	if list != nil {
		t.Fatal("there is a list already")
	}
	f.must(f.delete(policies["hide"], 1, 2))
	f.must(os.Remove(filepath.Join(f.dir, "new/1.a")))
	f.must(f.delete(policies["hide"], 1))
	var bases []string
	for base := range f.ids().All() {
		bases = append(bases, base)
	}
	f.want(bases, []string{"2.a", "3.a"})
	f.want(f.uids(), []string{"4.a"})
}

// The unique-id that was imported for a message in quarantine is not forgotten.
func TestHideWithQuarantine(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "x\n")
	f.put("new/2.a", "x\n")
	var list uidl.List
	f.must(list.Add("1.a", uidl.Row{UID: "old-1"}))
	dir, err := durable.Open(f.dir)
	f.must(err)
	defer dir.Close()
	f.must(list.Store(dir))
	f.must(f.delete(policies["quarantine"], 1))
	f.must(f.delete(policies["hide"], 1))
	_, err = f.restore("old-1", "2.a")
	f.must(err)
	f.want(f.uids(), []string{"old-1", "2.a"})
}

// A list that is damaged hides nothing, and nothing is shown either.
func TestHideDamaged(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "x\n")
	d, err := policies["hide"].Open(f.Context(), "alice", &f.locker, f.store)
	f.must(err)
	defer d.Close()
	f.must(d.Delete(1))
	f.put("kpopd-uidl", "junk\n")
	if err := d.Update(f.Context()); !errors.Is(err, uidl.ErrCorrupt) {
		t.Errorf("Update = %v, want ErrCorrupt", err)
	}
	text, err := os.ReadFile(filepath.Join(f.dir, "kpopd-uidl"))
	if string(text) != "junk\n" || err != nil {
		t.Errorf("the list is now %q, %v", text, err)
	}
}

// A crash at any system call hides all that QUIT deletes, or nothing.
func TestCrashInHide(t *testing.T) {
	t.Parallel()
	everyChange(t, "hide", five, func(s *scene, trace *storetest.Trace) {
		s.want(s.everything(), fiveTexts)
		all, left := []string{"1\n", "2\n", "3\n", "4\n", "5\n"}, []string{"2\n", "5\n"}
		got := s.texts()
		if !slices.Equal(got, all) {
			s.want(got, left)
		}
		if trace.Output == done {
			s.want(got, left)
		}
	})
}

// QUIT marks what was retrieved, not what was deleted, and unique-ids stay.
func TestMarkSeen(t *testing.T) {
	f := newFixture(t)
	names := []string{"new/1.a", "cur/2.a:2,FT", "cur/3.a:2,S", "new/4.a", "cur/5.a", "cur/6.a:1,x", "new/7.a", "new/8.a", "cur/9.a:2,", "new/9.b"}
	for _, name := range names {
		f.put(name, "x\n")
	}
	f.put("cur/9.b:2,S", "x\n")
	before := f.uids()
	p := maildrop.Policy{MarkSeen: true}
	d, err := p.Open(f.Context(), "alice", &f.locker, f.store)
	f.must(err)
	for n := range d.Count() {
		if n+1 != 4 { // is not retrieved
			d.Seen(n + 1)
		}
	}
	d.Seen(0)
	d.Seen(100)
	f.must(d.Delete(7))
	f.must(os.Remove(filepath.Join(f.dir, "new/8.a")))
	f.rename("cur/9.a:2,", "cur/9.a:2,R")
	f.must(d.Update(f.Context()))
	f.must(d.MarkSeen(f.Context()))
	f.must(d.Close())
	f.want(f.files(), []string{"cur/1.a:2,S", "cur/2.a:2,FST", "cur/3.a:2,S", "cur/5.a:2,S", "cur/6.a:1,x", "cur/9.a:2,R", "cur/9.b:2,S", "new/4.a", "new/9.b"})
	f.want(f.uids(), slices.DeleteFunc(before, func(uid string) bool { return uid == "7.a" || uid == "8.a" }))
	if err := d.MarkSeen(f.Context()); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("MarkSeen after Close = %v, want ErrStale", err)
	}
}

// Without the policy nothing moves, and a Maildir without cur gets one with it.
func TestMarkSeenPolicy(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "x\n")
	f.must(os.Remove(filepath.Join(f.dir, "cur")))
	for _, p := range []maildrop.Policy{{}, {MarkSeen: true}} {
		d, err := p.Open(f.Context(), "alice", &f.locker, f.store)
		f.must(err)
		d.Seen(1)
		f.must(errors.Join(d.Update(f.Context()), d.MarkSeen(f.Context()), d.Close()))
		f.want(f.files(), []string{map[bool]string{false: "new/1.a", true: "cur/1.a:2,S"}[p.MarkSeen]})
	}
}
