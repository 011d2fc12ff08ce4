package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"lockd/perf/target"
)

// errorPause keeps a worker from spinning on a service that refuses.
const errorPause = time.Millisecond

// closed runs a load in which each worker begins a pair when its last one
// ended. It calls began when the measurement begins, after the warm-up. Latencies are
// of pairs that ended: where workers share keys, a figure tells how many of them had
// none in all the time, for then most wait longer than the latencies say.
func closed(ctx context.Context, s Subject, load Load, began func()) Result {
	t, since := newTally(), make([]atomic.Int64, load.Workers)
	if s.Sleep != nil {
		t.sleep = s.Sleep
	}
	take := load.taker(s)
	work := func(ctx context.Context, worker int) {
		for ctx.Err() == nil {
			if load.Think > 0 {
				pause(ctx, load.Think)
			}
			now := time.Now()
			since[worker].Store(now.UnixNano())
			if !t.onePair(ctx, take, worker, load.Hold, now) {
				pause(ctx, errorPause)
			}
		}
	}
	first, waited := int64(0), 0
	t.ended = func(time.Time) {
		for i := range since {
			if since[i].Load() < first {
				waited++
			}
		}
	}
	r := during(ctx, t, load, func() {
		began()
		first = time.Now().UnixNano()
	}, func(ctx context.Context, group *crew) {
		for worker := range load.Workers {
			group.start(func() { work(ctx, worker) })
		}
	})
	if load.Keys > 0 {
		r.Figures = []Figure{{Name: waitedThroughout, Value: float64(waited)}}
	}
	return r
}

// waitedThroughout names the figure of those whose pair began before the measurement
// and had not ended when that did.
const waitedThroughout = "workers that had no pair in all the time"

// taker is what the pairs of a closed load begin with. Requires: the first client can
// do what the load wants.
func (l Load) taker(s Subject) taker {
	locker := s.Clients[0]
	name := func(n int) string { return fmt.Sprintf("perf/%s/%s/%d", l.Workload, s.Keys, n) }
	key := func() string { return name(rand.IntN(l.Keys)) }
	switch l.Workload {
	case "contended":
		// Each worker stays with a key: of 150 that draw one of 15 anew for every pair
		// a twelfth of the keys has nobody at any moment, and no service could do more.
		return func(ctx context.Context, worker int) (target.Hold, error) {
			return locker.Lock(ctx, name(worker%l.Keys))
		}
	case "readwrite":
		reader := locker.(target.Reader)
		return func(ctx context.Context, _ int) (target.Hold, error) {
			if rand.IntN(100) < l.Reads {
				return reader.RLock(ctx, key())
			}
			return locker.Lock(ctx, key())
		}
	case "semaphore":
		counter := locker.(target.Counter)
		return func(ctx context.Context, _ int) (target.Hold, error) {
			return counter.Acquire(ctx, key(), l.Permits)
		}
	}
	if l.Payload > 0 {
		carrier, payload := locker.(target.Carrier), make([]byte, l.Payload)
		return func(ctx context.Context, _ int) (target.Hold, error) {
			return carrier.LockCarrying(ctx, freshKey(), payload)
		}
	}
	return fresh(locker)
}

// during starts workers, lets them warm up, measures and stops them.
func during(ctx context.Context, t *tally, load Load, began func(),
	start func(context.Context, *crew)) Result {
	running, cancel := context.WithCancel(ctx)
	group := &crew{}
	defer group.wait()
	defer cancel()
	start(running, group)
	pause(ctx, load.Warmup)
	began()
	first := time.Now()
	t.recording.Store(true)
	pause(ctx, load.Duration)
	t.recording.Store(false)
	last := time.Now()
	if t.ended != nil {
		t.ended(last)
	}
	return t.result(last.Sub(first))
}
