package procfs

import (
	"bufio"
	"io"
	"math"
	"os/exec"
	"testing"
	"time"
)

const self = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 3 0 100 200 300 400"

func TestParseStat(t *testing.T) {
	want := stat{42, 7, 110 * time.Millisecond, 220 * time.Millisecond, 330 * time.Millisecond, 440 * time.Millisecond}
	if s, err := parseStat(self); err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
	for _, line := range []string{"", "42", "42 (a", "42 (a) S 7", ") 42 (a S", "x (a) S 7 42 42 0 -1 1 1 2 3 4 11 22 33 44"} {
		if s, err := parseStat(line); err == nil {
			t.Errorf("%q: %+v", line, s)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add(self)
	f.Fuzz(func(t *testing.T, line string) { _, _ = parseStat(line) })
}

func TestField(t *testing.T) {
	text := []byte("Rss: 1 kB\nPss:      77 kB\nPss_Dirty: 5 kB\nnonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t9")
	for name, want := range map[string]int64{"Pss:": 77, "voluntary_ctxt_switches:": 9, "nonvoluntary_ctxt_switches:": 3, "Swap:": 0} {
		if n := field(text, name); n != want {
			t.Errorf("%s %d", name, n)
		}
	}
}

// A tree's CPU time is that of its processes, of their children, and of those
// that have ended.
func TestTree(t *testing.T) {
	const spin = `i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "exec 3<&0; ("+spin+"); ("+spin+"; echo spun; read end <&3) & echo started; wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	tree := &Tree{Roots: []int{cmd.Process.Pid}}
	await(t, lines) // the first child has ended, and was waited for
	first := use(t, tree)
	await(t, lines) // the second one waits
	second := use(t, tree)
	d := second.Since(first)
	if second.Processes != 2 || first.CPU < 2*tick || d.CPU < 2*tick || d.CPU > second.CPU || d.Switches <= 0 {
		t.Errorf("first %+v\nsecond %+v\nsince %+v", first, second, d)
	}
	if off := (d.User + d.System - d.CPU).Seconds(); math.Abs(off) > 0.05 {
		t.Errorf("%v in ticks, %v exactly", d.User+d.System, d.CPU)
	}
	if m, err := tree.Memory(); err != nil || m.PSS <= 0 || m.RSS < m.PSS {
		t.Errorf("memory %+v, %v", m, err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := tree.Usage(); err == nil {
		t.Error("the usage of a process that is no more")
	}
}

func await(t *testing.T, lines *bufio.Reader) {
	t.Helper()
	if _, err := lines.ReadString('\n'); err != nil && err != io.EOF {
		t.Fatal(err)
	}
}

func use(t *testing.T, tree *Tree) Usage {
	t.Helper()
	u, err := tree.Usage()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// No tree is one without processes.
func TestNone(t *testing.T) {
	var none *Tree
	if u, err := none.Usage(); err != nil || u.CPU != 0 || u.Processes != 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if m, err := none.Memory(); err != nil || m != (Memory{}) {
		t.Errorf("%+v, %v", m, err)
	}
	if Self().CPU <= 0 {
		t.Error("this test took no time")
	}
}
