package main

import (
	"math/rand/v2"

	"lockd/lockd/sim/agenda"
)

// Time is a moment or a length of the world's virtual time, in nanoseconds.
type Time = agenda.Time

// The usual lengths.
const (
	microsecond = agenda.Microsecond
	millisecond = agenda.Millisecond
	second      = agenda.Second
)

// timeline is what is to come, with the dice of the world. Events of one moment
// happen in the order in which they were planned.
type timeline struct {
	agenda.Agenda
	dice *rand.Rand
}

func newTimeline(seed uint64) timeline {
	return timeline{dice: rand.New(rand.NewPCG(seed, 0))}
}

// around returns a length that differs from d by at most a fifth, so that nodes
// do not march in step.
func (t *timeline) around(d Time) Time {
	if d == 0 {
		return 0
	}
	return d*4/5 + Time(t.dice.Int64N(int64(d)*2/5+1))
}
