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
	// load is that of lockd, figure what it comes to with its round; false without
	// another measurement that it takes.
	load   fits
	figure figure
}

// figure works something out of lockd's round and whatever else a report has. Requires:
// the report is a summary.
type figure func(r *Report, lockd Round) (float64, bool)

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
		{"1 worker, × etcd", least(4, ""), uncontended(1), times(1, "etcd")},
		{"1 worker, × ZooKeeper", least(4, ""), uncontended(1), times(1, "zookeeper")},
		{"1 worker, p50 of a pair, × (4 echoes + 2 syncs of three at once)", most(1.5, ""),
			uncontended(1), overFloor(pairP50, floor{echoes: 4, syncs: 2})},
		{"20 workers, × etcd", least(12, ""), uncontended(20), times(20, "etcd")},
		{"20 workers, × three Redis that sync, of which one other is waited for", least(2.5, ""),
			uncontended(20), times(20, "redis-wait")},
		{"80 workers, × Redis in memory", least(0.8, ""), uncontended(80), times(80, "redis")},
		{"320 workers, × Redis in memory", least(1.5, ""), uncontended(320), times(320, "redis")},
		{"320 workers, p99 of a pair, × that of Redis in memory", most(1, ""), uncontended(320),
			worse(320, "redis")},
		{"2,000 workers in 4 client processes", least(200_000, "pairs/s"), many, rate},
		{"10,000 pairs/s begun whatever ends, p99 of a pair", most(3, "ms"), open, millis(pairP99)},
		{"150 workers on 15 keys", least(15_000, "pairs/s"), contended(150, 0), rate},
		{"1,500 workers on 15 keys", least(15_000, "pairs/s"), contended(1500, 0), rate},
		{"150 workers on 15 keys, each held for 50 ms: at best 300", least(295, "pairs/s"),
			contended(150, 50*time.Millisecond), rate},
		{"1,500 workers, the same", least(295, "pairs/s"), contended(1500, 50*time.Millisecond), rate},
		{"hand-over, p50, × (2 echoes + 1 sync of three at once)", most(1.3, ""), handoff,
			overFloor(lockP50, floor{echoes: 2, syncs: 1})},
		{"the same, × that floor after the pause that precedes each hand-over", most(1.3, ""), handoff,
			overPausedFloor},
		{"320 workers, processor time of a pair, nodes and client", most(14, "µs"), uncontended(320),
			processor},
		{"a leader is killed: longest wait after it, p99 of the kills", most(300, "ms"), failover,
			millis(lockP99)},
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
			l.Held == 0 && l.Payload == 0 && l.Think == 0
	}
}

// paused is one worker that pauses before each pair as the clients of a hand-over do.
func paused(l workload.Load) bool {
	return l.Workload == "uncontended" && l.Workers == 1 && l.Think == workload.QueuePause
}

func contended(workers int, hold time.Duration) fits {
	return func(l workload.Load) bool {
		return l.Workload == "contended" && l.Workers == workers && l.Hold == hold && l.Keys == 15
	}
}

// measured is the cell of a target under the first load that is meant, nil if there is
// none that came to its end. Requires: r is a summary.
func (r *Report) measured(target string, meant fits) *Cell {
	for _, c := range r.Cells {
		if c.Target == target && meant(c.Load) && c.Rounds[0].Broken == "" {
			return c
		}
	}
	return nil
}

// times is lockd's rate over that of another target.
func times(workers int, other string) figure {
	return func(r *Report, a Round) (float64, bool) {
		c := r.measured(other, uncontended(workers))
		if c == nil || c.Rounds[0].PairsPerSecond <= 0 {
			return 0, false
		}
		return a.PairsPerSecond / c.Rounds[0].PairsPerSecond, true
	}
}

// worse is lockd's p99 over that of another target.
func worse(workers int, other string) figure {
	return func(r *Report, a Round) (float64, bool) {
		c := r.measured(other, uncontended(workers))
		if c == nil || c.Rounds[0].Pair.P99 <= 0 {
			return 0, false
		}
		return float64(a.Pair.P99) / float64(c.Rounds[0].Pair.P99), true
	}
}

// floor is what the network stack and the disk take of something.
type floor struct{ echoes, syncs int }

// overFloor is a latency of lockd over the floor. An echo is half of a pair of the
// target echo, and one between nodes is taken to be as long.
func overFloor(of latency, f floor) figure {
	return func(r *Report, a Round) (float64, bool) {
		echo, sync := r.measured("echo", uncontended(1)), r.Machine.SyncOfThree
		if echo == nil || echo.Rounds[0].Lock.P50 <= 0 || sync <= 0 {
			return 0, false
		}
		least := time.Duration(f.echoes)*echo.Rounds[0].Lock.P50 + time.Duration(f.syncs)*sync
		return float64(of(a)) / float64(least), true
	}
}

// overPausedFloor is a hand-over over two echoes and a sync that begin, as it does,
// after a pause: processors that sleep, and threads, take their time to wake.
func overPausedFloor(r *Report, a Round) (float64, bool) {
	echo, disk := r.measured("echo", paused), r.measured("fsync-3", paused)
	if echo == nil || disk == nil {
		return 0, false
	}
	least := echo.Rounds[0].Pair.P50 + disk.Rounds[0].Lock.P50
	if least <= 0 {
		return 0, false
	}
	return float64(a.Lock.P50) / float64(least), true
}

// rate is lockd's rate.
func rate(_ *Report, a Round) (float64, bool) { return a.PairsPerSecond, true }

// millis is a latency of lockd in milliseconds.
func millis(of latency) figure {
	return func(_ *Report, a Round) (float64, bool) {
		return float64(of(a)) / float64(time.Millisecond), true
	}
}

// processor is lockd's processor time of a pair in microseconds.
func processor(_ *Report, a Round) (float64, bool) {
	return a.perPair(a.Client + a.servers()), true
}

// reading says of a figure what it does not say itself: of few kills the p99 is the
// longest, and calls that failed are in no rate or latency, but of a failover, in which
// a caller asks again and waits all the while.
func reading(c *Cell) (note string, sound bool) {
	switch errs := c.Rounds[0].Errors; {
	case c.Load.Workload == "failover" && c.Load.Trials < 100:
		return fmt.Sprintf(" (the longest of %d)", c.Load.Trials), true
	case c.Load.Workload != "failover" && errs > 0:
		return fmt.Sprintf(" (%d calls failed)", errs), false
	}
	return "", true
}

// answer is what lockd, as a target has it, did of a goal in this run; false if that
// was not measured.
func (r *Report) answer(g *goal, target string) (text string, ok bool) {
	c := r.measured(target, g.load)
	if c == nil {
		return "", false
	}
	v, ok := g.figure(r, c.Rounds[0])
	if !ok {
		return "", false
	}
	reached := "no"
	note, sound := reading(c)
	if sound && g.bound.reached(v) {
		reached = "yes"
	}
	return fmt.Sprintf("%s%s | %s", g.bound.text(v), note, reached), true
}

// goals is the table of what lockd is to reach and what it did in this run, as far as
// that was measured: with the groups that it has by itself, and with one.
func (r *Report) goals(b *strings.Builder) {
	head := "| what lockd is to reach | goal | measured | reached | in one group | reached |\n" +
		"|---|---|---|---|---|---|\n"
	for _, g := range goals() {
		text, ok := r.answer(&g, "lockd")
		if !ok {
			continue
		}
		one, ok := r.answer(&g, "lockd-one")
		if !ok {
			one = "– | –"
		}
		fmt.Fprintf(b, "%s| %s | %s %s | %s | %s |\n", head, g.what, g.bound.sign,
			g.bound.text(g.bound.of), text, one)
		head = ""
	}
	if head == "" {
		b.WriteString("\n")
	}
}
