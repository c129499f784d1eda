package lease

import "time"

// watchEvery is how often a Locker looks whether locks were taken away, and
// watchAll at how many of these looks it asks for each of them in any case.
const (
	watchEvery = 2 * time.Second
	watchAll   = 30
)

// A watch is how a Locker learns that locks were taken away: a new lock file
// changes the time of the directory, so one fstat(2) says that nothing was.
type watch struct {
	timer *time.Timer // runs while leases are held
	seen  time.Time   // the directory's time at the last look
	looks int
	now   int // how many looks are under way
}

// add notes a lease that is held.
func (k *Locker) add(l *Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[l] = struct{}{}
	switch {
	case len(k.held) > 1:
	case k.watch.timer == nil:
		k.watch.timer = time.AfterFunc(watchEvery, k.look)
	default:
		k.watch.timer.Reset(watchEvery)
	}
}

// drop forgets a lease that is released.
func (k *Locker) drop(l *Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, l)
	if len(k.held) > 0 {
		return
	}
	k.watch.timer.Stop()
	k.closeIdle()
}

// closeIdle closes the directory once it was to be closed and nothing uses it.
// The caller has the mutex.
func (k *Locker) closeIdle() error {
	if k.closed && len(k.held) == 0 && k.watch.now == 0 {
		return k.dir.Close()
	}
	return nil
}

// look looks for leases that were lost, and comes again while there are any.
func (k *Locker) look() {
	for _, l := range k.suspects() {
		if named, err := k.named(l.name, l.id); err == nil && !named {
			l.lose()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watch.now--
	k.closeIdle()
	if len(k.held) > 0 {
		k.watch.timer.Reset(watchEvery)
	}
}

// suspects returns the leases to ask for: all, if the directory has changed.
func (k *Locker) suspects() (all []*Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watch.now++
	if len(k.held) == 0 || !k.changed() {
		return nil
	}
	for l := range k.held {
		all = append(all, l)
	}
	return all
}

// changed reports whether the directory may have changed. A file system's time
// has steps: what is as young as the last look may have changed after it.
func (k *Locker) changed() bool {
	w := &k.watch
	w.looks++
	st, err := k.dir.Stat()
	if err != nil {
		return true
	}
	was, now := w.seen, time.Unix(st.Mtim.Unix())
	w.seen = now
	return !now.Equal(was) || time.Since(now) < 2*watchEvery || w.looks%watchAll == 0
}
