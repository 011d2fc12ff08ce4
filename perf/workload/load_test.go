package workload

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lockd/perf/target"
)

// stalling is a service that takes a millisecond but for one time in which it
// answers nobody.
type stalling struct {
	fakeLocks
	from, to time.Time
}

func (s *stalling) Lock(ctx context.Context, key string) (target.Hold, error) {
	pause(ctx, time.Millisecond)
	if now := time.Now(); now.After(s.from) && now.Before(s.to) {
		pause(ctx, s.to.Sub(now))
	}
	return s.fakeLocks.Lock(ctx, key)
}

// TestOpenCountsAllThatAStallDelayed stops a service for a tenth of the time, with
// few workers: counted from when they began, only those few pairs would be slow,
// and p99 would not see them.
func TestOpenCountsAllThatAStallDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &stalling{from: time.Now().Add(time.Second), to: time.Now().Add(1300 * time.Millisecond)}
		load := Load{Workload: "open", Workers: 8, Rate: 1000, Duration: 3 * time.Second}
		r := open(t.Context(), locks, load, func() {})
		// 300 of 3000 pairs were due in the stall, evenly spread over 300 ms, and
		// the backlog after it takes as long to work off as the rest allows.
		if r.Pair.P99 < 200*time.Millisecond || r.Pair.Max < 290*time.Millisecond {
			t.Errorf("got p99 %v and max %v, want a stall of 300 ms in both", r.Pair.P99, r.Pair.Max)
		}
		if r.Pair.P50 > 3*time.Millisecond {
			t.Errorf("got p50 %v, want what most pairs took", r.Pair.P50)
		}
		closedLoad := load
		closedLoad.Workload = "uncontended"
		locks.from = time.Now().Add(time.Second)
		locks.to = locks.from.Add(300 * time.Millisecond)
		r = closed(t.Context(), alone(locks), closedLoad, func() {})
		if r.Pair.P99 > 10*time.Millisecond {
			t.Errorf("a closed loop: got p99 %v; the comparison above proves nothing", r.Pair.P99)
		}
	})
}

// A load that is itself late says so.
func TestOpenTellsHowLateItIsItself(t *testing.T) {
	r := open(t.Context(), &fakeLocks{}, Load{
		Workload: "open", Workers: 2, Rate: 200, Duration: 200 * time.Millisecond,
	}, func() {})
	if len(r.Figures) != 2 || r.Figures[0].Value <= 0 || r.Figures[1].Value < r.Figures[0].Value {
		t.Errorf("got figures %v, want the p50 and the p99 of true timers", r.Figures)
	}
}

// TestOpenCountsAStallAtTheEnd stops a service until after the end: nothing that
// was due then has ended, and all of it counts.
func TestOpenCountsAStallAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		locks := &stalling{from: start.Add(900 * time.Millisecond), to: start.Add(time.Minute)}
		r := open(t.Context(), locks, Load{
			Workload: "open", Workers: 4, Rate: 1000, Duration: time.Second,
		}, func() {})
		if r.Pair.Count < 990 || r.Pair.Count > 1010 {
			t.Errorf("got %d latencies, want one of each of 1000 pairs that were due", r.Pair.Count)
		}
		if r.Pair.P99 < 85*time.Millisecond || r.Pair.Max > 110*time.Millisecond {
			t.Errorf("got p99 %v and max %v, want about 100 ms", r.Pair.P99, r.Pair.Max)
		}
		if r.PairsPerSecond > 910 {
			t.Errorf("got %v pairs/s, want only those that ended", r.PairsPerSecond)
		}
	})
}

func TestCrowdIsGrantedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &fakeLocks{unlockTime: 2 * time.Millisecond}
		opened := 0
		clients := Subject{
			Clients: [2]target.Locker{locks, locks},
			Open: func(context.Context) (target.Locker, error) {
				opened++
				return locks, nil
			},
		}
		r, err := crowd(t.Context(), clients, Load{
			Workload: "crowd", Count: 50, Warmup: time.Second, Duration: time.Minute,
		}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "grant to grant", r.Lock.P50, 2*time.Millisecond)
		if r.Lock.Count != 50 || r.Errors != 0 || r.Elapsed > 110*time.Millisecond {
			t.Errorf("got %d grants in %v and %d errors, want 50 in 100 ms", r.Lock.Count, r.Elapsed,
				r.Errors)
		}
		r, err = crowd(t.Context(), clients, Load{
			Workload: "crowd", Count: 50, Duration: 41 * time.Millisecond,
		}, func() {})
		if err != nil || r.Figures[0].Value < 25 {
			t.Errorf("too little time: got %v, %v, want about 30 left over", r.Figures, err)
		}
		_, err = crowd(t.Context(), clients, Load{
			Workload: "crowd", Count: 2*crowdPerClient + 1, Duration: 41 * time.Millisecond,
		}, func() {})
		if err != nil || opened != 2 {
			t.Errorf("more than two clients may carry: got %d opened, %v, want 2", opened, err)
		}
	})
}

// fakeModes counts how locks are taken.
type fakeModes struct {
	fakeLocks
	read, counted atomic.Int64
}

func (f *fakeModes) RLock(ctx context.Context, key string) (target.Hold, error) {
	f.read.Add(1)
	return f.Lock(ctx, key+"/reader")
}

func (f *fakeModes) Acquire(ctx context.Context, key string, permits int) (target.Hold, error) {
	f.counted.Add(int64(permits))
	return f.Lock(ctx, key)
}

func TestReadersAndPermits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeModes{fakeLocks: fakeLocks{lockTime: time.Millisecond}}
		r := closed(t.Context(), alone(f), Load{
			Workload: "readwrite", Workers: 1, Keys: 100, Reads: 90, Duration: 2 * time.Second,
		}, func() {})
		if share := float64(f.read.Load()) / r.PairsPerSecond / 2; share < 0.85 || share > 0.95 {
			t.Errorf("got %.2f of the pairs reading, want 0.9", share)
		}
		closed(t.Context(), alone(f), Load{
			Workload: "semaphore", Workers: 1, Keys: 1, Permits: 8, Duration: time.Second,
		}, func() {})
		if got := f.counted.Load(); got < 8*900 {
			t.Errorf("got %d permits asked for in a second, want 8 a millisecond", got)
		}
	})
}

func TestFillStopsAtItsCountOrItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &fakeLocks{lockTime: 10 * time.Millisecond}
		load := Load{Workload: "memory", Count: 1000, Duration: time.Second}
		if _, keys := fill(t.Context(), locks, load); len(keys) != 1000 {
			t.Errorf("got %d locks, want 1000", len(keys))
		}
		load = Load{Workload: "memory", Count: 1_000_000, Duration: 25 * time.Millisecond}
		if _, keys := fill(t.Context(), locks, load); len(keys) < fillers || len(keys) > 3*fillers {
			t.Errorf("got %d locks, want what fits into the time", len(keys))
		}
	})
}

// failing is a service that refuses for a while.
type failing struct {
	fakeLocks
	until time.Time
}

func (f *failing) Lock(ctx context.Context, key string) (target.Hold, error) {
	if time.Now().Before(f.until) {
		return nil, errors.New("no leader")
	}
	return f.fakeLocks.Lock(ctx, key)
}

// TestFailedCallsKeepWaiting: the gap of a caller that gets errors at once is the
// time until a call goes well.
func TestFailedCallsKeepWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := &failing{until: time.Now().Add(700 * time.Millisecond)}
		watch := &longest{}
		watch.since(time.Now())
		watch.count()
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			watch.work(ctx, newTally(), &pacedLocks{locks}, 0)
		})
		pause(t.Context(), time.Second)
		gap, _ := watch.read()
		counts := watch.counted()
		cancel()
		group.Wait()
		if gap < 700*time.Millisecond || gap > 710*time.Millisecond {
			t.Errorf("got a gap of %v, want 700 ms", gap)
		}
		before, after := 0, 0
		for i, n := range counts {
			if i < 70 {
				before += n
			} else {
				after += n
			}
		}
		if before != 0 || after < 250 {
			t.Errorf("got %d pairs counted before the end of the errors and %d after, want none "+
				"and some 300", before, after)
		}
	})
}

// pacedLocks takes a millisecond for each lock.
type pacedLocks struct{ target.Locker }

func (p *pacedLocks) Lock(ctx context.Context, key string) (target.Hold, error) {
	pause(ctx, time.Millisecond)
	return p.Locker.Lock(ctx, key)
}

func TestMergeAddsUp(t *testing.T) {
	var parts []Result
	for i := range 2 {
		tally := newTally()
		tally.recording.Store(true)
		for range 100 {
			tally.done(0, time.Millisecond, time.Duration(i+1)*10*time.Millisecond)
		}
		r := tally.result(time.Second)
		if err := r.Export(time.Duration(i+1) * time.Second); err != nil {
			t.Fatal(err)
		}
		r.Figures = []Figure{{Name: waitedThroughout, Value: 3}}
		parts = append(parts, r)
	}
	r, cpu, err := Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	if r.PairsPerSecond != 200 || cpu != 3*time.Second || r.Pair.Count != 200 {
		t.Errorf("got %v pairs/s, %v of CPU, %d latencies", r.PairsPerSecond, cpu, r.Pair.Count)
	}
	if len(r.Figures) != 1 || r.Figures[0].Value != 6 {
		t.Errorf("got figures %v, want those who had no pair added up", r.Figures)
	}
	near(t, "p50", r.Pair.P50, 10*time.Millisecond)
	near(t, "p99", r.Pair.P99, 20*time.Millisecond)
	if _, _, err := Merge([]Result{{}}); err == nil {
		t.Error("a result without histograms: got no error")
	}
}

func TestSharesAreTheWhole(t *testing.T) {
	load := Load{Workload: "open", Workers: 10, Clients: 4, Rate: 1000}
	workers, rate := 0, 0.0
	for i := range load.Clients {
		share := load.Share(i)
		workers += share.Workers
		rate += share.Rate
		if share.Clients != 0 || share.Workers < 2 {
			t.Errorf("share %d: got %+v", i, share)
		}
	}
	if workers != 10 || rate != 1000 {
		t.Errorf("got %d workers and %v pairs/s in all shares, want all", workers, rate)
	}
}

func TestUnfitSaysWhy(t *testing.T) {
	found, err := target.Find([]string{"lockd", "lockd-one", "redis", "fsync", "etcd-raw"},
		target.Programs{})
	if err != nil {
		t.Fatal(err)
	}
	fits := map[string]string{ // the loads that suit, of those that ask for something
		"lockd":     "contended handoff crowd failover keepalive memory restart",
		"lockd-one": "contended handoff crowd failover keepalive memory restart",
		"redis":     "contended handoff memory",
		"fsync":     "",
		"etcd-raw":  "contended handoff failover keepalive memory restart",
	}
	for _, one := range found {
		for _, name := range Names() {
			switch name {
			case "uncontended", "open", "async", "readwrite", "semaphore":
				continue
			}
			reason := Unfit(one, &fakeLocks{}, Load{Workload: name})
			if want := strings.Contains(" "+fits[one.Name]+" ", " "+name+" "); (reason == "") != want {
				t.Errorf("%s on %s: got %q, want fit %v", name, one.Name, reason, want)
			}
		}
	}
	shared := Load{Workload: "uncontended", Clients: 2}
	if Unfit(found[0], &fakeLocks{}, shared) != "" || Unfit(found[3], &fakeLocks{}, shared) == "" {
		t.Error("several processes can share lockd and no directory")
	}
	for i, one := range found { // without a client, as before servers of their own start
		carrying := Load{Workload: "uncontended", Workers: 1, Held: 1, Payload: 1}
		if fits := Unfit(one, nil, carrying) == ""; fits != strings.HasPrefix(one.Name, "lockd") {
			t.Errorf("%d, %s: got %v for holds with data", i, one.Name, fits)
		}
	}
	if reason := Unfit(found[0], &fakeLocks{}, Load{Workload: "async"}); reason == "" {
		t.Error("a client without asynchronous calls suits async")
	}
}
