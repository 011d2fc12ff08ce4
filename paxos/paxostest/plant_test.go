//go:build plant

package paxostest

import (
	"testing"

	"lockd/paxos"
)

// TestPlantedBugsAreFound plants each bug of this package in turn and demands
// that the small world finds it within 1,000 seeds.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, bug := range []string{
		"own-accept-early", "promise-unsynced", "ballot-reused", "gap-unfilled",
		"promise-answer-cut", "confirmation-reused", "read-before-own-slot",
		"chosen-ignores-ballot", "configuration-one-slot-early", "accept-of-removed-node",
	} {
		t.Run(bug, func(t *testing.T) {
			paxos.Planted = bug
			defer func() { paxos.Planted = "" }()
			for seed := uint64(1); seed <= 1000; seed++ {
				if rep := Chaos(seed, chaosSteps, nil); rep.Violation != "" {
					t.Logf("seed %d: %s", seed, rep.Violation)
					return
				}
			}
			t.Errorf("planted %q: got no violation in 1000 seeds, want one", bug)
		})
	}
}
