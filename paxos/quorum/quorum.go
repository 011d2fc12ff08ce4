package quorum

import (
	"fmt"
	"math/bits"
)

// MaxAcceptors is the largest number of acceptors a System can have.
const MaxAcceptors = 64

// Set is a set of acceptors, one bit per position.
type Set uint64

// Add returns s with the acceptor at place in it. Requires: 0 ≤ place < 64.
func (s Set) Add(place int) Set { return s | 1<<uint(place) }

// Has reports whether the acceptor at place is in s. Requires: 0 ≤ place < 64.
func (s Set) Has(place int) bool { return s>>uint(place)&1 == 1 }

// count returns how many acceptors are in s.
func (s Set) count() int { return bits.OnesCount64(uint64(s)) }

// System is a number of acceptors with its two quorum sizes. The zero System
// has no acceptors, and no set is enough for it.
type System struct {
	acceptors int
	prepare   int
	accept    int
}

// Majority returns the system in which any majority of n acceptors is both a
// prepare and an accept quorum. Requires: 1 ≤ n ≤ MaxAcceptors.
func Majority(n int) System {
	if n < 1 || n > MaxAcceptors {
		panic(fmt.Sprintf("quorum: majority of %d acceptors, want 1 to %d", n, MaxAcceptors))
	}
	return System{acceptors: n, prepare: n/2 + 1, accept: n/2 + 1}
}

func (y System) inside(s Set) int {
	if y.acceptors == MaxAcceptors {
		return s.count()
	}
	return (s & (1<<uint(y.acceptors) - 1)).count()
}

// Prepare reports whether s holds a prepare quorum. Positions at or above the
// number of acceptors count for nothing, here and in the other methods.
func (y System) Prepare(s Set) bool { return y.acceptors > 0 && y.inside(s) >= y.prepare }

// Accept reports whether s holds an accept quorum.
func (y System) Accept(s Set) bool { return y.acceptors > 0 && y.inside(s) >= y.accept }

// AcceptWithout reports whether an accept quorum is possible without any
// acceptor of s.
func (y System) AcceptWithout(s Set) bool {
	return y.acceptors > 0 && y.acceptors-y.inside(s) >= y.accept
}

// Reached returns the largest number that an accept quorum has reached, where
// numbers[i] is what acceptor i reached; zero if none. An accept quorum meets
// every prepare quorum, so what it confirms no later leader can have passed.
// Requires: len(numbers) is the number of acceptors. It keeps and changes
// nothing of numbers.
func (y System) Reached(numbers []uint64) uint64 {
	if len(numbers) != y.acceptors {
		panic(fmt.Sprintf("quorum: have %d numbers, want %d", len(numbers), y.acceptors))
	}
	var best uint64
	for _, number := range numbers {
		if number <= best {
			continue
		}
		reached := 0
		for _, n := range numbers {
			if n >= number {
				reached++
			}
		}
		if reached >= y.accept {
			best = number
		}
	}
	return best
}
