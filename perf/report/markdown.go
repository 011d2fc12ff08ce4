package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteMarkdown writes the report as a document of its own.
func (r *Report) WriteMarkdown(w io.Writer) error {
	_, err := io.WriteString(w, "# Lock services, measured\n\n"+r.body(nil))
	return err
}

// body is everything below the title; each picture stands above its table.
func (r *Report) body(pictures []Picture) string {
	var b strings.Builder
	s := r.Summary()
	s.head(&b)
	for _, p := range pictures {
		fmt.Fprintf(&b, "![%s](%s)\n\n", p.Title, p.Path)
	}
	s.goals(&b)
	s.throughput(&b)
	s.cost(&b)
	s.figures(&b)
	r.troubles(&b)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// head describes the machine and the targets.
func (r *Report) head(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, "- commit %s, %s, %s\n", r.Version, m.Go, m.Measured.Format(time.RFC3339))
	fmt.Fprintf(b, "- command: `%s`\n", strings.Join(r.Command, " "))
	fmt.Fprintf(b, "- machine: %d cores of %s, %.0f GiB, Linux %s, load before %s\n",
		m.Cores, m.CPU, float64(m.MemoryBytes)/(1<<30), m.Kernel, m.Load)
	fmt.Fprintf(b, "- disk: %s; fdatasync of 512 B into a written file, p50: %s alone, "+
		"%s with three writers\n", m.FileSystem, short(m.SyncAlone), short(m.SyncOfThree))
	fmt.Fprintf(b, "- the rest of the machine and its host took %.2f cores meanwhile (median)\n",
		r.Noise())
	fmt.Fprintf(b, "- a pair is one lock and its unlock; load and servers share the machine\n\n")
	fmt.Fprintf(b, "| target | what an answer survives | servers | client |\n|---|---|---|---|\n")
	for _, t := range r.Targets {
		server := t.Server
		if t.Flags != "" {
			server += " " + t.Flags
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", t.Name, t.Durability, server, t.Client)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(b, "| %s | not measured: %s | – | – |\n", m.Target, oneLine(m.Reason))
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
		if !c.Load.Paired() {
			continue
		}
		round := c.Rounds[0]
		fmt.Fprintf(b, "| %s | %s | %.0f (%.0f–%.0f) |%s", c.Load, c.Target,
			c.Rate.Median, c.Rate.Min, c.Rate.Max, r.ratio(c))
		for _, latency := range []time.Duration{
			round.Pair.Mean, round.Pair.P50, round.Pair.P99, round.Pair.P999,
			round.Lock.P50, round.Lock.P99, round.Lock.P999,
		} {
			fmt.Fprintf(b, " %s |", short(latency))
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

// ratio compares a rate with the baseline's under the same load, and says with *
// that the two promise different things. Only in a closed loop does the rate say
// how fast a target is.
func (r *Report) ratio(c *Cell) string {
	if r.Baseline == "" {
		return ""
	}
	other := r.cell(r.Baseline, c)
	if other == nil || other.Rate.Median <= 0 || !closed(c) {
		return " – |"
	}
	mark := ""
	if r.durability(c.Target) != r.durability(r.Baseline) {
		mark = " \\*"
	}
	return fmt.Sprintf(" %.2f%s |", c.Rate.Median/other.Rate.Median, mark)
}

// closed says whether a load is one whose rate tells how fast a target is.
func closed(c *Cell) bool {
	switch c.Load.Workload {
	case "uncontended", "async", "contended", "readwrite", "semaphore", "crowd":
		return true
	}
	return false
}

// cell is a target's cell of the same load; nil if there is none.
func (r *Report) cell(target string, c *Cell) *Cell {
	for _, other := range r.Cells {
		if other.Target == target && other.Load == c.Load {
			return other
		}
	}
	return nil
}

func (r *Report) durability(target string) string {
	for _, t := range r.Targets {
		if t.Name == target {
			return t.Durability
		}
	}
	return ""
}

// cost is the table of CPU time.
func (r *Report) cost(b *strings.Builder) {
	if r.Baseline != "" {
		b.WriteString("\\* The two promise different things: see the table of targets.\n\n")
	}
	b.WriteString("| load | target | µs CPU per pair: client | servers | of them | " +
		"rest of the machine, cores | stolen, cores |\n|---|---|---|---|---|---|---|\n")
	for _, c := range r.Cells {
		if !c.Load.Paired() {
			continue
		}
		round := c.Rounds[0]
		var parts []string
		for _, server := range round.Servers {
			parts = append(parts, fmt.Sprintf("%s %.2f", server.Name, round.perPair(server.CPU)))
		}
		fmt.Fprintf(b, "| %s | %s | %.2f | %.2f | %s | %.2f | %.2f |\n", c.Load, c.Target,
			round.perPair(round.Client), round.perPair(round.servers()), strings.Join(parts, ", "),
			round.cores(round.Other), round.cores(round.Steal))
	}
	b.WriteString("\n")
}

// figures is the table of what loads measure besides, and of what was not run.
func (r *Report) figures(b *strings.Builder) {
	head := "| load | target | figure | median |\n|---|---|---|---|\n"
	for _, c := range r.Cells {
		for _, f := range c.Rounds[0].Figures {
			unit := ""
			if f.Unit != "" {
				unit = " " + f.Unit
			}
			fmt.Fprintf(b, "%s| %s | %s | %s | %s%s |\n", head, c.Load, c.Target, f.Name,
				digits(f.Value), unit)
			head = ""
		}
	}
	if head == "" {
		b.WriteString("\n")
	}
	for _, u := range r.Unfit {
		fmt.Fprintf(b, "- %s was not run on %s: %s\n", u.Workload, u.Target, u.Reason)
	}
	if len(r.Unfit) > 0 {
		b.WriteString("\n")
	}
}

// troubles lists the rounds in which something failed.
func (r *Report) troubles(b *strings.Builder) {
	for _, c := range r.Cells {
		for i, round := range c.Rounds {
			if round.Broken != "" {
				fmt.Fprintf(b, "- %s, %s, round %d ended before its time: %s\n", c.Load, c.Target, i+1,
					oneLine(round.Broken))
			}
			if round.Errors > 0 {
				fmt.Fprintf(b, "- %s, %s, round %d: %d errors, the first: %s\n",
					c.Load, c.Target, i+1, round.Errors, oneLine(round.FirstError))
			}
		}
	}
}

// oneLine makes a cell of a table, or an entry of a list, of what a program said.
func oneLine(text string) string {
	const most = 300
	line := []rune(strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", "/"))
	if len(line) > most {
		line = append(line[:most], '…')
	}
	return string(line)
}

// digits prints a figure with as many digits as it is worth.
func digits(v float64) string {
	switch {
	case v == float64(int64(v)) || v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
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
