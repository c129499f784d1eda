package maildir_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/uidl"
)

// mail returns a message as it arrives: its header has a number of its own, the
// rest is of size octets.
func mail(n, size int) string {
	return fmt.Sprintf("Received: from a.example by b.example with ESMTP id %08x\n\n%s\n", n, strings.Repeat("x", size))
}

// fill puts this many messages.
func (f *fixture) fill(messages int) {
	f.Helper()
	for i := range messages {
		f.put(fmt.Sprintf("cur/%d.M1P1.host:2,S", 1_700_000_000+i), mail(i, i%7))
	}
}

// rename gives each file of the Maildir the name that to makes of its base.
func (f *fixture) renameAll(to func(i int, base string) string) {
	f.Helper()
	for i, file := range f.files() {
		dir, name := filepath.Split(file)
		base, flags, _ := strings.Cut(name, ":")
		f.rename(file, dir+to(i, base)+":"+flags)
	}
}

// importIDs writes a list of unique-ids, in order of the base names.
func (f *fixture) importIDs(uid func(i int) string) {
	f.Helper()
	var list uidl.List
	for i, file := range f.files() {
		if filepath.Dir(file) == "." {
			continue
		}
		base, _, _ := strings.Cut(filepath.Base(file), ":")
		f.must(list.Add(base, uidl.Row{UID: uid(i), Order: uint32(i) + 1}))
	}
	dir, err := durable.Open(f.dir)
	f.must(err)
	defer dir.Close()
	f.must(list.Store(dir))
}

// openErr opens alice, and closes her again.
func (f *fixture) openErr() error {
	d, err := maildrop.Open(f.Context(), "alice", &f.locker, f.store)
	if err == nil {
		err = d.Close()
	}
	return err
}

// TestStorm: what changes the unique-ids of messages that clients know is
// refused, again and again, until they are back or it is accepted.
func TestStorm(t *testing.T) {
	old := func(i int) string { return fmt.Sprintf("old-%d", i) }
	for kind, change := range map[string]func(*fixture){
		"list lost":     func(f *fixture) { f.must(os.Remove(filepath.Join(f.dir, uidl.Name))) },
		"list replaced": func(f *fixture) { f.importIDs(func(i int) string { return fmt.Sprintf("new-%d", i) }) },
		"renumbered":    func(f *fixture) { f.importIDs(func(i int) string { return old(i + 1) }) },
		"names grown":   func(f *fixture) { f.renameAll(func(_ int, base string) string { return base + ",S=1" }) },
		"names anew": func(f *fixture) {
			f.renameAll(func(i int, _ string) string { return fmt.Sprintf("1800000000.M%dP1.other", 999-i) })
		},
		"copies with CRLF": func(f *fixture) {
			for i, file := range f.files() {
				text, err := os.ReadFile(filepath.Join(f.dir, file))
				f.must(err)
				if dir, name := filepath.Split(file); dir != "" {
					f.must(os.Remove(filepath.Join(f.dir, file)))
					f.put(fmt.Sprintf("new/%d.%s", i, strings.TrimSuffix(name, ":2,S")), strings.ReplaceAll(string(text), "\n", "\r\n"))
				}
			}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t)
			f.indexed()
			f.fill(50)
			if !strings.Contains(kind, "name") && !strings.Contains(kind, "copies") {
				f.importIDs(old)
			}
			before := f.list()
			saved := filepath.Join(f.root, "saved")
			f.must(os.CopyFS(saved, os.DirFS(f.dir)))
			change(f)
			for range 2 {
				if err := f.openErr(); !errors.Is(err, maildrop.ErrStorm) || !strings.Contains(err.Error(), "50 of the 50") {
					t.Fatalf("Open = %v, want ErrStorm", err)
				}
			}
			changed := filepath.Join(f.root, "changed")
			f.must(os.Rename(f.dir, changed))
			f.must(os.Rename(saved, f.dir))
			if after := f.list(); !slices.Equal(before, after) {
				t.Errorf("listing was %v, is %v", before, after)
			}
			f.must(os.RemoveAll(f.dir))
			f.must(os.Rename(changed, f.dir))
			if had, err := f.store.AcceptUIDs("alice"); !had || err != nil {
				t.Errorf("AcceptUIDs = %v, %v", had, err)
			}
			if after := f.list(); len(after) != 50 || after[0].UID == before[0].UID {
				t.Errorf("what was accepted is %v", after)
			}
			f.must(f.openErr())
		})
	}
}

// TestNoStorm: what is no storm.
func TestNoStorm(t *testing.T) {
	for kind, change := range map[string]func(*fixture){
		"few": func(f *fixture) {
			f.renameAll(func(i int, base string) string { return base + strings.Repeat("x", max(0, i-40)) })
		},
		"ids kept": func(f *fixture) {
			uids := f.uids()
			f.renameAll(func(i int, base string) string { return base + ",S=1" })
			f.importIDs(func(i int) string { return uids[i] })
		},
		"all gone": func(f *fixture) { f.must(os.RemoveAll(f.dir)) },
		"all new": func(f *fixture) { // of the sizes of those before
			f.must(os.RemoveAll(f.dir))
			for _, sub := range []string{"new", "cur"} {
				f.must(os.MkdirAll(filepath.Join(f.dir, sub), 0o700))
			}
			for i := range 50 {
				f.put(fmt.Sprintf("new/%d.M1P1.host", 1_800_000_000+i), mail(1000+i, i%7))
			}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t)
			f.indexed()
			f.fill(50)
			f.list()
			change(f)
			f.must(f.openErr())
		})
	}
}

// TestAllowedStorm: without a limit nothing is refused.
func TestAllowedStorm(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.store.Storm = 100
	f.fill(50)
	f.list()
	f.renameAll(func(_ int, base string) string { return base + ",S=1" })
	f.must(f.openErr())
}

// TestStormOfRandomLives: many maildrops live for a while: mail of few sizes
// comes, sessions and other programs remove, flag and move it. None of that is a
// storm. Then most of the files get other names, and that is one.
func TestStormOfRandomLives(t *testing.T) {
	t.Parallel()
	const lives, days = 10, 8
	for life := range lives {
		rng := rand.New(rand.NewPCG(uint64(life), 7))
		f := newFixture(t)
		f.indexed()
		arrived := 0
		sizes := 1 + rng.IntN(5) // all mail of a robot has one
		arrive := func(n int) {
			for range n {
				f.put(fmt.Sprintf("new/%d.M1P1.host", 1_700_000_000+arrived), mail(arrived, rng.IntN(sizes)))
				arrived++
			}
		}
		arrive(rng.IntN(100))
		for day := range days {
			f.day(rng)
			arrive(rng.IntN(60))
			if err := f.openErr(); err != nil {
				t.Fatalf("life %d, day %d: %v", life, day, err)
			}
		}
		n := len(f.list())
		f.renameAll(func(_ int, base string) string {
			if rng.IntN(100) < 50 {
				return base
			}
			return "1900000000." + base
		})
		err := f.openErr()
		if n > 50 && !errors.Is(err, maildrop.ErrStorm) || n < 10 && err != nil {
			t.Errorf("life %d: half of %d messages have other names: %v", life, n, err)
		}
	}
}

// day is what happens to a Maildir between two sessions, and in one.
func (f *fixture) day(rng *rand.Rand) {
	f.Helper()
	share := rng.IntN(101)
	if rng.IntN(2) == 0 { // a session removes
		d := f.open()
		for n := range d.Count() {
			if rng.IntN(100) < share {
				f.must(d.Delete(n + 1))
			}
		}
		f.must(d.Update(f.Context()))
		f.must(d.Close())
		return
	}
	for _, file := range f.files() { // another program removes and flags
		if rng.IntN(100) < share {
			f.must(os.Remove(filepath.Join(f.dir, file)))
		} else {
			base, _, _ := strings.Cut(filepath.Base(file), ":")
			f.rename(file, "cur/"+base+":2,S")
		}
	}
}
