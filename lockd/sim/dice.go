package sim

import (
	"math"
	"math/rand/v2"
)

// dice is one branch of the tree of random numbers. Every purpose has its own,
// so that a change in one does not reshuffle the others.
type dice struct{ *rand.Rand }

// newDice returns the branch of a seed for a purpose.
func newDice(seed uint64, purpose string) dice {
	h := uint64(14695981039346656037)
	for i := 0; i < len(purpose); i++ {
		h = (h ^ uint64(purpose[i])) * 1099511628211
	}
	return dice{rand.New(rand.NewPCG(seed, h))}
}

// permille is true in n of 1000 draws.
func (d dice) permille(n int) bool { return d.IntN(1000) < n }

// between returns a number from lo to hi, both included.
func (d dice) between(lo, hi int) int { return lo + d.IntN(hi-lo+1) }

// length returns a length from lo to hi.
func (d dice) length(lo, hi Time) Time { return lo + Time(d.Int64N(int64(hi-lo)+1)) }

// around returns a length of the given mean, exponentially distributed and cut
// at ten times the mean.
func (d dice) around(mean Time) Time {
	return Time(float64(mean) * min(10, -math.Log(1-d.Float64())))
}

// pick returns one of the choices.
func pick[T any](d dice, choices ...T) T { return choices[d.IntN(len(choices))] }
