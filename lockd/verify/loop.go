package verify

import (
	"context"
	"sync"
	"time"
)

// startLoad starts what uses locks: the workers and a probe for each group. Run
// starts them; time and answers wake them; a round is what one name is used for once;
// the end of ctx stops them, and the returned function waits for that.
func (r *run) startLoad(ctx context.Context) (wait func()) {
	var running sync.WaitGroup
	for _, w := range r.workers {
		running.Add(1)
		go func() {
			defer running.Done()
			w.work(ctx)
		}()
	}
	for g := range r.probes.names {
		running.Add(1)
		go func() {
			defer running.Done()
			r.probes.work(ctx, r.prober, g)
		}()
	}
	return running.Wait
}

// startWatch keeps who leads which group, asking every so often until ctx ends.
func (r *run) startWatch(ctx context.Context) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			r.lookAtLeaders(ctx)
			rest(ctx, 250*time.Millisecond)
		}
	}()
	return func() { <-done }
}

// rest waits for a time, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
