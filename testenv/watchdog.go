package testenv

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// A watchdog is a small process that waits for the end of its standard input,
// which comes with the end of this one however that happens, and then cleans
// up.
type watchdog struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

// newWatchdog starts a watchdog that will run the shell script, with args as
// $1, $2 and so on.
func newWatchdog(script string, args ...string) (*watchdog, error) {
	argv := append([]string{"-c", "trap '' INT TERM HUP; cat >/dev/null\n" + script, "watchdog"}, args...)
	cmd := exec.Command("sh", argv...)
	// Its output goes to /dev/null: "go test" waits for every holder of the
	// test binary's own output.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	return &watchdog{cmd: cmd, pipe: pipe}, nil
}

// stop makes the watchdog clean up now and waits until it has.
func (w *watchdog) stop() error {
	w.pipe.Close()
	return w.cmd.Wait()
}
