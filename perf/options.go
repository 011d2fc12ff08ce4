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

// options are the flags of perf run.
type options struct {
	targets   []string
	workloads []string
	workers   []int
	keys      int
	hold      time.Duration
	rate      float64
	duration  time.Duration
	warmup    time.Duration
	rounds    int
	trials    int

	lockd      string
	lockdFlags []string
	redis      string
	etcd       string
	zooKeeper  string
	dir        string

	baseline string
	json     string
	markdown string
	profile  string
}

// workloads lists what --workload may name.
func workloads() []string {
	return []string{"uncontended", "async", "contended", "open", "handoff", "failover"}
}

// parseOptions reads the flags of perf run. Errors name the flag and what it
// may be; help goes to output.
func parseOptions(args []string, output io.Writer) (options, error) {
	var o options
	var targets, loads, workers, lockdFlags string
	flags := flag.NewFlagSet("perf run", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&targets, "target", "lockd,redis", "`names` of targets, with commas: "+
		strings.Join(target.Names(), ", "))
	flags.StringVar(&loads, "workload", "uncontended", "`names` of loads, with commas: "+
		strings.Join(workloads(), ", "))
	flags.StringVar(&workers, "workers", "1,20,80,320", "`numbers` of callers, with commas")
	flags.IntVar(&o.keys, "keys", 15, "keys that contended workers share")
	flags.DurationVar(&o.hold, "hold", 0, "how long each lock is held")
	flags.Float64Var(&o.rate, "rate", 10000, "pairs begun per second of an open loop")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "length of one measurement")
	flags.DurationVar(&o.warmup, "warmup", time.Second, "load before each measurement")
	flags.IntVar(&o.rounds, "rounds", 3, "how often everything is measured, in turn")
	flags.IntVar(&o.trials, "trials", 10, "kills of a failover measurement")
	flags.StringVar(&o.lockd, "lockd", "../bin/lockd", "`path` of the lockd binary (make build)")
	flags.StringVar(&lockdFlags, "lockd-flags", "", "more `flags` for every lockd process")
	flags.StringVar(&o.redis, "redis-server", "", "`path` of redis-server (default: on PATH)")
	flags.StringVar(&o.etcd, "etcd", "", "`path` of etcd (default: on PATH)")
	flags.StringVar(&o.zooKeeper, "zookeeper", "", "`path` of ZooKeeper's jar or of the "+
		"directory of a release (default: where Debian puts it)")
	flags.StringVar(&o.dir, "dir", "", "`directory` for the servers' data, on the disk to be "+
		"measured (default: a temporary one)")
	flags.StringVar(&o.baseline, "baseline", "redis", "`target` that others are compared with, "+
		"if it is measured")
	flags.StringVar(&o.json, "json", "", "`file` for every round")
	flags.StringVar(&o.markdown, "markdown", "", "`file` for the tables (default: standard output)")
	flags.StringVar(&o.profile, "profile", "", "`directory` for CPU and heap profiles of the "+
		"servers that offer them")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; flags come with two dashes", flags.Arg(0))
	}
	o.targets, o.workloads = split(targets), split(loads)
	o.lockdFlags = strings.Fields(lockdFlags)
	var err error
	if o.workers, err = numbers(workers); err != nil {
		return o, err
	}
	return o, o.validate()
}

// validate checks what flags alone cannot.
func (o *options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, name := range o.workloads {
		if !slices.Contains(workloads(), name) {
			bad("--workload: no workload %q; there are %s", name, strings.Join(workloads(), ", "))
		}
	}
	if len(o.targets) == 0 || len(o.workloads) == 0 {
		bad("--target and --workload: want at least one name each")
	}
	if o.keys < 1 || o.rounds < 1 || o.trials < 1 {
		bad("--keys, --rounds and --trials: want at least 1, got %d, %d, %d",
			o.keys, o.rounds, o.trials)
	}
	if o.duration <= 0 || o.warmup < 0 || o.hold < 0 || o.rate <= 0 {
		bad("--duration and --rate: want more than 0; --warmup and --hold: not less than 0")
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

// numbers reads a list of positive numbers.
func numbers(text string) ([]int, error) {
	var list []int
	for _, part := range split(text) {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > 100_000 {
			return nil, fmt.Errorf("--workers: want numbers from 1 to 100000, got %q", part)
		}
		list = append(list, n)
	}
	if len(list) == 0 {
		return nil, errors.New("--workers: want at least one number")
	}
	return list, nil
}

// loads lists the measurements of one round on one target.
func (o *options) loads() []workload.Load {
	var loads []workload.Load
	for _, name := range o.workloads {
		load := workload.Load{
			Workload: name, Workers: 1, Duration: o.duration, Warmup: o.warmup, Hold: o.hold,
		}
		switch name {
		case "contended":
			load.Keys = o.keys
		case "open":
			load.Rate = o.rate
		case "failover":
			load.Trials = o.trials
		case "handoff":
			loads = append(loads, load)
			continue
		}
		for _, workers := range o.workers {
			load.Workers = workers
			loads = append(loads, load)
		}
	}
	return loads
}
