package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"lockd/perf/workload"
)

// progress tells on standard error how far a run is and how long it has to go:
// one line that is redrawn on a terminal, a line per measurement elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	cells    int // all of the run
	next     int // the current one, from 1
	left     time.Duration
}

// newProgress begins with all of a plan to do.
func newProgress(p *plan) *progress {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &progress{
		out: os.Stderr, terminal: terminal, cells: p.measurements(), left: p.estimate(),
	}
}

// skip counts a measurement that is not made.
func (p *progress) skip(load workload.Load) {
	p.next++
	p.left -= cost(load)
}

// started counts the start of a step.
func (p *progress) started() { p.left -= startCost }

// leave counts targets of a step that are not there.
func (p *progress) leave(s step, targets int) {
	for range targets * s.rounds {
		for _, load := range s.loads {
			p.skip(load)
		}
	}
}

// begin announces a measurement; done ends its line.
func (p *progress) begin(round int, name string, load workload.Load) (done func()) {
	p.next++
	began, left := time.Now(), p.left
	p.left -= cost(load)
	line := fmt.Sprintf("[%d/%d] round %d: %s, %s", p.next, p.cells, round, name, load)
	if !p.terminal {
		fmt.Fprintf(p.out, "%s, about %s left\n", line, minutes(left))
		return func() {}
	}
	stop := draw(func() {
		fmt.Fprintf(p.out, "\r\x1b[K%s, about %s left", line, minutes(left-time.Since(began)))
	})
	return func() {
		stop()
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// minutes prints a length of time as people say it.
func minutes(d time.Duration) string {
	d = max(0, d)
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
}
