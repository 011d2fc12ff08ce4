package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"lockd/perf/measure"
)

// WriteMarkdown writes the report as tables: medians of the rounds, and the
// least and most of the throughput.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	r.head(&b)
	r.throughput(&b)
	r.cost(&b)
	r.troubles(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// head describes the machine and the targets.
func (r *Report) head(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, "# Lock services, measured\n\n")
	fmt.Fprintf(b, "- commit %s, %s, %s\n", r.Version, m.Go, m.Measured.Format(time.RFC3339))
	fmt.Fprintf(b, "- command: `%s`\n", strings.Join(r.Command, " "))
	fmt.Fprintf(b, "- machine: %d cores of %s, %.0f GiB, Linux %s, load before %s\n",
		m.Cores, m.CPU, float64(m.MemoryBytes)/(1<<30), m.Kernel, m.Load)
	fmt.Fprintf(b, "- disk: %s; fdatasync of 512 B into a written file, p50: %s alone, "+
		"%s with three writers\n", m.FileSystem, short(m.SyncAlone), short(m.SyncOfThree))
	fmt.Fprintf(b, "- a pair is one lock and its unlock; load and servers share the machine\n\n")
	fmt.Fprintf(b, "| target | what an answer survives | servers | client |\n|---|---|---|---|\n")
	for _, t := range r.Targets {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", t.Name, t.Durability, t.Server, t.Client)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(b, "| %s | not measured: %s | – | – |\n", m.Target, m.Reason)
	}
	b.WriteString("\n")
}

// throughput is the table of rates and latencies.
func (r *Report) throughput(b *strings.Builder) {
	fmt.Fprintf(b, "| load | target | pairs/s (least–most) |%s pair mean | p50 | p99 | p99.9 | "+
		"lock p50 | p99 | p99.9 |\n", r.ratioHead())
	columns := 10
	if r.Baseline != "" {
		columns++
	}
	fmt.Fprintf(b, "|%s\n", strings.Repeat("---|", columns))
	for _, c := range r.Cells {
		rate := c.spread(func(round Round) float64 { return round.PairsPerSecond })
		fmt.Fprintf(b, "| %s | %s | %.0f (%.0f–%.0f) |%s", c.Load, c.Target,
			rate.Median, rate.Min, rate.Max, r.ratio(c, rate))
		for _, figure := range []func(Round) time.Duration{
			func(round Round) time.Duration { return round.Pair.Mean },
			func(round Round) time.Duration { return round.Pair.P50 },
			func(round Round) time.Duration { return round.Pair.P99 },
			func(round Round) time.Duration { return round.Pair.P999 },
			func(round Round) time.Duration { return round.Lock.P50 },
			func(round Round) time.Duration { return round.Lock.P99 },
			func(round Round) time.Duration { return round.Lock.P999 },
		} {
			median := c.spread(func(round Round) float64 { return float64(figure(round)) }).Median
			fmt.Fprintf(b, " %s |", short(time.Duration(median)))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func (r *Report) ratioHead() string {
	if r.Baseline == "" {
		return ""
	}
	return " × " + r.Baseline + " |"
}

// ratio compares a rate with the baseline's under the same load. Only in a
// closed loop does the rate say how fast a target is.
func (r *Report) ratio(c *Cell, rate measure.Spread) string {
	if r.Baseline == "" {
		return ""
	}
	closed := c.Load.Workload == "uncontended" || c.Load.Workload == "contended"
	for _, other := range r.Cells {
		if !closed || other.Target != r.Baseline || other.Load != c.Load {
			continue
		}
		base := other.spread(func(round Round) float64 { return round.PairsPerSecond })
		if base.Median > 0 {
			return fmt.Sprintf(" %.2f |", rate.Median/base.Median)
		}
	}
	return " – |"
}

// cost is the table of CPU time.
func (r *Report) cost(b *strings.Builder) {
	b.WriteString("| load | target | µs CPU per pair: client | servers | of them | " +
		"rest of the machine, cores | stolen, cores |\n|---|---|---|---|---|---|---|\n")
	for _, c := range r.Cells {
		median := func(figure func(Round) float64) float64 { return c.spread(figure).Median }
		fmt.Fprintf(b, "| %s | %s | %.2f | %.2f | %s | %.2f | %.2f |\n", c.Load, c.Target,
			median(func(round Round) float64 { return round.perPair(round.Client) }),
			median(func(round Round) float64 { return round.perPair(round.servers()) }),
			c.eachServer(),
			median(func(round Round) float64 { return round.cores(round.Other) }),
			median(func(round Round) float64 { return round.cores(round.Steal) }))
	}
	b.WriteString("\n")
}

// cores is CPU time as a number of busy cores.
func (r Round) cores(used time.Duration) float64 {
	if r.Elapsed == 0 {
		return 0
	}
	return used.Seconds() / r.Elapsed.Seconds()
}

// eachServer lists the cost of each server process.
func (c *Cell) eachServer() string {
	if len(c.Rounds) == 0 {
		return "–"
	}
	var parts []string
	for i, server := range c.Rounds[0].Servers {
		cost := c.spread(func(round Round) float64 { return round.perPair(round.Servers[i].CPU) })
		parts = append(parts, fmt.Sprintf("%s %.2f", server.Name, cost.Median))
	}
	return strings.Join(parts, ", ")
}

// troubles lists the cells in which something failed.
func (r *Report) troubles(b *strings.Builder) {
	for _, c := range r.Cells {
		for i, round := range c.Rounds {
			if round.Errors > 0 {
				fmt.Fprintf(b, "- %s, %s, round %d: %d errors, the first: %s\n",
					c.Load, c.Target, i+1, round.Errors, round.FirstError)
			}
		}
	}
}

// short prints a duration with three digits, as people compare them.
func short(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
