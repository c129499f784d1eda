package auth

import (
	"context"
	"sync"
	"time"
)

const (
	// freeFailures are answered at once: people mistype.
	freeFailures = 3
	// maxHeld is how many answers may be held back at one address.
	maxHeld = 16
)

// Hold says how long the answer to a login of user at p that failed, and was
// counted, is to be held back: not at all for the first three failures, Delay
// for the next and twice as long for each after that, MaxDelay at most. What
// has been forgiven by FailuresPerMinute does not count, nor who the user is,
// nor whether he exists. An address with all its users is as slow as ten times
// as many failures would make one of them.
//
// done ends the time. ok is false where so many answers are held back at the
// address already that the client should be answered and sent away at once:
// connections that wait must not become a burden, and a guesser who opens many
// gains little.
func (t *Throttle) Hold(p Peer, user string) (d time.Duration, done func(), ok bool) {
	ctx, k := context.Background(), t.keys(p, user)
	level := max(t.counts.pair.level(ctx, k.pair), t.counts.address.level(ctx, k.address)/addressFactor)
	if d = t.delay(level); d <= 0 {
		return 0, func() {}, true
	}
	if !t.counts.held.add(k.address) {
		return 0, func() {}, false
	}
	return d, sync.OnceFunc(func() { t.counts.held.remove(k.address) }), true
}

func (t *Throttle) delay(level int) time.Duration {
	if level <= freeFailures || t.Delay <= 0 {
		return 0
	}
	d := t.Delay
	for range level - freeFailures - 1 {
		if d >= t.MaxDelay {
			break
		}
		d *= 2
	}
	return min(d, t.MaxDelay)
}

// held counts the answers that are held back, by address.
type held struct {
	mu sync.Mutex
	n  map[string]int
}

func (h *held) add(address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n == nil {
		h.n = make(map[string]int)
	}
	if h.n[address] >= maxHeld {
		return false
	}
	h.n[address]++
	return true
}

func (h *held) remove(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n[address]--; h.n[address] == 0 {
		delete(h.n, address)
	}
}
