package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockd/perf/target"
	"lockd/perf/workload"
)

// crowdFlags lift lockd's bound of holds and waits in one group, which by default
// fits the memory that 64 groups share, above the largest crowd. Nothing else is
// changed by them.
const crowdFlags = "--limit-claims 20000"

// servers are the flags that say where the servers come from.
type servers struct {
	lockd      string
	lockdFlags []string
	redis      string
	etcd       string
	zooKeeper  string
	dir        string

	flagText string // of --lockd-flags, until they are parsed
}

// add defines the flags.
func (s *servers) add(flags *flag.FlagSet) {
	flags.StringVar(&s.lockd, "lockd", "../bin/lockd", "`path` of the lockd binary (make build)")
	flags.StringVar(&s.flagText, "lockd-flags", crowdFlags, "more `flags` for every lockd process; "+
		"these let a crowd of ten thousand wait")
	flags.StringVar(&s.redis, "redis-server", "", "`path` of redis-server (default: on PATH)")
	flags.StringVar(&s.etcd, "etcd", "", "`path` of etcd (default: on PATH)")
	flags.StringVar(&s.zooKeeper, "zookeeper", "", "`path` of ZooKeeper's jar or of the "+
		"directory of a release (default: where Debian puts it)")
	flags.StringVar(&s.dir, "dir", "", "`directory` for the servers' data, on the disk to be "+
		"measured (default: a temporary one)")
}

// output is where a report goes.
type output struct{ json, markdown, profile string }

// options are the flags of perf run.
type options struct {
	servers
	output
	targets   []string
	workloads []string
	workers   []int
	holds     []time.Duration
	rates     []float64
	reads     []int
	thinks    []time.Duration
	held      []int
	payloads  []int
	keys      int
	permits   int
	clients   int
	count     int
	duration  time.Duration
	warmup    time.Duration
	prewarm   time.Duration
	rounds    int
	trials    int
	baseline  string
}

// lists are flags that are lists, as they are written.
type lists struct{ targets, loads, workers, holds, thinks, rates, reads, held, payloads string }

// runFlags defines the flags of perf run.
func runFlags(o *options, l *lists, help io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("perf run", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.StringVar(&l.targets, "target", "lockd,redis", "`names` of targets, with commas: "+
		strings.Join(target.Names(), ", "))
	flags.StringVar(&l.loads, "workload", "uncontended", "`names` of loads, with commas: "+
		strings.Join(workload.Names(), ", "))
	flags.StringVar(&l.workers, "workers", "1,20,80,320", "`numbers` of callers, with commas")
	flags.StringVar(&l.holds, "hold", "0", "how long contended locks and permits are held: "+
		"`times`, with commas")
	flags.StringVar(&l.thinks, "think", "0", "pause of a worker before each uncontended pair: "+
		"`times`, with commas")
	flags.StringVar(&l.rates, "rate", "10000", "pairs begun per second of an open loop: "+
		"`numbers`, with commas")
	flags.StringVar(&l.reads, "reads", "90,50", "how many of a hundred readwrite pairs only read: "+
		"`numbers`, with commas")
	flags.StringVar(&l.held, "held", "0", "locks that are held beside uncontended ones: "+
		"`numbers`, with commas")
	flags.StringVar(&l.payloads, "payload", "0", "bytes of data that uncontended holds carry: "+
		"`numbers`, with commas")
	flags.IntVar(&o.keys, "keys", 15, "keys that contended, readwrite and semaphore workers share")
	flags.IntVar(&o.permits, "permits", 8, "permits of a semaphore")
	flags.IntVar(&o.clients, "clients", 0, "client processes that share a load (0: perf itself)")
	flags.IntVar(&o.count, "count", 200, "waiters of a crowd, sessions of keepalive, locks of "+
		"memory and restart")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "length of one measurement, or the "+
		"most that a crowd or filling with locks may take")
	flags.DurationVar(&o.warmup, "warmup", time.Second, "load before each measurement")
	flags.DurationVar(&o.prewarm, "prewarm", 0, "load of every target before the first of all")
	flags.IntVar(&o.rounds, "rounds", 3, "how often everything is measured, in turn")
	flags.IntVar(&o.trials, "trials", 10, "kills of a failover measurement")
	o.servers.add(flags)
	flags.StringVar(&o.baseline, "baseline", "redis", "`target` that others are compared with, "+
		"if it is measured")
	flags.StringVar(&o.json, "json", "", "`file` for every round")
	flags.StringVar(&o.markdown, "markdown", "", "`file` for the tables (default: standard output)")
	flags.StringVar(&o.profile, "profile", "", "`directory` for CPU and heap profiles of the "+
		"servers that offer them")
	return flags
}

// parseOptions reads the flags of perf run. Errors name the flag and what it
// may be; help goes to output.
func parseOptions(args []string, help io.Writer) (options, error) {
	var o options
	var l lists
	flags := runFlags(&o, &l, help)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; flags come with two dashes", flags.Arg(0))
	}
	o.targets, o.workloads = split(l.targets), split(l.loads)
	o.lockdFlags = strings.Fields(o.flagText)
	var errs [7]error
	o.workers, errs[0] = numbers("--workers", l.workers, 1, 100_000)
	o.reads, errs[1] = numbers("--reads", l.reads, 0, 100)
	o.holds, errs[2] = durations("--hold", l.holds)
	o.thinks, errs[6] = durations("--think", l.thinks)
	o.rates, errs[3] = rates(l.rates)
	o.held, errs[4] = numbers("--held", l.held, 0, 100_000_000)
	o.payloads, errs[5] = numbers("--payload", l.payloads, 0, 1<<20)
	if err := errors.Join(errs[:]...); err != nil {
		return o, err
	}
	return o, o.validate()
}

// validate checks what flags alone cannot.
func (o *options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, name := range o.workloads {
		if !slices.Contains(workload.Names(), name) {
			bad("--workload: no workload %q; there are %s", name, strings.Join(workload.Names(), ", "))
		}
	}
	if len(o.targets) == 0 || len(o.workloads) == 0 {
		bad("--target and --workload: want at least one name each")
	}
	if o.keys < 1 || o.rounds < 1 || o.trials < 1 || o.permits < 1 || o.count < 1 {
		bad("--keys, --rounds, --trials, --permits and --count: want at least 1, "+
			"got %d, %d, %d, %d, %d", o.keys, o.rounds, o.trials, o.permits, o.count)
	}
	if o.clients < 0 || o.clients > 64 {
		bad("--clients: want 0 to 64 processes, got %d", o.clients)
	}
	if o.duration <= 0 || o.warmup < 0 || o.prewarm < 0 {
		bad("--duration: want more than 0; --warmup and --prewarm: not less than 0")
	}
	return errors.Join(errs...)
}

// split cuts a list at commas.
func split(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// numbers reads a list of whole numbers between two ends.
func numbers(flagName, text string, least, most int) ([]int, error) {
	var list []int
	for _, part := range split(text) {
		n, err := strconv.Atoi(part)
		if err != nil || n < least || n > most {
			return nil, fmt.Errorf("%s: want numbers from %d to %d, got %q", flagName, least, most, part)
		}
		list = append(list, n)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: want at least one number", flagName)
	}
	return list, nil
}

// rates reads a list of rates.
func rates(text string) ([]float64, error) {
	list, err := numbers("--rate", text, 1, 10_000_000)
	var all []float64
	for _, n := range list {
		all = append(all, float64(n))
	}
	return all, err
}

// durations reads a list of times.
func durations(flagName, text string) ([]time.Duration, error) {
	var list []time.Duration
	for _, part := range split(text) {
		d, err := time.ParseDuration(part)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("%s: want times like 0 or 50ms, got %q", flagName, part)
		}
		list = append(list, d)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: want at least one time", flagName)
	}
	return list, nil
}

// loads lists the measurements of one round on one target.
func (o *options) loads() []workload.Load {
	var loads []workload.Load
	for _, name := range o.workloads {
		one := workload.Load{Workload: name, Workers: 1, Duration: o.duration, Warmup: o.warmup}
		switch name {
		case "handoff":
			loads = append(loads, one)
			continue
		case "crowd", "keepalive", "memory", "restart":
			one.Count = o.count
			loads = append(loads, one)
			continue
		case "failover":
			one.Trials = o.trials
		default:
			one.Clients = o.clients
		}
		for _, workers := range o.workers {
			one.Workers = workers
			loads = append(loads, o.variants(one)...)
		}
	}
	return loads
}

// orZero is the list, or zero alone where there is none.
func orZero[T any](list []T) []T {
	if len(list) == 0 {
		return make([]T, 1)
	}
	return list
}

// variants lists a load with every hold, rate or part of reads that it has.
func (o *options) variants(load workload.Load) []workload.Load {
	var all []workload.Load
	add := func(change func(l *workload.Load)) {
		changed := load
		change(&changed)
		all = append(all, changed)
	}
	switch load.Workload {
	case "contended", "semaphore":
		for _, hold := range o.holds {
			add(func(l *workload.Load) {
				l.Keys, l.Hold = o.keys, hold
				if l.Workload == "semaphore" {
					l.Permits = o.permits
				}
			})
		}
	case "readwrite":
		for _, reads := range o.reads {
			add(func(l *workload.Load) { l.Keys, l.Reads = o.keys, reads })
		}
	case "uncontended":
		for _, think := range orZero(o.thinks) {
			for _, held := range orZero(o.held) {
				for _, payload := range orZero(o.payloads) {
					add(func(l *workload.Load) { l.Think, l.Held, l.Payload = think, held, payload })
				}
			}
		}
	case "open":
		for _, rate := range o.rates {
			add(func(l *workload.Load) { l.Rate = rate })
		}
	default:
		all = append(all, load)
	}
	return all
}

// plan is what perf run measures.
func (o *options) plan() plan {
	return plan{
		servers: o.servers, baseline: o.baseline, profile: o.profile, prewarm: o.prewarm,
		steps: []step{{targets: o.targets, loads: o.loads(), rounds: o.rounds}},
	}
}
