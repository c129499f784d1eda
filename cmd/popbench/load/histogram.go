package load

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are at most a 64th of what they
// hold wide: linear below 64 ns, and 32 of them for each doubling above. It has
// one size whatever it counts, and is added to others at the end of a run.
type histogram struct {
	buckets [histogramSize]uint32
	n       uint64
	most    time.Duration
}

const (
	histogramFine = 6 // bits of a duration that tell
	histogramSize = (64 - histogramFine + 2) << (histogramFine - 1)
)

// bucket returns which one holds a duration of v ns.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-histogramFine)
	return shift<<(histogramFine-1) + int(v>>shift)
}

// highest returns the largest of what a bucket holds.
func highest(bucket int) uint64 {
	shift := max(0, bucket>>(histogramFine-1)-1)
	return uint64(bucket-shift<<(histogramFine-1)+1)<<shift - 1
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucket(uint64(max(0, d)))]++
	h.n++
	h.most = max(h.most, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.n += other.n
	h.most = max(h.most, other.most)
}

// quantile returns what the fraction q of all durations does not exceed, 0 of
// none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := max(1, uint64(q*float64(h.n)+0.999999))
	for i, n := range h.buckets {
		if rank <= uint64(n) {
			return min(h.most, time.Duration(highest(i)))
		}
		rank -= uint64(n)
	}
	return h.most
}
