package maildir

import (
	"hash/maphash"
	"sync"
)

// Sizes is a [Sizer] in memory, for one process. It is bounded: of two
// generations of what was learnt or asked for, the older one is forgotten when
// the younger is full. Its zero value is ready for use.
type Sizes struct {
	// Max is how many sizes are remembered, at some 40 octets each. 0: half a
	// million.
	Max int

	mu         sync.Mutex
	seed       maphash.Seed
	young, old map[uint64]known
}

// known is a size, and in its lowest bit whether the text is wire-ready.
type known int64

const defaultSizes = 500_000

// Size implements [Sizer].
func (s *Sizes) Size(name, uid string) (size int64, wireReady, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.key(name, uid)
	k, ok := s.young[key]
	if !ok {
		if k, ok = s.old[key]; ok {
			s.put(key, k)
		}
	}
	return int64(k >> 1), k&1 != 0, ok
}

// Learn implements [Sizer].
func (s *Sizes) Learn(name, uid string, size int64, wireReady bool) {
	k := known(size) << 1
	if wireReady {
		k |= 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(s.key(name, uid), k)
}

func (s *Sizes) put(key uint64, k known) {
	limit := s.Max
	if limit == 0 {
		limit = defaultSizes
	}
	if s.young == nil || len(s.young) >= max(limit/2, 1) {
		s.young, s.old = make(map[uint64]known), s.young
	}
	s.young[key] = k
}

// key is what a message is remembered by. Nobody can aim at another one's: the
// seed is random.
func (s *Sizes) key(name, uid string) uint64 {
	if s.young == nil && s.old == nil {
		s.seed = maphash.MakeSeed()
	}
	return maphash.Comparable(s.seed, [2]string{name, uid})
}
