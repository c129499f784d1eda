package mbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
	"kpopd/maildrop/memory"
)

// program runs another program of mail and returns what it says.
func (f *fixture) program(stdin, name string, args ...string) (string, error) {
	f.Helper()
	if _, err := exec.LookPath(name); err != nil {
		f.Fatalf("%s is missing: testenv/test.sh installs it", name)
	}
	cmd := exec.CommandContext(f.Context(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "TERM=vt100", "HOME="+f.base, "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// procmail delivers as an MTA has it.
func (f *fixture) procmail(text string) {
	f.Helper()
	rc := filepath.Join(f.base, "procmailrc")
	if _, err := os.Stat(rc); err != nil {
		f.must(os.WriteFile(rc, []byte("LOCKSLEEP=1\nDEFAULT="+f.path+"\n:0:\n"+f.path+"\n"), 0o600))
	}
	if out, err := f.program(text, "procmail", "-f", "a@example.test", "-m", rc); err != nil {
		f.Errorf("procmail: %v\n%s", err, out)
	}
}

// procmail, our deliveries and our sessions, which take what there is, at the
// same time: each message comes once.
func TestProcmail(t *testing.T) {
	t.Parallel()
	for _, rewrite := range mbox.Rewrites {
		f := newFixture(t)
		f.store.Rewrite = rewrite
		f.deliver("Subject: start\n\nfirst\n")
		want := []string{"Subject: start\n\nfirst\n"}
		var all sync.WaitGroup
		for i := range 3 {
			text := fmt.Sprintf("Subject: procmail %d\n\nFrom here\n%s", i, strings.Repeat("x\n", 5000))
			want = append(want, text, fmt.Sprintf("Subject: ours %d\n\nbody\n", i))
			all.Go(func() { f.procmail(text) })
			all.Go(func() { f.deliver(fmt.Sprintf("Subject: ours %d\n\nbody\n", i)) })
		}
		over := make(chan struct{})
		go func() { all.Wait(); close(over) }()
		var got []string
		for last := false; !last; {
			select {
			case <-over:
				last = true
			default:
			}
			d := f.open()
			for n := range d.All() {
				got = append(got, f.text(d, n))
				f.must(d.Delete(n))
			}
			f.must(d.Update(t.Context()))
			f.must(d.Close())
		}
		slices.Sort(got)
		slices.Sort(want)
		f.want(got, want...)
		f.want(f.state())
	}
}

// mutt deletes a message, and marks another, while a session is open.
func TestMutt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.deliver("Subject: one\n\n1\n", "Subject: two\n\nFrom 2\n", "Subject: three\n\n3\n", "Subject: four\n\n4\n")
	f.age()
	uids := f.uids()
	d := f.open()
	f.must(d.Delete(4))
	command := fmt.Sprintf(`mutt -n -F /dev/null -f %s -e 'set delete=yes quit=yes confirmappend=no mbox_type=mbox; push "<refresh><tag-pattern>~s three<enter><tag-prefix><set-flag>!<untag-pattern>~A<enter><tag-pattern>~s one<enter><tag-prefix><delete-message><sync-mailbox><quit>"'`, f.path)
	if out, err := f.program("", "script", "-qec", command, "/dev/null"); err != nil {
		t.Fatalf("mutt: %v\n%s", err, out)
	}
	if !strings.Contains(f.file(), "Status: ") || strings.Contains(f.file(), "Subject: one") {
		t.Fatalf("mutt left %s", f.file())
	}
	if _, err := read(d, 1); !errors.Is(err, maildrop.ErrVanished) {
		t.Errorf("what mutt removed: %v", err)
	}
	if got := f.text(d, 3); got != "Subject: three\n\n3\n" {
		t.Errorf("what mutt marked: %q", got)
	}
	f.must(d.Update(t.Context()))
	f.must(d.Close())
	f.want(f.uids(), uids[1], uids[2])
	f.want(f.texts(), "Subject: two\n\nFrom 2\n", "Subject: three\n\n3\n")
}

// What we write, Python's mailbox reads, in every dialect; and it removes under
// a lock that we respect.
func TestPython(t *testing.T) {
	t.Parallel()
	const script = `import mailbox, sys
m = mailbox.mbox(sys.argv[1], create=False)
m.lock()
for k in m.keys():
    print(m[k]["Subject"], len(m[k].get_payload().splitlines()), m[k].get_from().split()[0])
m.remove(1)
m.flush()
m.unlock()
`
	for _, format := range []mbox.Format{mbox.RD, mbox.O} {
		f := newFixture(t)
		f.store.Format = format
		for n := range 4 {
			f.deliver(fmt.Sprintf("Return-Path: <s%d@example.test>\nReceived: by x\nSubject: %d\n\nFrom a@b Tue Nov 24 12:10:45 2026\n\n>From x\nlast", n, n))
		}
		uids := f.uids()
		out, err := f.program(script, "python3", "-", f.path)
		if want := "0 4 s0@example.test\n1 4 s1@example.test\n2 4 s2@example.test\n3 4 s3@example.test\n"; err != nil || out != want {
			t.Errorf("%s: %q, %v", format, out, err)
		}
		f.want(f.uids(), uids[0], uids[2], uids[3])
		f.remove(2)
		f.want(f.uids(), uids[0], uids[3])
	}
}

// Debian's dotlockfile keeps us off, and we it.
func TestDotlockfile(t *testing.T) {
	f := newFixture(t)
	f.put(big(1) + big(2))
	if out, err := f.program("", "dotlockfile", "-l", "-r", "0", f.path+".lock"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f.store.LockTimeout = time.Millisecond
	if _, err := maildrop.Open(t.Context(), "alice", new(memory.Locker), f.store); !errors.Is(err, maildrop.ErrLocked) {
		t.Errorf("Open = %v, want ErrLocked", err)
	}
	if _, err := f.program("", "dotlockfile", "-u", f.path+".lock"); err != nil {
		t.Fatal(err)
	}
	f.store.LockTimeout = 0
	release, err := mbox.Hold(t.Context(), f.store, "alice")
	f.must(err)
	if out, err := f.program("", "dotlockfile", "-p", "-l", "-r", "0", f.path+".lock"); err == nil {
		t.Errorf("dotlockfile took our lock: %s", out)
	}
	release()
	if out, err := f.program("", "dotlockfile", "-l", "-r", "0", f.path+".lock"); err != nil {
		t.Errorf("dotlockfile after us: %v\n%s", err, out)
	}
}
