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
	failed *lru[string, int]   // by user, until the directory counts anew
	proven *lru[string, proof] // what was right the last time
	secret []byte              // of the proofs
}

// How long a right password is remembered, as a proof.
const provenLife = 24 * time.Hour

func (b *Budget) setUp() {
	if b.failed == nil {
		b.failed, b.proven = newLRU[string, int](cacheSize), newLRU[string, proof](cacheSize)
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
// count up to threshold; 0: it does not count. Active Directory forgets the
// failures when none has come for the whole window (lockOutObservationWindow),
// which is later than others do. There always is a bind for the password that
// was right the last time: it is right again in all likelihood, and then the
// directory forgets the failures. Were it not so, strangers could shut out
// everybody.
func (b *Budget) take(user string, p proof, threshold int, window time.Duration) bool {
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
	if failed, ok := b.failed.get(user, now); ok && failed > 0 {
		b.failed.set(user, failed-1, now.Add(window))
	}
}

// refuted says that the directory has counted a failure by now, and forgets a
// password that was right once and is not any more.
func (b *Budget) refuted(user string, p proof, window time.Duration) {
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
