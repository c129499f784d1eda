package krb5_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/auth"
	"kpopd/auth/krb5"
)

// eachReplay runs test on both caches, made for max entries.
func eachReplay(t *testing.T, max int, test func(*testing.T, krb5.ReplayCache)) {
	t.Run("memory", func(t *testing.T) { test(t, &krb5.MemoryReplay{Max: max}) })
	t.Run("file", func(t *testing.T) { test(t, openReplay(t, filepath.Join(t.TempDir(), "replay"), max)) })
}

func openReplay(t testing.TB, path string, max int) *krb5.FileReplay {
	t.Helper()
	r, err := krb5.OpenReplay(path, krb5.ReplayOptions{Max: max})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// authenticator is the nth ciphertext.
func authenticator(n int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 100), uint64(n))
}

func see(t testing.TB, r krb5.ReplayCache, n int, ttl time.Duration) bool {
	t.Helper()
	seen, err := r.Seen(context.Background(), authenticator(n), time.Now().Add(ttl))
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func wantUnavailable(t testing.TB, err error, reason string) {
	t.Helper()
	if !errors.Is(err, auth.ErrUnavailable) || auth.Reason(err) != reason {
		t.Fatalf("got error %v with reason %s, want ErrUnavailable, %s", err, auth.Reason(err), reason)
	}
}

func TestReplayOnce(t *testing.T) {
	eachReplay(t, 5000, func(t *testing.T, r krb5.ReplayCache) {
		for n := range 1000 {
			if see(t, r, n, time.Minute) {
				t.Fatalf("%d is new but was seen", n)
			}
		}
		for n := range 1000 {
			if !see(t, r, n, time.Minute) {
				t.Fatalf("%d was accepted twice", n)
			}
		}
	})
}

func TestReplayRace(t *testing.T) {
	const goroutines, rounds = 16, 300
	eachReplay(t, 5000, func(t *testing.T, r krb5.ReplayCache) {
		for n := range rounds {
			var fresh atomic.Int32
			var ready, wg sync.WaitGroup
			ready.Add(goroutines)
			for range goroutines {
				wg.Go(func() {
					ready.Done()
					ready.Wait()
					seen, err := r.Seen(t.Context(), authenticator(n), time.Now().Add(time.Minute))
					if err != nil {
						t.Error(err)
					} else if !seen {
						fresh.Add(1)
					}
				})
			}
			wg.Wait()
			if got := fresh.Load(); got != 1 {
				t.Fatalf("round %d: accepted %d times", n, got)
			}
		}
	})
}

// fill adds entries from first on until the cache refuses one, and returns the
// number of the refused one.
func fill(t *testing.T, r krb5.ReplayCache, first int, ttl time.Duration) int {
	t.Helper()
	for n := first; n < first+10_000; n++ {
		seen, err := r.Seen(t.Context(), authenticator(n), time.Now().Add(ttl))
		if err != nil {
			wantUnavailable(t, err, "replay-cache-full")
			return n
		}
		if seen {
			t.Fatalf("%d is new but was seen", n)
		}
	}
	t.Fatal("10,000 entries are in a cache made for 1,000")
	return 0
}

func TestReplayFull(t *testing.T) {
	eachReplay(t, 1000, func(t *testing.T, r krb5.ReplayCache) {
		synctest.Test(t, func(t *testing.T) {
			full := fill(t, r, 0, time.Minute)
			if full < 1000 {
				t.Fatalf("full with %d entries, made for 1000", full)
			}
			for n := range full {
				if !see(t, r, n, time.Minute) {
					t.Fatalf("%d was evicted", n)
				}
			}
			time.Sleep(time.Minute + time.Second)
			if again := fill(t, r, 20_000, time.Minute) - 20_000; again < 1000 {
				t.Fatalf("room for %d entries after all expired", again)
			}
		})
	})
}

// TestReplayStream lets time pass while logins come, as in a server's life:
// the cache neither fills up nor lets anything in twice while it counts.
func TestReplayStream(t *testing.T) {
	eachReplay(t, 1000, func(t *testing.T, r krb5.ReplayCache) {
		synctest.Test(t, func(t *testing.T) {
			for n := range 6_000 {
				if see(t, r, n, 5*time.Minute) {
					t.Fatalf("%d is new but was seen", n)
				}
				// 250 entries count at any time; try a random one of them.
				if old := n - rand.IntN(250); old >= 0 && !see(t, r, old, time.Minute) {
					t.Fatalf("%d was accepted twice, now at %d", old, n)
				}
				time.Sleep(1200 * time.Millisecond)
			}
		})
	})
}

func TestMemoryReplayHeap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(krb5.MemoryReplay)
		before := heap()
		for n := range 200_000 {
			see(t, m, n, time.Minute)
		}
		if per := (heap() - before) / 200_000; per > 150 {
			t.Errorf("%d octets an entry", per)
		}
		time.Sleep(2 * time.Minute)
		see(t, m, -1, time.Minute)
		if left := heap() - before; left > 1<<20 {
			t.Errorf("%d octets left after all expired", left)
		}
		runtime.KeepAlive(m)
	})
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func TestFileReplayLockWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay")
	r := openReplay(t, path, 100)
	holder, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = r.Seen(ctx, authenticator(1), time.Now().Add(time.Minute))
	wantUnavailable(t, err, "replay-cache-busy")
	// The holder goes, as when its process is killed.
	holder.Close()
	if see(t, r, 1, time.Minute) {
		t.Fatal("seen, but was refused before")
	}
}

func TestFileReplayReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay")
	first, second := openReplay(t, path, 100), openReplay(t, path, 100_000)
	see(t, first, 1, time.Minute)
	if !see(t, second, 1, time.Minute) {
		t.Fatal("accepted again by another cache on the same file")
	}
	see(t, second, 2, time.Minute)
	if !see(t, first, 2, time.Minute) {
		t.Fatal("accepted again by the first cache")
	}
	third, err := krb5.OpenReplay(path, krb5.ReplayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = third.Seen(t.Context(), authenticator(3), time.Now().Add(time.Minute))
	wantUnavailable(t, err, "replay-cache-io")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, error %v", info.Mode(), err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(names) > 0 {
		t.Fatalf("left behind: %v", names)
	}
}

func TestFileReplayReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay")
	r := openReplay(t, path, 100)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := r.Seen(t.Context(), authenticator(1), time.Now().Add(time.Minute))
	wantUnavailable(t, err, "replay-cache-replaced")
	openReplay(t, path, 100)
	_, err = r.Seen(t.Context(), authenticator(1), time.Now().Add(time.Minute))
	wantUnavailable(t, err, "replay-cache-replaced")
}

// TestFileReplayRefuses opens what is no cache, or not a safe one. Nothing of
// it may be changed.
func TestFileReplayRefuses(t *testing.T) {
	damage := func(off int64) func(string) error {
		return func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			b := make([]byte, 1)
			_, err = f.ReadAt(b, off)
			b[0] ^= 0xa5
			_, errWrite := f.WriteAt(b, off)
			return errors.Join(err, errWrite, f.Close())
		}
	}
	tests := map[string]func(string) error{
		"magic":   damage(3),
		"salt":    damage(20),
		"buckets": damage(33),
		"state":   damage(513),
		"short":   func(p string) error { return os.Truncate(p, 5000) },
		"long":    func(p string) error { return os.Truncate(p, 1<<20) },
		"empty":   func(p string) error { return os.Truncate(p, 0) },
		"group":   func(p string) error { return os.Chmod(p, 0o640) },
		"symlink": func(p string) error {
			return errors.Join(os.Rename(p, p+".2"), os.Symlink(p+".2", p))
		},
		"dangling": func(p string) error { return errors.Join(os.Remove(p), os.Symlink(p+".2", p)) },
		"fifo":     func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o600)) },
		"dir":      func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "replay")
			r, err := krb5.OpenReplay(path, krb5.ReplayOptions{Max: 100})
			if err := errors.Join(err, r.Close(), spoil(path)); err != nil {
				t.Fatal(err)
			}
			before := contents(t, path)
			if r, err = krb5.OpenReplay(path, krb5.ReplayOptions{Max: 100}); err == nil {
				r.Close()
				t.Fatal("opened")
			}
			if contents(t, path) != before {
				t.Fatal("changed")
			}
		})
	}
}

// contents describes what is at path, without opening what might block.
func contents(t *testing.T, path string) string {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return fmt.Sprint(info.Mode(), err)
	}
	b, err := os.ReadFile(path)
	return fmt.Sprint(info.Mode(), err) + string(b)
}

func BenchmarkReplay(b *testing.B) {
	bench := func(name string, r krb5.ReplayCache) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if _, err := r.Seen(b.Context(), authenticator(n), time.Now().Add(time.Millisecond)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	bench("memory", new(krb5.MemoryReplay))
	bench("file", openReplay(b, filepath.Join(b.TempDir(), "replay"), 0))
}

func ExampleOpenReplay() {
	dir, err := os.MkdirTemp("", "kpopd")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	cache, err := krb5.OpenReplay(filepath.Join(dir, "replay"), krb5.ReplayOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()
	until := time.Now().Add(5 * time.Minute)
	for range 2 {
		seen, err := cache.Seen(context.Background(), []byte("ciphertext of an authenticator"), until)
		fmt.Println(seen, err)
	}
	// Output:
	// false <nil>
	// true <nil>
}
