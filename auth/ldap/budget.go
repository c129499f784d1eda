package ldap

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"kpopd/auth"
)

// errBudget means that the directory was not asked, lest it lock the account.
var errBudget = auth.Refuse(fmt.Errorf("%w: %w", auth.ErrCredentials, errors.New("too many failed binds")), "lockout-budget")

// A Budget bounds the failed binds of each user, so that the directory's own
// limit is not reached through this server and nobody can lock an account by
// guessing here. It is safe for concurrent use; one Budget may serve several
// Directories, one after the other, as it does when a configuration is read
// again. The zero Budget is ready for use.
type Budget struct {
	mu     sync.Mutex
	failed *lru[string, []time.Time] // by user
	proven *lru[string, proof]       // what was right the last time
	secret []byte                    // of the proofs
}

// How long a right password is remembered, as a proof.
const provenLife = 24 * time.Hour

func (b *Budget) setUp() {
	if b.failed == nil {
		b.failed, b.proven = newLRU[string, []time.Time](cacheSize), newLRU[string, proof](cacheSize)
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

// take counts a bind of user as failed before it is sent, so that guesses in
// parallel are within the budget too. It reports false if the directory could
// count up to threshold within the window; 0: it does not count. There always is for the password that was right
// the last time: it is right again in all likelihood, and then the directory
// forgets the failures. Were it not so, strangers could shut out everybody.
func (b *Budget) take(user string, p proof, threshold int, window time.Duration) bool {
	if threshold <= 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setUp()
	now := time.Now()
	recent := b.recent(user, now, window)
	if known, ok := b.proven.get(user, now); len(recent) >= threshold-1 && (!ok || known != p) {
		return false
	}
	b.failed.set(user, append(recent, now), now.Add(window))
	return true
}

// recent returns the failures of user that still count.
func (b *Budget) recent(user string, now time.Time, window time.Duration) []time.Time {
	all, _ := b.failed.get(user, now)
	for len(all) > 0 && now.Sub(all[0]) >= window {
		all = all[1:]
	}
	return all
}

// succeeded takes back what was counted: a bind that succeeds makes the
// directory count from zero.
func (b *Budget) succeeded(user string, p proof) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setUp()
	b.failed.drop(user)
	b.proven.set(user, p, time.Now().Add(provenLife))
}

// forgive takes back the last failure, of a bind that no server has judged.
func (b *Budget) forgive(user string, window time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setUp()
	now := time.Now()
	if all := b.recent(user, now, window); len(all) > 0 {
		b.failed.set(user, all[:len(all)-1], now.Add(window))
	}
}

// refuted forgets a password that was right once and is not any more.
func (b *Budget) refuted(user string, p proof) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setUp()
	if known, ok := b.proven.get(user, time.Now()); ok && known == p {
		b.proven.drop(user)
	}
}
