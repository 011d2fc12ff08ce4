package workload

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"lockd/perf/launch"
	"lockd/perf/measure"
	"lockd/perf/target"
)

const (
	// gapWindow is how long after a kill a trial watches for late answers.
	gapWindow = 3 * time.Second
	// beforeKill is how long a trial watches before it.
	beforeKill = 500 * time.Millisecond
	// timelineBucket is what pairs are counted in, round the kill.
	timelineBucket = 10 * time.Millisecond
	// healWindow is how long the service must answer well before the next kill.
	healWindow = 500 * time.Millisecond
	// healTimeout bounds the wait for that.
	healTimeout = 30 * time.Second
)

// trial is what one kill did.
type trial struct {
	gap      time.Duration
	timeline []int
}

// failover kills one server after another, restarts it, and records for each
// trial the longest that any of the workers waited for a pair that ended after
// the kill. A worker whose call fails asks again at once, and waits all the
// while. Leaders may be spread over the servers or sit on one of them: every kill
// counts.
func failover(ctx context.Context, locker target.Locker, servers []*launch.Process, load Load,
	began func()) (Result, error) {
	t := newTally()
	watch := &longest{}
	running, cancel := context.WithCancel(ctx)
	group := &crew{}
	defer group.wait()
	defer cancel()
	for worker := range load.Workers {
		group.start(func() { watch.work(running, t, locker, worker) })
	}
	pause(ctx, load.Warmup)
	began()
	first := time.Now()
	t.recording.Store(true)
	var trials []trial
	for i := range load.Trials {
		one, err := oneKill(ctx, servers[i%len(servers)], watch)
		if err != nil {
			return Result{}, fmt.Errorf("workload: failover trial %d: %w", i+1, err)
		}
		trials = append(trials, one)
	}
	t.recording.Store(false)
	r := t.result(time.Since(first))
	gaps := measure.NewRecorder()
	for i, one := range trials {
		gaps.Record(i, one.gap)
	}
	r.Lock = gaps.Latency()
	slices.SortFunc(trials, func(a, b trial) int { return cmp.Compare(a.gap, b.gap) })
	r.Timeline = &Timeline{
		Bucket: timelineBucket, Before: beforeKill, Pairs: trials[len(trials)/2].timeline,
	}
	return r, ctx.Err()
}

// oneKill kills a server, watches, restarts it and waits until all is well.
func oneKill(ctx context.Context, server *launch.Process, watch *longest) (trial, error) {
	watch.count()
	pause(ctx, beforeKill)
	watch.since(time.Now())
	server.Kill()
	pause(ctx, gapWindow)
	gap, pending := watch.read()
	timeline := watch.counted()
	if err := server.Restart(ctx); err != nil {
		return trial{}, err
	}
	deadline := time.Now().Add(healTimeout)
	for {
		watch.since(time.Now())
		pause(ctx, healWindow)
		again, stuck := watch.read()
		if stuck == 0 && again < healWindow/2 {
			break
		}
		gap = max(gap, again)
		if ctx.Err() != nil || time.Now().After(deadline) {
			return trial{}, fmt.Errorf("%d callers still wait %v after the restart (%d before it)",
				stuck, healTimeout, pending)
		}
	}
	return trial{gap: gap, timeline: timeline}, nil
}

// longest keeps the longest pair that ended since a moment, and counts pairs.
type longest struct {
	mu struct {
		sync.Mutex
		from    time.Time
		max     time.Duration
		started map[int]time.Time // of the pairs under way, by worker
		// counts are of the pairs that ended since counting, by bucket.
		counting time.Time
		counts   []int
	}
}

// work locks fresh keys, one after another, until ctx ends. A pair that fails is
// the same pair still, until it goes well.
func (l *longest) work(ctx context.Context, t *tally, locker target.Locker, worker int) {
	take := fresh(locker)
	for ctx.Err() == nil {
		began := time.Now()
		l.begin(worker, began)
		for !t.onePair(ctx, take, worker, 0, began) {
			if ctx.Err() != nil {
				return
			}
			pause(ctx, errorPause)
		}
		l.end(worker, began)
	}
}

// count begins a new count.
func (l *longest) count() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.counting = time.Now()
	l.mu.counts = make([]int, (beforeKill+gapWindow)/timelineBucket)
}

// counted returns the count and ends it.
func (l *longest) counted() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := l.mu.counts
	l.mu.counts = nil
	return counts
}

func (l *longest) begin(worker int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.started == nil {
		l.mu.started = map[int]time.Time{}
	}
	l.mu.started[worker] = at
}

// end notes a pair; what it waited before the moment of since does not count.
func (l *longest) end(worker int, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.started, worker)
	if i := int(time.Since(l.mu.counting) / timelineBucket); i < len(l.mu.counts) {
		l.mu.counts[i]++
	}
	if began.Before(l.mu.from) {
		began = l.mu.from
	}
	l.mu.max = max(l.mu.max, time.Since(began))
}

// since starts a new watch at a moment.
func (l *longest) since(from time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.from, l.mu.max = from, 0
}

// read returns the longest wait so far, pairs under way included, and how many
// of those began more than half a heal window ago.
func (l *longest) read() (longestWait time.Duration, stuck int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	longestWait = l.mu.max
	for _, began := range l.mu.started {
		if began.Before(l.mu.from) {
			began = l.mu.from
		}
		waited := time.Since(began)
		longestWait = max(longestWait, waited)
		if waited > healWindow/2 {
			stuck++
		}
	}
	return longestWait, stuck
}
