package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// How many answers are kept, and budgets: some 10 MB when both are full.
const cacheSize = 1 << 14

// A Proof is a name together with its password, without the password. Its key
// is of this process only: a dump of the memory is no list of hashes to try
// passwords on elsewhere.
type Proof struct {
	user string
	mac  [sha256.Size]byte
}

// A Verdict is what a directory or a KDC said of a Proof.
type Verdict struct {
	Identity Identity
	Err      error // wraps ErrCredentials or ErrDenied, or is nil
}

// Verdicts keep what was said for a short time, and let nobody ask about a proof
// that somebody else is asking about. They are safe for concurrent use.
type Verdicts struct {
	good, bad time.Duration // how long; 0: not at all
	secret    []byte

	mu       sync.Mutex
	verdicts *lru[Proof, Verdict]
	asking   map[Proof]*question
}

// A question is one that is being asked.
type question struct {
	done chan struct{} // closed when v is there
	v    Verdict
	cut  bool // the one who asked went away
}

// NewVerdicts returns Verdicts that keep a good one and a bad one so long; 0: not
// at all. Their proofs are those of b.
func NewVerdicts(good, bad time.Duration, b *Budget) *Verdicts {
	return &Verdicts{good: good, bad: bad, secret: b.key(), verdicts: newLRU[Proof, Verdict](cacheSize), asking: map[Proof]*question{}}
}

// Proof returns the proof of a password.
func (c *Verdicts) Proof(p Password) Proof {
	h := hmac.New(sha256.New, c.secret)
	h.Write([]byte(p.Secret))
	k := Proof{user: p.User}
	h.Sum(k.mac[:0])
	return k
}

// Ask returns the verdict on a proof: a kept one, which fresh reports as
// false, or the one that find returns. Who comes while another asks the same
// gets the same answer.
func (c *Verdicts) Ask(ctx context.Context, p Proof, find func() Verdict) (v Verdict, fresh bool) {
	if c.good == 0 && c.bad == 0 {
		return find(), true
	}
	for {
		v, q, mine := c.begin(p)
		switch {
		case q == nil:
			return v, false
		case mine:
			c.answer(ctx, p, q, find)
			return q.v, true
		}
		select {
		case <-q.done:
			if !q.cut {
				return q.v, true
			}
		case <-ctx.Done():
			return Verdict{Err: Refuse(fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx)), "canceled")}, true
		}
	}
}

// begin returns a kept verdict, or a question that is being asked, or else one
// that the caller must answer.
func (c *Verdicts) begin(p Proof) (v Verdict, q *question, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.verdicts.get(p, time.Now()); ok {
		return v, nil, false
	}
	if q = c.asking[p]; q == nil {
		q, mine = &question{done: make(chan struct{}), cut: true}, true
		c.asking[p] = q
	}
	return v, q, mine
}

func (c *Verdicts) answer(ctx context.Context, p Proof, q *question, find func() Verdict) {
	defer func() { // also if find panics
		c.mu.Lock()
		defer c.mu.Unlock()
		if life := c.life(q.v); !q.cut && life > 0 {
			c.verdicts.set(p, q.v, time.Now().Add(life))
		}
		delete(c.asking, p)
		close(q.done)
	}()
	v := find()
	q.v, q.cut = v, ctx.Err() != nil && errors.Is(v.Err, ErrUnavailable)
}

// life is how long a verdict is kept. That a user is not known is looked up
// each time, because it costs nothing but a search; an outage is no verdict,
// and neither is what the budget forbade to ask.
func (c *Verdicts) life(v Verdict) time.Duration {
	switch {
	case v.Err == nil:
		return c.good
	case errors.Is(v.Err, ErrBudget):
		return 0
	case errors.Is(v.Err, ErrCredentials):
		return c.bad
	}
	return 0
}
