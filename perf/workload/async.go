package workload

import (
	"context"
	"errors"
	"time"

	"lockd/perf/target"
)

// ErrNoAsync means that a target's client has no asynchronous calls.
var ErrNoAsync = errors.New("workload: the target's client has no asynchronous calls")

// Async runs an uncontended load in which workers are chains of asynchronous
// calls instead of goroutines. A chain ends at its first error.
func Async(ctx context.Context, locker target.Locker, load Load, began func()) (Result, error) {
	chainer, ok := locker.(target.Chainer)
	if !ok {
		return Result{}, ErrNoAsync
	}
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
	}), nil
}
