package mbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
	"kpopd/maildrop/memory"
)

// checkHeld tries everything that needs a lock while another program has it.
func (f *fixture) checkHeld(lock mbox.Lock, d *maildrop.Drop) {
	f.Helper()
	f.store.LockTimeout = time.Millisecond
	defer func() { f.store.LockTimeout = 0 }()
	if err := f.store.Deliver(f.Context(), "alice", strings.NewReader("x\n")); !errors.Is(err, maildrop.ErrLocked) {
		f.Errorf("%s: Deliver = %v, want ErrLocked", lock, err)
	}
	f.forget()
	if _, err := maildrop.Open(f.Context(), "alice", new(memory.Locker), f.store); !errors.Is(err, maildrop.ErrLocked) {
		f.Errorf("%s: Open = %v, want ErrLocked", lock, err)
	}
	if err := d.Update(f.Context()); !errors.Is(err, maildrop.ErrLocked) {
		f.Errorf("%s: Update = %v, want ErrLocked", lock, err)
	}
}

// lockAs locks the mailbox as another program does.
func (f *fixture) lockAs(lock mbox.Lock) (release func()) {
	f.Helper()
	if lock == mbox.Dotlock {
		f.must(os.WriteFile(f.path+".lock", nil, 0o600))
		return func() { os.Remove(f.path + ".lock") }
	}
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	f.must(err)
	if lock == mbox.Flock {
		f.must(unix.Flock(int(file.Fd()), unix.LOCK_EX))
	} else {
		f.must(unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	}
	return func() { file.Close() }
}

// Each lock of another program keeps us off, for as long as it is told to.
func TestLocks(t *testing.T) {
	for _, lock := range []mbox.Lock{mbox.Fcntl, mbox.Flock, mbox.Dotlock} {
		f := newFixture(t)
		f.store.Locks = []mbox.Lock{lock}
		f.put(big(1) + big(2))
		d := f.open()
		f.must(d.Delete(1))
		release := f.lockAs(lock)
		f.checkHeld(lock, d)
		release()
		f.must(d.Close())
		f.want(f.texts(), textOf(big(1)), textOf(big(2)))
		f.deliver("x\n")
		f.remove(1, 3)
		f.want(f.texts(), textOf(big(2)))
	}
}

// A session holds none while it waits for its client.
func TestNoLockBetween(t *testing.T) {
	f := newFixture(t)
	f.store.Locks = []mbox.Lock{mbox.Fcntl, mbox.Flock, mbox.Dotlock}
	f.put(big(1) + big(2))
	d := f.open()
	f.text(d, 1)
	f.must(d.Delete(1))
	for _, lock := range f.store.Locks {
		f.lockAs(lock)()
	}
	f.deliver("x\n")
	f.must(d.Update(t.Context()))
	f.must(d.Close())
	f.want(f.texts(), textOf(big(2)), "x\n")
}

// dead returns the number of a process that has ended.
func dead(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("/bin/true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// A lock file that nobody can own is broken, any other is respected.
func TestStaleDotlock(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	gone := dead(t)
	for _, tt := range []struct {
		text  string
		age   time.Duration
		stale bool
	}{
		{"", 0, false}, {"", 4 * time.Minute, false}, {"", 6 * time.Minute, true}, {"0\n", time.Minute, false}, {"0", 6 * time.Minute, true},
		{fmt.Sprintf("%d:%s\n", gone, host), 0, true}, {fmt.Sprintf("%d:other\n", gone), 4 * time.Minute, false},
		{fmt.Sprintf("%d\n", gone), 0, false}, {fmt.Sprintf("%d\n", gone), 2 * time.Minute, true},
		{fmt.Sprintf("%d:%s\n", os.Getpid(), host), 4 * time.Minute, false}, {fmt.Sprintf("%d:%s\n", os.Getpid(), host), 6 * time.Minute, true},
		{strings.Repeat("1", 1000), time.Minute, false}, {"1", -time.Hour, false},
	} {
		f := newFixture(t)
		f.store.LockTimeout = 100 * time.Millisecond
		f.put(big(1))
		f.must(os.WriteFile(f.path+".lock", []byte(tt.text), 0o600))
		then := time.Now().Add(-tt.age)
		f.must(os.Chtimes(f.path+".lock", then, then))
		err := f.store.Deliver(t.Context(), "alice", strings.NewReader("x\n"))
		if tt.stale && err != nil || !tt.stale && !errors.Is(err, maildrop.ErrLocked) {
			t.Errorf("%.20q, %v old: %v", tt.text, tt.age, err)
		}
		if left, _ := filepath.Glob(filepath.Join(f.base, "mail", ".*")); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}

// What is no file is no lock that a program left, and stays.
func TestDotlockOfAnotherKind(t *testing.T) {
	for kind, make := range map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink("/etc/passwd", path) },
		"fifo": func(path string) error { return unix.Mkfifo(path, 0o600) },
		"dir":  func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		f := newFixture(t)
		f.store.LockTimeout = time.Millisecond
		f.put(big(1))
		f.must(make(f.path + ".lock"))
		if err := f.store.Deliver(t.Context(), "alice", strings.NewReader("x\n")); !errors.Is(err, maildrop.ErrLocked) {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := os.Lstat(f.path + ".lock"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// Without the right to make files beside the mailbox, dotlock is an error that
// tells it, and dotlock_try does without, rewriting in place.
func TestUnwritableDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		// The superuser may write everywhere: be nobody in a child.
		child(t)
		return
	}
	f := newFixture(t)
	f.put(big(1) + big(2) + big(3))
	dir := filepath.Dir(f.path)
	f.must(os.Chmod(dir, 0o500))
	defer os.Chmod(dir, 0o700)
	if _, err := maildrop.Open(t.Context(), "alice", &f.locker, f.store); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "alice.lock") && !strings.Contains(err.Error(), "temporary") {
		t.Errorf("Open = %v", err)
	}
	f.store.Locks = []mbox.Lock{mbox.Fcntl, mbox.DotlockTry}
	f.remove(2)
	f.deliver("x\n")
	f.want(f.texts(), textOf(big(1)), textOf(big(3)), "x\n")
	f.want(f.state())
}

// child runs the test that calls it as another user.
func child(t *testing.T) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// What nobody may run and write.
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o777)
	}
	data, err := os.ReadFile(exe)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "test"), data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "test"), "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

// Another program renames a new file into place all the time, under a lock that
// is the file's own: nothing is delivered to one that has lost its name.
func TestRenamedWhileLocking(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.store.Locks = []mbox.Lock{mbox.Fcntl}
	f.put(big(1))
	over := make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				if err := f.renew(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	want := []string{textOf(big(1))}
	for i := range 100 {
		want = append(want, fmt.Sprintf("x: %d\n", i))
		f.deliver(want[i+1])
	}
	close(over)
	other.Wait()
	f.want(f.texts(), want...)
}

// renew puts a copy in the place of the mailbox.
func (f *fixture) renew() error {
	o, err := lockOutside(f.path)
	if err != nil {
		return err
	}
	defer o.unlock()
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.path+".copy", text, 0o600); err != nil {
		return err
	}
	return os.Rename(f.path+".copy", f.path)
}
