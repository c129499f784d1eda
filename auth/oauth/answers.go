package oauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

// maxAnswers bounds how many answers are kept, twice over: some 10 MB of those
// that issuers give.
const maxAnswers = 1 << 12

// An answer is what the issuer said of a token.
type answer struct {
	claims claims
	err    error // wraps ErrUnknown or ErrCredentials, or is nil
}

type answerKey [sha256.Size]byte

// answers keeps answers for a short time, and those of a full table no longer
// than it takes to fill another.
type answers struct {
	life   time.Duration
	secret []byte

	mu         sync.Mutex
	young, old map[answerKey]timedAnswer
	turn       time.Time // when young becomes old
}

type timedAnswer struct {
	answer
	until time.Time
}

func newAnswers(life time.Duration) *answers {
	s := &answers{life: life, secret: make([]byte, sha256.Size), young: map[answerKey]timedAnswer{}}
	rand.Read(s.secret)
	return s
}

// key names a token without the token: a dump of the memory is no list of
// hashes to try tokens on elsewhere.
func (s *answers) key(text string) (k answerKey) {
	h := hmac.New(sha256.New, s.secret)
	h.Write([]byte(text))
	h.Sum(k[:0])
	return k
}

func (s *answers) get(k answerKey) (answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.young[k]
	if !ok {
		v, ok = s.old[k]
	}
	return v.answer, ok && time.Now().Before(v.until)
}

func (s *answers) set(k answerKey, a answer) {
	if s.life <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.After(s.turn) || len(s.young) >= maxAnswers {
		s.old, s.young = s.young, map[answerKey]timedAnswer{}
		s.turn = now.Add(s.life)
	}
	s.young[k] = timedAnswer{a, now.Add(s.life)}
}
