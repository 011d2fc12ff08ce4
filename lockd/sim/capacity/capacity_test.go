package main

import (
	"reflect"
	"slices"
	"testing"
)

// slow is a cluster on machines that are so many times slower than the one
// measured, so that a test has few events to carry out.
func slow(times int64, nodes int, s shape) Options {
	o := Options{Seed: 1, Groups: 64, Lease: 10 * second, Costs: Measured().Slowed(times), Cores: 1}
	return o.load(nodes, s)
}

// even wants numbers that differ by one at most.
func even(t *testing.T, what string, of []int) {
	t.Helper()
	if slices.Max(of)-slices.Min(of) > 1 {
		t.Errorf("%s: got %v, want a difference of one at most", what, of)
	}
}

// More nodes carry more: linear growth would be 1.67 times with five nodes and
// three times with nine.
func TestMoreNodesCarryMore(t *testing.T) {
	rates := map[int]float64{}
	for _, nodes := range []int{3, 5, 9} {
		w, m, err := carried(slow(6, nodes, shape{40, 4}), 300*millisecond)
		if err != nil {
			t.Fatalf("%d nodes: %v", nodes, err)
		}
		rates[nodes] = m.PerSecond()
		replicas, leaders := w.spread()
		even(t, "replicas", replicas)
		even(t, "leaders", leaders)
		if busy := slices.Min(m.Busy); busy < 0.9 {
			t.Errorf("%d nodes: one is busy for %.2f of the time, the load is too small", nodes, busy)
		}
	}
	t.Logf("pairs a second by nodes: %v", rates)
	if got := rates[5] / rates[3]; got < 1.4 {
		t.Errorf("five nodes carry %.2f times what three do, want 1.4 or more", got)
	}
	if got := rates[9] / rates[3]; got < 2.5 {
		t.Errorf("nine nodes carry %.2f times what three do, want 2.5 or more", got)
	}
}

// Two nodes are added under full load: replicas and leaders move to them, no
// call fails, no hold is lost, and nobody waits long.
func TestNodesAreAddedUnderLoad(t *testing.T) {
	o := slow(10, 3, shape{10, 12})
	o.Keeps, o.Groups = 5, 32
	w, before, err := carried(o, 500*millisecond)
	if err != nil {
		t.Fatal(err)
	}
	s := w.grow(2, 500*millisecond)
	if w.failure != nil {
		t.Fatal(w.failure)
	}
	t.Logf("before %.0f pairs/s, p99 %.0f ms; moves %.1f s, %.0f pairs/s, p99 %.0f ms, longest %.0f "+
		"ms; after %.0f pairs/s, p99 %.0f ms; %d rivals refused", before.PerSecond(),
		before.P99.Millis(), s.Moves.Length.Seconds(), s.Moves.PerSecond(), s.Moves.P99.Millis(),
		s.Moves.Max.Millis(), s.After.PerSecond(), s.After.P99.Millis(), w.contests)
	even(t, "replicas", s.Replicas)
	even(t, "leaders", s.Leaders)
	if slices.Contains(s.Leaders, 0) || w.contests == 0 {
		t.Errorf("leaders %v, %d rivals: nothing moved or nobody asked", s.Leaders, w.contests)
	}
	if s.After.PerSecond() < 1.2*before.PerSecond() {
		t.Errorf("after the moves: got %.0f pairs/s, want 1.2 times the %.0f before",
			s.After.PerSecond(), before.PerSecond())
	}
	if s.Moves.P99 > 2*before.P99 {
		t.Errorf("p99 during the moves: got %.0f ms, want at most twice the %.0f ms before",
			s.Moves.P99.Millis(), before.P99.Millis())
	}
	if s.Moves.Max > 600*millisecond {
		t.Errorf("longest pair: got %.0f ms, want less than 600", s.Moves.Max.Millis())
	}
}

func TestSameSeedSameFigures(t *testing.T) {
	run := func(seed uint64) Window {
		o := slow(10, 3, shape{2, 20})
		o.Seed = seed
		_, m, err := carried(o, 200*millisecond)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first, again, other := run(1), run(1), run(2)
	if !reflect.DeepEqual(first, again) {
		t.Errorf("same seed: got %+v, then %+v", first, again)
	}
	if reflect.DeepEqual(first, other) {
		t.Error("another seed shows the same")
	}
}
