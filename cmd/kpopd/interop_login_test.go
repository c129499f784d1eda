package main

import "testing"

// What a login costs is counted in system calls: the socket has its options from
// the listener but for one, each answer is one write, and the lock is written
// once.
func TestCallsOfLogin(t *testing.T) {
	s := newSite(t)
	s.keep(t, "1.small", "A: b\n\nc\n", "", 8)
	d := s.start(t)
	warm := dial(t, d.addrs["clear"])
	warm.login("bob", bobPassword)
	warm.ok("QUIT")
	tr := d.strace(t)
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	c.ok("STAT")
	c.ok("NOOP")
	c.ok("QUIT")
	login := tr.parts(t)[0]
	for _, tt := range []struct {
		what, pattern string
		most          int
	}{
		{"options of the socket", `setsockopt\(`, 1},
		{"answers", `write\(\d+<(TCP|socket)`, 4},
		{"writes into the lock", `pwrite64\(.*locks/`, 1},
		{"reads of the lock", `pread64\(.*locks/`, 1},
		{"files opened", `openat2?\(`, 7},
	} {
		if calls, _ := count(login, tt.pattern); calls > tt.most {
			t.Errorf("%d %s, want at most %d, in %q", calls, tt.what, tt.most, login)
		}
	}
}
