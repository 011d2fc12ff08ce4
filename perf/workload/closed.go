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

// Closed runs an uncontended or contended load. It calls began when the
// measurement begins, after the warm-up.
func Closed(ctx context.Context, locker target.Locker, load Load, began func()) Result {
	t := newTally()
	work := func(ctx context.Context, worker int) {
		for ctx.Err() == nil {
			if !t.onePair(ctx, locker, worker, load.key(), load.Hold, time.Now()) {
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

// key is the key of a worker's next pair.
func (l Load) key() string {
	if l.Workload == "contended" {
		return fmt.Sprintf("perf/contended/%d", rand.IntN(l.Keys))
	}
	return freshKey()
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
	return t.result(time.Since(first))
}
