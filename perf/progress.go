package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"lockd/perf/workload"
)

// progress tells on standard error how far a run is: one line that is redrawn
// on a terminal, a line per measurement elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	cells    int // all of the run
	next     int // the current one, from 1
}

func newProgress(cells int) *progress {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &progress{out: os.Stderr, terminal: terminal, cells: cells}
}

// skip counts a measurement that is not made.
func (p *progress) skip() { p.next++ }

// begin announces a measurement; done ends its line.
func (p *progress) begin(round int, name string, load workload.Load) (done func()) {
	p.next++
	line := fmt.Sprintf("[%d/%d] round %d: %s, %s", p.next, p.cells, round, name, load)
	if !p.terminal {
		fmt.Fprintln(p.out, line)
		return func() {}
	}
	began, whole := time.Now(), load.Warmup+load.Duration
	stop := draw(func() {
		left := max(0, whole-time.Since(began)).Round(time.Second)
		fmt.Fprintf(p.out, "\r\x1b[K%s, %v left", line, left)
	})
	return func() {
		stop()
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
