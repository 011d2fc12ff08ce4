package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"lockd/lockd/sim"
)

// finding is how a planted bug was noticed.
type finding struct {
	// worlds is how many were run up to the one that failed with the bug and is
	// clean without it, zero if none did. seed is that one's.
	worlds, seed uint64
	by           string
}

// table plants one bug after the other and prints in how many worlds each was
// found, once for each of the ranges of seeds, and what found it. The rows are
// those of a document.
func (s *settings) table() error {
	starts, err := parseStarts(s.ranges)
	if err != nil {
		return err
	}
	if err := sim.Plant(""); err != nil {
		return err
	}
	bugs, err := choose(sim.Plantings(), s.plants)
	if err != nil {
		return err
	}
	head, rule := "| bug | rule it breaks |", "|---|---|"
	for _, from := range starts {
		head += fmt.Sprintf(" from %d |", from)
		rule += "---|"
	}
	fmt.Printf("%s found by |\n%s---|\n", head, rule)
	missed := 0
	for _, p := range bugs {
		row, by := fmt.Sprintf("| `%s` | %s |", p.Name, p.Rule), "nothing"
		for _, from := range starts {
			f, err := s.find(p.Name, from)
			switch {
			case err != nil:
				return err
			case f.worlds == 0:
				missed++
				row += fmt.Sprintf(" not in %d |", s.seeds)
			default:
				row += fmt.Sprintf(" %d |", f.worlds)
				if by == "nothing" {
					by = f.by
				}
			}
		}
		fmt.Printf("%s %s |\n", row, by)
	}
	if missed > 0 {
		return fmt.Errorf("%d times a planted bug was not found in %d seeds", missed, s.seeds)
	}
	return nil
}

// choose returns the bugs that are named by commas, or all.
func choose(all []sim.Planting, names string) ([]sim.Planting, error) {
	if names == "all" {
		return all, nil
	}
	var some []sim.Planting
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(all, func(p sim.Planting) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("-plants: no bug is called %q", name)
		}
		some = append(some, all[i])
	}
	return some, nil
}

func parseStarts(text string) ([]uint64, error) {
	var starts []uint64
	for _, each := range strings.Split(text, ",") {
		from, err := strconv.ParseUint(strings.TrimSpace(each), 10, 64)
		if err != nil || from == 0 {
			return nil, fmt.Errorf("-ranges: %q is not the seed of a first world", each)
		}
		starts = append(starts, from)
	}
	return starts, nil
}

// find runs worlds with a bug planted until one fails that is clean without it.
func (s *settings) find(name string, from uint64) (finding, error) {
	for next := from; next < from+s.seeds; {
		if err := sim.Plant(name); err != nil {
			return finding{}, err
		}
		failed := s.firstFailure(next, from+s.seeds)
		if err := sim.Plant(""); err != nil {
			return finding{}, err
		}
		if failed == nil {
			break
		}
		next = failed.Seed + 1
		if sim.New(s.draw(failed.Seed), nil).Run().Failure == nil {
			return finding{next - from, failed.Seed, foundBy(failed.Failure)}, nil
		}
		fmt.Fprintf(os.Stderr, "seed %d fails without a planted bug\n", failed.Seed)
	}
	return finding{}, nil
}

// firstFailure runs the worlds of [from, to) until one fails, and returns the
// failure of the lowest seed, nil if there is none.
func (s *settings) firstFailure(from, to uint64) *sim.Report {
	var mu sync.Mutex
	var first *sim.Report
	next := from
	take := func() (seed uint64, more bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= to && first == nil
	}
	s.pool(func() {
		for seed, more := take(); more; seed, more = take() {
			r := sim.New(s.draw(seed), nil).Run()
			mu.Lock()
			if r.Failure != nil && (first == nil || r.Seed < first.Seed) {
				first = &r
			}
			mu.Unlock()
		}
	})
	return first
}

// foundBy is the beginning of what a checker said, without the moment.
func foundBy(failure error) string {
	line := firstLine(failure)
	if _, rest, ok := strings.Cut(line, " s: "); ok && strings.HasPrefix(line, "at ") {
		line = rest
	}
	line = strings.ReplaceAll(line, "|", "/")
	const most = 72
	if len(line) > most {
		line = line[:most] + "…"
	}
	return line
}
