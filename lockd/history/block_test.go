package history

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestHashesAreSorted compares the sort of a block's hashes with that of the library.
func TestHashesAreSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b builder // one for all: its scratch is longer and shorter than what is sorted
	for _, n := range []int{0, 1, 2, 255, 1000, 5000, 3} {
		for _, mask := range []uint32{1<<32 - 1, 0xff, 0xff00ff00, 0} {
			b.hashes = b.hashes[:0]
			for range n {
				b.hashes = append(b.hashes, rng.Uint32()&mask)
			}
			want := slices.Clone(b.hashes)
			slices.Sort(want)
			b.sortHashes()
			if !slices.Equal(b.hashes, want) {
				t.Errorf("%d hashes with bits %x: got an order that is not ascending", n, mask)
			}
		}
	}
}

// TestClockIsAskedOnceATurn notes slots of two turns, and of the log of an earlier run.
func TestClockIsAskedOnceATurn(t *testing.T) {
	w, asked := newWorld(t, MinBytes), 0
	w.s.opts.Wall = func() int64 {
		asked++
		return w.wall
	}
	note := func(later int64, holds int) {
		for i := range holds {
			w.note(uint16(1+i), later*int64(1-min(i, 1)), ended("a", 1, 0))
		}
	}
	note(5, 10)
	if asked != 1 {
		t.Errorf("got %d readings of the clock for ten slots of a turn, want 1", asked)
	}
	note(5, 1)
	if asked != 2 {
		t.Errorf("got %d readings of the clock for two turns, want 2", asked)
	}
	for group := range uint16(2) {
		x := w.group[1+group]
		x.Group, x.After, x.To, x.Now = 20+group, 0, 1, 0
		w.s.Note(&x)
	}
	if asked != 4 {
		t.Errorf("got %d readings of the clock with two slots of an earlier run, want 4", asked)
	}
	w.s.opts.Wall = w.opts.Wall
}
