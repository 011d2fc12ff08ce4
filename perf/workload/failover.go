package workload

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lockd/perf/launch"
	"lockd/perf/measure"
	"lockd/perf/target"
)

const (
	// gapWindow is how long after a kill a trial watches for late answers.
	gapWindow = 3 * time.Second
	// healWindow is how long the service must answer well before the next kill.
	healWindow = 500 * time.Millisecond
	// healTimeout bounds the wait for that.
	healTimeout = 30 * time.Second
)

// Failover kills one server after another, restarts it, and records for each
// trial the longest that any of the workers waited for a pair that ended after
// the kill. Leaders are spread over the servers, so each kill hits some.
func Failover(ctx context.Context, locker target.Locker, servers []*launch.Process, load Load,
	began func()) (Result, error) {
	t := newTally()
	gaps := measure.NewRecorder()
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
	for trial := range load.Trials {
		gap, err := oneKill(ctx, servers[trial%len(servers)], watch)
		if err != nil {
			return Result{}, fmt.Errorf("workload: failover trial %d: %w", trial+1, err)
		}
		gaps.Record(trial, gap)
	}
	t.recording.Store(false)
	r := t.result(time.Since(first))
	r.Lock = gaps.Latency()
	return r, ctx.Err()
}

// oneKill kills a server, watches, restarts it and waits until all is well.
func oneKill(ctx context.Context, server *launch.Process, watch *longest) (time.Duration, error) {
	watch.since(time.Now())
	server.Kill()
	pause(ctx, gapWindow)
	gap, pending := watch.read()
	if err := server.Restart(ctx); err != nil {
		return 0, err
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
			return 0, fmt.Errorf("%d callers still wait %v after the restart (%d before it)",
				stuck, healTimeout, pending)
		}
	}
	return gap, nil
}

// longest keeps the longest pair that ended since a moment.
type longest struct {
	mu struct {
		sync.Mutex
		from    time.Time
		max     time.Duration
		started map[int]time.Time // of the pairs under way, by worker
	}
}

// work locks fresh keys, one after another, until ctx ends.
func (l *longest) work(ctx context.Context, t *tally, locker target.Locker, worker int) {
	for ctx.Err() == nil {
		began := time.Now()
		l.begin(worker, began)
		ok := t.onePair(ctx, locker, worker, freshKey(), 0, began)
		l.end(worker, began)
		if !ok {
			pause(ctx, errorPause)
		}
	}
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
