package auth

import (
	"context"
	"errors"
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
)

// How much wider than FailuresPerMinute the limits are that many people
// share, and how many keys each table holds: some 25 MB when all are full.
const (
	userFactor       = 5
	addressFactor    = 10
	throttleKeys     = 1 << 15
	defaultPerMinute = 20
	maxPerMinute     = 1_000_000
)

// A Throttle is an [Authenticator] that stops asking Auth where too many
// credentials were wrong. What it refuses has the reason "throttled" and looks
// like a wrong password. It never waits itself, and holds no memory beyond its
// bounded tables; how long a protocol should hold a refusal back is for it to
// ask by Hold. It may be copied before first use only.
//
// Failures are counted, never successes, by the generic cell rate algorithm:
// for a user at an address FailuresPerMinute, at once or spread; for a user
// from everywhere five times and for an address with all its users ten times
// as many. A user who has logged in from an address is subject only to the
// first of them there: neither a stranger's guesses nor a colleague's broken
// client behind the same address translator locks anybody out. Addresses of
// IPv6 count by /64, users after SASLprep and without regard to case.
type Throttle struct {
	// Auth is asked for what is not refused.
	Auth Authenticator
	// FailuresPerMinute is the limit for a user at an address. 0: 20.
	FailuresPerMinute int
	// Delay and MaxDelay are for Hold. A Delay of 0: no refusal is held back.
	Delay, MaxDelay time.Duration

	once   sync.Once
	counts *counts
}

// counts are what a throttle counts, and what goes on over a reload.
type counts struct {
	seed                maphash.Seed
	pair, user, address *failures
	good                throttled.GCRAStoreCtx // (address, user) that logged in
	held                held
}

var (
	_ Authenticator = (*Throttle)(nil)
	_ Decoyer       = (*Throttle)(nil)
)

// Before returns a Throttle before another authenticator, which goes on with
// t's counts: a reload must not give everybody a fresh start.
func (t *Throttle) Before(a Authenticator) *Throttle {
	t.once.Do(t.setUp)
	next := &Throttle{
		Auth: a, FailuresPerMinute: t.FailuresPerMinute, Delay: t.Delay, MaxDelay: t.MaxDelay, counts: t.counts,
	}
	next.once.Do(func() {})
	return next
}

// errThrottled looks like a wrong password to everybody but the log.
var errThrottled = Refuse(ErrCredentials, "throttled")

// Authenticate implements [Authenticator]. An attempt under way counts as a
// failure of its user at its address until it ends otherwise, so that a burst
// of guesses in parallel is held to the limit too.
func (t *Throttle) Authenticate(ctx context.Context, p Peer, c Credential) (Identity, error) {
	k := t.keys(p, userOf(c))
	if t.exceeds(ctx, k) || !t.counts.pair.count(ctx, k.pair, 1) {
		return Identity{}, errThrottled
	}
	id, err := t.Auth.Authenticate(ctx, p, c)
	if isFailure(err) {
		t.counts.user.count(ctx, k.user, 1)
		t.counts.address.count(ctx, k.address, 1)
		return id, err
	}
	t.counts.pair.count(ctx, k.pair, -1)
	if err == nil && !isWish(c, id) {
		t.welcome(ctx, k)
	}
	return id, err
}

// Decoy implements [Decoyer] with Auth, if it is one.
func (t *Throttle) Decoy(ctx context.Context, c Credential) {
	if d, ok := t.Auth.(Decoyer); ok {
		d.Decoy(ctx, c)
	}
}

// Allowed reports whether a proof by other means, as an [Exchange] makes it,
// may be tried at p. user is empty where it is not known before.
func (t *Throttle) Allowed(p Peer, user string) bool {
	ctx, k := context.Background(), t.keys(p, user)
	return !t.exceeds(ctx, k) && !t.counts.pair.exceeded(ctx, k.pair)
}

// Failed counts a failure of such a proof.
func (t *Throttle) Failed(p Peer, user string) {
	ctx, k := context.Background(), t.keys(p, user)
	t.counts.pair.count(ctx, k.pair, 1)
	t.counts.user.count(ctx, k.user, 1)
	t.counts.address.count(ctx, k.address, 1)
}

// Succeeded remembers a success of such a proof, as that of a password.
func (t *Throttle) Succeeded(p Peer, user string) {
	t.welcome(context.Background(), t.keys(p, user))
}

// exceeds reports whether one of the limits that others share is reached, and
// binds k.
func (t *Throttle) exceeds(ctx context.Context, k throttleKey) bool {
	if since, _, err := t.counts.good.GetWithTime(ctx, k.pair); err == nil && since >= 0 {
		return false
	}
	return t.counts.user.exceeded(ctx, k.user) || t.counts.address.exceeded(ctx, k.address)
}

// welcome remembers that k's user is at home at k's address.
func (t *Throttle) welcome(ctx context.Context, k throttleKey) {
	if k.pair == "" {
		return
	}
	// An error is one of a remote store; there is none in memory.
	_, _ = t.counts.good.SetIfNotExistsWithTTL(ctx, k.pair, 0, 24*time.Hour)
}

// setUp makes the tables. Nothing in it can fail for the bounded numbers
// that it is given.
func (t *Throttle) setUp() {
	perMinute := t.FailuresPerMinute
	if perMinute <= 0 {
		perMinute = defaultPerMinute
	}
	perMinute = min(perMinute, maxPerMinute)
	t.counts = &counts{
		seed: maphash.MakeSeed(),
		pair: newFailures(perMinute), user: newFailures(perMinute * userFactor),
		address: newFailures(perMinute * addressFactor), good: newTable(),
	}
}

// A throttleKey names one user at one address in the three tables: eight
// octets each, whatever the length of the name. Where there is no user, pair
// and user are empty and only the address counts.
type throttleKey struct{ pair, user, address string }

func (t *Throttle) keys(p Peer, user string) throttleKey {
	t.once.Do(t.setUp)
	address := networkOf(p.Addr.Addr())
	k := throttleKey{address: t.hash(address)}
	if user = foldUser(user); user != "" {
		k.user, k.pair = t.hash(user), t.hash(address+" "+user)
	}
	return k
}

func (t *Throttle) hash(s string) string {
	sum := maphash.String(t.counts.seed, s)
	var b [8]byte
	for i := range b {
		b[i] = byte(sum >> (8 * i))
	}
	return string(b[:])
}

// networkOf returns what addr is counted by: IPv6 by /64, which one customer
// or one machine has to itself.
func networkOf(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}

// foldUser folds the spellings of a name that some backend may take for one,
// as LDAP does, so that a guesser gains nothing from using them all.
func foldUser(user string) string {
	if len(user) > maxName {
		return "" // refused by every authenticator
	}
	prepared, _ := Prepare(user)
	return strings.ToLower(prepared)
}

func userOf(c Credential) string {
	switch c := c.(type) {
	case Password:
		return c.User
	case APOP:
		return c.User
	case CRAMMD5:
		return c.User
	case Bearer:
		return c.User
	case Certificate:
		return fingerprintOf(c) // who it is has yet to be seen
	}
	return ""
}

// isWish reports whether c, which proves id, names somebody else: a token's
// owner may write any name beside it, and is not at home under that.
func isWish(c Credential, id Identity) bool {
	b, ok := c.(Bearer)
	return ok && foldUser(b.User) != foldUser(id.User)
}

// isFailure reports whether err tells of a wrong proof, as against an outage
// or a right proof that may not have what it asked for.
func isFailure(err error) bool {
	return errors.Is(err, ErrCredentials) || errors.Is(err, ErrUnknown)
}

// failures counts failures by key, up to perMinute at once and perMinute a
// minute.
type failures struct {
	interval, tolerance time.Duration
	store               throttled.GCRAStoreCtx
	limiter             *throttled.GCRARateLimiterCtx
}

func newFailures(perMinute int) *failures {
	store := newTable()
	quota := throttled.RateQuota{MaxRate: throttled.PerMin(perMinute), MaxBurst: perMinute - 1}
	limiter, err := throttled.NewGCRARateLimiterCtx(store, quota)
	if err != nil {
		panic(err) // perMinute is bounded
	}
	limiter.SetMaxCASAttemptsLimit(1 << 20) // each round some other counter got through
	interval := time.Minute / time.Duration(perMinute)
	return &failures{interval, interval * time.Duration(perMinute), store, limiter}
}

func newTable() throttled.GCRAStoreCtx {
	store, err := memstore.NewCtx(throttleKeys)
	if err != nil {
		panic(err) // throttleKeys is positive
	}
	return store
}

// count adds n failures, or takes them back, and reports whether the limit
// had room for them. There is always room for an empty key.
func (f *failures) count(ctx context.Context, key string, n int) bool {
	if key == "" {
		return true
	}
	limited, _, err := f.limiter.RateLimitCtx(ctx, key, n)
	return !limited || err != nil
}

// level returns how many failures are counted and not forgiven yet.
func (f *failures) level(ctx context.Context, key string) int {
	if key == "" {
		return 0
	}
	tat, now, err := f.store.GetWithTime(ctx, key)
	if err != nil || tat < 0 {
		return 0
	}
	ahead := max(0, time.Unix(0, tat).Sub(now))
	return int((ahead + f.interval - 1) / f.interval)
}

// exceeded reports whether no failure more has room. The limiter's own way of
// asking inserts the key, so that successes would push failures out of the table.
func (f *failures) exceeded(ctx context.Context, key string) bool {
	tat, now, err := f.store.GetWithTime(ctx, key)
	if err != nil || tat < 0 {
		return false
	}
	return time.Unix(0, tat).Add(f.interval).Sub(now) > f.tolerance
}
