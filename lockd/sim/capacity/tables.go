package main

import (
	"fmt"
	"io"
	"slices"
)

// shape is how a load is made up: processes of clients for each node, with so
// many workers each.
type shape struct{ clients, workers int }

// usual are many small clients.
func usual() shape { return shape{60, 8} }

// load says how many clients a cluster of some size has.
func (o Options) load(nodes int, s shape) Options {
	o.Nodes, o.Clients, o.Workers = nodes, nodes*s.clients, s.workers
	return o
}

// carried is what a cluster carries that has been under load for a while.
func carried(o Options, window Time) (*World, Window, error) {
	w := New(o)
	w.boot()
	w.begin()
	w.run(400 * millisecond)
	m := w.measure(window)
	return w, m, w.failure
}

// sizes prints what clusters of several sizes carry.
func sizes(out io.Writer, base Options) error {
	s := usual()
	fmt.Fprintf(out, "Load: %d clients a node with %d workers each.\n\n", s.clients, s.workers)
	fmt.Fprintln(out, "| nodes | pairs/s | × 3 nodes | of linear | mean | p99 | nodes busy "+
		"(least–most) | µs per pair: nodes | replicas a node | leaders a node | commands a slot |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|")
	first := 0.0
	for _, nodes := range []int{3, 5, 7, 9, 15, 30} {
		w, m, err := carried(base.load(nodes, s), 500*millisecond)
		if err != nil {
			return err
		}
		if first == 0 {
			first = m.PerSecond()
		}
		replicas, leaders := w.spread()
		times := m.PerSecond() / first
		fmt.Fprintf(out, "| %d | %.0f | %.2f | %.0f %% | %.1f ms | %.1f ms | %.0f–%.0f %% | %.1f | %s "+
			"| %s | %.1f |\n", nodes, m.PerSecond(), times, 100*times*3/float64(nodes),
			m.Mean.Millis(), m.P99.Millis(), 100*slices.Min(m.Busy), 100*slices.Max(m.Busy),
			m.NodeMicros, span(replicas), span(leaders),
			float64(m.totals.commands)/float64(m.totals.slots))
	}
	fmt.Fprintln(out)
	return nil
}

// span prints the least and the most.
func span(of []int) string {
	least, most := slices.Min(of), slices.Max(of)
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d–%d", least, most)
}

// shapes prints how much the shape of the load decides.
func shapes(out io.Writer, base Options) error {
	fmt.Fprintln(out, "| clients a node × workers | 3 nodes | 5 nodes | 9 nodes | 5 ÷ 3 | 9 ÷ 3 "+
		"| reads and writes of nodes a pair: 3 nodes | 9 nodes |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|")
	for _, s := range []shape{{120, 2}, usual(), {2, 240}} {
		var rate, calls []float64
		for _, nodes := range []int{3, 5, 9} {
			_, m, err := carried(base.load(nodes, s), 300*millisecond)
			if err != nil {
				return err
			}
			rate = append(rate, m.PerSecond())
			calls = append(calls, float64(m.totals.reads+m.totals.writes)/float64(m.Pairs))
		}
		fmt.Fprintf(out, "| %d × %d | %.0f | %.0f | %.0f | %.2f | %.2f | %.2f | %.2f |\n", s.clients,
			s.workers, rate[0], rate[1], rate[2], rate[1]/rate[0], rate[2]/rate[0], calls[0], calls[2])
	}
	fmt.Fprintln(out)
	return nil
}

// slowdown makes the machines of a growing cluster slower, so that half a minute
// of its life has few enough events.
const slowdown = 10

// growth prints what clients see while nodes are added, twice two of them.
func growth(out io.Writer, base Options) error {
	o := base.load(3, usual())
	o.Costs, o.Keeps = base.Costs.Slowed(slowdown), 5
	w, m, err := carried(o, second)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Machines %d times slower. Each of %d clients keeps %d locks.\n\n", slowdown,
		o.Clients, o.Keeps)
	fmt.Fprintln(out, "| nodes | took | pairs/s | mean | p99 | longest | changes of acceptors | "+
		"of leaders | replicas | leaders |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|")
	row := func(what string, m *Window, rest string) {
		fmt.Fprintf(out, "| %s | %.1f s | %.0f | %.0f ms | %.0f ms | %.0f ms | %s |\n", what,
			m.Length.Seconds(), m.PerSecond(), m.Mean.Millis(), m.P99.Millis(), m.Max.Millis(), rest)
	}
	replicas, leaders := w.spread()
	row("3", &m, fmt.Sprintf("– | – | %s | %s", span(replicas), span(leaders)))
	for range 2 {
		before := len(w.sites)
		s := w.grow(2, second)
		if w.failure != nil {
			return w.failure
		}
		row(fmt.Sprintf("%d → %d", before, s.Nodes), &s.Moves,
			fmt.Sprintf("%d | %d | – | –", s.Seats, s.Deposed))
		row(fmt.Sprint(s.Nodes), &s.After,
			fmt.Sprintf("– | – | %s | %s", span(s.Replicas), span(s.Leaders)))
	}
	fmt.Fprintf(out, "\nErrors: 0. Holds lost: 0 of %d. Asked for what others keep, and refused: "+
		"%d.\n\n", o.Clients*o.Keeps, w.contests)
	return nil
}

// measured prints what the model says of the machine on which the costs were
// measured: three nodes and all clients on two cores and one disk.
func measured(out io.Writer, base Options) error {
	fmt.Fprintln(out, "| workers, groups | model: pairs/s | mean | µs of processor per pair, all |")
	fmt.Fprintln(out, "|---|---|---|---|")
	for _, c := range []struct{ workers, groups int }{
		{1, 64}, {20, 64}, {80, 64}, {320, 64}, {320, 3}} {
		o := base
		o.Nodes, o.Clients, o.Workers, o.Groups, o.Shared = 3, 1, c.workers, c.groups, 2
		// 359 µs is a sync beside two others; nothing leaves the machine.
		o.Costs.SyncWait, o.Costs.Latency = 359*microsecond-o.Costs.Sync, 0
		_, m, err := carried(o, second)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "| %d, %d | %.0f | %.2f ms | %.1f |\n", c.workers, c.groups, m.PerSecond(),
			m.Mean.Millis(), 1e6*m.Busy[0]*m.Length.Seconds()/float64(m.Pairs))
	}
	fmt.Fprintln(out)
	return nil
}
