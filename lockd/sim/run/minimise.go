package main

import (
	"fmt"
	"strings"

	"lockd/lockd/sim"
)

// minimise switches off one class of faults after the other, for as long as the seed
// still fails.
func (s *settings) minimise() error {
	o := s.draw(s.seed)
	first := sim.New(o, nil).Run()
	if first.Failure == nil {
		return fmt.Errorf("seed %d does not fail", s.seed)
	}
	fmt.Printf("seed %d with %v:\n  %s\n", s.seed, o.Faults, firstLine(first.Failure))
	last := first
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
				fmt.Printf("without %v too: %s\n", f, firstLine(r.Failure))
			}
		}
	}
	if o.Faults == 0 {
		fmt.Println("it needs no fault")
	} else {
		fmt.Printf("it needs %v\n", o.Faults)
	}
	fmt.Printf("repeat: %s -v\n", last.Command)
	return fmt.Errorf("seed %d: %w", s.seed, last.Failure)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// draw decides about a world, as the flags want it.
func (s *settings) draw(seed uint64) sim.Options {
	o := sim.Draw(seed)
	if s.short {
		o = o.Short()
	}
	o.Faults &^= s.off
	return o
}
