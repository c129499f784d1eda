package pop3_test

import (
	"testing"

	"kpopd/server/pop3"
)

// race: the race detector runs, which makes pools forget.
var race bool

// A command line that has no argument, or is none, allocates nothing; one with an
// argument what its text takes. The client allocates nothing either.
func TestAllocsPerLine(t *testing.T) {
	if race {
		t.Skip("the race detector allocates")
	}
	w := newWorld(t)
	w.handler.Clear = pop3.ClearAny
	w.deliver(t, "alice", "A: b\n\nc\n")
	w.deliver(t, "alice", "A: b\n\nc\n")
	c := newBenchClient(t, w)
	for _, tt := range []struct {
		command string
		most    float64
	}{
		{"NOOP", 0}, {"noop", 0}, {"STAT", 0}, {"XYZZY", 0}, {"LONGWORD", 0}, {"LIST 1", 3}, {"UIDL 2", 3},
	} {
		line := []byte(tt.command + "\r\n")
		got := testing.AllocsPerRun(200, func() {
			c.Write(line)
			for n := 0; n == 0 || c.buf[n-1] != '\n'; {
				more, err := c.Read(c.buf[n:])
				if n += more; err != nil {
					t.Fatal(err)
				}
			}
		})
		if got > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.command, got, tt.most)
		}
	}
}
