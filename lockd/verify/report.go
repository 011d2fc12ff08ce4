package verify

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"lockd/lockd/verify/check"
)

// Gap is how long faults of one kind took locks away: the longest that a caller of
// each group waited, over all groups and all faults of the kind.
type Gap struct {
	Kind          string
	Times         int // how often it was injected
	P50, P99, Max time.Duration
}

// Report is what came of a run.
type Report struct {
	Prefix                          string
	Workers, Clients, Locks, Groups int
	Lease                           time.Duration
	Took                            time.Duration // load, from the first to the last operation
	Checked                         time.Duration // how long the verdict took
	Operations, Definite, Busy      int
	Faults                          []Injected
	Gaps                            []Gap
	Verdict                         check.Report
	// Notes has for each violation who led the group then, as far as was seen.
	Notes []string
	// Unexpected is the first error that no caller should have seen, nil if there was
	// none.
	Unexpected error
	// Unwell is why the cluster was not well at the end, nil if it was, or if nobody
	// asked for faults.
	Unwell error
	// Unwritten is why Options.History has not all of the record, nil if it has, or if
	// nobody wanted it.
	Unwritten error
	// Interrupted says that somebody ended the run early.
	Interrupted bool
}

// Violated reports whether the cluster has broken its word.
func (r *Report) Violated() bool {
	return len(r.Verdict.Violations) > 0 || r.Unexpected != nil
}

// report writes the history and has it judged, be it written or not.
func (r *run) report() *Report {
	took := time.Since(r.began)
	all := r.history()
	rep := &Report{Prefix: r.prefix, Workers: r.opts.Workers, Clients: r.opts.Clients,
		Locks: r.opts.Locks, Groups: r.groups, Lease: r.lease, Took: took, Faults: r.injected,
		Interrupted: r.interrupted}
	if r.opts.History != nil {
		if err := Write(r.opts.History, all); err != nil {
			rep.Unwritten = fmt.Errorf("verify: writing the history: %w", err)
		}
	}
	began := time.Now()
	rep.Verdict = check.Check(all)
	rep.Checked = time.Since(began)
	rep.Operations, rep.Definite = rep.Verdict.Operations, rep.Verdict.Definite
	for _, w := range r.workers {
		rep.Busy += w.record.busy
	}
	rep.Gaps = gaps(r.injected)
	for i := range rep.Verdict.Violations {
		rep.Notes = append(rep.Notes, r.whoLed(&rep.Verdict.Violations[i]))
	}
	r.mu.Lock()
	rep.Unexpected = r.mu.unexpected
	r.mu.Unlock()
	r.probes.mu.Lock()
	rep.Unexpected = errors.Join(rep.Unexpected, r.probes.mu.err)
	r.probes.mu.Unlock()
	rep.Unwell = r.unwell()
	return rep
}

// whoLed says who led the group of a violation, when its operations were answered.
func (r *run) whoLed(v *check.Violation) string {
	group := r.groupOf(v.Name)
	r.leaders.Lock()
	defer r.leaders.Unlock()
	led := func(o *check.Operation) string {
		if node := r.leaders.last(group, o.Return); node != 0 {
			return fmt.Sprintf("node %d", node)
		}
		return "a node that was not seen"
	}
	text := fmt.Sprintf("group %d was led by %s then", group, led(&v.What))
	if v.Against != nil {
		text += fmt.Sprintf(", and by %s at the operation that it contradicts", led(v.Against))
	}
	return text
}

// gaps sums the waits of faults up by kind, in the order in which kinds came.
func gaps(all []Injected) []Gap {
	var kinds []string
	waits, times := map[string][]time.Duration{}, map[string]int{}
	for _, e := range all {
		if times[e.Kind]++; times[e.Kind] == 1 {
			kinds = append(kinds, e.Kind)
		}
		waits[e.Kind] = append(waits[e.Kind], e.Waits...)
	}
	var sums []Gap
	for _, kind := range kinds {
		of := waits[kind]
		slices.Sort(of)
		if len(of) == 0 {
			continue
		}
		at := func(thousandths int) time.Duration { return of[(len(of)*thousandths+999)/1000-1] }
		sums = append(sums, Gap{Kind: kind, Times: times[kind], P50: at(500), P99: at(990),
			Max: of[len(of)-1]})
	}
	return sums
}
