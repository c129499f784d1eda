// Package plot draws curves as SVG.
package plot

import (
	"errors"
	"fmt"
	"math"
)

// A Chart is one drawing of curves with common axes.
type Chart struct {
	Title      string
	X, Y       string // what the axes show, with units
	LogX, LogY bool
	Series     []Series
}

// A Series is a curve. Its points are joined in their order.
type Series struct {
	Name   string
	Points []Point
}

// A Point is a measurement.
type Point struct{ X, Y float64 }

var (
	errNothing = errors.New("nothing to plot")
	errScale   = errors.New("not on a logarithmic scale")
)

// A scale is an axis: values from lo to hi are from one coordinate to another.
type scale struct {
	lo, hi   float64
	from, to float64
	log      bool
	ticks    []float64
}

// at returns the coordinate of a value.
func (s *scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	if s.log {
		v, lo, hi = math.Log(v), math.Log(lo), math.Log(hi)
	}
	return s.from + (v-lo)/(hi-lo)*(s.to-s.from)
}

// newScale returns an axis for values between a least and a greatest one, of
// which the linear begins at 0 where no value is below.
func newScale(least, most float64, log bool) (*scale, error) {
	switch {
	case math.IsInf(least, 0) || math.IsInf(most, 0) || math.IsNaN(least+most):
		return nil, errNothing
	case !log:
		return linear(min(0, least), most), nil
	case least <= 0:
		return nil, fmt.Errorf("%w: %g", errScale, least)
	}
	return logarithmic(least, most), nil
}

func linear(lo, hi float64) *scale {
	if hi <= lo {
		hi = lo + 1
	}
	step := nice((hi - lo) / 5)
	s := &scale{lo: math.Floor(lo/step) * step, hi: math.Ceil(hi/step) * step}
	for i := 0; ; i++ {
		tick := s.lo + float64(i)*step
		if tick > s.hi+step/2 {
			return s
		}
		s.ticks = append(s.ticks, tick)
	}
}

// nice returns the next of 1, 2 and 5 times a power of ten.
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if v <= n*power*(1+1e-9) {
			return n * power
		}
	}
	return 10 * power
}

// logarithmic has a tick for each power of ten, and, where those are few, for 2
// and 5 times it.
func logarithmic(least, most float64) *scale {
	s := &scale{hi: nice(most), log: true}
	s.lo = 1 / nice(1/least) // the next below, of 1, 2 and 5 too
	if s.hi <= s.lo {
		s.hi = 10 * s.lo
	}
	steps := []float64{1}
	if s.hi/s.lo <= 1000 {
		steps = []float64{1, 2, 5}
	}
	for e := math.Floor(math.Log10(s.lo) + 1e-9); ; e++ {
		for _, n := range steps {
			switch tick := n * math.Pow(10, e); {
			case tick > s.hi*(1+1e-9):
				return s
			case tick >= s.lo*(1-1e-9):
				s.ticks = append(s.ticks, tick)
			}
		}
	}
}

// label writes a number shortly, such as 50k.
func label(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= unit.size*(1-1e-9) {
			return fmt.Sprintf("%.4g%s", v/unit.size, unit.name)
		}
	}
	if math.Abs(v) < 1e-12 {
		return "0"
	}
	return fmt.Sprintf("%.4g", v)
}
