package main

import (
	"context"
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

const (
	// garbageRoom is what may be garbage before it is collected, but no more than
	// maxPercent of what is in use: a server with a few sessions would collect
	// many times a second. Where more is in use, minPercent of that. With more
	// room, sessions that stay end up far apart among what was garbage: 10,000 idle
	// ones took a tenth more.
	garbageRoom = 16 << 20
	minPercent  = 75
	maxPercent  = 400

	// memoryEvery is how often a keeper looks. In a quiet time, garbage of less
	// than littleGarbage stays, and of less than one part in garbageParts of what
	// is in use.
	memoryEvery   = time.Second
	littleGarbage = 1 << 20
	garbageParts  = 16
	quietParts    = 64 // how much less is allocated within memoryEvery, if it is quiet

	limitPercent = 90 // of what the control group may have
)

// A keeper keeps the memory of a server small when it is quiet, and its garbage
// collector lazy when it is not. GOGC and GOMEMLIMIT, where the environment has
// them, are left alone.
type keeper struct {
	percent   int // of the collector
	allocated uint64
	samples   []metrics.Sample
}

// A memory is what there is of it, in octets.
type memory struct {
	allocated uint64 // since the process began
	live      uint64 // at the end of the last collection
	objects   uint64 // live and garbage
	stacks    uint64
}

// keepMemory does what a keeper does until ctx ends.
func keepMemory(ctx context.Context) {
	limitMemory()
	if os.Getenv("GOGC") != "" {
		return
	}
	k := keeper{percent: 100, samples: []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
	}}
	look := time.NewTicker(memoryEvery)
	defer look.Stop()
	for {
		if m := k.read(); k.adjust(m) {
			debug.SetGCPercent(k.percent)
		} else if k.quiet(m) {
			debug.FreeOSMemory()
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

func (k *keeper) read() memory {
	metrics.Read(k.samples)
	at := func(i int) uint64 { return k.samples[i].Value.Uint64() }
	return memory{allocated: at(0), live: at(1), objects: at(2), stacks: at(3)}
}

// adjust reports whether the collector should have another percentage, which is
// k's then. Small changes are not worth stopping the world.
func (k *keeper) adjust(m memory) bool {
	percent := int(min(max(100*garbageRoom/max(m.live+m.stacks, 1), minPercent), maxPercent))
	if percent > k.percent*3/4 && percent < k.percent*5/4 {
		return false
	}
	k.percent = percent
	return true
}

// quiet reports whether so little has happened since the last look that garbage
// should be collected and its memory given back.
func (k *keeper) quiet(m memory) bool {
	fresh := m.allocated - k.allocated
	k.allocated = m.allocated
	garbage := m.objects - min(m.live, m.objects)
	return fresh <= littleGarbage/quietParts+m.live/quietParts && garbage > littleGarbage+m.live/garbageParts
}

// limitMemory keeps the process below what its control group may have.
func limitMemory() {
	groups, _ := os.ReadFile("/proc/self/cgroup")
	most := groupMemory(string(groups), os.ReadFile)
	if most < math.MaxInt64 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(most / 100 * limitPercent)
	}
}

// groupMemory is what the control groups (cgroups(7)) of a process allow, of
// either version, with all that they are in. groups is its list of them.
func groupMemory(groups string, readFile func(string) ([]byte, error)) int64 {
	least := int64(math.MaxInt64)
	for line := range strings.Lines(groups) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		dir, file := "/sys/fs/cgroup", "memory.max"
		if id != "0" {
			dir, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		if id != "0" && controllers != "memory" {
			continue
		}
		for at := path.Clean("/" + group); ; at = path.Dir(at) {
			text, err := readFile(path.Join(dir, at, file))
			n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && bad == nil && n > 0 { // "max": there is no limit
				least = min(least, n)
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}
