// Command run runs simulated clusters, one seed after the other on each core,
// and says which seed showed what and how to repeat it.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"lockd/lockd/sim"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	seeds, from, seed uint64
	verbose, verify   bool
	planted           string
	procs             int
	hashes            bool
	cpuProfile        string
}

func run() error {
	var s settings
	flag.Uint64Var(&s.seeds, "seeds", 200, "how many worlds to run")
	flag.Uint64Var(&s.from, "from", 1, "seed of the first")
	flag.Uint64Var(&s.seed, "seed", 0, "run this one only")
	flag.BoolVar(&s.verbose, "v", false, "print everything that happens (with -seed)")
	flag.BoolVar(&s.verify, "verify", false, "run 1 % of the seeds again and compare their traces")
	flag.BoolVar(&s.hashes, "hashes", false, "print the trace hash of every seed")
	flag.StringVar(&s.planted, "planted", "", "plant this bug first (needs -tags plant)")
	flag.IntVar(&s.procs, "procs", runtime.GOMAXPROCS(0), "how many worlds run at a time")
	flag.StringVar(&s.cpuProfile, "cpuprofile", "", "write a profile of the processor to this file")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	// Worlds are small and short-lived: memory is cheaper here than collecting.
	debug.SetGCPercent(1000)
	if s.planted != "" {
		if err := sim.Plant(s.planted); err != nil {
			return err
		}
	}
	if s.cpuProfile != "" {
		stop, err := profile(s.cpuProfile)
		if err != nil {
			return err
		}
		defer stop()
	}
	if s.seed != 0 {
		return s.one()
	}
	return s.many()
}

// profile begins to write a profile; stop ends it.
func profile(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// one runs a single seed.
func (s *settings) one() error {
	var log io.Writer
	if s.verbose {
		out := bufio.NewWriterSize(os.Stdout, 1<<20)
		defer out.Flush()
		log = out
	}
	o := sim.Draw(s.seed)
	fmt.Printf("seed %d: %d nodes, %d groups, %d clients, faults %v\n", s.seed, o.Nodes, o.Groups,
		o.Clients, o.Faults)
	start := time.Now()
	r := sim.New(o, log).Run()
	if r.Failure != nil {
		return fmt.Errorf("seed %d: %w", s.seed, r.Failure)
	}
	fmt.Printf("seed %d is clean: %.1f virtual s, %d events, %d slots, trace %016x, %.2f s\n", s.seed,
		float64(r.Virtual)/1e9, r.Events, r.Slots, r.Trace, time.Since(start).Seconds())
	return nil
}

// tally sums reports up.
type tally struct {
	mu struct {
		sync.Mutex
		next     uint64
		done     uint64
		virtual  sim.Time
		events   uint64
		coverage map[string]uint64
		failed   []sim.Report
	}
}

// many runs all seeds, each process of the pool taking the next one.
func (s *settings) many() error {
	var t tally
	t.mu.next, t.mu.coverage = s.from, make(map[string]uint64)
	start := time.Now()
	var pool sync.WaitGroup
	for range s.procs {
		pool.Add(1)
		go func() {
			defer pool.Done()
			for {
				t.mu.Lock()
				seed := t.mu.next
				t.mu.next++
				t.mu.Unlock()
				if seed >= s.from+s.seeds {
					return
				}
				s.take(&t, seed, start)
			}
		}()
	}
	pool.Wait()
	return s.finish(&t, time.Since(start))
}

// take runs one seed and adds it up.
func (s *settings) take(t *tally, seed uint64, start time.Time) {
	r := sim.New(sim.Draw(seed), nil).Run()
	if s.verify && seed%100 == 0 && r.Failure == nil {
		if again := sim.New(sim.Draw(seed), nil).Run(); again.Trace != r.Trace {
			r.Failure = fmt.Errorf("not deterministic: trace %016x, then %016x", r.Trace, again.Trace)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.done++
	t.mu.virtual += r.Virtual
	t.mu.events += r.Events
	for name, n := range r.Coverage { // order: sums
		t.mu.coverage[name] += n
	}
	if s.hashes {
		fmt.Printf("%d %016x\n", seed, r.Trace)
	}
	if r.Failure != nil {
		t.mu.failed = append(t.mu.failed, r)
		line, _, _ := strings.Cut(r.Failure.Error(), "\n")
		fmt.Printf("seed %d FAILED: %s\n", seed, line)
	}
	if t.mu.done%100 == 0 && terminal() {
		fmt.Printf("%d seeds, %.0f s, %d failed\n", t.mu.done, time.Since(start).Seconds(),
			len(t.mu.failed))
	}
}

func terminal() bool {
	st, err := os.Stdout.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// finish prints what the runs showed.
func (s *settings) finish(t *tally, took time.Duration) error {
	hours := float64(t.mu.virtual) / 3.6e12
	fmt.Printf("%d seeds from %d: %.2f cluster-hours in %.0f s (%.1f per real minute), %d events\n",
		t.mu.done, s.from, hours, took.Seconds(), hours/took.Minutes(), t.mu.events)
	var names []string
	for name := range t.mu.coverage { // order: sorted next
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Printf("  %-36s %d\n", name, t.mu.coverage[name])
	}
	if len(t.mu.failed) == 0 {
		return nil
	}
	slices.SortFunc(t.mu.failed, func(a, b sim.Report) int { return int(a.Seed) - int(b.Seed) })
	for _, r := range t.mu.failed {
		fmt.Printf("\nseed %d: %v\n  repeat: go run -tags invariants ./lockd/sim/run -seed %d -v\n",
			r.Seed, r.Failure, r.Seed)
	}
	return fmt.Errorf("%d of %d seeds failed", len(t.mu.failed), t.mu.done)
}
