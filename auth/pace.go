package auth

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Pace is how long a piece of work has taken of late. Who waits by it takes
// as long as one of the last, picked at random: the same median, and the same
// spread about it, as who does the work. It is safe for concurrent use.
type Pace struct {
	mu   sync.Mutex
	took []time.Duration // the last, in a ring
	next int
}

// paceMemory is how many times are remembered.
const paceMemory = 64

// Note notes how long one piece of work took.
func (p *Pace) Note(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took) < paceMemory {
		p.took = append(p.took, took)
		return
	}
	p.took[p.next] = took
	p.next = (p.next + 1) % paceMemory
}

// Pick returns one of the last times, 0 while there is none.
func (p *Pace) Pick() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took) == 0 {
		return 0
	}
	return p.took[rand.IntN(len(p.took))]
}

// Usual returns the median of the last times, 0 while there is none.
func (p *Pace) Usual() time.Duration {
	p.mu.Lock()
	sorted := slices.Sorted(slices.Values(p.took))
	p.mu.Unlock()
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

// Wait waits until work that began at begun would be done, or ctx ends.
func (p *Pace) Wait(ctx context.Context, begun time.Time) {
	waitUntil(ctx, begun.Add(p.Pick()))
}

// Catch waits for as long as the work of another Pace usually takes longer
// than that of p, or until ctx ends.
func (p *Pace) Catch(ctx context.Context, other *Pace) {
	waitUntil(ctx, time.Now().Add(other.Usual()-p.Usual()))
}

// waitUntil waits until end, or ctx ends.
func waitUntil(ctx context.Context, end time.Time) {
	timer := time.NewTimer(time.Until(end.Add(-finest)))
	defer timer.Stop()
	select {
	case <-timer.C:
		sleepUntil(end)
	case <-ctx.Done():
	}
}

// finest is how exact a timer is: where the process is idle, the runtime waits
// for whole milliseconds.
const finest = 2 * time.Millisecond

// coarse is how late a sleep may end: as long as the answers of a directory
// differ.
const coarse = 200 * time.Microsecond

// sleepUntil waits for at most about finest, in the end without sleeping. It
// occupies a thread as long.
func sleepUntil(end time.Time) {
	for left := time.Until(end); left > 0; left = time.Until(end) {
		if left <= coarse {
			runtime.Gosched()
			continue
		}
		pause := syscall.NsecToTimespec(int64(min(left, finest) - coarse))
		_ = syscall.Nanosleep(&pause, nil) // of an interruption the next round knows
	}
}
