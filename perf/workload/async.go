package workload

import (
	"context"
	"time"

	"lockd/perf/target"
)

// async runs an uncontended load in which workers are chains of asynchronous
// calls instead of goroutines. A chain ends at its first error. Requires: the
// locker is a Chainer.
func async(ctx context.Context, locker target.Locker, load Load, began func()) Result {
	chainer := locker.(target.Chainer)
	t := newTally()
	return during(ctx, t, load, began, func(ctx context.Context, group *crew) {
		next := func() (string, bool) { return freshKey(), ctx.Err() == nil }
		done := func(chain int, lock, pair time.Duration, err error) {
			if err != nil {
				t.failed(ctx, err)
				return
			}
			t.done(chain, lock, pair)
		}
		group.start(func() { chainer.Chain(load.Workers, next, done) })
	})
}
