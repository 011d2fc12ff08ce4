package chart

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Scale is how an axis maps numbers to lengths.
type Scale int

// The scales of an axis.
const (
	Linear Scale = iota
	Log
)

// Axis describes one axis.
type Axis struct {
	// Name is printed beside the axis and says the unit.
	Name  string
	Scale Scale
	// Ticks are where marks and numbers stand; if there are none, round numbers
	// are chosen. Numbers that would overlap are left out.
	Ticks []float64
}

// span is an axis with its ends, in numbers and in picture units.
type span struct {
	axis       Axis
	low, high  float64
	start, end float64
}

// newSpan lays an axis over the values it must show. Values that a logarithmic
// axis cannot show count for nothing.
func newSpan(axis Axis, values []float64, start, end float64) span {
	s := span{axis: axis, start: start, end: end}
	values = slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return !s.shows(v) })
	if len(values) == 0 {
		values = []float64{1}
	}
	s.low, s.high = slices.Min(values), slices.Max(values)
	if axis.Scale == Log {
		s.low, s.high = s.low/1.15, s.high*1.15
		return s
	}
	s.low = min(s.low, 0)
	if s.high <= s.low {
		s.high = s.low + 1
	}
	if len(axis.Ticks) == 0 {
		step := roundStep(s.high - s.low)
		s.high = math.Ceil(s.high/step) * step
	}
	return s
}

// shows says whether an axis has a place for a number at all.
func (s span) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (s.axis.Scale == Linear || v > 0)
}

// at is the place of a number.
func (s span) at(v float64) float64 {
	low, high := s.low, s.high
	if s.axis.Scale == Log {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	return s.start + (v-low)/(high-low)*(s.end-s.start)
}

// ticks are the numbers within the span that get a mark.
func (s span) ticks() []float64 {
	all := s.axis.Ticks
	switch {
	case len(all) > 0:
	case s.axis.Scale == Log:
		all = logTicks(s.low, s.high)
	default:
		step := roundStep(s.high - s.low)
		for i := math.Ceil(s.low / step); i*step <= s.high*(1+1e-9); i++ {
			all = append(all, i*step)
		}
	}
	var kept []float64
	for _, v := range all {
		if s.shows(v) && v >= s.low*(1-1e-9) && v <= s.high*(1+1e-9) {
			kept = append(kept, v)
		}
	}
	return kept
}

// roundStep is 1, 2 or 5 times a power of ten, so that a length has four to
// ten of it.
func roundStep(length float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(length)))
	for _, part := range []float64{0.1, 0.2, 0.5} {
		if length/(power*part) <= 10 {
			return power * part
		}
	}
	return power
}

// logTicks are powers of ten, with 2 and 5 times them where there are few.
func logTicks(low, high float64) []float64 {
	parts := []float64{1}
	if high/low < 2000 {
		parts = []float64{1, 2, 5}
	}
	var ticks []float64
	for e := math.Floor(math.Log10(low)); math.Pow(10, e) <= high; e++ {
		for _, part := range parts {
			ticks = append(ticks, part*math.Pow(10, e))
		}
	}
	return ticks
}

// number prints a tick or a value with up to three digits: 0.25, 40, 1.5k, 2M.
func number(v float64) string {
	unit := ""
	switch {
	case math.Abs(v) >= 1e6:
		v, unit = v/1e6, "M"
	case math.Abs(v) >= 1e3:
		v, unit = v/1e3, "k"
	}
	text := strconv.FormatFloat(v, 'g', 3, 64)
	if strings.Contains(text, "e") { // 'g' writes very large and small numbers so
		text = strconv.FormatFloat(v, 'f', -1, 64)
	}
	return text + unit
}
