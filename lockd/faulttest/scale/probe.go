package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"lockd/client"
)

// probeWorkers lock and unlock side by side, so that one slow group does not
// hide what the others do.
const probeWorkers = 4

// probe is somebody else: a client of its own that locks and unlocks fresh
// names at a moderate rate, and measures how long a pair takes it.
type probe struct {
	client  *client.Client
	running sync.WaitGroup
	cancel  context.CancelFunc

	mu struct {
		sync.Mutex
		pairs  []time.Duration
		failed []error
	}
}

func startProbe(c *client.Client) *probe {
	ctx, cancel := context.WithCancel(context.Background())
	p := &probe{client: c, cancel: cancel}
	p.start(ctx)
	return p
}

// work is one worker: a pair, a rest of five milliseconds.
func (p *probe) work(ctx context.Context, number int) {
	rest := time.NewTicker(5 * time.Millisecond)
	defer rest.Stop()
	for ctx.Err() == nil {
		name := fmt.Sprintf("probe/%d/%d", number, rand.Uint64())
		began := time.Now()
		h, err := p.client.Lock(ctx, name)
		if err == nil {
			err = h.Unlock(ctx)
		}
		if ctx.Err() == nil {
			p.note(time.Since(began), err)
		}
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
	}
}

func (p *probe) note(d time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.pairs = append(p.mu.pairs, d)
	if err != nil {
		p.mu.failed = append(p.mu.failed, err)
	}
}

// latency is what the probe saw since the last call of take.
type latency struct {
	pairs          int
	half, p99, max time.Duration
	failed         []error
}

// take ends a stretch of measuring and begins the next.
func (p *probe) take() latency {
	p.mu.Lock()
	pairs, failed := p.mu.pairs, p.mu.failed
	p.mu.pairs, p.mu.failed = nil, nil
	p.mu.Unlock()
	l := latency{pairs: len(pairs), failed: failed}
	if len(pairs) > 0 {
		slices.Sort(pairs)
		l.half, l.p99 = pairs[len(pairs)/2], pairs[len(pairs)*99/100]
		l.max = pairs[len(pairs)-1]
	}
	return l
}

// String is a cell of the table.
func (l latency) String() string {
	short := func(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
	return fmt.Sprintf("p50 %s, p99 %s, max %s of %d pairs, %d failed", short(l.half),
		short(l.p99), short(l.max), l.pairs, len(l.failed))
}

func (p *probe) stop() {
	p.cancel()
	p.running.Wait()
}
