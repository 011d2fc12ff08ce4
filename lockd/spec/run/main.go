// Command run searches the models of lockd/spec and prints a line per run. It
// exits with 1 if a run does not show what it must, or spin is missing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"lockd/lockd/spec"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// outcome is what became of one run.
type outcome struct {
	result spec.Result
	err    error
}

func run() error {
	dir := flag.String("dir", "lockd/spec", "where the models are")
	only := flag.String("run", "", "search only runs whose line contains this")
	deep := flag.Bool("deep", false, "search the deep runs as well: many minutes, gigabytes")
	procs := flag.Int("procs", runtime.GOMAXPROCS(0), "how many searches run at a time")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("spec: unexpected argument %q", flag.Arg(0))
	}
	if err := spec.Tools(); err != nil {
		return err
	}
	listed, err := spec.List(os.DirFS(*dir))
	if err != nil {
		return err
	}
	var runs []spec.Run
	for _, r := range listed {
		if strings.Contains(r.String(), *only) && (*deep || r.Kind != spec.Deep) {
			runs = append(runs, r)
		}
	}
	if len(runs) == 0 {
		return fmt.Errorf("spec: no run in %s is called %q", *dir, *only)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	began := time.Now()
	failed := search(ctx, *dir, runs, max(*procs, 1))
	fmt.Printf("%d runs, %d failed, %.0f s, %.0f s of processor time\n", len(runs), failed,
		time.Since(began).Seconds(), processorTime().Seconds())
	if failed > 0 {
		return fmt.Errorf("spec: %d of %d runs do not show what they must", failed, len(runs))
	}
	return nil
}

// processorTime is what spin, the compiler and the searches have computed. On a
// machine in use it says more than the clock.
func processorTime() time.Duration {
	var x syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &x); err != nil {
		return 0
	}
	return time.Duration(x.Utime.Nano() + x.Stime.Nano())
}

// search checks the runs, some at a time and the long ones first, so that none is
// alone at the end. It prints them in their order and returns how many failed.
// Its goroutines end with it.
func search(ctx context.Context, dir string, runs []spec.Run, procs int) int {
	next := make(chan int, len(runs))
	done := make([]chan outcome, len(runs))
	for _, long := range []bool{true, false} {
		for i := range runs {
			if runs[i].Long == long {
				next <- i
			}
		}
	}
	close(next)
	for i := range done {
		done[i] = make(chan outcome, 1)
	}
	for range procs {
		go func() {
			for i := range next {
				result, err := spec.Check(ctx, dir, &runs[i])
				done[i] <- outcome{result, err}
			}
		}()
	}
	fmt.Printf("%-9s %-8s %-24s %-4s %10s %7s\n", "model", "run", "name", "inv", "states", "s")
	failed := 0
	for i := range runs {
		r, out := &runs[i], <-done[i]
		verdict := r.Kind.Verdict()
		if out.err != nil {
			failed++
			verdict = "FAILED: " + out.err.Error()
		}
		fmt.Printf("%-9s %-8s %-24s %-4s %10d %7.2f  %s\n", r.Model, r.Kind, r.Name,
			r.Invariant, out.result.States, out.result.Seconds, verdict)
	}
	return failed
}
