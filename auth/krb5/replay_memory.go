package krb5

import (
	"context"
	"sync"
	"time"
)

// A MemoryReplay is a [ReplayCache] in the memory of one process, for a server
// that is the only holder of its key. It forgets everything when the process
// ends. The zero value is ready for use.
//
// Entries live in two generations. When all of the older one has expired it is
// dropped as a whole, so that no sweep ever holds the lock.
type MemoryReplay struct {
	// Max bounds the entries held, expired ones that wait for the rest of
	// their generation included. Beyond it Seen fails with
	// [auth.ErrUnavailable]: nothing that still counts is evicted.
	// 0: [DefaultReplayMax].
	Max int

	mu       sync.Mutex
	cur, old generation
	floor    int64 // the latest expiry of a dropped entry
}

// A generation is a set of entries; latest is when its last one expires.
type generation struct {
	until  map[replayTag]int64
	latest int64
}

var _ ReplayCache = (*MemoryReplay)(nil)

// Seen implements [ReplayCache]. After the clock was set back to before the
// expiry of an entry that is already dropped, it fails until the clock is past
// that time again.
func (m *MemoryReplay) Seen(_ context.Context, authenticator []byte, until time.Time) (bool, error) {
	tag, now := tagOf(authenticator), time.Now().UnixNano()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.has(tag) {
		return true, nil
	}
	if now < m.floor {
		return false, refuseClosed(m.floor)
	}
	m.rotate(now)
	if len(m.cur.until)+len(m.old.until) >= m.max() {
		return false, refuseReplay(reasonReplayFull, "%d entries", m.max())
	}
	m.add(tag, until.UnixNano())
	return false, nil
}

func (m *MemoryReplay) max() int {
	if m.Max > 0 {
		return m.Max
	}
	return DefaultReplayMax
}

func (m *MemoryReplay) has(tag replayTag) bool {
	_, cur := m.cur.until[tag]
	_, old := m.old.until[tag]
	return cur || old
}

func (m *MemoryReplay) add(tag replayTag, until int64) {
	if m.cur.until == nil {
		m.cur.until = make(map[replayTag]int64)
	}
	m.cur.until[tag] = until
	m.cur.latest = max(m.cur.latest, until)
}

// rotate drops the older generation once all of it has expired, and both when
// the newer one has too.
func (m *MemoryReplay) rotate(now int64) {
	for m.old.latest < now && (len(m.old.until) > 0 || len(m.cur.until) > 0) {
		m.floor = max(m.floor, m.old.latest)
		m.old, m.cur = m.cur, generation{}
	}
}
