package main

import (
	"time"

	"lockd/perf/workload"
)

// What measurements take besides their own length, as a plan counts it.
const (
	startCost   = 8 * time.Second // the servers of a step, ZooKeeper's among them
	trialCost   = 5500 * time.Millisecond
	fillCost    = 5 * time.Second
	restartCost = 15 * time.Second
	openCost    = 20 * time.Second
	clientsCost = time.Second
	heldCost    = 30 * time.Microsecond // a lock that is held beside a load
)

// step is some loads on some targets, measured in turn, round after round.
type step struct {
	targets []string
	loads   []workload.Load
	rounds  int
}

// plan is all that a run measures, one step after another.
type plan struct {
	servers
	baseline string
	profile  string        // directory for profiles, or ""
	prewarm  time.Duration // load of every target of a step before its first round
	steps    []step
}

// estimate is about how long a plan takes; what a target cannot do counts too.
func (p *plan) estimate() time.Duration {
	var sum time.Duration
	for _, s := range p.steps {
		sum += startCost + time.Duration(len(s.targets))*p.prewarm
		for _, load := range s.loads {
			sum += time.Duration(s.rounds*len(s.targets)) * cost(load)
		}
	}
	return sum
}

// measurements is how many a plan has at most.
func (p *plan) measurements() int {
	n := 0
	for _, s := range p.steps {
		n += s.rounds * len(s.targets) * len(s.loads)
	}
	return n
}

// cost is about how long one measurement takes.
func cost(load workload.Load) time.Duration {
	switch load.Workload {
	case "failover":
		return load.Warmup + time.Duration(load.Trials)*trialCost
	case "keepalive":
		return load.Warmup + 2*load.Duration + openCost
	case "memory":
		return load.Warmup + load.Duration + fillCost
	case "restart":
		return load.Duration + restartCost
	}
	sum := load.Warmup + load.Duration
	if load.Held > 0 {
		sum += startCost + time.Duration(load.Held)*heldCost
	}
	if load.Clients > 0 {
		sum += clientsCost
	}
	return sum
}

// extent is how thorough a suite is.
type extent struct {
	pairs  time.Duration // of a measurement of pairs
	most   time.Duration // that waiters or filling with locks may take
	rounds int
	trials int
}

// suite is everything that make perf measures.
func suite(e extent) []step {
	const warmup = time.Second
	base := options{
		workers: []int{1, 5, 20, 80, 320}, holds: []time.Duration{0, 50 * time.Millisecond},
		rates: []float64{200, 1000, 4000, 10000}, reads: []int{90, 50}, keys: 15, permits: 8,
		duration: e.pairs, warmup: warmup, trials: e.trials,
	}
	of := func(change func(o *options), names ...string) []workload.Load {
		o := base
		o.workloads = names
		if change != nil {
			change(&o)
		}
		return o.loads()
	}
	workers := func(n ...int) func(*options) { return func(o *options) { o.workers = n } }
	counted := func(n int) func(*options) {
		return func(o *options) { o.count, o.duration, o.warmup = n, e.most, 3*time.Second }
	}
	return []step{
		{[]string{"lockd", "lockd-one", "redis", "redis-go", "redis-mux", "redis-aof", "redis-wait",
			"redlock", "etcd", "etcd-raw", "zookeeper", "zookeeper-raw", "fsync", "fsync-3", "echo"},
			of(nil, "uncontended"), e.rounds},
		{[]string{"lockd", "lockd-one", "redis", "redis-aof", "etcd", "zookeeper"},
			of(workers(1024), "open"), e.rounds},
		{[]string{"lockd", "lockd-one", "redis", "redlock", "etcd", "zookeeper"},
			append(of(workers(150, 1500), "contended"), of(nil, "handoff")...), e.rounds},
		{[]string{"fsync-3", "echo"}, of(func(o *options) {
			o.workers, o.thinks = []int{1}, []time.Duration{workload.QueuePause}
		}, "uncontended"), e.rounds},
		{[]string{"lockd", "lockd-one"}, append(of(workers(1000, 16000), "async"),
			of(workers(80), "readwrite", "semaphore")...), e.rounds},
		{[]string{"lockd", "lockd-one", "redis", "redis-mux"}, of(func(o *options) {
			o.workers, o.clients = []int{2000}, 4
		}, "uncontended"), e.rounds},
		{[]string{"lockd", "etcd", "zookeeper"}, of(counted(1000), "crowd"), (e.rounds + 1) / 2},
		{[]string{"lockd"}, of(counted(10_000), "crowd"), (e.rounds + 1) / 2},
		{[]string{"lockd", "redlock", "etcd", "zookeeper"}, of(workers(20), "failover"), 1},
		{[]string{"lockd", "etcd", "zookeeper"}, of(counted(1000), "keepalive"), 1},
		{[]string{"lockd", "redis", "etcd", "zookeeper"},
			of(counted(200_000), "memory"), 1},
		{[]string{"lockd", "redis-aof", "etcd", "zookeeper"},
			of(counted(200_000), "restart"), 1},
	}
}

// fit makes a suite that takes about a budget: the briefest if that is small, and
// beyond it more rounds and kills, and longer measurements, up to ten seconds.
func (p *plan) fit(budget time.Duration) {
	const mostPairs = 10 * time.Second
	e := extent{pairs: time.Second, most: 4 * time.Second, rounds: 1, trials: 3}
	p.steps = suite(e)
	for _, more := range []extent{
		{pairs: time.Second, most: 10 * time.Second, rounds: 2, trials: 6},
		{pairs: time.Second, most: 20 * time.Second, rounds: 3, trials: 9},
	} {
		p.steps = suite(more)
		if p.estimate() > budget {
			break
		}
		e = more
	}
	p.steps = suite(e)
	least := p.estimate()
	longer := e
	longer.pairs += time.Second
	p.steps = suite(longer)
	perSecond := p.estimate() - least
	over := max(0, budget-least)
	e.pairs += time.Duration(float64(over) / float64(perSecond) * float64(time.Second))
	e.pairs = min(e.pairs, mostPairs).Truncate(100 * time.Millisecond)
	p.steps = suite(e)
}
