package report

import (
	"fmt"
	"io"
	"strings"

	"lockd/perf/workload"
)

// Unlike lists what makes figures of two reports worth nothing beside each
// other: another machine, disk, or setting of a target that both have.
func (r *Report) Unlike(other *Report) []string {
	var unlike []string
	differ := func(what, a, b string) {
		if a != b {
			unlike = append(unlike, fmt.Sprintf("%s: %s here, %s there", what, a, b))
		}
	}
	differ("processor", r.Machine.CPU, other.Machine.CPU)
	differ("cores", fmt.Sprint(r.Machine.Cores), fmt.Sprint(other.Machine.Cores))
	differ("memory", gibibytes(r.Machine.MemoryBytes), gibibytes(other.Machine.MemoryBytes))
	differ("kernel", r.Machine.Kernel, other.Machine.Kernel)
	differ("Go", r.Machine.Go, other.Machine.Go)
	differ("file system", r.Machine.FileSystem, other.Machine.FileSystem)
	if a, b := r.Machine.SyncAlone, other.Machine.SyncAlone; max(a, b) > 2*min(a, b) {
		differ("a sync of the disk", short(a), short(b))
	}
	for _, a := range r.Targets {
		for _, b := range other.Targets {
			if a.Name != b.Name {
				continue
			}
			if a.Name != "lockd" { // its version is what is compared
				differ(a.Name+"'s servers", a.Server, b.Server)
			}
			differ(a.Name+"'s durability", a.Durability, b.Durability)
			differ(a.Name+"'s flags", a.Flags, b.Flags)
			differ(a.Name+"'s client", a.Client, b.Client)
		}
	}
	return unlike
}

func gibibytes(bytes uint64) string { return fmt.Sprintf("%.0f GiB", float64(bytes)/(1<<30)) }

// same says whether two loads are the same but for how long they were run.
func same(a, b workload.Load) bool {
	a.Duration, a.Warmup = b.Duration, b.Warmup
	return a == b
}

// WriteComparison writes lockd's rates beside the baseline's and beside those of
// another run, if there is one and it is alike; last is what that run is called.
func (r *Report) WriteComparison(w io.Writer, other *Report, last string) error {
	var b strings.Builder
	s := r.Summary()
	var unlike []string
	if other != nil {
		other, unlike = other.Summary(), r.Unlike(other)
	}
	for _, c := range s.Cells {
		if c.Target == r.Baseline || !closed(c) {
			continue
		}
		fmt.Fprintf(&b, "%s, %s: %.0f pairs/s", c.Target, c.Load, c.Rate.Median)
		ratio := s.ratioNumber(c)
		if ratio > 0 {
			fmt.Fprintf(&b, ", %.2f × %s", ratio, r.Baseline)
		}
		if other != nil && len(unlike) == 0 {
			b.WriteString(other.beside(c, ratio))
		}
		b.WriteString("\n")
	}
	switch {
	case other == nil:
		fmt.Fprintf(&b, "not compared with an earlier run: there is no %s yet\n", last)
	case len(unlike) > 0:
		fmt.Fprintf(&b, "!! NOT COMPARED with %s, because they are unlike:\n!!   %s\n", last,
			strings.Join(unlike, "\n!!   "))
	default:
		fmt.Fprintf(&b, "last run: %s, commit %s, measured %s\n", last, other.Version,
			other.Machine.Measured.Format("2006-01-02"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ratioNumber is a rate over the baseline's; 0 if there is none.
func (r *Report) ratioNumber(c *Cell) float64 {
	base := r.cell(r.Baseline, c)
	if base == nil || base.Rate.Median <= 0 {
		return 0
	}
	return c.Rate.Median / base.Rate.Median
}

// beside says what a summary has for the same cell.
func (r *Report) beside(c *Cell, ratio float64) string {
	for _, old := range r.Cells {
		if old.Target != c.Target || !same(old.Load, c.Load) || old.Rate.Median <= 0 {
			continue
		}
		text := fmt.Sprintf("; last run %.0f (now %.2f of it", old.Rate.Median,
			c.Rate.Median/old.Rate.Median)
		if was := r.ratioNumber(old); was > 0 && ratio > 0 {
			text += fmt.Sprintf("), %.2f × %s (now %.2f of that", was, r.Baseline, ratio/was)
		}
		return text + ")"
	}
	return "; not in the last run"
}
