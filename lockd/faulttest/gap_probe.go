package faulttest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"lockd/client"
	"lockd/netio/wire"
)

// Probe locks and unlocks one name of every group, over and over, and knows how
// long each group kept it waiting. It measures what a client notices of a fault.
type Probe struct {
	every   time.Duration
	cancel  context.CancelFunc
	running sync.WaitGroup
	// Pairs counts locks taken and given back, Refused calls that ended without
	// an answer; the workers write them.
	Pairs, Refused atomic.Uint64

	mu struct {
		sync.Mutex
		from   time.Time
		groups []probed
	}
}

// probed is one group since the beginning of the watch.
type probed struct {
	began   time.Time     // of the pair under way; zero between two
	longest time.Duration // of the pairs that ended
	served  time.Time     // end of the first pair begun since; zero if none
}

// StartProbe starts one worker per group, which rests between two pairs for
// every. The workers share the clients.
func StartProbe(clients []*client.Client, groups int, every time.Duration) *Probe {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Probe{every: every, cancel: cancel}
	p.mu.from = time.Now()
	p.mu.groups = make([]probed, groups)
	p.start(ctx, clients)
	return p
}

// Stop ends the workers.
func (p *Probe) Stop() {
	p.cancel()
	p.running.Wait()
}

// Watch begins a new watch now: what was waited before does not count.
func (p *Probe) Watch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.from = time.Now()
	for g := range p.mu.groups {
		p.mu.groups[g].longest, p.mu.groups[g].served = 0, time.Time{}
	}
}

// Longest returns the longest that any group has kept a pair waiting since the
// watch began, pairs under way included, and the group.
func (p *Probe) Longest() (wait time.Duration, group int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for g := range p.mu.groups {
		s := &p.mu.groups[g]
		longest := s.longest
		if !s.began.IsZero() {
			longest = max(longest, p.waited(s.began))
		}
		if longest > wait {
			wait, group = longest, g
		}
	}
	return wait, group
}

// waited is how long a pair took since the watch began. Requires: mu is held.
func (p *Probe) waited(began time.Time) time.Duration {
	if began.Before(p.mu.from) {
		began = p.mu.from
	}
	return time.Since(began)
}

// Progress returns when the last group had served a whole pair begun since the
// watch began, counted from there, and the groups that have not.
func (p *Probe) Progress() (took time.Duration, missing []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for g := range p.mu.groups {
		served := p.mu.groups[g].served
		if served.IsZero() {
			missing = append(missing, g)
			continue
		}
		took = max(took, served.Sub(p.mu.from))
	}
	return took, missing
}

// AwaitProgress waits until every group has served a whole pair begun since the
// watch began, and returns how long that took.
func (p *Probe) AwaitProgress(ctx context.Context) (time.Duration, error) {
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		took, missing := p.Progress()
		if len(missing) == 0 {
			return took, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("faulttest: groups %v do not serve: %w", missing, ctx.Err())
		case <-poll.C:
		}
	}
}

// AwaitCalm waits until no group has kept a pair waiting for more than limit
// during a whole window.
func (p *Probe) AwaitCalm(ctx context.Context, limit, window time.Duration) error {
	for {
		p.Watch()
		pause(ctx, window)
		wait, group := p.Longest()
		if _, missing := p.Progress(); wait <= limit && len(missing) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("faulttest: group %d still keeps callers waiting for %v: %w", group,
				wait.Round(time.Millisecond), ctx.Err())
		}
	}
}

// work locks and unlocks the name of one group until ctx ends. A pair that ends
// without an answer is tried again and waits on.
func (p *Probe) work(ctx context.Context, c *client.Client, group int) {
	name := nameIn("probe", group, len(p.mu.groups))
	for ctx.Err() == nil {
		began := time.Now()
		p.begin(group, began)
		for !p.pair(ctx, c, name) {
			if ctx.Err() != nil {
				return
			}
			p.Refused.Add(1)
			pause(ctx, 5*time.Millisecond)
		}
		p.end(group, began)
		pause(ctx, p.every)
	}
}

// pair takes and gives back a lock.
func (p *Probe) pair(ctx context.Context, c *client.Client, name string) bool {
	h, err := c.Lock(ctx, name)
	return err == nil && h.Unlock(context.WithoutCancel(ctx)) == nil
}

func (p *Probe) begin(group int, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.groups[group].began = at
}

func (p *Probe) end(group int, began time.Time) {
	p.Pairs.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.mu.groups[group]
	s.began = time.Time{}
	s.longest = max(s.longest, p.waited(began))
	if s.served.IsZero() && !began.Before(p.mu.from) {
		s.served = time.Now()
	}
}

// nameIn returns a name that belongs to a group.
func nameIn(prefix string, group, groups int) string {
	for k := 0; ; k++ {
		name := fmt.Sprintf("%s/%d", prefix, k)
		if int(wire.GroupOf("", name, uint16(groups))) == group {
			return name
		}
	}
}
