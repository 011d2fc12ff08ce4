//go:build plant

package sim

import (
	"slices"
	"testing"
)

// TestPlantedBugsAreFound runs worlds with each planted bug until one of them
// fails that is clean without it: the checkers must notice within 1,000 seeds.
func TestPlantedBugsAreFound(t *testing.T) {
	var names []string
	for _, all := range plantable() { // order: sorted next
		names = append(names, all...)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) { findPlanted(t, name) })
	}
}

func findPlanted(t *testing.T, name string) {
	const seeds = 1000
	defer plantOrFail(t, "")
	for from := uint64(1); from <= seeds; {
		plantOrFail(t, name)
		var found Report
		runSeeds(from, seeds+1-from, Draw, func(r Report) bool {
			if r.Failure != nil && (found.Failure == nil || r.Seed < found.Seed) {
				found = r
			}
			return r.Failure == nil
		})
		if found.Failure == nil {
			break
		}
		plantOrFail(t, "")
		if clean := New(Draw(found.Seed), nil).Run(); clean.Failure == nil {
			t.Logf("%s: found after %d seeds: %.150v", name, found.Seed, found.Failure)
			return
		}
		from = found.Seed + 1
	}
	t.Errorf("%s: not found in %d seeds", name, seeds)
}

func plantOrFail(t *testing.T, name string) {
	t.Helper()
	if err := Plant(name); err != nil {
		t.Fatal(err)
	}
}
