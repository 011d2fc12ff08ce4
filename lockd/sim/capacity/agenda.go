package main

import "math/rand/v2"

// Time is a moment or a length of the world's virtual time, in nanoseconds.
type Time int64

// The usual lengths.
const (
	microsecond Time = 1_000
	millisecond      = 1_000 * microsecond
	second           = 1_000 * millisecond
)

// seconds is t as a number of seconds.
func (t Time) seconds() float64 { return float64(t) / float64(second) }

// millis is t as a number of milliseconds.
func (t Time) millis() float64 { return float64(t) / float64(millisecond) }

// event is something that happens at a moment; events of one moment happen in
// the order in which they were planned.
type event struct {
	at  Time
	seq uint64
	do  func()
}

func (e *event) before(f *event) bool {
	return e.at < f.at || e.at == f.at && e.seq < f.seq
}

// agenda holds all events to come, in a heap, and the present moment.
type agenda struct {
	now  Time
	seq  uint64
	dice *rand.Rand
	heap []event
}

func newAgenda(seed uint64) agenda {
	return agenda{dice: rand.New(rand.NewPCG(seed, 0))}
}

// around returns a length that differs from d by at most a fifth, so that nodes
// do not march in step.
func (a *agenda) around(d Time) Time {
	if d == 0 {
		return 0
	}
	return d*4/5 + Time(a.dice.Int64N(int64(d)*2/5+1))
}

// at plans an event; one in the past happens now.
func (a *agenda) at(t Time, do func()) {
	a.seq++
	a.heap = append(a.heap, event{max(t, a.now), a.seq, do})
	i := len(a.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !a.heap[i].before(&a.heap[parent]) {
			break
		}
		a.heap[i], a.heap[parent] = a.heap[parent], a.heap[i]
		i = parent
	}
}

// after plans an event d from now.
func (a *agenda) after(d Time, do func()) { a.at(a.now+d, do) }

// next makes the next event happen, and reports whether there was one before
// until.
func (a *agenda) next(until Time) bool {
	if len(a.heap) == 0 || a.heap[0].at >= until {
		a.now = until
		return false
	}
	e := a.heap[0]
	last := len(a.heap) - 1
	a.heap[0] = a.heap[last]
	a.heap[last] = event{}
	a.heap = a.heap[:last]
	a.sink(0)
	a.now = e.at
	e.do()
	return true
}

func (a *agenda) sink(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(a.heap); child++ {
			if a.heap[child].before(&a.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		a.heap[i], a.heap[least] = a.heap[least], a.heap[i]
		i = least
	}
}
