package lease_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/lease"
	"kpopd/maildrop/storetest"
)

// holdEnv makes the test binary a process that locks a maildrop and waits for
// the end of its input.
const holdEnv = "KPOPD_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		if err := hold(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func hold(dir string) error {
	k, err := lease.Open(dir)
	if err != nil {
		return err
	}
	l, err := k.Lock(context.Background(), "alice")
	if err != nil {
		return err
	}
	fmt.Println("locked", l.Token())
	bufio.NewReader(os.Stdin).ReadString('\n')
	return l.Release()
}

func open(t *testing.T, dir string) *lease.Locker {
	t.Helper()
	k, err := lease.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func TestLocker(t *testing.T) {
	storetest.TestLocker(t, func(t *testing.T) (a, b maildrop.Locker) {
		dir := filepath.Join(t.TempDir(), "state", "locks")
		return open(t, dir), open(t, dir)
	})
}

// A holder is another process that has the lock of "alice".
type holder struct {
	cmd   *exec.Cmd
	token uint64
	quit  func() error
}

func startHolder(t *testing.T, dir string) *holder {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &holder{cmd: cmd, quit: stdin.Close}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	if _, err := fmt.Sscanf(line, "locked %d", &h.token); err != nil {
		t.Fatalf("the holder says %q", line)
	}
	return h
}

// A lock of another process holds while it lives and is free once it is dead,
// however it died.
func TestProcesses(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(*holder) error
	}{
		{"kill", func(h *holder) error { return h.cmd.Process.Kill() }},
		{"exit", func(h *holder) error { return h.quit() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "locks")
			k := open(t, dir)
			h := startHolder(t, dir)
			if _, err := k.Lock(t.Context(), "alice"); !errors.Is(err, maildrop.ErrLocked) {
				t.Errorf("Lock = %v while another process has it", err)
			}
			if err := end.do(h); err != nil {
				t.Fatal(err)
			}
			h.cmd.Wait()
			l, err := k.Lock(t.Context(), "alice")
			if err != nil {
				t.Fatalf("Lock after the holder's end: %v", err)
			}
			defer l.Release()
			if l.Token() <= h.token {
				t.Errorf("token %d after %d", l.Token(), h.token)
			}
		})
	}
}

// The file tells who has the maildrop, and the next grant nobody has to trust
// its content.
func TestRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	file := filepath.Join(dir, "a%2Fb")
	check := func(pid int, token uint64) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`^token=%019d pid=%010d since=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ maildrop="a/b" v=2 .* sum=[0-9a-f]{8} *\n$`, token, pid)
		if len(text) != 512 || !regexp.MustCompile(want).Match(text) {
			t.Errorf("the file says %q, want %s", text, want)
		}
	}
	for range 2 {
		l, err := k.Lock(t.Context(), "a/b")
		if err != nil {
			t.Fatal(err)
		}
		check(os.Getpid(), l.Token())
		l.Release()
		check(0, l.Token())
	}
	for _, junk := range []string{"", "x", "token=", "token=-1 ", "token=99999999999999999999999", "\x00\x00\x00\x00\x00\x00\x00"} {
		if err := os.WriteFile(file, []byte(junk), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := k.Lock(t.Context(), "a/b")
		if err != nil {
			t.Fatalf("file %q: %v", junk, err)
		}
		l.Release()
	}
}

// The token outlives a clock that is set back: the file remembers.
func TestTokenInFuture(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	future := uint64(time.Now().Add(1000 * time.Hour).UnixMicro())
	if err := os.WriteFile(filepath.Join(dir, "alice"), fmt.Appendf(nil, "token=%019d ", future), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := k.Lock(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if l.Token() != future+1 {
		t.Errorf("token %d, want %d", l.Token(), future+1)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	l, err := k.Lock(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "alice"): 0o600} {
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, st.Mode().Perm(), err, want)
		}
	}
}

// A directory that others may write to is refused, and what they might have
// put there is not followed.
func TestHostileDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := lease.Open(dir); err == nil || !strings.Contains(err.Error(), "0777") {
		t.Errorf("Open = %v, want an error that tells the mode", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	k := open(t, dir)
	outside := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Symlink(outside, filepath.Join(dir, "link"))
	os.Symlink(outside+"2", filepath.Join(dir, "dangling"))
	os.Mkdir(filepath.Join(dir, "directory"), 0o700)
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "dangling", "directory", "fifo"} {
		l, err := k.Lock(t.Context(), name)
		if err == nil || errors.Is(err, maildrop.ErrLocked) {
			t.Errorf("Lock(%q) = %v, %v; want an error that is not ErrLocked", name, l, err)
		}
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "precious" {
		t.Errorf("the link's target holds %q, %v", text, err)
	}
	if _, err := os.Lstat(outside + "2"); err == nil {
		t.Error("the dangling link's target was made")
	}
}

// A Locker that was dropped, as by a reload that failed, keeps no descriptor
// for longer than its last lease.
func TestDroppedLocker(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k, err := lease.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := k.Lock(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	k = nil
	for range 20 {
		if _, err := lease.Open(dir); err != nil {
			t.Fatal(err)
		}
	}
	awaitDescriptors(t, dir, 1)
	if _, err := maildrop.Hold(l); err != nil {
		t.Errorf("Hold: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	l = nil
	awaitDescriptors(t, dir, 0)
}

// awaitDescriptors waits until that many descriptors of the directory are open.
func awaitDescriptors(t *testing.T, dir string, want int) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); openDescriptors(t, dir) > want; runtime.GC() {
		if time.Now().After(until) {
			t.Fatalf("%d descriptors of the directory stay open, want %d", openDescriptors(t, dir), want)
		}
		time.Sleep(time.Millisecond)
	}
}

// openDescriptors counts this process's descriptors of a file.
func openDescriptors(t *testing.T, path string) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, err := os.Readlink(fd); err == nil && to == path {
			n++
		}
	}
	return n
}
