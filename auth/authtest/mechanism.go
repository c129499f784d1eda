package authtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"kpopd/auth"
)

// A Mechanism is what [TestMechanism] needs to know of one under test.
type Mechanism struct {
	auth.Mechanism
	// Peer is a connection on which the mechanism may be used.
	Peer auth.Peer
	// Forbidden are connections on which it may not.
	Forbidden []auth.Peer
	// Client returns a fresh client that holds a right proof.
	Client func(testing.TB) sasl.Client
	// Want is who the client proves to be. User and Authzid are compared.
	Want auth.Identity
	// Prompt is what the mechanism says where there is no initial response:
	// nothing, where the client speaks first.
	Prompt string
	// ServerFirst: there is no initial response, and Client's is nil. What the
	// mechanism says first is the client's first challenge.
	ServerFirst bool
	// External: who the client is has been proven before, so that whatever it
	// says proves Want.
	External bool
	// Rounds is the number of mutated conversations. 0: 10,000.
	Rounds int
}

// maxSteps is more messages than any mechanism's client sends.
const maxSteps = 16

// TestMechanism tests that m honours the contract of [auth.Mechanism] and
// [auth.Exchange] with right, wrong, mutated and abandoned conversations.
func TestMechanism(t *testing.T, m Mechanism) {
	if m.Rounds == 0 {
		m.Rounds = 10_000
	}
	t.Run("Usable", m.usable)
	t.Run("Good", m.good)
	t.Run("NoInitialResponse", m.noInitial)
	t.Run("Finished", m.finished)
	t.Run("Garbage", m.garbage)
	t.Run("Mutated", m.mutated)
	t.Run("Abandoned", m.abandoned)
	t.Run("Concurrent", m.concurrent)
}

func (m Mechanism) usable(t *testing.T) {
	if !m.Usable(m.Peer) {
		t.Error("not usable where it should be")
	}
	for _, p := range m.Forbidden {
		if m.Usable(p) {
			t.Errorf("usable on %+v", p)
		}
	}
}

// A speech is what a client says to an exchange, changed by change, which may
// be nil. step counts from 0, the initial response.
type speech struct {
	client  sasl.Client
	initial bool
	prompt  string
	change  func(step int, response []byte) []byte
}

// converse lets s talk to x to the end. It returns nil when x is done.
func (s speech) converse(x auth.Exchange) error {
	_, response, err := s.client.Start()
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if !s.initial {
		if challenge, done, err := x.Next(nil); err != nil || done || challenge == nil || string(challenge) != s.prompt {
			return fmt.Errorf("without initial response: challenge of %d octets, done %v: %w", len(challenge), done, err)
		}
	}
	for step := range maxSteps {
		if s.change != nil {
			response = s.change(step, response)
		}
		challenge, done, err := x.Next(response)
		if err != nil || done && len(challenge) == 0 {
			return err
		}
		if response, err = s.client.Next(challenge); err != nil {
			return fmt.Errorf("client: %w", err)
		}
		if done {
			return nil // the protocol awaits an empty answer to the last challenge
		}
		if response == nil {
			response = []byte{}
		}
	}
	return fmt.Errorf("not done after %d messages", maxSteps)
}

// speech returns what a fresh client says.
func (m Mechanism) speech(t testing.TB, initial bool, change func(int, []byte) []byte) speech {
	return speech{client: m.Client(t), initial: initial || m.ServerFirst, prompt: m.Prompt, change: change}
}

// start begins an exchange that ends with the test.
func (m Mechanism) start(t testing.TB) auth.Exchange {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return m.Start(ctx, m.Peer)
}

// succeed checks that a good conversation ends well and proves Want.
func (m Mechanism) succeed(t testing.TB, initial bool) auth.Exchange {
	t.Helper()
	x := m.start(t)
	if err := m.speech(t, initial, nil).converse(x); err != nil {
		t.Fatalf("a good conversation: %v", err)
	}
	m.check(t, x)
	return x
}

func (m Mechanism) check(t testing.TB, x auth.Exchange) {
	t.Helper()
	id := x.Identity()
	if id.User != m.Want.User || id.Authzid != m.Want.Authzid || id.Mechanism != m.Name() {
		t.Errorf("identity %q as %q by %q, want %q as %q by %q",
			id.User, id.Authzid, id.Mechanism, m.Want.User, m.Want.Authzid, m.Name())
	}
}

func (m Mechanism) good(t *testing.T)      { m.succeed(t, true) }
func (m Mechanism) noInitial(t *testing.T) { m.succeed(t, false) }

// finished: nothing that follows the end is another chance.
func (m Mechanism) finished(t *testing.T) {
	x := m.succeed(t, true)
	for _, more := range [][]byte{nil, {}, []byte("more")} {
		if _, done, err := x.Next(more); err == nil || done {
			t.Errorf("Next after the end: done %v, error %v", done, err)
		}
	}
	x = m.start(t)
	if _, _, err := x.Next([]byte("\x00")); err == nil {
		t.Fatal("one NUL is no error")
	}
	if err := m.speech(t, true, nil).converse(x); err == nil {
		t.Error("a good conversation after a refusal is accepted")
	}
}

// garbage: no octets at random prove anything.
func (m Mechanism) garbage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 1000 {
		b := make([]byte, random.IntN(1+n))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		x := m.start(t)
		_, done, err := x.Next(b)
		if done && !m.External {
			t.Fatalf("%x is accepted", b)
		} else if err != nil {
			m.mustBeRefusal(t, err)
		}
		if id := x.Identity(); id.User != "" && (id.User != m.Want.User || !done) {
			t.Fatalf("%x proves %q", b, id.User)
		}
	}
}

func (m Mechanism) mustBeRefusal(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, auth.ErrCredentials) && !errors.Is(err, auth.ErrDenied) && !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("error %v wraps none of the package's", err)
	}
}

// mutated: a changed message ends in a refusal or proves the same person, and
// hurts nobody else.
func (m Mechanism) mutated(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	steps, refused := m.steps(t), 0
	for range m.Rounds {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		x := m.Start(ctx, m.Peer)
		target := random.IntN(steps)
		err := m.speech(t, random.IntN(2) == 0, func(step int, b []byte) []byte {
			if step != target {
				return b
			}
			return mutate(random, b)
		}).converse(x)
		cancel()
		if err != nil {
			refused++
		} else if id := x.Identity(); id.User != m.Want.User {
			t.Fatalf("a mutated conversation proves %q", id.User)
		}
	}
	if refused < m.Rounds/10 {
		t.Errorf("only %d of %d refused: the mutations do not reach the mechanism", refused, m.Rounds)
	}
	m.succeed(t, true)
}

// steps returns how many messages a good client sends.
func (m Mechanism) steps(t testing.TB) int {
	n := 0
	count := func(_ int, b []byte) []byte { n++; return b }
	if err := m.speech(t, true, count).converse(m.start(t)); err != nil {
		t.Fatalf("a good conversation: %v", err)
	}
	return n
}

// mutate returns b changed at random.
func mutate(random *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	at := random.IntN(len(b) + 1)
	switch kind := random.IntN(6); {
	case kind == 0 || len(b) == 0:
		return slices.Insert(b, at, byte(random.Uint32()))
	case kind == 1:
		return b[:at]
	case kind == 2:
		return append(b, b[at:]...)
	case kind == 3:
		return slices.Insert(b, at, make([]byte, 1+random.IntN(4))...)
	}
	for range 1 + random.IntN(4) {
		b[random.IntN(len(b))] ^= 1 << random.IntN(8)
	}
	return b
}

// abandoned: clients that go away leave nothing behind.
func (m Mechanism) abandoned(t *testing.T) {
	before := runtime.NumGoroutine()
	heap := heapInUse()
	for range 10_000 {
		ctx, cancel := context.WithCancel(context.Background())
		_, _, _ = m.Start(ctx, m.Peer).Next(nil)
		cancel()
	}
	deadline := time.Now().Add(within)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines more than before", n-before)
	}
	if grown := int64(heapInUse()) - int64(heap); grown > 8<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func (m Mechanism) concurrent(t *testing.T) {
	var wg sync.WaitGroup
	for range 16 {
		s := m.speech(t, true, nil)
		wg.Go(func() {
			x := m.start(t)
			if err := s.converse(x); err != nil {
				t.Errorf("a good conversation among others: %v", err)
				return
			}
			m.check(t, x)
		})
	}
	wg.Wait()
}
