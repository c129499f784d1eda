package procfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var errStat = errors.New("not as proc(5) has it")

// A stat is what is of use in /proc/PID/stat.
type stat struct {
	pid, parent            int
	user, system           time.Duration
	childUser, childSystem time.Duration // of children that were waited for
}

// parseStat reads the line of /proc/PID/stat. The name in it may have spaces
// and parentheses.
func parseStat(line string) (s stat, err error) {
	open, shut := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 1 || shut < open {
		return s, errStat
	}
	if s.pid, err = strconv.Atoi(strings.TrimSpace(line[:open])); err != nil {
		return s, errStat
	}
	fields := strings.Fields(line[shut+1:]) // from the third on
	if len(fields) < 15 {
		return s, errStat
	}
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return s, errStat
	}
	for i, d := range []*time.Duration{&s.user, &s.system, &s.childUser, &s.childSystem} {
		n, err := strconv.ParseInt(fields[11+i], 10, 64)
		if err != nil {
			return s, errStat
		}
		*d = time.Duration(n) * tick
	}
	return s, nil
}

// stats returns the tree's processes by their ids.
func (t *Tree) stats() (map[int]stat, error) {
	if t == nil {
		return nil, nil
	}
	all, err := everything()
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for pid, s := range all {
		children[s.parent] = append(children[s.parent], pid)
	}
	tree := map[int]stat{}
	for todo := slices.Clone(t.Roots); len(todo) > 0; {
		pid := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, known := tree[pid]; known {
			continue
		}
		s, alive := all[pid]
		if !alive {
			return nil, fmt.Errorf("there is no process %d", pid)
		}
		tree[pid] = s
		todo = append(todo, children[pid]...)
	}
	return tree, nil
}

// everything returns all processes of the machine.
func everything() (map[int]stat, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := map[int]stat{}
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		s, err := parseStat(string(line))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[s.pid] = s
	}
	return all, nil
}
