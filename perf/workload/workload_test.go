package workload

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockd/perf/target"
)

// fakeLocks is a lock service in memory whose lock and unlock take fixed times.
type fakeLocks struct {
	lockTime, unlockTime time.Duration
	refuse               error
	mu                   struct {
		sync.Mutex
		held map[string]chan struct{}
	}
}

type fakeHold struct {
	locks *fakeLocks
	key   string
}

var errNotHeld = errors.New("workload: fake lock not held")

func (f *fakeLocks) Lock(ctx context.Context, key string) (target.Hold, error) {
	if f.refuse != nil {
		return nil, f.refuse
	}
	pause(ctx, f.lockTime)
	for {
		f.mu.Lock()
		if f.mu.held == nil {
			f.mu.held = map[string]chan struct{}{}
		}
		free := f.mu.held[key]
		if free == nil {
			f.mu.held[key] = make(chan struct{})
			f.mu.Unlock()
			return &fakeHold{f, key}, nil
		}
		f.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *fakeLocks) Close() error { return nil }

func (h *fakeHold) Unlock(ctx context.Context) error {
	pause(ctx, h.locks.unlockTime)
	h.locks.mu.Lock()
	defer h.locks.mu.Unlock()
	free := h.locks.mu.held[h.key]
	if free == nil {
		return errNotHeld
	}
	delete(h.locks.mu.held, h.key)
	close(free)
	return nil
}

// alone is what a load of one client runs against.
func alone(l target.Locker) Subject {
	return Subject{Clients: [2]target.Locker{l}, Keys: NewKeys(), Sleep: time.Sleep}
}

// near allows the three digits that a histogram keeps.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if (got - want).Abs() > want/100 {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestClosedCountsPairsAndTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &fakeLocks{lockTime: 3 * time.Millisecond, unlockTime: time.Millisecond}
		begun := false
		r := closed(t.Context(), alone(locks), Load{
			Workload: "uncontended", Workers: 5, Warmup: time.Second, Duration: 2 * time.Second,
			Hold: 6 * time.Millisecond,
		}, func() { begun = true })
		near(t, "lock p50", r.Lock.P50, 3*time.Millisecond)
		near(t, "pair p50, without the hold", r.Pair.P50, 4*time.Millisecond)
		if r.PairsPerSecond < 495 || r.PairsPerSecond > 505 {
			t.Errorf("got %v pairs/s, want 5 workers / 10 ms = 500", r.PairsPerSecond)
		}
		if !begun || r.Errors != 0 {
			t.Errorf("got begun %v and %d errors, want true and none", begun, r.Errors)
		}
	})
}

// A worker that pauses before each pair begins to count after the pause.
func TestPauseBeforeEachPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &fakeLocks{lockTime: time.Millisecond}
		r := closed(t.Context(), alone(locks), Load{
			Workload: "uncontended", Workers: 1, Duration: time.Second, Think: 3 * time.Millisecond,
		}, func() {})
		near(t, "lock", r.Lock.P50, time.Millisecond)
		if want := 1 / (3*time.Millisecond + r.Pair.P50).Seconds(); r.PairsPerSecond < 0.98*want ||
			r.PairsPerSecond > 1.02*want {
			t.Errorf("got %v pairs/s, want %.0f", r.PairsPerSecond, want)
		}
	})
}

func TestContendedWorkersShareKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &fakeLocks{}
		r := closed(t.Context(), alone(locks), Load{
			Workload: "contended", Workers: 10, Keys: 2, Duration: time.Second,
			Hold: 10 * time.Millisecond,
		}, func() {})
		// Two keys, each held 10 ms at a time: never more than 200 pairs/s, and
		// nearly that many, because someone always waits for each.
		if r.PairsPerSecond > 202 || r.PairsPerSecond < 198 {
			t.Errorf("got %v pairs/s, want just under 200", r.PairsPerSecond)
		}
	})
}

// leaving is a service that grants what was given up, as one does that sets a key
// for a caller who has gone, and keeps it for long.
type leaving struct{ fakeLocks }

func (l *leaving) Lock(ctx context.Context, key string) (target.Hold, error) {
	hold, err := l.fakeLocks.Lock(ctx, key)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return hold, err
}

// What a measurement leaves behind is in the way of no other.
func TestContendedBeginsWithFreeKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &leaving{fakeLocks{lockTime: time.Millisecond}}
		load := Load{Workload: "contended", Workers: 10, Keys: 1, Duration: time.Second + 500}
		for round := range 3 {
			r := closed(t.Context(), alone(locks), load, func() {})
			if r.PairsPerSecond < 500 {
				t.Errorf("round %d: got %v pairs/s, want about a thousand", round+1, r.PairsPerSecond)
			}
			if len(locks.mu.held) == 0 {
				t.Fatal("nothing was left behind: it proves nothing")
			}
		}
	})
}

// Latencies of pairs that ended say little where most have not.
func TestClosedTellsWhoHadNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := closed(t.Context(), alone(&fakeLocks{}), Load{
			Workload: "contended", Workers: 50, Keys: 1, Duration: time.Second,
			Hold: 100 * time.Millisecond, Warmup: time.Second + time.Millisecond,
		}, func() {})
		// Ten pairs end in a second, whoever has them.
		if len(r.Figures) != 1 || r.Figures[0].Value < 40 || r.Figures[0].Value >= 50 {
			t.Errorf("got %v, want 40 to 49 of 50 workers", r.Figures)
		}
	})
}

func TestClosedReportsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &fakeLocks{refuse: errors.New("no leader")}
		r := closed(t.Context(), alone(locks), Load{
			Workload: "uncontended", Workers: 1, Duration: 100 * time.Millisecond,
		}, func() {})
		if r.Errors < 90 || r.FirstError != "no leader" || r.PairsPerSecond != 0 {
			t.Errorf("got %+v, want about 100 errors and no pair", r)
		}
	})
}

// TestOpenPaysForAStall lets one worker serve pairs that come twice as fast as
// it can: lateness must grow through the run instead of being left out.
func TestOpenPaysForAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &fakeLocks{lockTime: 10 * time.Millisecond}
		r := open(t.Context(), locks, Load{
			Workload: "open", Workers: 1, Rate: 200, Duration: 2 * time.Second,
		}, func() {})
		near(t, "worst pair", r.Pair.Max, time.Second)
		if r.PairsPerSecond < 99 || r.PairsPerSecond > 101 {
			t.Errorf("got %v pairs/s, want the 100 that one worker can do", r.PairsPerSecond)
		}
	})
}

func TestOpenKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &fakeLocks{lockTime: 10 * time.Millisecond}
		r := open(t.Context(), locks, Load{
			Workload: "open", Workers: 20, Rate: 200, Duration: 2 * time.Second,
		}, func() {})
		near(t, "p99", r.Pair.P99, 10*time.Millisecond)
		if r.PairsPerSecond < 197 || r.PairsPerSecond > 203 {
			t.Errorf("got %v pairs/s, want 200", r.PairsPerSecond)
		}
	})
}

func TestHandoffMeasuresReleaseToGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &fakeLocks{unlockTime: 2 * time.Millisecond}
		r := handoff(t.Context(), [2]target.Locker{locks, locks}, Load{
			Workload: "handoff", Duration: time.Second,
		}, func() {})
		near(t, "release to grant", r.Lock.P50, 2*time.Millisecond)
		if r.Lock.Count < 190 || r.Errors != 0 {
			t.Errorf("got %d hand-overs and %d errors, want 200 of 5 ms each", r.Lock.Count, r.Errors)
		}
	})
}

// TestLongestCountsWaitsFromTheKill has one pair that began before the moment
// and one that is still under way.
func TestLongestCountsWaitsFromTheKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := &longest{}
		start := time.Now()
		watch.begin(1, start)
		watch.begin(2, start)
		pause(t.Context(), time.Second)
		watch.since(time.Now())
		pause(t.Context(), 300*time.Millisecond)
		watch.end(1, start)
		if got, stuck := watch.read(); got != 300*time.Millisecond || stuck != 1 {
			t.Errorf("got %v and %d stuck, want 300 ms since the moment and 1", got, stuck)
		}
		watch.end(2, start)
		if _, stuck := watch.read(); stuck != 0 {
			t.Errorf("got %d stuck after all ended, want 0", stuck)
		}
	})
}

// fakeChains is a fake with asynchronous calls of a fixed length.
type fakeChains struct{ fakeLocks }

func (f *fakeChains) Chain(n int, next func() (string, bool),
	done func(int, time.Duration, time.Duration, error)) {
	var group sync.WaitGroup
	for chain := range n {
		group.Go(func() {
			for {
				if _, ok := next(); !ok {
					return
				}
				time.Sleep(10 * time.Millisecond)
				done(chain, 4*time.Millisecond, 10*time.Millisecond, nil)
			}
		})
	}
	group.Wait()
	done(0, 0, 0, errors.New("after the end"))
}

func TestAsyncCountsPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		load := Load{Workload: "async", Workers: 5, Duration: 2 * time.Second}
		r := async(t.Context(), &fakeChains{}, load, func() {})
		near(t, "lock p50", r.Lock.P50, 4*time.Millisecond)
		near(t, "pair p50", r.Pair.P50, 10*time.Millisecond)
		if r.PairsPerSecond < 495 || r.PairsPerSecond > 505 || r.Errors != 0 {
			t.Errorf("got %v pairs/s and %d errors, want 500 and none", r.PairsPerSecond, r.Errors)
		}
	})
}
