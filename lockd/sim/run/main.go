// Command run runs simulated clusters, one seed after the other on each core,
// and says which seed showed what and how to repeat it.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
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
	short             bool
	minimising        bool
	swarm, cover      bool
	planted, without  string
	plants, ranges    string
	off               sim.Fault // what without names
	procs             int
	hashes            bool
	cpuProfile        string
}

func (s *settings) parse(args []string) error {
	f := flag.NewFlagSet("sim", flag.ExitOnError)
	f.Uint64Var(&s.seeds, "seeds", 200, "how many worlds to run")
	f.Uint64Var(&s.from, "from", 1, "seed of the first")
	f.Uint64Var(&s.seed, "seed", 0, "run this one only")
	f.BoolVar(&s.verbose, "v", false, "print everything that happens (with -seed)")
	f.BoolVar(&s.minimising, "minimise", false, "find what the failure of -seed needs")
	f.BoolVar(&s.short, "short", false, "run the short worlds of go test")
	f.StringVar(&s.without, "without", "", "switch these classes of faults off, by commas")
	f.BoolVar(&s.verify, "verify", false,
		"run 1 % of the seeds in another process with GOMAXPROCS=1 and compare traces")
	f.BoolVar(&s.swarm, "swarm", false, "print what each class of faults did")
	f.BoolVar(&s.cover, "cover", false, "print what happened, and fail if something never did")
	f.BoolVar(&s.hashes, "hashes", false, "print the trace hash of every seed")
	f.StringVar(&s.planted, "planted", "", "plant this bug first (needs -tags plant)")
	f.StringVar(&s.plants, "plants", "",
		"plant these bugs by commas, or all, and print in how many of -seeds worlds each is found")
	f.StringVar(&s.ranges, "ranges", "1,100001,200001", "first seeds of the ranges of -plants")
	f.IntVar(&s.procs, "procs", runtime.GOMAXPROCS(0), "how many worlds run at a time")
	f.StringVar(&s.cpuProfile, "cpuprofile", "", "write a profile of the processor to this file")
	_ = f.Parse(args) // it exits
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	var err error
	s.off, err = sim.ParseFaults(s.without)
	return err
}

func run() error {
	var s settings
	if err := s.parse(os.Args[1:]); err != nil {
		return err
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
	switch {
	case s.plants != "":
		return s.table()
	case s.seed != 0 && s.minimising:
		return s.minimise()
	case s.seed != 0:
		return s.one()
	default:
		return s.many()
	}
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
	o := s.draw(s.seed)
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

// many runs all seeds, each process of the pool taking the next one.
func (s *settings) many() error {
	t := newTally(s.from)
	s.pool(func() {
		for seed := t.take(); seed < s.from+s.seeds; seed = t.take() {
			r := s.world(seed)
			t.add(&r)
		}
	})
	err := t.sum(s.from)
	if s.swarm {
		t.swarm()
	}
	if s.cover {
		t.counts()
		t.rows()
		if n := t.missed(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%d things never happened", n))
		}
	}
	return err
}

// pool runs work on as many goroutines as there are to be worlds at a time, and
// waits until all have ended.
func (s *settings) pool(work func()) {
	var pool sync.WaitGroup
	for range s.procs {
		pool.Add(1)
		go func() {
			defer pool.Done()
			work()
		}()
	}
	pool.Wait()
}

// world runs one seed of many.
func (s *settings) world(seed uint64) sim.Report {
	r := sim.New(s.draw(seed), nil).Run()
	if s.hashes {
		fmt.Println(hashLine(&r))
	}
	if s.verify && seed%100 == 0 && r.Failure == nil {
		r.Failure = s.again(&r)
	}
	return r
}
