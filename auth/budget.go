package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrBudget means that whoever checks passwords was not asked, lest he lock the
// account. It wraps ErrCredentials.
var ErrBudget = Refuse(fmt.Errorf("%w: %w", ErrCredentials, errors.New("too many failures")), "lockout-budget")

// A Budget bounds the failed attempts of each user at a directory or a KDC, so
// that its own limit is not reached through this server and nobody can lock an
// account by guessing here. It is safe for concurrent use; one Budget may serve
// several authenticators, one after the other, as it does when a configuration
// is read again. The zero Budget is ready for use.
type Budget struct {
	mu     sync.Mutex
	failed *lru[string, int]   // by user, until the count begins anew
	proven *lru[string, Proof] // what was right the last time
	secret []byte              // of the proofs
}

// How long a right password is remembered, as a proof.
const provenLife = 24 * time.Hour

func (b *Budget) setUp() {
	if b.failed == nil {
		b.failed, b.proven = newLRU[string, int](cacheSize), newLRU[string, Proof](cacheSize)
		b.secret = make([]byte, sha256.Size)
		rand.Read(b.secret)
	}
}

// key is the key of all proofs that b keeps.
func (b *Budget) key() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setUp()
	return b.secret
}

// Take counts an attempt of user as failed before it is sent, so that guesses in
// parallel are within the budget too. It reports false if the count could
// come up to threshold; 0: nobody counts. Active Directory forgets the
// failures when none has come for the whole window (lockOutObservationWindow),
// which is later than others do. There always is an attempt for the password
// that was right the last time: it is right again in all likelihood, and then
// the failures are forgotten. Were it not so, strangers could shut out
// everybody.
func (b *Budget) Take(user string, p Proof, threshold int, window time.Duration) bool {
	if threshold <= 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setUp()
	now := time.Now()
	failed, _ := b.failed.get(user, now)
	if known, ok := b.proven.get(user, now); failed >= threshold-1 && (!ok || known != p) {
		return false
	}
	b.failed.set(user, failed+1, now.Add(window))
	return true
}

// Succeeded takes back what was counted: after a success the count begins at
// zero.
func (b *Budget) Succeeded(user string, p Proof) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setUp()
	b.failed.drop(user)
	b.proven.set(user, p, time.Now().Add(provenLife))
}

// Forgive takes back the last failure, of an attempt that nobody has judged.
func (b *Budget) Forgive(user string, window time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setUp()
	now := time.Now()
	if failed, ok := b.failed.get(user, now); ok && failed > 0 {
		b.failed.set(user, failed-1, now.Add(window))
	}
}

// Refuted says that a failure has been counted by now, and forgets a
// password that was right once and is not any more.
func (b *Budget) Refuted(user string, p Proof, window time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setUp()
	now := time.Now()
	if failed, ok := b.failed.get(user, now); ok {
		b.failed.set(user, failed, now.Add(window))
	}
	if known, ok := b.proven.get(user, now); ok && known == p {
		b.proven.drop(user)
	}
}
