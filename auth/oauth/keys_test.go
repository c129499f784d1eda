package oauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"kpopd/auth"
	"kpopd/auth/oauth"
	"kpopd/testenv"
)

// A ring is an issuer's keys in memory, for tests of when they are asked for.
type ring struct {
	mu     sync.Mutex
	id     string
	key    *ecdsa.PrivateKey
	err    error         // of a fetch
	delay  time.Duration // of a fetch
	asked  int
	tokens map[string]string
}

func newRing(t testing.TB) *ring {
	r := &ring{tokens: map[string]string{}}
	r.rotate(t, "first")
	return r
}

// rotate makes a key with a name the only one.
func (r *ring) rotate(t testing.TB, id string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		&jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": id}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{"sub": id}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id, r.key, r.tokens[id] = id, key, token
}

func (r *ring) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	r.mu.Lock()
	r.asked++
	delay := r.delay
	r.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	return []jose.JSONWebKey{{Key: r.key.Public(), KeyID: r.id, Algorithm: "ES256"}}, nil
}

// fails makes fetches fail, or go well with nil.
func (r *ring) fails(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *ring) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// keys returns a key set of r in a bubble of its own.
func (r *ring) in(t *testing.T, test func(*testing.T, oauth.Keys)) {
	synctest.Test(t, func(t *testing.T) {
		k := oauth.NewKeys(r.fetch, slog.New(slog.DiscardHandler))
		defer k.Close()
		test(t, k)
	})
}

func verifies(t testing.TB, k oauth.Keys, token, reason string) {
	t.Helper()
	err := k.Verify(context.Background(), token)
	if got := auth.Reason(err); err == nil && reason != "" || err != nil && got != reason {
		t.Errorf("%v, with the reason %q, want %q", err, got, reason)
	}
}

func TestKeysRotate(t *testing.T) {
	r := newRing(t)
	r.in(t, func(t *testing.T, k oauth.Keys) {
		verifies(t, k, r.tokens["first"], "")
		verifies(t, k, r.tokens["first"], "")
		if r.count() != 1 {
			t.Errorf("asked %d times", r.count())
		}
		time.Sleep(11 * time.Second)
		r.rotate(t, "second")
		verifies(t, k, r.tokens["first"], "") // the key at hand does
		verifies(t, k, r.tokens["second"], "")
		verifies(t, k, r.tokens["first"], "unknown-key")
	})
}

// TestKeysGuessed: names of keys made up at random do not have us ask the issuer
// more than once in ten seconds.
func TestKeysGuessed(t *testing.T) {
	r, other := newRing(t), newRing(t)
	for range 50 {
		other.rotate(t, rand.Text())
	}
	r.in(t, func(t *testing.T, k oauth.Keys) {
		begun := time.Now()
		var wg sync.WaitGroup
		for _, token := range other.tokens {
			wg.Go(func() {
				for range 100 {
					if err := k.Verify(context.Background(), token); !errors.Is(err, auth.ErrCredentials) {
						t.Errorf("a stranger's token: %v", err)
					}
					time.Sleep(time.Second)
				}
			})
		}
		wg.Wait()
		if most := 1 + int(time.Since(begun)/(10*time.Second)); r.count() > most || r.count() < 2 {
			t.Errorf("asked %d times in %v", r.count(), time.Since(begun))
		}
		verifies(t, k, r.tokens["first"], "")
	})
}

// TestKeysOld: keys that are old are fetched again while the old ones serve, so
// that one that was withdrew is gone in time, and serve on while the issuer
// cannot be asked.
func TestKeysOld(t *testing.T) {
	r := newRing(t)
	r.in(t, func(t *testing.T, k oauth.Keys) {
		verifies(t, k, r.tokens["first"], "")
		time.Sleep(11 * time.Minute)
		r.fails(errors.New("down"))
		r.delay = time.Second
		for range 100 {
			begun := time.Now()
			verifies(t, k, r.tokens["first"], "")
			if d := time.Since(begun); d != 0 {
				t.Errorf("a login waited %v for an issuer that is down", d)
			}
			time.Sleep(time.Minute)
		}
		if n := r.count(); n < 50 || n > 110 {
			t.Errorf("asked %d times in 100 minutes", n)
		}
		r.rotate(t, "second")
		verifies(t, k, r.tokens["second"], "issuer-unavailable") // who can say?
		r.fails(nil)
		time.Sleep(2 * time.Minute)
		verifies(t, k, r.tokens["first"], "") // and the keys are fetched meanwhile
		time.Sleep(2 * time.Second)
		verifies(t, k, r.tokens["second"], "")
		time.Sleep(11 * time.Second)
		verifies(t, k, r.tokens["first"], "unknown-key")
	})
}

// TestKeysDown: an issuer that is down at first is an outage, is not asked at
// every login, and is found again.
func TestKeysDown(t *testing.T) {
	r := newRing(t)
	r.fails(errors.New("down"))
	r.in(t, func(t *testing.T, k oauth.Keys) {
		for range 6000 {
			if err := k.Verify(context.Background(), r.tokens["first"]); !errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrCredentials) {
				t.Fatalf("%v, want an outage", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := r.count(); n < 10 || n > 20 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		r.fails(nil)
		time.Sleep(time.Minute)
		verifies(t, k, r.tokens["first"], "")
	})
}

// TestKeysHang: while the issuer does not answer, who asks waits no longer than
// he wants, and all wait for one answer.
func TestKeysHang(t *testing.T) {
	r := newRing(t)
	r.delay = 5 * time.Second
	r.in(t, func(t *testing.T, k oauth.Keys) {
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n)*time.Second+time.Millisecond)
				defer cancel()
				begun := time.Now()
				err := k.Verify(ctx, r.tokens["first"])
				if waited := time.Since(begun); n < 5 && (waited > time.Duration(n+1)*time.Second || !errors.Is(err, auth.ErrUnavailable)) || n > 5 && err != nil {
					t.Errorf("%d: %v after %v", n, err, waited)
				}
			})
		}
		wg.Wait()
		if r.count() != 1 {
			t.Errorf("asked %d times", r.count())
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := k.Verify(ctx, r.tokens["first"]); err != nil {
			t.Errorf("known keys need no wait: %v", err)
		}
	})
}

// TestKeysClosed: a login on an Authenticator that was replaced has its answer.
func TestKeysClosed(t *testing.T) {
	r := newRing(t)
	r.in(t, func(t *testing.T, k oauth.Keys) {
		k.Close()
		verifies(t, k, r.tokens["first"], "")
	})
	r.in(t, func(t *testing.T, k oauth.Keys) {
		verifies(t, k, r.tokens["first"], "")
		asked := r.count()
		r.fails(errors.New("down"))
		next := oauth.NewKeys(r.fetch, slog.New(slog.DiscardHandler))
		defer next.Close()
		next.Adopt(k)
		k.Close()
		verifies(t, next, r.tokens["first"], "")
		if r.count() != asked {
			t.Error("adopted keys are fetched again")
		}
	})
}

// TestIssuerFaults: whatever the issuer does, it is an outage and ends in time;
// keys that are there go on.
func TestIssuerFaults(t *testing.T) {
	w := newWorld(t)
	for _, f := range []testenv.IssuerFault{testenv.Hang, testenv.Reset, testenv.Garbage, testenv.Huge, testenv.Deep, testenv.Broken, testenv.Loop, testenv.Clear} {
		t.Run(string(f), func(t *testing.T) {
			c := w.config()
			c.Log = slog.New(slog.DiscardHandler)
			if f == testenv.Hang {
				c.Timeout = time.Second
			}
			token := w.Token(t, nil)
			w.Break(f)
			a := open(t, c)
			refused(t, a, token, auth.ErrUnavailable, "issuer-unavailable")
			c.JWKSURL = w.URL + "/keys"
			refused(t, open(t, c), token, auth.ErrUnavailable, "issuer-unavailable")
			w.Break(testenv.Healthy)
			b := open(t, c)
			accepted(t, b, token, "alice")
			w.Break(f)
			accepted(t, b, token, "alice")
			w.Break(testenv.Healthy)
		})
	}
}

// TestRotationUnderLoad: keys that change while people log in refuse nobody
// whose token is signed by one that is published.
func TestRotationUnderLoad(t *testing.T) {
	w := newWorld(t)
	a := open(t, w.config())
	tokens := []string{w.Token(t, nil)}
	accepted(t, a, tokens[0], "alice")
	b := open(t, w.config()) // has not asked yet
	w.Rotate(t, true)
	tokens = append(tokens, w.Token(t, nil))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 50 {
				accepted(t, b, tokens[n%2], "alice")
			}
		})
		wg.Go(func() {
			for range 50 {
				accepted(t, a, tokens[0], "alice")
			}
		})
	}
	wg.Wait()
	w.Rotate(t, false)
	refused(t, open(t, w.config()), tokens[0], auth.ErrCredentials, "unknown-key")
	if n := w.Requests("/keys"); n != 3 {
		t.Errorf("keys were asked for %d times by three", n)
	}
}

// TestDiscovery: a document of another issuer's is none.
func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Issuer, c.Log = w.URL+"/", slog.New(slog.DiscardHandler)
	refused(t, open(t, c), w.Token(t, map[string]any{"iss": c.Issuer}), auth.ErrUnavailable, "issuer-unavailable")
	stranger, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	c = w.config()
	c.CAs, c.Log = stranger.Pool(), slog.New(slog.DiscardHandler)
	refused(t, open(t, c), w.Token(t, nil), auth.ErrUnavailable, "issuer-unavailable")
}

// TestKeysUnfit: keys that are short, or for encryption, check nothing.
func TestKeysUnfit(t *testing.T) {
	w := newWorld(t)
	token := func(use string, bits int) string {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		id := rand.Text()
		w.Publish(jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: use})
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key},
			&jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": id, "typ": "at+jwt"}})
		if err != nil {
			t.Fatal(err)
		}
		text, err := jwt.Signed(signer).Claims(w.Claims()).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good, short, encrypting := token("sig", 2048), token("sig", 1024), token("enc", 2048)
	a := open(t, w.config())
	accepted(t, a, good, "alice")
	refused(t, a, short, auth.ErrCredentials, "unknown-key")
	refused(t, a, encrypting, auth.ErrCredentials, "unknown-key")
}
