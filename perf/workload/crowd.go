package workload

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"lockd/perf/target"
)

// crowdPerClient is how many callers of a crowd share a client at most: services
// bound what one session may ask for.
const crowdPerClient = 2000

// crowd lets many callers wait for one lock and measures how fast it is handed
// from one to the next, until all had it or the time is over. A client of its own
// holds the lock until the warm-up, in which they queue, is over.
func crowd(ctx context.Context, s Subject, load Load, began func()) (Result, error) {
	t := newTally()
	key := fmt.Sprintf("perf/crowd/%d", time.Now().UnixNano())
	first, err := s.Clients[0].Lock(ctx, key)
	if err != nil {
		return Result{}, fmt.Errorf("workload: crowd: %w", err)
	}
	clients := []target.Locker{s.Clients[1]}
	defer func() { closeMany(clients[1:]) }()
	for len(clients)*crowdPerClient < load.Count {
		client, err := s.Open(ctx)
		if err != nil {
			return Result{}, fmt.Errorf("workload: crowd: %w", err)
		}
		clients = append(clients, client)
	}
	waiting, cancel := context.WithCancel(ctx)
	group := &crew{}
	defer group.wait()
	defer cancel()
	var grants passing
	var left atomic.Int64 // waiters that had no turn yet; each takes one off
	left.Store(int64(load.Count))
	all := make(chan struct{})
	for waiter := range load.Count {
		group.start(func() {
			grants.await(waiting, t, clients[waiter%len(clients)], key, waiter)
			if left.Add(-1) == 0 {
				close(all)
			}
		})
	}
	pause(ctx, load.Warmup)
	began()
	t.recording.Store(true)
	start := time.Now()
	grants.from(start)
	if err := first.Unlock(context.WithoutCancel(ctx)); err != nil {
		return Result{}, fmt.Errorf("workload: crowd: %w", err)
	}
	late := time.NewTimer(load.Duration)
	defer late.Stop()
	select {
	case <-all:
	case <-late.C:
	case <-ctx.Done():
	}
	t.recording.Store(false)
	r := t.result(time.Since(start))
	r.Figures = []Figure{
		{Name: "waiters that were not granted in time", Value: float64(left.Load()), Unit: ""},
	}
	return r, ctx.Err()
}

// passing measures from one grant to the next.
type passing struct {
	mu struct {
		sync.Mutex
		last time.Time
	}
}

func (p *passing) from(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.last = at
}

// step returns how long ago the last grant was.
func (p *passing) step() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	d := now.Sub(p.mu.last)
	p.mu.last = now
	return d
}

// await waits for the lock once and gives it up at once.
func (p *passing) await(ctx context.Context, t *tally, locker target.Locker, key string,
	waiter int) {
	held, err := locker.Lock(ctx, key)
	if err != nil {
		t.failed(ctx, err)
		return
	}
	step := p.step()
	t.done(waiter, step, step)
	if err := held.Unlock(context.WithoutCancel(ctx)); err != nil {
		t.failed(ctx, err)
	}
}
