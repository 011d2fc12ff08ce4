package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"lockd/perf/measure"
	"lockd/perf/target"
)

// Load describes one measurement. Two loads that are equal are the same.
type Load struct {
	// Workload is a name of the table in the package comment.
	Workload string `json:"workload"`
	// Workers is how many callers share the client, 1 or more; of several client
	// processes, all of them together.
	Workers int `json:"workers"`
	// Clients is how many processes carry the load; 0 is perf itself.
	Clients int `json:"clients,omitempty"`
	// Keys is how many keys the workers of contended, readwrite and semaphore
	// share.
	Keys int `json:"keys,omitempty"`
	// Reads is how many of a hundred pairs of readwrite only read.
	Reads int `json:"reads,omitempty"`
	// Permits is how many may hold a semaphore.
	Permits int `json:"permits,omitempty"`
	// Hold is how long each lock is held on purpose.
	Hold time.Duration `json:"hold_ns,omitempty"`
	// Think is how long each worker pauses before a pair; of uncontended only.
	Think time.Duration `json:"think_ns,omitempty"`
	// Rate is the pairs begun per second of an open loop.
	Rate float64 `json:"rate,omitempty"`
	// Count is how many waiters, sessions or locks there are.
	Count int `json:"count,omitempty"`
	// Held is how many locks of others are held meanwhile, taken before by a client
	// of its own; of uncontended only.
	Held int `json:"held,omitempty"`
	// Payload is how many bytes of data each hold carries; of uncontended only.
	Payload int `json:"payload,omitempty"`
	// Duration is the length of the measurement, or the most it may take; Warmup
	// comes before it.
	Duration time.Duration `json:"duration_ns"`
	Warmup   time.Duration `json:"warmup_ns"`
	// Trials is how often failover kills.
	Trials int `json:"trials,omitempty"`
}

// String names the load in a report.
func (l Load) String() string {
	text := l.name()
	if l.Held > 0 {
		text += fmt.Sprintf(", beside %d locks held", l.Held)
	}
	if l.Payload > 0 {
		text += fmt.Sprintf(", payload of %d B", l.Payload)
	}
	if l.Think > 0 {
		text += fmt.Sprintf(", each after %v", l.Think)
	}
	if l.Clients > 0 {
		text += fmt.Sprintf(", %d client processes", l.Clients)
	}
	return text
}

func (l Load) name() string {
	switch l.Workload {
	case "contended":
		return fmt.Sprintf("contended, %d workers on %d keys, hold %v", l.Workers, l.Keys, l.Hold)
	case "readwrite":
		return fmt.Sprintf("read-write %d/%d, %d workers on %d keys", l.Reads, 100-l.Reads,
			l.Workers, l.Keys)
	case "semaphore":
		return fmt.Sprintf("semaphore of %d, %d workers on %d keys, hold %v", l.Permits,
			l.Workers, l.Keys, l.Hold)
	case "open":
		return fmt.Sprintf("open, %.0f pairs/s", l.Rate)
	case "async":
		return fmt.Sprintf("asynchronous, %d in flight", l.Workers)
	case "handoff":
		return "handoff (release to grant)"
	case "crowd":
		return fmt.Sprintf("crowd, %d waiters for one lock", l.Count)
	case "failover":
		return fmt.Sprintf("failover, %d kills (lock: longest wait after each)", l.Trials)
	case "keepalive":
		return fmt.Sprintf("keepalive, %d sessions", l.Count)
	case "memory", "restart":
		return fmt.Sprintf("%s, up to %d locks", l.Workload, l.Count)
	}
	if l.Workers == 1 {
		return l.Workload + ", 1 worker"
	}
	return fmt.Sprintf("%s, %d workers", l.Workload, l.Workers)
}

// Fresh says that a load needs servers of its own that have done nothing yet,
// because it looks at what they hold.
func (l Load) Fresh() bool {
	return l.Workload == "keepalive" || l.Workload == "memory" || l.Workload == "restart" ||
		l.Held > 0
}

// Paired says whether the pairs of a load and their latencies mean something.
func (l Load) Paired() bool { return !l.Fresh() || l.Held > 0 }

// Result is what one measurement found.
type Result struct {
	// PairsPerSecond counts the pairs that ended within the measurement; of a
	// crowd, the hand-overs; of memory and restart, the locks taken.
	PairsPerSecond float64 `json:"pairs_per_second"`
	// Pair is the latency of lock and unlock together, Lock of the lock alone.
	// Of a handoff, Lock is release to grant; of a crowd, grant to grant; of a
	// failover, the gap.
	Pair measure.Latency `json:"pair"`
	Lock measure.Latency `json:"lock"`
	// Errors counts calls that failed; FirstError is one of them.
	Errors     int64  `json:"errors"`
	FirstError string `json:"first_error,omitempty"`
	// Elapsed is the true length of the measurement.
	Elapsed time.Duration `json:"elapsed_ns"`
	// Figures are what a load measures besides.
	Figures []Figure `json:"figures,omitempty"`
	// Timeline is what a failover looked like.
	Timeline *Timeline `json:"timeline,omitempty"`
	// Raw is set only between a client process and perf.
	Raw *Raw `json:"raw,omitempty"`

	tally *tally
}

// Figure is a number with a name of its own.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Timeline counts the pairs that ended round one kill, of the trial whose gap
// was the middle one.
type Timeline struct {
	// Bucket is the length of one count; the kill came Before after the first
	// began.
	Bucket time.Duration `json:"bucket_ns"`
	Before time.Duration `json:"before_ns"`
	Pairs  []int         `json:"pairs"`
}

// tally collects what workers see. Latencies and counts are kept only while it
// is recording.
type tally struct {
	pair, lock *measure.Recorder
	recording  atomic.Bool // written by the measurement, read by workers
	pairs      atomic.Int64
	errors     atomic.Int64
	firstError atomic.Pointer[string]
	// ended, if it is set, is called when a measurement ends, before its sum.
	ended func(at time.Time)
	sleep func(time.Duration)
}

func newTally() *tally {
	return &tally{pair: measure.NewRecorder(), lock: measure.NewRecorder(), sleep: keep}
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
		tally:   t,
	}
	if elapsed > 0 {
		r.PairsPerSecond = float64(t.pairs.Load()) / elapsed.Seconds()
	}
	if text := t.firstError.Load(); text != nil {
		r.FirstError = *text
	}
	return r
}

// taker takes one lock for a worker.
type taker func(ctx context.Context, worker int) (target.Hold, error)

// fresh takes a lock that nobody else wants.
func fresh(locker target.Locker) taker {
	return func(ctx context.Context, _ int) (target.Hold, error) {
		return locker.Lock(ctx, freshKey())
	}
}

// onePair takes and gives up one lock and records it, from the moment began. It
// says whether the pair went well.
func (t *tally) onePair(ctx context.Context, take taker, worker int, hold time.Duration,
	began time.Time) bool {
	held, err := take(ctx, worker)
	if err != nil {
		t.failed(ctx, err)
		return false
	}
	granted := time.Now()
	released := granted
	if hold > 0 {
		t.sleep(hold)
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

// keep waits for d, which is short, whatever else ends. The runtime's timers are up to
// a millisecond late, which would be a fiftieth of a hold of 50 ms; the kernel's are
// late by some tens of microseconds. It takes a thread for as long.
func keep(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&left, &left) == unix.EINTR {
	}
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

// heldKey is a key that nobody has used and that stays held.
func heldKey() string { return target.HeldPrefix + strconv.FormatUint(rand.Uint64(), 36) }
