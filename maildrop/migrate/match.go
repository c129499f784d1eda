package migrate

import "fmt"

// Match finds the messages of a server among those here, by the digest of
// their headers and their sizes. Messages that are the same in both are the
// same, in order. One whose digest is unique on either side is found though its
// size differs, because servers do not count alike. What remains is listed and
// not guessed.
func Match(old []Old, local []Local) (*Result, error) {
	m := newMatcher(old, local)
	r := &Result{}
	var pairs []pair
	for i, o := range old {
		at := m.find(i, o)
		if at < 0 {
			m.miss(r, i, o)
			continue
		}
		l := local[at]
		if o.Size > 0 && l.Size > 0 && o.Size != l.Size {
			r.Resized = append(r.Resized, fmt.Sprintf("%s had %d octets, and has %d", o.UID, o.Size, l.Size))
		}
		o.Size = l.Size
		pairs = append(pairs, pair{o, l.Base})
	}
	return r, r.fill(pairs, local)
}

// A look is what a message is known by.
type look struct {
	header string
	size   int64
}

// A matcher has both sides by their looks.
type matcher struct {
	old, local map[look][]int // indexes, by header and size
	oldHead    map[string]int // how many, by header
	localHead  map[string][]int
}

func newMatcher(old []Old, local []Local) *matcher {
	m := &matcher{map[look][]int{}, map[look][]int{}, map[string]int{}, map[string][]int{}}
	for i, o := range old {
		m.old[look{o.Header, o.Size}] = append(m.old[look{o.Header, o.Size}], i)
		m.oldHead[o.Header]++
	}
	for i, l := range local {
		m.local[look{l.Header, l.Size}] = append(m.local[look{l.Header, l.Size}], i)
		m.localHead[l.Header] = append(m.localHead[l.Header], i)
	}
	return m
}

// find returns the index of the message here that an old one is; -1: none, or
// several.
func (m *matcher) find(i int, o Old) int {
	if o.Header == "" {
		return -1
	}
	at := look{o.Header, o.Size}
	twins, here := m.old[at], m.local[at]
	if len(twins) == len(here) {
		for k, twin := range twins {
			if twin == i {
				return here[k]
			}
		}
	}
	if all := m.localHead[o.Header]; m.oldHead[o.Header] == 1 && len(all) == 1 {
		return all[0]
	}
	return -1
}

// miss says why an old message was not found.
func (m *matcher) miss(r *Result, i int, o Old) {
	n := len(m.localHead[o.Header])
	switch {
	case o.Header == "":
		r.Ambiguous = append(r.Ambiguous, fmt.Sprintf("old message %d, %s: its header has nothing to know it by", i+1, o.UID))
	case n == 0:
		r.Gone = append(r.Gone, o)
	default:
		r.Ambiguous = append(r.Ambiguous, fmt.Sprintf("old message %d, %s: %d messages there and %d here have this header, and not the same sizes",
			i+1, o.UID, m.oldHead[o.Header], n))
	}
}
