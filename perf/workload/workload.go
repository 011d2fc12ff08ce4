package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"lockd/perf/measure"
	"lockd/perf/target"
)

// Load describes one measurement.
type Load struct {
	// Workload is a name of the table in the package comment.
	Workload string `json:"workload"`
	// Workers is how many callers share the client, 1 or more.
	Workers int `json:"workers"`
	// Keys is how many keys contended workers share.
	Keys int `json:"keys,omitempty"`
	// Hold is how long each lock is held on purpose.
	Hold time.Duration `json:"hold_ns,omitempty"`
	// Rate is the pairs begun per second of an open loop.
	Rate float64 `json:"rate,omitempty"`
	// Duration is the length of the measurement; Warmup comes before it.
	Duration time.Duration `json:"duration_ns"`
	Warmup   time.Duration `json:"warmup_ns"`
	// Trials is how often failover kills.
	Trials int `json:"trials,omitempty"`
}

// String names the load in a report.
func (l Load) String() string {
	switch {
	case l.Workload == "contended":
		return fmt.Sprintf("contended, %d workers on %d keys, hold %v", l.Workers, l.Keys, l.Hold)
	case l.Workload == "open":
		return fmt.Sprintf("open, %.0f pairs/s", l.Rate)
	case l.Workload == "async":
		return fmt.Sprintf("asynchronous, %d in flight", l.Workers)
	case l.Workload == "handoff":
		return "handoff (release to grant)"
	case l.Workload == "failover":
		return fmt.Sprintf("failover, %d kills (lock: longest wait after each)", l.Trials)
	case l.Workload == "uncontended" && l.Workers == 1:
		return "uncontended, 1 worker"
	case l.Workload == "uncontended":
		return fmt.Sprintf("uncontended, %d workers", l.Workers)
	}
	return l.Workload
}

// Result is what one measurement found.
type Result struct {
	// PairsPerSecond counts the pairs that ended within the measurement.
	PairsPerSecond float64 `json:"pairs_per_second"`
	// Pair is the latency of lock and unlock together, Lock of the lock alone.
	// Of a handoff, Lock is release to grant; of a failover, Lock is the gap.
	Pair measure.Latency `json:"pair"`
	Lock measure.Latency `json:"lock"`
	// Errors counts calls that failed; FirstError is one of them.
	Errors     int64  `json:"errors"`
	FirstError string `json:"first_error,omitempty"`
	// Elapsed is the true length of the measurement.
	Elapsed time.Duration `json:"elapsed_ns"`
}

// tally collects what workers see. Latencies and counts are kept only while it
// is recording.
type tally struct {
	pair, lock *measure.Recorder
	recording  atomic.Bool // written by the measurement, read by workers
	pairs      atomic.Int64
	errors     atomic.Int64
	firstError atomic.Pointer[string]
}

func newTally() *tally {
	return &tally{pair: measure.NewRecorder(), lock: measure.NewRecorder()}
}

// done records a pair that just ended.
func (t *tally) done(worker int, lock, pair time.Duration) {
	if !t.recording.Load() {
		return
	}
	t.pairs.Add(1)
	t.lock.Record(worker, lock)
	t.pair.Record(worker, pair)
}

// failed counts an error, except one that comes from the end of the run.
func (t *tally) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	t.errors.Add(1)
	text := err.Error()
	t.firstError.CompareAndSwap(nil, &text)
}

// result sums up a measurement of the given length.
func (t *tally) result(elapsed time.Duration) Result {
	r := Result{
		Pair:    t.pair.Latency(),
		Lock:    t.lock.Latency(),
		Errors:  t.errors.Load(),
		Elapsed: elapsed,
	}
	if elapsed > 0 {
		r.PairsPerSecond = float64(t.pairs.Load()) / elapsed.Seconds()
	}
	if text := t.firstError.Load(); text != nil {
		r.FirstError = *text
	}
	return r
}

// onePair takes and gives up one lock and records it, from the moment began. It
// says whether the pair went well.
func (t *tally) onePair(ctx context.Context, locker target.Locker, worker int, key string,
	hold time.Duration, began time.Time) bool {
	held, err := locker.Lock(ctx, key)
	if err != nil {
		t.failed(ctx, err)
		return false
	}
	granted := time.Now()
	released := granted
	if hold > 0 {
		pause(ctx, hold)
		released = time.Now()
	}
	// The lock is given back even when the run is over.
	if err := held.Unlock(context.WithoutCancel(ctx)); err != nil {
		t.failed(ctx, err)
		return false
	}
	lock := granted.Sub(began)
	t.done(worker, lock, lock+time.Since(released))
	return true
}

// pause waits for a length of time or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// freshKey is a key that nobody has used.
func freshKey() string {
	return target.FreshPrefix + strconv.FormatUint(rand.Uint64(), 36)
}
