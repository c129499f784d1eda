package ldap

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// A pace is how long a piece of work has taken of late. Who waits by it takes
// as long as one of the last, picked at random: the same median, and the same
// spread about it, as who does the work.
type pace struct {
	mu   sync.Mutex
	took []time.Duration // the last, in a ring
	next int
}

// paceMemory is how many times are remembered.
const paceMemory = 64

func (p *pace) note(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took) < paceMemory {
		p.took = append(p.took, took)
		return
	}
	p.took[p.next] = took
	p.next = (p.next + 1) % paceMemory
}

func (p *pace) pick() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took) == 0 {
		return 0
	}
	return p.took[rand.IntN(len(p.took))]
}

// wait waits until work that began at begun would be done, or ctx ends.
func (p *pace) wait(ctx context.Context, begun time.Time) {
	timer := time.NewTimer(time.Until(begun.Add(p.pick())))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
