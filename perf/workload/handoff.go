package workload

import (
	"context"
	"time"

	"lockd/perf/target"
)

// QueuePause is how long the holder of a handoff waits before it releases, so that
// the other client's request has surely reached the queue.
const QueuePause = 3 * time.Millisecond

// handoff passes one lock between two clients. Lock and Pair of the result are
// both the time from the release to the other client's grant, both seen by this
// process's clock; pairs per second mean little here.
func handoff(ctx context.Context, clients [2]target.Locker, load Load, began func()) Result {
	t := newTally()
	key := freshKey()
	return during(ctx, t, load, began, func(ctx context.Context, group *crew) {
		group.start(func() { passOn(ctx, t, clients, key) })
	})
}

// grant is what a waiting client got, and when.
type grant struct {
	hold target.Hold
	at   time.Time
	err  error
}

func passOn(ctx context.Context, t *tally, clients [2]target.Locker, key string) {
	held, err := clients[0].Lock(ctx, key)
	if err != nil {
		t.failed(ctx, err)
		return
	}
	granted := make(chan grant, 1)
	group := &crew{}
	defer group.wait()
	for turn := 1; ctx.Err() == nil; turn++ {
		waiting := clients[turn%2]
		group.start(func() {
			hold, err := waiting.Lock(ctx, key)
			granted <- grant{hold: hold, at: time.Now(), err: err}
		})
		pause(ctx, QueuePause)
		released := time.Now()
		if err := held.Unlock(context.WithoutCancel(ctx)); err != nil {
			t.failed(ctx, err)
		}
		got := <-granted
		if got.err != nil {
			t.failed(ctx, got.err)
			return
		}
		held = got.hold
		latency := got.at.Sub(released)
		t.done(turn, latency, latency)
	}
	if err := held.Unlock(context.WithoutCancel(ctx)); err != nil {
		t.failed(ctx, err)
	}
}
