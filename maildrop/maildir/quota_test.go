package maildir_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/maildir"
)

// deliver delivers a message of a size to alice, under a quota.
func (f *fixture) deliver(q maildrop.Quota, size int) error {
	all := []maildrop.Delivery{{Name: "alice", Quota: q}}
	return f.store.Distribute(f.Context(), all, strings.NewReader(strings.Repeat("x", size-1)+"\n"))[0]
}

// usage returns the lines of maildirsize.
func (f *fixture) usage() []string {
	f.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "maildirsize"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	f.must(err)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func (f *fixture) setUsage(age time.Duration, lines ...string) {
	f.Helper()
	path := filepath.Join(f.dir, "maildirsize")
	f.must(os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	then := time.Now().Add(-age)
	f.must(os.Chtimes(path, then, then))
}

func TestQuota(t *testing.T) {
	f := newFixture(t)
	q := maildrop.Quota{Octets: 100, Messages: 4}
	f.put("cur/1.a:2,S", "12345\n") // six octets that no name tells
	f.must(os.MkdirAll(filepath.Join(f.dir, ".Sent", "cur"), 0o700))
	f.put(".Sent/cur/2.a,S=24:2,S", "as the name says\n")
	f.must(f.deliver(q, 50))
	f.want(f.usage(), []string{"100S,4C", "30 2", "50 1"})
	if err := f.deliver(q, 21); !errors.Is(err, maildrop.ErrQuota) {
		t.Errorf("one octet too many: %v", err)
	}
	f.must(f.deliver(q, 20))
	if err := f.deliver(maildrop.Quota{Octets: 1000, Messages: 4}, 1); !errors.Is(err, maildrop.ErrQuota) {
		t.Errorf("the fifth message: %v", err)
	}
	f.want(f.usage(), []string{"1000S,4C", "100 4"})
	if err := f.deliver(q, 101); !errors.Is(err, maildrop.ErrTooLarge) {
		t.Errorf("larger than the quota: %v", err)
	}
	if n := len(f.files()); n != 5 { // maildirsize too
		t.Errorf("%d files", n)
	}
}

// Without a quota there is no such file, but one that is there is kept right.
func TestUsageOfOthers(t *testing.T) {
	f := newFixture(t)
	f.must(f.deliver(maildrop.Quota{}, 10))
	f.want(f.usage(), nil)
	f.setUsage(0, "5000S", "10 1")
	f.must(f.deliver(maildrop.Quota{}, 20))
	f.want(f.usage(), []string{"5000S", "10 1", "20 1"})
	d, err := maildrop.Open(t.Context(), "alice", &f.locker, f.store)
	f.must(err)
	f.must(d.Delete(1))
	f.must(d.Delete(2))
	f.must(d.Update(t.Context()))
	f.must(d.Close())
	f.want(f.usage(), []string{"5000S", "10 1", "20 1", "-30 -2"})
	f.put("new/3.a", "no size\n")
	d, err = maildrop.Open(t.Context(), "alice", &f.locker, f.store)
	f.must(err)
	f.must(d.Delete(1))
	f.must(d.Update(t.Context()))
	f.must(d.Close())
	f.want(f.usage(), nil)
}

// What a sweep removes makes room.
func TestUsageAfterSweep(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"new/1.a,S=10", "new/1.b,S=10"} {
		f.put(name, "123456789\n")
		f.must(os.Chtimes(filepath.Join(f.dir, name), time.Unix(1, 0), time.Unix(1, 0)))
	}
	f.setUsage(0, "100S", "20 2")
	f.swept(maildrop.Sweep{Before: time.Unix(1000, 0), Now: time.Now(), Dry: true})
	f.want(f.usage(), []string{"100S", "20 2"})
	f.swept(maildrop.Sweep{Before: time.Unix(1000, 0), Now: time.Now()})
	f.want(f.usage(), []string{"100S", "20 2", "-20 -2"})
}

// A count that is wrong is not wrong for long.
func TestUsageIsCountedAnew(t *testing.T) {
	q := maildrop.Quota{Octets: 100}
	for name, c := range map[string]struct {
		age   time.Duration
		lines []string
		full  bool
		after []string
	}{
		"none":             {0, nil, false, []string{"100S", "10 1", "5 1"}},
		"right":            {0, []string{"100S", "10 1"}, false, []string{"100S", "10 1", "5 1"}},
		"believed":         {0, []string{"100S", "95 1"}, false, []string{"100S", "95 1", "5 1"}},
		"just counted":     {0, []string{"100S", "96 1"}, true, []string{"100S", "96 1"}},
		"counted long ago": {time.Hour, []string{"100S", "96 1"}, false, []string{"100S", "10 1", "5 1"}},
		"in the future":    {-time.Hour, []string{"100S", "96 1"}, false, []string{"100S", "10 1", "5 1"}},
		"with changes":     {0, []string{"100S", "90 1", "10 1"}, false, []string{"100S", "10 1", "5 1"}},
		"other quota":      {0, []string{"200S", "10 1"}, false, []string{"100S", "10 1", "5 1"}},
		"no count":         {0, []string{"100S"}, false, []string{"100S", "10 1", "5 1"}},
		"negative":         {0, []string{"100S", "-10 1"}, false, []string{"100S", "10 1", "5 1"}},
		"words":            {0, []string{"100S", "ten one"}, false, []string{"100S", "10 1", "5 1"}},
		"three words":      {0, []string{"100S", "10 1 1"}, false, []string{"100S", "10 1", "5 1"}},
		"overflow":         {0, []string{"100S", "99999999999999999999 1"}, false, []string{"100S", "10 1", "5 1"}},
		"long":             {0, append([]string{"100S"}, slices.Repeat([]string{"0 0"}, 1500)...), false, []string{"100S", "10 1", "5 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.put("new/1.a,S=10", "123456789\n")
			if c.lines != nil {
				f.setUsage(c.age, c.lines...)
			}
			if err := f.deliver(q, 5); errors.Is(err, maildrop.ErrQuota) != c.full || err != nil != c.full {
				t.Errorf("%v", err)
			}
			f.want(f.usage(), c.after)
		})
	}
}

// A file that is none is replaced, and nothing beyond it is touched.
func TestUsageIsNoFile(t *testing.T) {
	f := newFixture(t)
	outside := filepath.Join(t.TempDir(), "precious")
	f.must(os.WriteFile(outside, []byte("100S\n0 0\n"), 0o600))
	f.must(os.Symlink(outside, filepath.Join(f.dir, "maildirsize")))
	f.must(f.deliver(maildrop.Quota{}, 10))
	f.must(f.deliver(maildrop.Quota{Octets: 100}, 10))
	f.want(f.usage(), []string{"100S", "10 1", "10 1"})
	text, err := os.ReadFile(outside)
	f.must(err)
	f.want([]string{string(text)}, []string{"100S\n0 0\n"})
	f.must(os.Remove(filepath.Join(f.dir, "maildirsize")))
	f.must(os.MkdirAll(filepath.Join(f.dir, "maildirsize", "in"), 0o700))
	f.must(f.deliver(maildrop.Quota{Octets: 100}, 10))
	if err := f.deliver(maildrop.Quota{Octets: 30}, 10); !errors.Is(err, maildrop.ErrQuota) {
		t.Errorf("with a directory of that name: %v", err)
	}
}

// Deliveries at the same time are all counted, sooner or later.
func TestUsageAtOnce(t *testing.T) {
	f := newFixture(t)
	q := maildrop.Quota{Octets: 1000}
	f.must(f.deliver(q, 10))
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 10 {
				if err := f.deliver(q, 10); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if lines := f.usage(); len(lines) != 43 {
		t.Errorf("%d lines", len(lines))
	}
}

func FuzzUsage(f *testing.F) {
	f.Add("100S\n10 1\n")
	f.Add("100S\n10 1\n-5 -1\n")
	f.Add("100S\n   10    1\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		octets, messages, ok := maildir.ParseUsage([]byte(text), "100S")
		if ok && (octets < 0 || messages < 0 || !strings.HasPrefix(text, "100S\n")) {
			t.Errorf("%q: %d %d", text, octets, messages)
		}
		if again, _, _ := maildir.ParseUsage(fmt.Appendf(nil, "100S\n%d %d\n", octets, messages), "100S"); ok && again != octets {
			t.Errorf("%q: %d, then %d", text, octets, again)
		}
	})
}
