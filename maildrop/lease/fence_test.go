package lease_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/lease"
)

// A holder learns within seconds that its lock was taken, by whichever way, and
// keeps it as long as it was not.
func TestLost(t *testing.T) {
	for way, take := range map[string]func(*lease.Locker, string) error{
		"fenced":  func(k *lease.Locker, _ string) error { return k.Fence(context.Background(), "alice", 0) },
		"removed": func(_ *lease.Locker, dir string) error { return os.Remove(filepath.Join(dir, "alice")) },
	} {
		t.Run(way, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "locks")
			synctest.Test(t, func(t *testing.T) {
				k := open(t, dir)
				l, err := k.Lock(t.Context(), "alice")
				if err != nil {
					t.Fatal(err)
				}
				other, err := k.Lock(t.Context(), "bob")
				if err != nil {
					t.Fatal(err)
				}
				defer other.Release()
				time.Sleep(time.Hour)
				synctest.Wait()
				if err := maildrop.Live(l); err != nil {
					t.Fatalf("after an hour: %v", err)
				}
				if err := take(k, dir); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				<-l.Lost()
				if d := time.Since(start); d > 5*time.Second {
					t.Errorf("lost after %v", d)
				}
				if err := maildrop.Live(other); err != nil {
					t.Errorf("another lease: %v", err)
				}
				l.Release()
			})
		})
	}
}

// Where nothing has changed in the directory, no lease is asked for.
func TestLook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	l, err := k.Lock(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir, old, old); err != nil {
		t.Fatal(err)
	}
	k.Look()
	if n := k.Suspects(); n != 0 {
		t.Errorf("%d leases are asked for", n)
	}
	if err := k.Fence(t.Context(), "alice", 0); err != nil {
		t.Fatal(err)
	}
	k.Look()
	<-l.Lost()
}

// The lock of a process that is stopped can be taken, and what it does when it
// goes on does not touch the session that came after it.
func TestFenceStopped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	h := startHolder(t, dir)
	signal := func(s os.Signal) {
		t.Helper()
		if err := h.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	if err := k.Fence(t.Context(), "alice", h.token); err != nil {
		t.Fatal(err)
	}
	l, err := k.Lock(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	signal(syscall.SIGCONT)
	h.quit() // it releases what it no longer has
	if err := h.cmd.Wait(); err != nil {
		t.Error(err)
	}
	release, err := maildrop.Hold(l)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if r, held, err := k.Holder("alice"); !held || err != nil || r.PID != os.Getpid() {
		t.Errorf("%+v, %v, %v", r, held, err)
	}
}

// A lock that a server of NFS gave to another meanwhile, in the same file, is
// stale: the record in it is the other's.
func TestOvertaken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	l, err := k.Lock(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	theirs := (&lease.Record{Token: l.Token() + 1, PID: 1, Host: "other", Place: "alice", Since: time.Now()}).Encode(0)
	file, err := os.OpenFile(filepath.Join(dir, "alice"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(theirs, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := maildrop.Hold(l); !errors.Is(err, maildrop.ErrStale) {
		t.Errorf("Hold = %v, want ErrStale", err)
	}
	<-l.Lost()
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(file.Name()); err != nil || string(text) != string(theirs) {
		t.Errorf("Release wrote over the record of the other: %s, %v", text, err)
	}
}

// A lock file belongs to the server, whoever takes the lock away.
func TestFenceKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	l, err := k.Lock(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	file := filepath.Join(dir, "alice")
	if err := os.Chown(file, 4711, 4712); err != nil {
		t.Fatal(err)
	}
	if err := k.Fence(t.Context(), "alice", 0); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 4711 || st.Gid != 4712 || info.Mode().Perm() != 0o600 {
		t.Errorf("it belongs to %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
}

// awaitOpen waits until that many descriptors of a lock file are open.
func awaitOpen(t *testing.T, file string, want int) {
	t.Helper()
	for until := time.Now().Add(time.Minute); openDescriptors(t, file) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d descriptors of the lock file are open, want %d", openDescriptors(t, file), want)
		}
	}
}

// Of two who take one grant away, one does: the other would take the next
// session's.
func TestFenceTwice(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	l, err := k.Lock(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	release, err := maildrop.Hold(l)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 2 {
		go func() { done <- k.Fence(context.Background(), "alice", l.Token()) }()
	}
	awaitOpen(t, filepath.Join(dir, "alice"), 3)
	release()
	first, second := <-done, <-done
	if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), maildrop.ErrNotLocked) {
		t.Errorf("Fence = %v and %v, want ErrNotLocked once", first, second)
	}
}

// A file that loses its name while it is being locked is no lock: the one that
// has the name is.
func TestLockReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	file := filepath.Join(dir, "alice")
	old, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	// Who takes a lock away has the second octet.
	octet := unix.Flock_t{Type: unix.F_WRLCK, Start: 1, Len: 1}
	if err := unix.FcntlFlock(old.Fd(), unix.F_OFD_SETLK, &octet); err != nil {
		t.Fatal(err)
	}
	done := make(chan maildrop.Lease)
	go func() {
		l, err := k.Lock(context.Background(), "alice")
		if err != nil {
			t.Error(err)
		}
		done <- l
	}()
	awaitOpen(t, file, 2)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	octet.Type = unix.F_UNLCK
	if err := unix.FcntlFlock(old.Fd(), unix.F_OFD_SETLK, &octet); err != nil {
		t.Fatal(err)
	}
	l := <-done
	defer l.Release()
	release, err := maildrop.Hold(l)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
