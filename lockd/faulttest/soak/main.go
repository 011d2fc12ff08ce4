// Command soak harms a cluster of real processes for as long as it is told:
// crashes, pauses, partitions, harmed frames, late requests and, where the
// machine can make file systems, power cuts, one after the other or two
// together, in an order drawn from a seed, under load and with the checker on.
//
//	go run ./lockd/faulttest/soak -for 10m -seed 7
//
// It ends with what was done, and with exit code 1 at the first thing that is
// not as promised. The faults of a seed are the same every time; what they meet
// is not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"lockd/lockd/faulttest"
)

func main() {
	binary := flag.String("lockd", "bin/lockd", "path of lockd; built when it is not there")
	length := flag.Duration("for", 10*time.Minute, "how long to go on")
	seed := flag.Uint64("seed", 1, "draws the faults")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *binary, *length, *seed); err != nil {
		fmt.Fprintf(os.Stderr, "soak: NOT as promised: %v\nagain: go run ./lockd/faulttest/soak "+
			"-for %v -seed %d\n", err, *length, *seed)
		os.Exit(1)
	}
}

// run builds what is missing, soaks in a temporary directory, and prints the
// figures.
func run(ctx context.Context, binary string, length time.Duration, seed uint64) error {
	if _, err := os.Stat(binary); errors.Is(err, os.ErrNotExist) {
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "lockd/lockd")
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building lockd: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "lockd-soak-")
	if err != nil {
		return err
	}
	began := time.Now()
	s, err := faulttest.NewSoak(ctx, faulttest.SoakOptions{Binary: binary, Dir: dir, Seed: seed,
		Say: func(format string, args ...any) { fmt.Printf(format+"\n", args...) }})
	if err == nil {
		err = soak(ctx, s, began, length)
		for _, line := range s.Figures() {
			fmt.Println(line)
		}
	}
	if s != nil {
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		return fmt.Errorf("%w\nlogs and data are in %s", err, dir)
	}
	return os.RemoveAll(dir)
}

// soak makes rounds until time is up, and says every so often where it stands.
func soak(ctx context.Context, s *faulttest.Soak, began time.Time, length time.Duration) error {
	const every = 30 * time.Second
	said := began
	for time.Since(began) < length && ctx.Err() == nil {
		if err := s.Round(ctx); err != nil {
			return err
		}
		if time.Since(said) >= every {
			said = time.Now()
			fmt.Printf("%v: %s\n", time.Since(began).Round(time.Second), s.Figures()[0])
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Finish(ctx)
}
