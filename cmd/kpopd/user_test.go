package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo-terminal: what its user types and sees.
type terminal struct {
	t           testing.TB
	user, tty   *os.File
	mu          sync.Mutex
	seen        bytes.Buffer
	more, ended chan struct{}
}

func newTerminal(t testing.TB) *terminal {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(user.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, user: user, tty: tty, more: make(chan struct{}, 1), ended: make(chan struct{})}
	go term.watch()
	return term
}

// watch reads what is shown, until nobody has the terminal open any more.
func (x *terminal) watch() {
	defer close(x.ended)
	b := make([]byte, 1024)
	for {
		n, err := x.user.Read(b)
		x.mu.Lock()
		x.seen.Write(b[:n])
		x.mu.Unlock()
		select {
		case x.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.seen.String()
}

// await waits until a text is shown.
func (x *terminal) await(text string) {
	x.t.Helper()
	timeout := time.After(30 * time.Second)
	for !strings.Contains(x.text(), text) {
		select {
		case <-x.more:
		case <-x.ended:
			x.t.Fatalf("ended without %q: %q", text, x.text())
		case <-timeout:
			x.t.Fatalf("no %q: %q", text, x.text())
		}
	}
}

func (x *terminal) types(text string) {
	x.t.Helper()
	if _, err := io.WriteString(x.user, text); err != nil {
		x.t.Fatal(err)
	}
}

// shows reports whether the terminal shows what is typed.
func (x *terminal) shows() bool {
	x.t.Helper()
	state, err := unix.IoctlGetTermios(int(x.tty.Fd()), unix.TCGETS)
	if err != nil {
		x.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// start runs a command at the terminal; its standard output goes elsewhere.
func (x *terminal) start(args ...string) (cmd *exec.Cmd, stdout *bytes.Buffer) {
	x.t.Helper()
	cmd, stdout = kpopd(args...), &bytes.Buffer{}
	cmd.Stdin, cmd.Stderr, cmd.Stdout = x.tty, x.tty, stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	kill := time.AfterFunc(60*time.Second, func() { cmd.Process.Kill() })
	x.t.Cleanup(func() { kill.Stop(); x.tty.Close(); x.user.Close(); <-x.ended })
	return cmd, stdout
}

// TestHashAtTerminal: at a terminal the password is asked for twice, not shown,
// and the terminal is as it was afterwards.
func TestHashAtTerminal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ first, second, wantOut, wantSeen string }{
		{"sesame\n", "sesame\n", "{PLAIN}sesame\n", ""},
		{"sesame\n", "Sesame\n", "", "differ"},
		{"sesame\n", "\x04", "", "no password"},
		{"\n", "\n", "", "empty password"},
	} {
		x := newTerminal(t)
		cmd, stdout := x.start("user", "hash", "-scheme", "PLAIN")
		x.await("Password: ")
		x.types(test.first)
		x.await("Again: ")
		x.types(test.second)
		err := cmd.Wait()
		if stdout.String() != test.wantOut || err == nil != (test.wantSeen == "") {
			t.Errorf("%q, %q: prints %q, %v", test.first, test.second, stdout, err)
		}
		x.await(test.wantSeen)
		if strings.Contains(strings.ToLower(x.text()), "sesame") {
			t.Errorf("the terminal shows the password: %q", x.text())
		}
		if !x.shows() {
			t.Error("the terminal stays blind")
		}
	}
}

// TestHashInterrupted: whoever changes his mind has a terminal that shows what
// he types.
func TestHashInterrupted(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	cmd, stdout := x.start("user", "hash")
	x.await("Password: ")
	if x.shows() {
		t.Error("the terminal would show the password")
	}
	x.types("ses\x03")
	if err := cmd.Wait(); err == nil || stdout.Len() > 0 {
		t.Errorf("interrupted: %v, %q", err, stdout)
	}
	if !x.shows() {
		t.Error("the terminal stays blind")
	}
}
