package main

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"lockd/lockd/sim"
)

// tally sums reports up.
type tally struct {
	start time.Time
	mu    struct {
		sync.Mutex
		next    uint64
		done    uint64
		virtual sim.Time
		events  uint64
		// coverage counts what happened, faulted what of it while faults did.
		coverage, faulted map[string]uint64
		failed            []sim.Report
		// on and broken are how many seeds had a class of faults on, and how
		// many of those failed.
		on, broken map[sim.Fault]int
	}
}

func newTally(from uint64) *tally {
	t := &tally{start: time.Now()}
	t.mu.next = from
	t.mu.coverage, t.mu.faulted = make(map[string]uint64), make(map[string]uint64)
	t.mu.on, t.mu.broken = make(map[sim.Fault]int), make(map[sim.Fault]int)
	return t
}

// take gives out the next seed.
func (t *tally) take() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.next++
	return t.mu.next - 1
}

// add counts a report in and tells of a failure at once.
func (t *tally) add(r *sim.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.done++
	t.mu.virtual += r.Virtual
	t.mu.events += r.Events
	sim.Sum(t.mu.coverage, r.Coverage)
	sim.Sum(t.mu.faulted, r.Faulted)
	for _, f := range sim.Faults() {
		if r.Faults&f == 0 {
			continue
		}
		t.mu.on[f]++
		if r.Failure != nil {
			t.mu.broken[f]++
		}
	}
	if r.Failure != nil {
		t.mu.failed = append(t.mu.failed, *r)
		fmt.Printf("seed %d FAILED: %s\n", r.Seed, firstLine(r.Failure))
	}
	if t.mu.done%100 == 0 {
		fmt.Fprintf(os.Stderr, "%d seeds, %.0f s, %d failed\n", t.mu.done,
			time.Since(t.start).Seconds(), len(t.mu.failed))
	}
}

// sum prints what the runs showed, and how to repeat what failed.
func (t *tally) sum(from uint64) error {
	took := time.Since(t.start)
	hours := float64(t.mu.virtual) / 3.6e12
	fmt.Printf("%d seeds from %d: %.2f cluster-hours in %.0f s (%.1f per real minute), %d events\n",
		t.mu.done, from, hours, took.Seconds(), hours/took.Minutes(), t.mu.events)
	if len(t.mu.failed) == 0 {
		return nil
	}
	slices.SortFunc(t.mu.failed, func(a, b sim.Report) int { return int(a.Seed) - int(b.Seed) })
	for _, r := range t.mu.failed {
		fmt.Printf("\nseed %d: %v\n  repeat: %s -v\n  or: %s -minimise\n", r.Seed, r.Failure,
			r.Command, r.Command)
	}
	return fmt.Errorf("%d of %d seeds failed", len(t.mu.failed), t.mu.done)
}

// counts prints everything that happened, by name.
func (t *tally) counts() {
	var names []string
	for name := range t.mu.coverage { // order: sorted next
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Printf("  %-40s %12d\n", name, t.mu.coverage[name])
	}
}

// swarm prints what each class of faults did.
func (t *tally) swarm() {
	fmt.Printf("  %-14s %8s %10s %8s\n", "faults", "seeds", "times", "failed")
	for _, f := range sim.Faults() {
		fmt.Printf("  %-14s %8d %10d %8d\n", f, t.mu.on[f], t.mu.coverage["fault "+f.String()],
			t.mu.broken[f])
	}
}

// rows prints what was reached of each row of the fault matrix.
func (t *tally) rows() {
	for _, row := range sim.Rows() {
		fmt.Printf("  %-6s", row.ID)
		for i, name := range row.Counts {
			if i > 0 {
				fmt.Print(",")
			}
			fmt.Printf(" %s %d", name, t.mu.coverage[name])
		}
		fmt.Println()
	}
}

// missed prints what no seed reached, and reports how much that is.
func (t *tally) missed() int {
	n := 0
	for _, name := range sim.Reachable() {
		if t.mu.coverage[name] == 0 {
			n++
			fmt.Printf("  never: %s\n", name)
		}
	}
	for _, name := range sim.ReachableUnderFaults() {
		if t.mu.faulted[name] == 0 {
			n++
			fmt.Printf("  never while anything else went wrong: %s\n", name)
		}
	}
	return n
}
