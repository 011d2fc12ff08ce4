package report

import (
	"fmt"
	"strings"
	"time"

	"lockd/perf/workload"
)

// goal is a figure that lockd is to reach: a ratio to another target, or to a limit of
// the machine, wherever there is one.
type goal struct {
	what  string
	bound bound
	// figure is what was measured; false without one of the measurements it takes.
	figure func(r *Report) (float64, bool)
}

// bound is what a figure is held against.
type bound struct {
	sign string // "≥" or "≤"
	of   float64
	unit string
}

func least(v float64, unit string) bound { return bound{"≥", v, unit} }
func most(v float64, unit string) bound  { return bound{"≤", v, unit} }

// reached reports whether a figure is on the right side.
func (b bound) reached(v float64) bool {
	if b.sign == "≥" {
		return v >= b.of
	}
	return v <= b.of
}

// text is a figure, or the bound, with its unit.
func (b bound) text(v float64) string {
	if b.unit == "" {
		return digits(v)
	}
	return digits(v) + " " + b.unit
}

// goals are in the order of the table.
func goals() []goal {
	handoff := func(l workload.Load) bool { return l.Workload == "handoff" }
	failover := func(l workload.Load) bool { return l.Workload == "failover" }
	many := func(l workload.Load) bool {
		return l.Workload == "uncontended" && l.Workers == 2000 && l.Clients == 4
	}
	open := func(l workload.Load) bool { return l.Workload == "open" && l.Rate == 10_000 }
	return []goal{
		{"1 worker, × etcd", least(4, ""), times(1, "etcd")},
		{"1 worker, × ZooKeeper", least(4, ""), times(1, "zookeeper")},
		{"1 worker, p50 of a pair, × (4 echoes + 2 syncs of three at once)", most(1.5, ""),
			overFloor(uncontended(1), pairP50, floor{echoes: 4, syncs: 2})},
		{"20 workers, × etcd", least(12, ""), times(20, "etcd")},
		{"20 workers, × three Redis that sync, of which one other is waited for", least(2.5, ""),
			times(20, "redis-wait")},
		{"80 workers, × Redis in memory", least(0.8, ""), times(80, "redis")},
		{"320 workers, × Redis in memory", least(1.5, ""), times(320, "redis")},
		{"320 workers, p99 of a pair, × that of Redis in memory", most(1, ""), worse(320, "redis")},
		{"2,000 workers in 4 client processes", least(200_000, "pairs/s"), rate(many)},
		{"10,000 pairs/s begun whatever ends, p99 of a pair", most(3, "ms"), millis(open, pairP99)},
		{"150 workers on 15 keys", least(15_000, "pairs/s"), rate(contended(150, 0))},
		{"1,500 workers on 15 keys", least(15_000, "pairs/s"), rate(contended(1500, 0))},
		{"150 workers on 15 keys, each held for 50 ms: at best 300", least(295, "pairs/s"),
			rate(contended(150, 50*time.Millisecond))},
		{"1,500 workers, the same", least(295, "pairs/s"), rate(contended(1500, 50*time.Millisecond))},
		{"hand-over, p50, × (2 echoes + 1 sync of three at once)", most(1.3, ""),
			overFloor(handoff, lockP50, floor{echoes: 2, syncs: 1})},
		{"320 workers, processor time of a pair, nodes and client", most(14, "µs"),
			processor(uncontended(320))},
		{"a leader is killed: longest wait after it, p99 of the kills", most(300, "ms"),
			millis(failover, lockP99)},
	}
}

// fits says which loads are meant.
type fits func(workload.Load) bool

// latency is a figure of a round.
type latency func(Round) time.Duration

func pairP50(r Round) time.Duration { return r.Pair.P50 }
func pairP99(r Round) time.Duration { return r.Pair.P99 }
func lockP50(r Round) time.Duration { return r.Lock.P50 }
func lockP99(r Round) time.Duration { return r.Lock.P99 }

func uncontended(workers int) fits {
	return func(l workload.Load) bool {
		return l.Workload == "uncontended" && l.Workers == workers && l.Clients == 0 &&
			l.Held == 0 && l.Payload == 0
	}
}

func contended(workers int, hold time.Duration) fits {
	return func(l workload.Load) bool {
		return l.Workload == "contended" && l.Workers == workers && l.Hold == hold && l.Keys == 15
	}
}

// round is that of a target under the first load that is meant. Requires: r is a
// summary.
func (r *Report) round(target string, meant fits) (Round, bool) {
	for _, c := range r.Cells {
		if c.Target == target && meant(c.Load) && c.Rounds[0].Broken == "" {
			return c.Rounds[0], true
		}
	}
	return Round{}, false
}

// times is lockd's rate over that of another target.
func times(workers int, other string) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		a, ok := r.round("lockd", uncontended(workers))
		b, too := r.round(other, uncontended(workers))
		return a.PairsPerSecond / b.PairsPerSecond, ok && too && b.PairsPerSecond > 0
	}
}

// worse is lockd's p99 over that of another target.
func worse(workers int, other string) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		a, ok := r.round("lockd", uncontended(workers))
		b, too := r.round(other, uncontended(workers))
		return float64(a.Pair.P99) / float64(b.Pair.P99), ok && too && b.Pair.P99 > 0
	}
}

// floor is what the network stack and the disk take of something.
type floor struct{ echoes, syncs int }

// overFloor is a latency of lockd over the floor. An echo is half of a pair of the
// target echo, and one between nodes is taken to be as long.
func overFloor(meant fits, of latency, f floor) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		a, ok := r.round("lockd", meant)
		echo, too := r.round("echo", uncontended(1))
		sync := r.Machine.SyncOfThree
		least := time.Duration(f.echoes)*echo.Lock.P50 + time.Duration(f.syncs)*sync
		return float64(of(a)) / float64(least), ok && too && echo.Lock.P50 > 0 && sync > 0
	}
}

// rate is lockd's rate.
func rate(meant fits) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		a, ok := r.round("lockd", meant)
		return a.PairsPerSecond, ok
	}
}

// millis is a latency of lockd in milliseconds.
func millis(meant fits, of latency) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		a, ok := r.round("lockd", meant)
		return float64(of(a)) / float64(time.Millisecond), ok
	}
}

// processor is lockd's processor time of a pair in microseconds.
func processor(meant fits) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		a, ok := r.round("lockd", meant)
		return a.perPair(a.Client + a.servers()), ok
	}
}

// goals is the table of what lockd is to reach and what it did in this run, as far as
// that was measured.
func (r *Report) goals(b *strings.Builder) {
	head := "| what lockd is to reach | goal | measured | reached |\n|---|---|---|---|\n"
	for _, g := range goals() {
		v, ok := g.figure(r)
		if !ok {
			continue
		}
		answer := "no"
		if g.bound.reached(v) {
			answer = "yes"
		}
		fmt.Fprintf(b, "%s| %s | %s %s | %s | %s |\n", head, g.what, g.bound.sign,
			g.bound.text(g.bound.of), g.bound.text(v), answer)
		head = ""
	}
	if head == "" {
		b.WriteString("\n")
	}
}
