package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds every wait for something that takes a moment on an idle
// machine: a server's start, one command.
const patience = 60 * time.Second

// A process is a server in the background. It dies with the test binary.
type process struct {
	cmd  *exec.Cmd
	log  *lineLog
	done chan struct{} // closed when the process has ended
	err  error         // how; read after done
}

// startProcess runs cmd and returns when a line of its standard error contains
// ready, at once where that is empty. A process that ends or says nothing until
// ctx is done is an error, which holds what it did say.
func startProcess(ctx context.Context, cmd *exec.Cmd, ready string) (*process, error) {
	p := &process{cmd: cmd, log: newLineLog(ready), done: make(chan struct{})}
	cmd.Stderr, cmd.Stdout = p.log, p.log
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	select {
	case <-p.log.ready:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("%s ended (%v) before it said %q: %s", cmd.Path, p.err, ready, p.log.String())
	case <-ctx.Done():
		p.stop()
		return nil, fmt.Errorf("%s never said %q: %s", cmd.Path, ready, p.log.String())
	}
}

// run starts the process and waits for it on one locked thread, because
// PR_SET_PDEATHSIG speaks of the death of the thread that forked (prctl(2)).
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// stop ends the process and its group, first asking, and waits for the end.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

// signal signals the process group, which holds the process's children too.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// A lineLog keeps the end of a server's output and watches it for the line
// that says that the server is up.
type lineLog struct {
	mu    sync.Mutex
	text  []byte
	want  string
	ready chan struct{} // closed when want was seen
	seen  bool
}

// logLimit is how much of a server's output is kept.
const logLimit = 64 << 10

func newLineLog(want string) *lineLog {
	l := &lineLog{want: want, ready: make(chan struct{})}
	if want == "" {
		l.seen = true
		close(l.ready)
	}
	return l
}

// Write adds output and never fails.
func (l *lineLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if !l.seen && bytes.Contains(l.text, []byte(l.want)) {
		l.seen = true
		close(l.ready)
	}
	if over := len(l.text) - logLimit; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(b), nil
}

// String returns what is kept of the output.
func (l *lineLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// output runs a command to its end and returns its standard output. The error
// holds its standard error.
func output(ctx context.Context, env []string, stdin string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), errors.Join(err, context.Cause(ctx)), stderr.String())
	}
	return string(out), err
}
