package agenda

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestEventsHappenInOrder plans many events for few moments and compares with a
// stable sort of them.
func TestEventsHappenInOrder(t *testing.T) {
	type planned struct {
		at   Time
		draw uint32
	}
	for seed := range uint64(100) {
		dice := rand.New(rand.NewPCG(seed, 1))
		drawn := uint32(0)
		var a Agenda
		if seed%2 == 0 {
			a.Draw = func() uint32 {
				drawn = dice.Uint32N(50)
				return drawn
			}
		}
		var want, got []*planned
		for range dice.IntN(300) {
			p := &planned{at: Time(dice.IntN(20))}
			a.At(p.at, func() { got = append(got, p) })
			p.draw = drawn
			want = append(want, p)
		}
		slices.SortStableFunc(want, func(p, q *planned) int {
			if p.at != q.at {
				return int(p.at - q.at)
			}
			return int(p.draw) - int(q.draw)
		})
		for a.Next(20) {
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d events of %d, or not in their order", seed, len(got), len(want))
		}
	}
}

// TestEventsPlanEvents has events plan others, in the past too.
func TestEventsPlanEvents(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 1))
	var a Agenda
	happened, latest := uint64(0), Time(0)
	var plan func(depth int)
	plan = func(depth int) {
		due := max(a.Now(), a.Now()+Time(dice.IntN(20)-5))
		a.At(due, func() {
			happened++
			if a.Now() != due || due < latest {
				t.Fatalf("an event of %d happens at %d, after one of %d", due, a.Now(), latest)
			}
			latest = due
			for range depth {
				plan(depth - 1)
			}
		})
	}
	plan(6)
	if a.Next(0) {
		t.Fatal("an event happens before its time")
	}
	for a.Next(Never) {
	}
	if happened != a.Planned() || happened != 1957 {
		t.Errorf("%d events happened of %d, want 1957", happened, a.Planned())
	}
	if a.Now() != Never {
		t.Errorf("the agenda ends at %d", a.Now())
	}
}
