package storetest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Call is a system call that a traced process made on files.
type Call struct {
	Name string // as in the manual
	// Paths are what it was about: of a descriptor its file, of a name in a
	// directory both joined; for a rename or link the old and the new.
	Paths []string
}

// String returns the call as in "fsync(/a/new)".
func (c Call) String() string { return fmt.Sprintf("%s%q", c.Name, c.Paths) }

// A Trace is what became of a process.
type Trace struct {
	Calls  []Call
	Output string // what it said with Say
	Killed bool   // it was stopped before it came to its end
}

// AwaitTracer is called by a process that [Run] started, before the work
// that is traced: the work of the calling goroutine.
func AwaitTracer() error {
	runtime.LockOSThread()
	if err := Say(fmt.Sprintf("tid %d\n", unix.Gettid())); err != nil {
		return err
	}
	var b [1]byte
	_, err := unix.Read(0, b[:])
	return err
}

// Say writes text to standard output in one system call of the calling thread.
func Say(text string) error {
	_, err := unix.Write(1, []byte(text))
	return err
}

// Run runs cmd, which calls AwaitTracer, under ptrace(2), and kills it as it
// enters its n-th system call on files, which then does not happen; n < 1: it
// runs to its end. Standard input and output of cmd are Run's.
//
// A test that counts n up from 1 until the process is no longer killed has
// stopped it in each state that a crash can leave files in.
func Run(ctx context.Context, cmd *exec.Cmd, n int) (*Trace, error) {
	runtime.LockOSThread() // ptrace knows its tracer by the thread
	defer runtime.UnlockOSThread()
	p := &tracee{cmd: cmd, killAt: n}
	if err := p.start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, p.kill)
	err := p.trace()
	if err != nil {
		p.kill()
	}
	p.wait()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	rest, _ := io.ReadAll(p.out)
	p.in.Close()
	p.outFile.Close()
	p.Output = string(rest)
	return &p.Trace, err
}

// RunSelf runs the test's own binary in dir under [Run], with one more variable
// of the environment, by which its TestMain knows what to do. What it writes to
// standard error fails the test.
func RunSelf(t testing.TB, dir, env string, n int) *Trace {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	trace, err := Run(ctx, cmd, n)
	if err != nil {
		t.Fatal(err)
	}
	if stderr.Len() > 0 {
		t.Fatalf("the victim says %s", stderr.String())
	}
	return trace
}

// A tracee is a process under Run.
type tracee struct {
	Trace
	cmd     *exec.Cmd
	killAt  int
	in      *os.File
	out     *bufio.Reader
	outFile *os.File
	pid     int
	tid     int
	ended   bool // the traced thread has, and has been waited for
}

// start starts the process and reads which thread will work.
func (p *tracee) start() error {
	stdin, in, err := os.Pipe()
	if err != nil {
		return err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return err
	}
	p.in, p.outFile, p.out = in, out, bufio.NewReader(out)
	p.cmd.Stdin, p.cmd.Stdout = stdin, stdout
	// Fewer calls that are the runtime's own.
	p.cmd.Env = append(p.cmd.Environ(), "GODEBUG=asyncpreemptoff=1", "GOGC=off")
	err = p.cmd.Start()
	stdin.Close()
	stdout.Close()
	if err != nil {
		return err
	}
	p.pid = p.cmd.Process.Pid
	line, _ := p.out.ReadString('\n')
	if _, err := fmt.Sscanf(line, "tid %d", &p.tid); err != nil {
		p.kill()
		p.cmd.Wait()
		return fmt.Errorf("the process says %q where its thread is due", line)
	}
	return nil
}

func (p *tracee) kill() { unix.Kill(p.pid, unix.SIGKILL) }

// wait waits for the end of the process, if trace has not.
func (p *tracee) wait() {
	if !p.ended || p.tid != p.pid {
		p.cmd.Wait()
		return
	}
	p.cmd.Process.Release()
}

// trace follows the thread from one system call to the next, until it ends.
func (p *tracee) trace() error {
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(p.tid), 0, options, 0, 0); e != 0 {
		return fmt.Errorf("ptrace seize: %w", e)
	}
	if err := unix.PtraceInterrupt(p.tid); err != nil {
		return fmt.Errorf("ptrace interrupt: %w", err)
	}
	started := false
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(p.tid, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case status.Exited() || status.Signaled():
			p.ended = true
			return nil
		case !started:
			started = true
			if _, err := p.in.Write([]byte{'\n'}); err != nil {
				return err
			}
		}
		if err := p.resume(status); err != nil && err != unix.ESRCH { // killed: Wait4 tells
			return fmt.Errorf("ptrace: %w", err)
		}
	}
}

// resume looks at a stop and lets the thread go on, or not.
func (p *tracee) resume(status unix.WaitStatus) error {
	signal := status.StopSignal()
	switch {
	case signal == unix.SIGTRAP|0x80:
		if p.enter(); p.killAt > 0 && len(p.Calls) == p.killAt {
			p.Killed = true
			p.kill()
			return nil
		}
		signal = 0
	case signal == unix.SIGTRAP || int(status)>>16 != 0:
		signal = 0 // a stop of ptrace's own
	}
	return unix.PtraceSyscall(p.tid, int(signal))
}

// A syscallInfo is struct ptrace_syscall_info, of an entry.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	arch   uint32
	ip, sp uint64
	nr     uint64
	args   [6]uint64
	_      uint64
}

// An operand says which arguments of a call make a path: a descriptor, and the
// address of a name in it where name > 0.
type operand struct{ fd, name int }

var fileCalls = map[uint64]struct {
	name     string
	operands []operand
}{
	unix.SYS_OPENAT:     {"openat", []operand{{0, 1}}},
	unix.SYS_OPENAT2:    {"openat2", []operand{{0, 1}}},
	unix.SYS_STATX:      {"statx", []operand{{0, 1}}},
	unix.SYS_MKDIRAT:    {"mkdirat", []operand{{0, 1}}},
	unix.SYS_UNLINKAT:   {"unlinkat", []operand{{0, 1}}},
	unix.SYS_RENAMEAT2:  {"renameat2", []operand{{0, 1}, {2, 3}}},
	unix.SYS_LINKAT:     {"linkat", []operand{{0, 1}, {2, 3}}},
	unix.SYS_FTRUNCATE:  {"ftruncate", []operand{{0, 0}}},
	unix.SYS_READ:       {"read", []operand{{0, 0}}},
	unix.SYS_PREAD64:    {"pread64", []operand{{0, 0}}},
	unix.SYS_WRITE:      {"write", []operand{{0, 0}}},
	unix.SYS_PWRITE64:   {"pwrite64", []operand{{0, 0}}},
	unix.SYS_FSYNC:      {"fsync", []operand{{0, 0}}},
	unix.SYS_FDATASYNC:  {"fdatasync", []operand{{0, 0}}},
	unix.SYS_FCNTL:      {"fcntl", []operand{{0, 0}}},
	unix.SYS_CLOSE:      {"close", []operand{{0, 0}}},
	unix.SYS_GETDENTS64: {"getdents64", []operand{{0, 0}}},
	unix.SYS_FSTAT:      {"fstat", []operand{{0, 0}}},
	sysFstatat:          {"newfstatat", []operand{{0, 1}}},
}

// enter notes a call on files that the thread is about to make.
func (p *tracee) enter() {
	const entry = 1
	var info syscallInfo
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(p.tid),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	call, known := fileCalls[info.nr]
	if e != 0 || info.op != entry || !known {
		return
	}
	c := Call{Name: call.name}
	for _, o := range call.operands {
		c.Paths = append(c.Paths, p.path(info.args, o))
	}
	if strings.HasPrefix(c.Paths[0], "anon_inode:") {
		return // the runtime wakes another thread, or not
	}
	p.Calls = append(p.Calls, c)
}

func (p *tracee) path(args [6]uint64, o operand) string {
	dir := "."
	if fd := int32(args[o.fd]); fd != unix.AT_FDCWD {
		dir, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.pid, fd))
	}
	if o.name == 0 {
		return dir
	}
	if name := p.text(args[o.name]); name != "" && name[0] == '/' {
		return name
	} else {
		return dir + "/" + name
	}
}

// text reads a C string from the process's memory.
func (p *tracee) text(addr uint64) string {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", p.pid))
	if err != nil {
		return ""
	}
	defer mem.Close()
	buf := make([]byte, 1024)
	n, _ := mem.ReadAt(buf, int64(addr))
	text, _, _ := bytes.Cut(buf[:n], []byte{0})
	return string(text)
}
