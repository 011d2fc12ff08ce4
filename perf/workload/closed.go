package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"lockd/perf/target"
)

// errorPause keeps a worker from spinning on a service that refuses.
const errorPause = time.Millisecond

// closed runs a load in which each worker begins a pair when its last one
// ended. It calls began when the measurement begins, after the warm-up.
func closed(ctx context.Context, locker target.Locker, load Load, began func()) Result {
	t := newTally()
	take := load.taker(locker)
	work := func(ctx context.Context, worker int) {
		for ctx.Err() == nil {
			if !t.onePair(ctx, take, worker, load.Hold, time.Now()) {
				pause(ctx, errorPause)
			}
		}
	}
	return during(ctx, t, load, began, func(ctx context.Context, group *crew) {
		for worker := range load.Workers {
			group.start(func() { work(ctx, worker) })
		}
	})
}

// taker is what the pairs of a closed load begin with. Requires: the locker can
// do what the load wants.
func (l Load) taker(locker target.Locker) taker {
	key := func() string { return fmt.Sprintf("perf/%s/%d", l.Workload, rand.IntN(l.Keys)) }
	switch l.Workload {
	case "contended":
		return func(ctx context.Context) (target.Hold, error) { return locker.Lock(ctx, key()) }
	case "readwrite":
		reader := locker.(target.Reader)
		return func(ctx context.Context) (target.Hold, error) {
			if rand.IntN(100) < l.Reads {
				return reader.RLock(ctx, key())
			}
			return locker.Lock(ctx, key())
		}
	case "semaphore":
		counter := locker.(target.Counter)
		return func(ctx context.Context) (target.Hold, error) {
			return counter.Acquire(ctx, key(), l.Permits)
		}
	}
	if l.Payload > 0 {
		carrier, payload := locker.(target.Carrier), make([]byte, l.Payload)
		return func(ctx context.Context) (target.Hold, error) {
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
