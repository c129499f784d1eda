package auth

import "context"

// An Attempt is a login under way of a principal whose ticket is right. It
// counts as a failure of the principal at its address until it succeeds, so
// that nobody with a ticket has exchanges begun, and noted in the replay cache,
// without end. The end of an attempt comes once. A nil Attempt counts nothing.
type Attempt struct {
	t *Throttle
	k throttleKey
}

// Begin begins an attempt of a principal at p. ok is false where too many have
// not succeeded. Only the principal's own count: who shows a right ticket is
// not hindered by others at the address.
func (t *Throttle) Begin(p Peer, principal string) (a *Attempt, ok bool) {
	ctx, k := context.Background(), t.keys(p, "")
	// No user's name has a NUL: nobody fails in the principal's place.
	k.user, k.pair = t.hash("\x00"+principal), t.hash(networkOf(p.Addr.Addr())+"\x00"+principal)
	if t.counts.user.exceeded(ctx, k.user) || !t.counts.pair.count(ctx, k.pair, 1) {
		return nil, false
	}
	return &Attempt{t, k}, true
}

// Succeeded takes the failure back.
func (a *Attempt) Succeeded() {
	if a != nil {
		a.t.counts.pair.count(context.Background(), a.k.pair, -1)
	}
}

// Failed makes it count for the principal and for the address too.
func (a *Attempt) Failed() {
	if a != nil {
		ctx := context.Background()
		a.t.counts.user.count(ctx, a.k.user, 1)
		a.t.counts.address.count(ctx, a.k.address, 1)
	}
}
