package quorum

import (
	"testing"
	"testing/quick"
)

// dumb is a System in ten obvious lines: acceptors in a list, counted one by
// one.
type dumb struct{ n, prepare, accept int }

func (d dumb) inside(s Set) (in []int) {
	for i := range d.n {
		if uint64(s)&(uint64(1)<<i) != 0 {
			in = append(in, i)
		}
	}
	return in
}

func (d dumb) reached(numbers []uint64) uint64 {
	best := uint64(0)
	for _, limit := range numbers {
		count := 0
		for _, n := range numbers {
			if n >= limit {
				count++
			}
		}
		if count >= d.accept && limit > best {
			best = limit
		}
	}
	return best
}

// draw makes a system whose quorums meet out of any three bytes.
func draw(a, b, c uint8) System {
	n := 1 + int(a)%MaxAcceptors
	prepare := 1 + int(b)%n
	accept := n - prepare + 1 + int(c)%prepare
	return System{acceptors: n, prepare: prepare, accept: accept}
}

func TestSystemIsItsDumbTwin(t *testing.T) {
	same := func(a, b, c uint8, s Set, numbers []uint64) bool {
		y := draw(a, b, c)
		d := dumb{y.acceptors, y.prepare, y.accept}
		in := len(d.inside(s))
		for len(numbers) < y.acceptors {
			numbers = append(numbers, uint64(len(numbers))%5)
		}
		numbers = numbers[:y.acceptors]
		return y.Prepare(s) == (in >= d.prepare) &&
			y.Accept(s) == (in >= d.accept) &&
			y.AcceptWithout(s) == (d.n-in >= d.accept) &&
			y.Reached(numbers) == d.reached(numbers)
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 20000}); err != nil {
		t.Error(err)
	}
}

// TestQuorumsMeet: whatever two sets are enough, one to prepare and one to
// accept, they share an acceptor.
func TestQuorumsMeet(t *testing.T) {
	meet := func(a, b, c uint8, p, q Set) bool {
		y := draw(a, b, c)
		mask := ^Set(0) >> (MaxAcceptors - y.acceptors)
		p, q = p&mask, q&mask
		return !y.Prepare(p) || !y.Accept(q) || p&q != 0
	}
	if err := quick.Check(meet, &quick.Config{MaxCount: 20000}); err != nil {
		t.Error(err)
	}
}

func TestMajority(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4, 64: 33} {
		y := Majority(n)
		var s Set
		for i := range want - 1 {
			s = s.Add(i)
		}
		if y.Prepare(s) || y.Accept(s) {
			t.Errorf("%d of %d: got a quorum, want none", want-1, n)
		}
		if s = s.Add(n - 1); !y.Prepare(s) || !y.Accept(s) {
			t.Errorf("%d of %d: got no quorum, want one", want, n)
		}
	}
}

func TestZeroSystemHasNoQuorum(t *testing.T) {
	var y System
	if y.Prepare(^Set(0)) || y.Accept(^Set(0)) || y.AcceptWithout(0) {
		t.Error("got a quorum of the zero System, want none")
	}
}
