package workload

import (
	"context"
	"sync/atomic"
	"time"

	"lockd/perf/target"
)

// Open begins pairs at a fixed rate. Workers bounds how many are under way; a
// pair that has to wait for a worker is late, and its lateness counts.
func Open(ctx context.Context, locker target.Locker, load Load, began func()) Result {
	t := newTally()
	every := time.Duration(float64(time.Second) / load.Rate)
	first := time.Now()
	var next atomic.Int64 // number of the next pair; every worker adds
	work := func(ctx context.Context, worker int) {
		for ctx.Err() == nil {
			due := first.Add(time.Duration(next.Add(1)) * every)
			if early := time.Until(due); early > 0 {
				pause(ctx, early)
			}
			if ctx.Err() == nil {
				t.onePair(ctx, locker, worker, freshKey(), load.Hold, due)
			}
		}
	}
	return during(ctx, t, load, began, func(ctx context.Context, group *crew) {
		for worker := range load.Workers {
			group.start(func() { work(ctx, worker) })
		}
	})
}
