//go:build plant

package sim

import (
	"slices"
	"testing"
)

// TestPlantedBugsAreFound runs worlds with each planted bug until one of them
// fails: the checkers must notice within 1,000 seeds.
func TestPlantedBugsAreFound(t *testing.T) {
	var names []string
	for _, all := range plantable() { // order: sorted next
		names = append(names, all...)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if err := Plant(name); err != nil {
				t.Fatal(err)
			}
			defer Plant("")
			runs, found := 0, Report{}
			runSeeds(1, 1000, Draw, func(r Report) bool {
				runs++
				if r.Failure != nil {
					found = r
				}
				return r.Failure == nil
			})
			if found.Failure == nil {
				t.Fatalf("%s: not found in %d seeds", name, runs)
			}
			t.Logf("%s: found after %d seeds, by seed %d: %.150v", name, runs, found.Seed,
				found.Failure)
		})
	}
}
