package oauth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// When keys are fetched: again when they are old, so that one that the issuer
// withdrew is gone in time; at once for a token that names another, but not
// more often than a guesser may make us ask; and after a failure, at first and
// at last.
const (
	keysOld    = 10 * time.Minute
	keysMin    = 10 * time.Second
	retryFirst = time.Second
	retryLast  = time.Minute
)

// A keySet is the public keys of an issuer. They are fetched when they are
// first needed, and kept while the issuer cannot be asked.
type keySet struct {
	fetch  func(context.Context) ([]jose.JSONWebKey, error)
	source string
	log    *slog.Logger
	ctx    context.Context // of fetches; ends with close
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	keys    []jose.JSONWebKey // nil: there were none yet
	number  int               // of the fetch that keys are from; 0: none
	next    time.Time         // when they may be fetched again
	old     time.Time         // when they should be
	retry   time.Duration     // after the next failure
	failed  error             // of the last fetch
	running chan struct{}     // closed when the fetch under way is over; nil: there is none
}

func newKeySet(fetch func(context.Context) ([]jose.JSONWebKey, error), source string, log *slog.Logger) *keySet {
	s := &keySet{fetch: fetch, source: source, log: log, retry: retryFirst}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// verify checks a token's signature. A key that is not known may be a new one:
// the issuer is asked, and where it cannot be, nobody can say.
func (s *keySet) verify(ctx context.Context, t *token) error {
	keys, number := s.current()
	for {
		named, err := t.verify(keys)
		if err == nil || named {
			return err
		}
		more, n, failed := s.newer(ctx, number)
		switch {
		case failed != nil:
			return unavailable(failed, "issuer-unavailable")
		case n == number:
			return refuse("unknown-key", "signed by a key that is not the issuer's")
		}
		keys, number = more, n
	}
}

// current returns the keys at hand, and begins to fetch newer ones for the next
// who asks where they are old.
func (s *keySet) current() ([]jose.JSONWebKey, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.number > 0 && !s.closed && s.running == nil && now.After(s.old) && now.After(s.next) {
		s.begin()
	}
	return s.keys, s.number
}

// newer returns keys that are newer than those of a fetch, after it has waited
// for them. The same number again: it is too early to ask. An error: there are
// no newer ones because the issuer did not answer.
func (s *keySet) newer(ctx context.Context, than int) ([]jose.JSONWebKey, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.number == than && s.running == nil && !time.Now().Before(s.next) {
		s.begin()
	}
	if s.number == than && s.running != nil {
		running := s.running
		s.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if err := ctx.Err(); err != nil && s.number == than {
			return nil, than, err
		}
	}
	if s.number == than && s.failed != nil {
		return nil, than, s.failed
	}
	return s.keys, s.number, nil
}

// begin starts a fetch; the caller has locked s. After close there is nobody
// to wait for it but whoever asks, so that it ends with its timeout.
func (s *keySet) begin() {
	running, ctx := make(chan struct{}), s.ctx
	s.running = running
	run := func() {
		defer close(running)
		keys, err := s.fetch(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running = nil
		s.note(keys, err, time.Now())
	}
	if s.closed {
		ctx = context.WithoutCancel(ctx)
		s.mu.Unlock()
		run()
		s.mu.Lock()
		return
	}
	s.wg.Go(run)
}

// note keeps what a fetch brought; the caller has locked s.
func (s *keySet) note(keys []jose.JSONWebKey, err error, now time.Time) {
	if err == nil && len(keys) == 0 {
		err = errors.New("the issuer has no key that can be used")
	}
	if err != nil {
		s.log.Warn("issuer cannot be asked for its keys", "source", s.source, "keys", len(s.keys), "err", err)
		s.failed, s.next = err, now.Add(s.retry)
		s.retry = min(2*s.retry, retryLast)
		return
	}
	if s.failed != nil {
		s.log.Info("issuer answers again", "source", s.source)
	}
	s.log.Debug("keys of the issuer", "source", s.source, "keys", len(keys))
	s.keys, s.number = keys, s.number+1
	s.next, s.old = now.Add(keysMin), now.Add(keysOld)
	s.failed, s.retry = nil, retryFirst
}

// adopt takes over what another keySet has.
func (s *keySet) adopt(from *keySet) {
	from.mu.Lock()
	keys, number, next, old := from.keys, from.number, from.next, from.old
	from.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.number == 0 {
		s.keys, s.number, s.next, s.old = keys, number, next, old
	}
}

// close ends a fetch that is under way.
func (s *keySet) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
}
