package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// clientPatience bounds one run of a client. It is more than any client takes
// and less than their own timeouts.
const clientPatience = 45 * time.Second

// A Result is what a client did.
type Result struct {
	// Code is the exit status; -1 when the client did not end by itself.
	Code int
	// Stdout and Stderr are what it printed.
	Stdout, Stderr string
}

// String returns everything for a failed test's log.
func (r Result) String() string {
	return fmt.Sprintf("exit status %d\n--- stdout\n%s--- stderr\n%s", r.Code, r.Stdout, r.Stderr)
}

// A client is one run of a client program in a home directory of its own.
type client struct {
	argv  []string
	env   []string
	stdin string
}

// runClient runs a client to its end. One that takes too long is killed with
// its children and fails the test, for hanging is what a server must not make
// a client do.
func runClient(t TB, c client) Result {
	t.Helper()
	home := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), clientPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir = home
	cmd.Env = append(c.env, "HOME="+home, "LC_ALL=C", "TERM=dumb", "PATH=/usr/bin:/bin:/usr/sbin:/sbin")
	cmd.Stdin = strings.NewReader(c.stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	r := Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("testenv: %s: %v, %v\n%v", strings.Join(c.argv, " "), err, ctx.Err(), r)
	}
	return r
}

// splitAddr splits host and port. A wildcard or numeric loopback host becomes
// localhost: that is the name that tickets and certificates are for.
func splitAddr(t TB, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return host, port
}
