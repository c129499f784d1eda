package main

import (
	"io/fs"
	"math"
	"testing"
)

const mib = 1 << 20

// The collector lets 16 MiB of garbage come together, or three quarters of what
// is in use.
func TestKeeperAdjust(t *testing.T) {
	for _, tt := range []struct {
		percent      int
		live, stacks uint64
		want         int
	}{
		{100, 0, 0, 400}, {100, 2 * mib, 2 * mib, 400}, {100, 4 * mib, 4 * mib, 200},
		{400, 64 * mib, 0, 75}, {400, 1000 * mib, 500 * mib, 75},
		{200, 5 * mib, 2 * mib, 200}, // 228 is not worth it
	} {
		k := keeper{percent: tt.percent}
		if changed := k.adjust(memory{live: tt.live, stacks: tt.stacks}); k.percent != tt.want || changed != (tt.want != tt.percent) {
			t.Errorf("%+v: %d %%, changed: %v", tt, k.percent, changed)
		}
	}
}

// Garbage is collected when little has happened, and when it is worth it.
func TestKeeperQuiet(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		fresh, live, objects uint64
		want                 bool
	}{
		{"nothing to collect", 0, 100 * mib, 100 * mib, false},
		{"less than at the last collection", 0, 100 * mib, 90 * mib, false},
		{"little to collect", 0, 100 * mib, 106 * mib, false},
		{"quiet", 0, 100 * mib, 150 * mib, true},
		{"nearly quiet", mib, 100 * mib, 150 * mib, true},
		{"busy", 2 * mib, 100 * mib, 150 * mib, false},
		{"small and quiet", mib / 128, mib / 2, 4 * mib, true},
		{"small and busy", mib, mib / 2, 4 * mib, false},
	} {
		k := keeper{allocated: 7}
		if got := k.quiet(memory{allocated: 7 + tt.fresh, live: tt.live, objects: tt.objects}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		if k.quiet(memory{allocated: 7 + tt.fresh + 10*tt.live + mib, live: tt.live, objects: 2 * tt.objects}) {
			t.Errorf("%s: quiet at the next look, where it is not", tt.name)
		}
	}
}

func TestGroupMemory(t *testing.T) {
	files := map[string]string{
		"/sys/fs/cgroup/memory.max":                          "max\n",
		"/sys/fs/cgroup/mail.slice/memory.max":               "4096\n",
		"/sys/fs/cgroup/mail.slice/kpopd.service/memory.max": "8192\n",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes":        "9223372036854771712\n",
		"/sys/fs/cgroup/memory/a/memory.limit_in_bytes":      "1000\n",
	}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	for _, tt := range []struct {
		groups string
		want   int64
	}{
		{"", math.MaxInt64}, {"0::/\n", math.MaxInt64}, {"0::/elsewhere\n", math.MaxInt64},
		{"0::/mail.slice/kpopd.service\n", 4096},
		{"9:name=systemd:/\n5:memory:/a/b\n0::/\n", 1000}, {"4:cpu:/a\n", math.MaxInt64},
		{"5:memory:/\n", 9223372036854771712},
		{"0::/../mail.slice\n", 4096}, {"nonsense\n", math.MaxInt64},
	} {
		if got := groupMemory(tt.groups, read); got != tt.want {
			t.Errorf("%q: %d, want %d", tt.groups, got, tt.want)
		}
	}
}
