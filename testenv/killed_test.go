package testenv_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/testenv"
)

// TestKilled: a test binary that dies by SIGKILL leaves no process, no file
// and no container behind.
func TestKilled(t *testing.T) {
	t.Run("native", func(t *testing.T) { checkKilled(t, testenv.Native) })
	t.Run("docker", func(t *testing.T) {
		if err := testenv.DockerAnswers(t.Context()); err != nil {
			t.Logf("NOT TESTED in containers: %v", err)
			return
		}
		checkKilled(t, testenv.Docker)
	})
}

func checkKilled(t *testing.T, backend testenv.Backend) {
	// Everything that the binary starts inherits the write end of a pipe, so
	// the read end comes to its end with the last process of them.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), "KPOPD_TESTENV_VICTIM=yes", "KPOPD_TESTENV="+string(backend))
	cmd.ExtraFiles = []*os.File{w}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	dirs := strings.Fields(line)
	if err != nil || len(dirs) < 2 || dirs[0] != "worlds" {
		t.Fatalf("the victim says %q, %v", line, err)
	}
	dirs = dirs[1:]
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("a process is left: %v", err)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
	if backend == testenv.Docker {
		out, err := exec.CommandContext(t.Context(), "docker", "ps", "-aq",
			"--filter", "label=com.docker.compose.project="+filepath.Base(dirs[0])).Output()
		if err != nil || len(out) > 0 {
			t.Errorf("containers are left: %s, %v", out, err)
		}
	}
}

// TestVictim is not a test but the binary that TestKilled kills.
func TestVictim(t *testing.T) {
	if os.Getenv("KPOPD_TESTENV_VICTIM") == "" {
		return
	}
	w := testenv.Start(t)
	w.LDAP(t)
	dirs := filepath.Dir(w.Keytab)
	if w.Backend == testenv.Native {
		dirs += " " + filepath.Dir(testenv.StartSamba(t).Keytab)
	}
	fmt.Println("worlds", dirs)
	select {} // until the signal comes
}
