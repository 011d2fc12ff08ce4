// Command gap measures how long clients wait for their locks when something
// befalls the node that leads them: it is killed, paused, cut off from one peer
// or from both, or restarted in order. One worker per group locks and unlocks a
// name of its group over and over; the gap of a trial is the longest that any
// group kept its worker waiting from the fault on. Each kind is tried many
// times, the nodes taking turns, and the cluster is well before each trial.
//
//	go run ./lockd/faulttest/gap -kind crash,pause -trials 100
//
// What it prints as kind "none" is the longest wait when nothing happens: the
// noise of the machine, which is part of every other figure. Figures for the
// record need a machine that does nothing else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"lockd/lockd/faulttest"
)

func main() {
	binary := flag.String("lockd", "bin/lockd", "path of lockd; built when it is not there")
	kinds := flag.String("kind", "all", "what befalls a node, with commas: "+list()+"; or all")
	trials := flag.Int("trials", 100, "trials of each kind")
	groups := flag.Int("groups", 12, "groups of the cluster, each with a worker")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *binary, *kinds, *trials, *groups); err != nil {
		fmt.Fprintf(os.Stderr, "gap: %v\n", err)
		os.Exit(1)
	}
}

func list() string {
	var names []string
	for _, k := range faulttest.GapKinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ",")
}

// run builds what is missing, makes all trials and prints a line for each kind.
func run(ctx context.Context, binary, kinds string, trials, groups int) error {
	if kinds == "all" {
		kinds = list()
	}
	if trials < 1 {
		return fmt.Errorf("%d trials, want 1 or more", trials)
	}
	if err := build(ctx, binary); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lockd-gap-")
	if err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg") // nothing to say where there is none
	fmt.Printf("%s, %d cores, load %s\n3 nodes, %d groups, a worker each; gaps in milliseconds\n\n",
		runtime.GOARCH, runtime.NumCPU(), firstWord(string(load)), groups)
	g, err := faulttest.NewGaps(ctx, faulttest.GapOptions{Binary: binary, Dir: dir, Groups: groups})
	if err == nil {
		fmt.Printf("%-10s %7s %9s %9s %9s %9s\n", "kind", "trials", "p50", "p90", "p99", "max")
		for _, kind := range strings.Split(kinds, ",") {
			if err = measure(ctx, g, faulttest.GapKind(kind), trials); err != nil {
				break
			}
		}
	}
	if g != nil {
		err = errors.Join(err, g.Close())
	}
	if err != nil {
		return fmt.Errorf("%w\nlogs are in %s", err, dir)
	}
	return os.RemoveAll(dir)
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

func build(ctx context.Context, binary string) error {
	if _, err := os.Stat(binary); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "lockd/lockd")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building lockd: %w", err)
	}
	return nil
}

// measure makes the trials of one kind and prints their line.
func measure(ctx context.Context, g *faulttest.Gaps, kind faulttest.GapKind, trials int) error {
	var gaps []time.Duration
	for range trials {
		gap, err := g.Trial(ctx, kind)
		if err != nil {
			return err
		}
		gaps = append(gaps, gap)
	}
	fmt.Printf("%-10s %7d", kind, trials)
	for _, share := range []float64{0.5, 0.9, 0.99, 1} {
		fmt.Printf(" %9.1f", float64(faulttest.Quantile(gaps, share).Microseconds())/1000)
	}
	fmt.Println()
	return nil
}
