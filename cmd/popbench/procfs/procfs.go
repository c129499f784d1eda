// Package procfs reads from Linux' /proc what the processes of a server use:
// CPU time, memory and context switches (proc(5)).
package procfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc/PID/stat, on every Linux.
const tick = 10 * time.Millisecond

// A Tree is processes with all that they have started, and so on. A nil one is
// none.
type Tree struct {
	Roots []int // process ids
}

// A Usage is what processes have used since they began, or in a time.
type Usage struct {
	CPU          time.Duration // of them, and of their children that have ended
	User, System time.Duration // the same, in ticks of 10 ms
	Switches     int64         // of context, of threads that are alive
	Processes    int
	switches     map[string]int64 // by thread
}

// Since returns what was used since before.
func (u Usage) Since(before Usage) Usage {
	d := Usage{CPU: u.CPU - before.CPU, User: u.User - before.User, System: u.System - before.System, Processes: u.Processes}
	for thread, n := range u.switches {
		d.Switches += n - before.switches[thread]
	}
	return d
}

// Usage returns what the processes have used.
func (t *Tree) Usage() (Usage, error) {
	u := Usage{switches: map[string]int64{}}
	stats, err := t.stats()
	for pid, s := range stats {
		u.Processes++
		u.User += s.user + s.childUser
		u.System += s.system + s.childSystem
		u.CPU += max(u.threads(pid), s.user+s.system) + s.childUser + s.childSystem
	}
	return u, err
}

// threads returns the CPU time of a process's threads, which is more exact than
// ticks but for those that have ended, and notes their switches.
func (u *Usage) threads(pid int) (cpu time.Duration) {
	dirs, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, dir := range dirs {
		text, _ := os.ReadFile(dir + "/schedstat") // of one that has ended there is nothing
		first, _, _ := strings.Cut(string(text), " ")
		ns, _ := strconv.ParseInt(first, 10, 64)
		cpu += time.Duration(ns)
		status, _ := os.ReadFile(dir + "/status")
		u.switches[dir] = field(status, "voluntary_ctxt_switches:") + field(status, "nonvoluntary_ctxt_switches:")
	}
	return cpu
}

// field returns the number behind a name at the beginning of a line, 0 if there
// is none.
func field(text []byte, name string) int64 {
	i := bytes.Index(text, []byte("\n"+name))
	if i < 0 {
		return 0
	}
	rest, _, _ := bytes.Cut(text[i+1+len(name):], []byte("\n"))
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(rest, []byte(" kB")))), 10, 64)
	return n
}

// Self returns what this process has used, without its switches.
func Self() Usage {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r) // with these arguments it cannot fail
	user, system := time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())
	return Usage{CPU: user + system, User: user, System: system, Processes: 1}
}

// Memory is what processes have in memory, in KiB.
type Memory struct {
	PSS int64 // with their share of what they share
	RSS int64
}

// Memory returns what the processes have in memory. It takes the rights of a
// debugger.
func (t *Tree) Memory() (m Memory, err error) {
	stats, err := t.stats()
	for pid := range stats {
		text, readErr := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if os.IsPermission(readErr) {
			return Memory{}, readErr
		}
		m.PSS += field(text, "Pss:")
		m.RSS += field(text, "Rss:")
	}
	return m, err
}
