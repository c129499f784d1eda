package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The quantiles of a histogram are those of what it counted, and up to a 32nd
// more.
func TestHistogram(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 10, 1000, 20_000} {
		var whole, a, b histogram
		var all []time.Duration
		for i := range n {
			d := time.Duration(math.Exp(r.Float64() * 30))
			all = append(all, d)
			[]*histogram{&a, &b}[i%2].add(d)
		}
		whole.merge(&a)
		whole.merge(&b)
		slices.Sort(all)
		for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
			want := all[max(0, int(math.Ceil(q*float64(n)))-1)]
			if got := whole.quantile(q); got < want || got > want+want/32 {
				t.Errorf("%d of %d: %v, want %v", int(q*1000), n, got, want)
			}
		}
		if whole.most != all[n-1] {
			t.Errorf("most: %v, want %v", whole.most, all[n-1])
		}
	}
}

// Every duration is in a bucket that is there and that says no less.
func TestBuckets(t *testing.T) {
	for shift := range 63 {
		for _, v := range []uint64{1<<shift - 1, 1 << shift, 1<<shift + 1, 1<<shift + 1<<shift/3} {
			b := bucket(v)
			if b >= histogramSize || highest(b) < v || b > 0 && highest(b-1) >= v {
				t.Errorf("%d is in bucket %d of %d, up to %d", v, b, histogramSize, highest(b))
			}
		}
	}
	if b := bucket(math.MaxInt64); b >= histogramSize {
		t.Errorf("bucket %d of %d", b, histogramSize)
	}
	if (&histogram{}).quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}
