//go:build fault

package faulttest

import (
	"errors"
	"testing"
	"time"
)

// TestGapOfEachKind makes one trial of each kind: what make gap measures stays
// within what G8 grants. Figures for the record come from make gap.
func TestGapOfEachKind(t *testing.T) {
	g, err := NewGaps(within(t, time.Minute), GapOptions{Binary: lockdPath, Dir: t.TempDir()})
	if g != nil {
		t.Cleanup(func() {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range GapKinds() {
		gap, err := g.Trial(within(t, 2*time.Minute), kind)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-9s %v", kind, gap.Round(time.Millisecond))
		if gap > 4*electionTimeout {
			t.Errorf("%s: a client waited for %v, want %v at most", kind, gap, 4*electionTimeout)
		}
	}
}

// TestSoakEachFaultOnce strikes with every fault of a soak in turn.
func TestSoakEachFaultOnce(t *testing.T) {
	for _, f := range SoakFaults() {
		t.Run(f.Name, func(t *testing.T) {
			s, err := NewSoak(within(t, time.Minute), SoakOptions{Binary: lockdPath,
				Dir: t.TempDir(), Seed: 1, Faults: []SoakFault{f}, Say: t.Logf})
			if s != nil {
				t.Cleanup(func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			if errors.Is(err, ErrNoImages) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Round(within(t, time.Minute)); err != nil {
				t.Fatal(err)
			}
			if err := s.Finish(within(t, time.Minute)); err != nil {
				t.Fatal(err)
			}
			for _, line := range s.Figures() {
				t.Log(line)
			}
			if len(s.Images) > 0 && f.Name == powerCut && s.Images[0].Cuts+s.Images[1].Cuts+
				s.Images[2].Cuts == 0 {
				t.Error("no file system lost its power")
			}
		})
	}
}
