package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

// maxRecalled bounds what a Recall remembers: some 13 MB.
const maxRecalled = 1 << 16

// A Recall remembers for a while which passwords were right, so that a hash that
// is made to take long is computed once and not at each login. It is never told
// of wrong ones. What it keeps of a password is a MAC of it and of the hash that
// it was checked against, under a random key of this process: a hash that was
// replaced or removed is not recalled, and a dump of the table without the key is
// nothing to try passwords on. It is safe for concurrent use. A nil Recall
// remembers nothing.
type Recall struct {
	life   time.Duration
	secret [sha256.Size]byte

	mu    sync.Mutex
	right *lru[Recalled, struct{}]
}

// A Recalled stands for one password and the hash that it was checked against.
type Recalled [sha256.Size]byte

// NewRecall returns a Recall that remembers for life from when a hash was
// computed, and of very many passwords those used last. It is nil for no life.
func NewRecall(life time.Duration) *Recall {
	if life <= 0 {
		return nil
	}
	r := &Recall{life: life, right: newLRU[Recalled, struct{}](maxRecalled)}
	_, _ = rand.Read(r.secret[:]) // never fails
	return r
}

// Of returns what stands for password as the one that belongs to stored, a
// digest of the user and of what is kept of his password.
func (r *Recall) Of(stored [sha256.Size]byte, password Secret) (p Recalled) {
	if r == nil {
		return p
	}
	h := hmac.New(sha256.New, r.secret[:])
	h.Write(stored[:])
	h.Write([]byte(password))
	h.Sum(p[:0])
	return p
}

// Has reports whether p was right a short while ago.
func (r *Recall) Has(p Recalled) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.right.get(p, time.Now())
	return ok
}

// Keep remembers that p has just been found right.
func (r *Recall) Keep(p Recalled) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.right.set(p, struct{}{}, time.Now().Add(r.life))
}
