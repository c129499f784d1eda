package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"kpopd/testenv"
)

// TestDev runs "kpopd serve -dev", and then each command that it prints, as a
// person would who tries it: with stock clients, no KDC and no set-up.
func TestDev(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"fetchmail", "curl", "openssl"} {
		testenv.Need(t, p)
	}
	commands, end := startDev(t)
	if len(commands) != 5 {
		t.Fatalf("-dev printed %d commands, want 5: %q", len(commands), commands)
	}
	var boxes int
	for _, c := range commands {
		out := runShell(t, c)
		switch {
		case strings.Contains(c, "fetchmail"):
			rc := c[strings.LastIndexByte(c, ' ')+1:]
			box := strings.Replace(rc, "fetchmail-", "fetched-", 1) + ".mbox"
			mail, err := os.ReadFile(box)
			if err != nil {
				t.Fatalf("%s: %v\n%s", c, err, out)
			}
			for _, want := range []string{"Subject: Welcome", "\n.\n", "Grüße"} {
				if !strings.Contains(string(mail), want) {
					t.Errorf("%s: the mail has no %q:\n%s", c, want, mail)
				}
			}
			boxes++
		case strings.Contains(c, "pop3s:"):
			wantIn(t, c, out, "Subject: Welcome")
		case strings.Contains(c, "curl"):
			wantIn(t, c, out, "3 ")
		default:
			wantIn(t, c, out, "+OK")
		}
	}
	if boxes != 2 {
		t.Errorf("-dev printed %d fetchmail lines, want GSSAPI and KPOP", boxes)
	}
	dir := regexp.MustCompile(`/\S*kpopd-dev-\d+`).FindString(commands[0])
	end()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory %s is left behind: %v", dir, err)
	}
}

// TestDevBusyPort starts -dev where one of its ports is taken.
func TestDevBusyPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	cmd := kpopd("serve", "-dev", "-dev-ports", "0,"+port+",0")
	tmp := t.TempDir()
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("it serves all the same")
	}
	wantIn(t, "kpopd serve -dev", string(out), "address already in use")
	wantIn(t, "kpopd serve -dev", string(out), "-dev-ports 0,0,0")
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func wantIn(t *testing.T, command, out, want string) {
	t.Helper()
	if !strings.Contains(out, want) {
		t.Errorf("%s: the output has no %q:\n%s", command, want, out)
	}
}

// startDev starts -dev on free ports, and returns the commands that it prints
// and what ends it.
func startDev(t *testing.T) (commands []string, end func()) {
	t.Helper()
	cmd := kpopd("serve", "-dev", "-dev-ports", "0,0,0")
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(60*time.Second, func() { cmd.Process.Kill() })
	end = func() {
		kill.Stop()
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("kpopd serve -dev: %v", err)
		}
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "Stop it") {
			go io.Copy(io.Discard, stdout)
			return commands, end
		}
		if c, ok := strings.CutPrefix(lines.Text(), "  "); ok {
			commands = append(commands, c)
		}
	}
	cmd.Wait()
	t.Fatal("kpopd serve -dev ended early")
	return nil, nil
}

// runShell runs a command as a person's shell would, who then says QUIT.
func runShell(t *testing.T, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	sh := exec.CommandContext(ctx, "sh", "-c", command)
	sh.Env = append(os.Environ(), "HOME="+t.TempDir(), asKpopd+"=1") // the relay is this binary
	sh.Stdin = strings.NewReader("QUIT\n")
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}
