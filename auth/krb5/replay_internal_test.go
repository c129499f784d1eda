package krb5

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth"
)

func reopenReplay(t testing.TB, path string) *FileReplay {
	t.Helper()
	r, err := OpenReplay(path, ReplayOptions{Max: 44, Skew: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.file.Close() }) // as a killed process does
	return r
}

// at presents the nth authenticator at a time of the caller's choice.
func (r *FileReplay) at(t testing.TB, n int, now time.Time) (bool, error) {
	t.Helper()
	if err := r.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer r.unlock()
	return r.seen(tagOf([]byte{byte(n), byte(n >> 8)}), now.UnixNano(), now.Add(2*time.Minute).UnixNano())
}

func wantClosed(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, auth.ErrUnavailable) || auth.Reason(err) != reasonReplayClosed {
		t.Fatalf("got %v, want %s", err, reasonReplayClosed)
	}
}

// TestFileReplayClock sets the clock forward by a day, lets entries of the day
// before be overwritten, and sets it back.
func TestFileReplayClock(t *testing.T) {
	r := reopenReplay(t, filepath.Join(t.TempDir(), "replay"))
	day0 := time.Now()
	day1 := day0.Add(24 * time.Hour)
	accepted := make(map[int]bool)
	n := 0
	for ; n < 40; n++ {
		if seen, err := r.at(t, n, day0); err != nil || seen {
			t.Fatal(n, seen, err)
		}
		accepted[n] = true
	}
	for ; n < 80; n++ { // 62 slots in all
		if seen, err := r.at(t, n, day1); err != nil || seen {
			t.Fatal(n, seen, err)
		}
	}
	refused := 0
	for n := range accepted {
		seen, err := r.at(t, n, day0.Add(time.Second))
		switch {
		case err != nil:
			wantClosed(t, err)
			refused++
		case !seen:
			t.Fatalf("%d accepted again after the clock was set back", n)
		}
	}
	if refused == 0 {
		t.Fatal("nothing was forgotten, so the test shows nothing")
	}
	// All of day 0 has expired, so the cache is open before day 1 comes again.
	if seen, err := r.at(t, 1000, day0.Add(3*time.Minute)); err != nil || seen {
		t.Fatal(seen, err)
	}
}

func TestMemoryReplayClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &MemoryReplay{floor: time.Now().Add(time.Second).UnixNano()}
		until := func() time.Time { return time.Now().Add(time.Minute) }
		_, err := m.Seen(t.Context(), []byte("a"), until())
		wantClosed(t, err)
		time.Sleep(time.Second)
		if seen, err := m.Seen(t.Context(), []byte("a"), until()); seen || err != nil {
			t.Fatal(seen, err)
		}
	})
}

// TestFileReplayMachineCrash changes the boot id in the file, which is what a
// restart of the machine looks like.
func TestFileReplayMachineCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "replay")
		reboot := func(r *FileReplay) {
			s, err := r.state()
			if err != nil {
				t.Fatal(err)
			}
			s.boot[0]++
			if err := r.setState(s); err != nil {
				t.Fatal(err)
			}
		}
		see := func(r *FileReplay, n int) (bool, error) {
			return r.Seen(t.Context(), []byte{byte(n)}, time.Now().Add(time.Minute))
		}
		r := reopenReplay(t, path)
		reboot(r)
		if r = reopenReplay(t, path); mustSee(t, r, see, 1) {
			t.Fatal("seen in an empty cache")
		}
		// Crash. What was answered may not have reached the disk.
		reboot(r)
		r = reopenReplay(t, path)
		_, err := see(r, 2)
		wantClosed(t, err)
		r = reopenReplay(t, path) // restarts do not open it
		_, err = see(r, 2)
		wantClosed(t, err)
		time.Sleep(2*time.Minute + time.Second)
		if mustSee(t, r, see, 2) {
			t.Fatal("seen, but was refused before")
		}
		// An orderly shutdown.
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = reopenReplay(t, path)
		reboot(r)
		r = reopenReplay(t, path)
		if !mustSee(t, r, see, 2) || mustSee(t, r, see, 3) {
			t.Fatal("forgotten by an orderly restart of the machine")
		}
	})
}

func mustSee(t *testing.T, r *FileReplay, see func(*FileReplay, int) (bool, error), n int) bool {
	t.Helper()
	seen, err := see(r, n)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// TestFileReplayDamage spoils each octet of the buckets in turn. Nothing that
// was accepted is accepted again, and after the quarantine all works on.
func TestFileReplayDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay")
	r := reopenReplay(t, path)
	now := time.Now()
	for n := range 40 {
		if seen, err := r.at(t, n, now); err != nil || seen {
			t.Fatal(n, seen, err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 150 {
		off := bucketOffset + rand.IntN(len(whole)-bucketOffset)
		if _, err := r.file.WriteAt(whole, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := r.file.WriteAt([]byte{whole[off] ^ byte(1<<rand.IntN(8))}, int64(off)); err != nil {
			t.Fatal(err)
		}
		for n := range 40 {
			if seen, err := r.at(t, n, now.Add(time.Second)); err != nil {
				wantClosed(t, err)
			} else if !seen {
				t.Fatalf("%d accepted again with octet %d damaged", n, off)
			}
		}
		if seen, err := r.at(t, 1000, now.Add(10*time.Minute)); err != nil || seen {
			t.Fatal("after the quarantine:", seen, err)
		}
	}
}

// FuzzReplayHeader reads any octets as the two parts that are read at first.
func FuzzReplayHeader(f *testing.F) {
	f.Add(replayHeader{buckets: 3}.append(nil))
	f.Add(replayState{closed: 5, clean: true}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseReplayHeader(b); err == nil && h.size() <= bucketOffset {
			t.Fatalf("%x is a file of %d octets", b, h.size())
		}
		if s, err := parseReplayState(b); err == nil && len(b) != recordSize {
			t.Fatalf("%x is state %+v", b, s)
		}
	})
}

// FuzzReplayFile uses a cache whose buckets hold any octets. It may refuse,
// but when it accepts an authenticator it does so once.
func FuzzReplayFile(f *testing.F) {
	boot, err := bootID()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(2), int64(0), []byte{})
	f.Add(byte(1), int64(1)<<62, []byte{1})
	tag := tagOf([]byte("a"))
	f.Add(byte(1), int64(0), replayRecord{tag: tag, time: 1 << 62}.append(make([]byte, recordSize)))
	f.Add(byte(1), int64(0), replayRecord{time: 1 << 62}.append(nil))
	f.Fuzz(func(t *testing.T, buckets byte, closed int64, body []byte) {
		h := replayHeader{buckets: uint32(buckets%4) + 1}
		b := make([]byte, h.size())
		copy(b, h.append(nil))
		copy(b[stateOffset:], replayState{boot: boot, closed: closed}.append(nil))
		copy(b[bucketOffset:], body)
		path := filepath.Join(t.TempDir(), "replay")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := reopenReplay(t, path)
		until := time.Now().Add(time.Minute)
		first, err1 := r.Seen(t.Context(), []byte("a"), until)
		again, err2 := r.Seen(t.Context(), []byte("a"), until)
		if err1 == nil && !first && (err2 != nil || !again) {
			t.Fatal("accepted, then", again, err2)
		}
		if err1 == nil && time.Now().UnixNano() < closed && !first {
			t.Fatal("accepted while closed")
		}
	})
}

// FuzzReplayBucket reads any octets as a bucket.
func FuzzReplayBucket(f *testing.F) {
	f.Add(replayRecord{tag: replayTag{1}, time: 5}.append(nil), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, now int64) {
		b = append(b, make([]byte, bucketSize)...)[:bucketSize]
		v := viewBucket(b, replayTag{1}, now)
		if v.expired > 0 && (v.slot < 1 || v.slot > bucketSlots || v.oldest.time >= now) {
			t.Fatalf("%d expired slots, but the oldest is %d of time %d", v.expired, v.slot, v.oldest.time)
		}
		if v.expired+len(v.damaged) > bucketSlots+1 {
			t.Fatal("more slots than there are")
		}
	})
}
