package main

import (
	"fmt"
	"strings"

	"lockd/lockd/sim"
)

// minimise switches off one class of faults after the other, and then what else
// a world can do without, for as long as the seed still fails.
func (s *settings) minimise() error {
	o := s.draw(s.seed)
	first := sim.New(o, nil).Run()
	if first.Failure == nil {
		return fmt.Errorf("seed %d does not fail", s.seed)
	}
	fmt.Printf("seed %d with %v:\n  %s\n", s.seed, o.Faults, firstLine(first.Failure))
	last, gone := first, sim.Fault(0)
	for again := true; again; {
		again = false
		for _, f := range sim.Faults() {
			if o.Faults&f == 0 {
				continue
			}
			less := o
			less.Faults &^= f
			if r := sim.New(less, nil).Run(); r.Failure != nil {
				o, last, again = less, r, true
				gone |= f
				fmt.Printf("without %v too: %s\n", f, firstLine(r.Failure))
			}
		}
	}
	if o.Faults == 0 {
		fmt.Println("it needs no fault")
	} else {
		fmt.Printf("it needs %v\n", o.Faults)
	}
	fmt.Printf("repeat: %s\n", repeat(s.seed, gone))
	return fmt.Errorf("seed %d: %w", s.seed, last.Failure)
}

// repeat is the command that shows a failure again.
func repeat(seed uint64, without sim.Fault) string {
	line := fmt.Sprintf("go run -tags invariants ./lockd/sim/run -seed %d -v", seed)
	if without != 0 {
		line += fmt.Sprintf(" -without %q", without.String())
	}
	return line
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// draw decides about a world, as the flags want it.
func (s *settings) draw(seed uint64) sim.Options {
	o := sim.Draw(seed)
	o.Faults &^= s.off
	return o
}
