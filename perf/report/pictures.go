package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"lockd/perf/report/chart"
)

// Picture is one chart of a report.
type Picture struct {
	// Name is the file's, Title what it shows; Path is how a document names it.
	Name, Title, Path string
	SVG               []byte
}

// Pictures draws the charts that the report has figures for.
func (r *Report) Pictures() []Picture {
	s := r.Summary()
	var all []Picture
	add := func(name, title string, svg []byte) {
		if svg != nil {
			all = append(all, Picture{Name: name, Title: title, SVG: svg})
		}
	}
	const (
		throughput = "Uncontended pairs per second by callers"
		latency    = "Latency of a pair at a fixed rate"
		cost       = "CPU of an uncontended pair, by process"
		failover   = "Pairs that end round a kill -9"
	)
	add("throughput.svg", throughput, s.throughputChart(throughput))
	add("latency.svg", latency, s.latencyChart(latency))
	add("cpu.svg", cost, s.costChart(cost))
	add("failover.svg", failover, s.failoverChart(failover))
	return all
}

// of lists the cells of a workload that one process carries.
func (r *Report) of(workload string) []*Cell {
	var cells []*Cell
	for _, c := range r.Cells {
		if c.Load.Workload == workload && c.Load.Clients == 0 {
			cells = append(cells, c)
		}
	}
	return cells
}

// lines makes a line a target, of the cells' points, in the order of x. Targets
// have a colour each; when there are no more, the next have dashes.
func (r *Report) lines(cells []*Cell, suffix string, point func(*Cell) chart.Point) []chart.Line {
	var lines []chart.Line
	for _, t := range r.Targets {
		line := chart.Line{Name: t.Name + suffix, Colour: len(lines), Dash: len(lines) / 8}
		for _, c := range cells {
			if c.Target == t.Name {
				line.Points = append(line.Points, point(c))
			}
		}
		slices.SortFunc(line.Points, func(a, b chart.Point) int { return cmp.Compare(a.X, b.X) })
		if len(line.Points) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

// distinct lists the x of points, each once, in order.
func distinct(cells []*Cell, x func(*Cell) float64) []float64 {
	var all []float64
	for _, c := range cells {
		all = append(all, x(c))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (r *Report) throughputChart(title string) []byte {
	cells := r.of("uncontended")
	workers := func(c *Cell) float64 { return float64(c.Load.Workers) }
	ticks := distinct(cells, workers)
	if len(ticks) < 2 {
		return nil
	}
	return chart.Lines{
		Title: title,
		X:     chart.Axis{Name: "callers at once", Scale: chart.Log, Ticks: ticks},
		Y:     chart.Axis{Name: "pairs per second", Scale: chart.Log},
		Lines: r.lines(cells, "", func(c *Cell) chart.Point {
			return chart.Point{X: workers(c), Y: c.Rate.Median}
		}),
	}.SVG()
}

func (r *Report) latencyChart(title string) []byte {
	cells := r.of("open")
	rate := func(c *Cell) float64 { return c.Load.Rate }
	ticks := distinct(cells, rate)
	if len(ticks) < 2 {
		return nil
	}
	millis := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	lines := r.lines(cells, " p50", func(c *Cell) chart.Point {
		return chart.Point{X: rate(c), Y: millis(c.Rounds[0].Pair.P50)}
	})
	for _, line := range r.lines(cells, " p99", func(c *Cell) chart.Point {
		return chart.Point{X: rate(c), Y: millis(c.Rounds[0].Pair.P99)}
	}) {
		line.Dash = 1
		lines = append(lines, line)
	}
	return chart.Lines{
		Title: title,
		X:     chart.Axis{Name: "pairs begun per second", Scale: chart.Log, Ticks: ticks},
		Y:     chart.Axis{Name: "ms from when it was due", Scale: chart.Log},
		Lines: lines,
	}.SVG()
}

func (r *Report) costChart(title string) []byte {
	cells := r.of("uncontended")
	workers := distinct(cells, func(c *Cell) float64 { return float64(c.Load.Workers) })
	if len(workers) == 0 {
		return nil
	}
	most := int(workers[len(workers)-1])
	bars := chart.Bars{
		Title: title, Axis: "µs of CPU per pair (» : longer than the picture)",
		Parts: []string{"the load", "server process 1", "server process 2", "server process 3"},
	}
	for _, c := range cells {
		if c.Load.Workers != most {
			continue
		}
		round := c.Rounds[0]
		bars.Title = title + strings.TrimPrefix(c.Load.String(), "uncontended")
		bar := chart.Bar{Name: c.Target, Parts: []float64{round.perPair(round.Client)}}
		for _, server := range round.Servers {
			bar.Parts = append(bar.Parts, round.perPair(server.CPU))
		}
		bars.Bars = append(bars.Bars, bar)
	}
	return bars.SVG()
}

func (r *Report) failoverChart(title string) []byte {
	c := chart.Panels{
		Title: title, X: "seconds after the kill", Y: "pairs that ended in 10 ms",
		EventName: "kill -9",
	}
	for _, cell := range r.of("failover") {
		t := cell.Rounds[0].Timeline
		if t == nil {
			continue
		}
		panel := chart.Panel{Name: cell.Target}
		for i, n := range t.Pairs {
			panel.Points = append(panel.Points, chart.Point{
				X: (time.Duration(i)*t.Bucket - t.Before).Seconds(), Y: float64(n),
			})
		}
		c.Panels = append(c.Panels, panel)
	}
	if len(c.Panels) == 0 {
		return nil
	}
	return c.SVG()
}
