package ldap

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"kpopd/auth"
)

// How many answers are kept, and budgets: some 10 MB when both are full.
const cacheSize = 1 << 14

// A proof is a name together with its password, without the password. Its key
// is of this process only: a dump of the memory is no list of hashes to try
// passwords on elsewhere.
type proof struct {
	user string
	mac  [sha256.Size]byte
}

// A verdict is what the directory said of a proof.
type verdict struct {
	id  auth.Identity
	err error // wraps ErrCredentials or ErrDenied, or is nil
}

// A cache keeps verdicts for a short time, and lets nobody ask about a proof
// that somebody else is asking about.
type cache struct {
	good, bad time.Duration // how long; 0: not at all
	secret    []byte

	mu       sync.Mutex
	verdicts *lru[proof, verdict]
	asking   map[proof]*question
}

// A question is one that is being asked.
type question struct {
	done chan struct{} // closed when v is there
	v    verdict
	cut  bool // the one who asked went away
}

func newCache(good, bad time.Duration, secret []byte) *cache {
	return &cache{good: good, bad: bad, secret: secret, verdicts: newLRU[proof, verdict](cacheSize), asking: map[proof]*question{}}
}

func (c *cache) proof(p auth.Password) proof {
	h := hmac.New(sha256.New, c.secret)
	h.Write([]byte(p.Secret))
	k := proof{user: p.User}
	h.Sum(k.mac[:0])
	return k
}

// ask returns the verdict on a proof: a kept one, which fresh reports as
// false, or the one that find returns. Who comes while another asks the same
// gets the same answer.
func (c *cache) ask(ctx context.Context, p proof, find func() verdict) (v verdict, fresh bool) {
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
			return verdict{err: unavailable(context.Cause(ctx), "canceled")}, true
		}
	}
}

// begin returns a kept verdict, or a question that is being asked, or else one
// that the caller must answer.
func (c *cache) begin(p proof) (v verdict, q *question, mine bool) {
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

func (c *cache) answer(ctx context.Context, p proof, q *question, find func() verdict) {
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
	q.v, q.cut = v, ctx.Err() != nil && errors.Is(v.err, auth.ErrUnavailable)
}

// life is how long a verdict is kept. That a user is not known is looked up
// each time, because it costs nothing but a search; an outage is no verdict,
// and neither is what the budget forbade to ask.
func (c *cache) life(v verdict) time.Duration {
	switch {
	case v.err == nil:
		return c.good
	case errors.Is(v.err, errBudget):
		return 0
	case errors.Is(v.err, auth.ErrCredentials):
		return c.bad
	}
	return 0
}
