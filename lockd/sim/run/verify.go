package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"lockd/lockd/sim"
)

// again runs a seed in another process, on one processor, and compares traces:
// whatever a run depends on besides its seed shows (every hundredth seed).
func (s *settings) again(r *sim.Report) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	args := []string{"-hashes", "-seeds", "1", "-from", fmt.Sprint(r.Seed), "-without", s.without}
	if s.short {
		args = append(args, "-short")
	}
	if s.planted != "" {
		args = append(args, "-planted", s.planted)
	}
	other := exec.Command(self, args...)
	other.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := other.Output()
	if err != nil {
		return fmt.Errorf("verify: %s: %w", strings.Join(args, " "), err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	if want := hashLine(r); line != want {
		return fmt.Errorf("not deterministic: %q, and %q in another process", want, line)
	}
	return nil
}

// hashLine is what -hashes prints of a seed.
func hashLine(r *sim.Report) string { return fmt.Sprintf("%d %016x", r.Seed, r.Trace) }
