//go:build plant

package sim

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// found is what it took to notice a planted bug.
type found struct {
	name string
	seed uint64
	took time.Duration
	by   string
}

// TestPlantedBugsAreFound runs worlds with each planted bug until one of them
// fails that is clean without it: the checkers must notice within 1,000 seeds.
func TestPlantedBugsAreFound(t *testing.T) {
	var names []string
	for _, all := range plantable() { // order: sorted next
		names = append(names, all...)
	}
	slices.Sort(names)
	var table []found
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if f := findPlanted(t, name); f.seed != 0 {
				table = append(table, f)
			}
		})
	}
	t.Logf("%d of %d planted bugs are found:", len(table), len(names))
	for _, f := range table {
		t.Logf("%-28s %5d seeds %6.1f s  %s", f.name, f.seed, f.took.Seconds(), f.by)
	}
}

func findPlanted(t *testing.T, name string) found {
	const seeds = 1000
	defer plantOrFail(t, "")
	began := time.Now()
	for from := uint64(1); from <= seeds; {
		plantOrFail(t, name)
		var first Report
		runSeeds(from, seeds+1-from, Draw, func(r Report) bool {
			if r.Failure != nil && (first.Failure == nil || r.Seed < first.Seed) {
				first = r
			}
			return r.Failure == nil
		})
		if first.Failure == nil {
			break
		}
		plantOrFail(t, "")
		if clean := New(Draw(first.Seed), nil).Run(); clean.Failure == nil {
			line, _, _ := strings.Cut(first.Failure.Error(), "\n")
			return found{name, first.Seed, time.Since(began), line[:min(len(line), 120)]}
		}
		from = first.Seed + 1
	}
	t.Errorf("%s: not found in %d seeds", name, seeds)
	return found{}
}

func plantOrFail(t *testing.T, name string) {
	t.Helper()
	if err := Plant(name); err != nil {
		t.Fatal(err)
	}
}
