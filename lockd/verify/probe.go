package verify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"lockd/client"
	"lockd/netio/wire"
)

// probes lock and unlock one name of every group, over and over: names that nobody
// else wants, so all they wait for is the cluster. They tell how long a fault takes
// locks away.
type probes struct {
	names []string // by group
	every time.Duration

	mu struct {
		sync.Mutex
		from   time.Time
		groups []probed
		err    error // none that a caller should see
	}
}

// probed is one group since the beginning of a watch.
type probed struct {
	began   time.Time     // of the pair under way; zero between two
	longest time.Duration // of the pairs that ended
	served  bool          // a whole pair that began since
}

// newProbes finds a name of each group. They take half of rate at most.
func newProbes(prefix string, groups int, rate float64) *probes {
	p := &probes{names: make([]string, groups)}
	p.every = max(20*time.Millisecond, time.Duration(4*float64(groups)/rate*float64(time.Second)))
	p.mu.groups = make([]probed, groups)
	p.mu.from = time.Now()
	for left, i := groups, 0; left > 0; i++ {
		name := prefix + "probe/" + strconv.Itoa(i)
		if g := wire.GroupOf("", name, uint16(groups)); p.names[g] == "" {
			p.names[g] = name
			left--
		}
	}
	return p
}

// work probes one group until ctx ends. A pair without an answer is tried again, and
// waits on.
func (p *probes) work(ctx context.Context, c *client.Client, group int) {
	rest(ctx, p.every*time.Duration(group)/time.Duration(len(p.names)))
	for ctx.Err() == nil {
		began := time.Now()
		p.begin(group, began)
		for !p.pair(ctx, c, p.names[group]) {
			if ctx.Err() != nil {
				return
			}
			rest(ctx, 2*time.Millisecond)
		}
		p.end(group, began)
		rest(ctx, p.every)
	}
}

func (p *probes) pair(ctx context.Context, c *client.Client, name string) bool {
	h, err := c.Lock(ctx, name)
	if err == nil {
		err = h.Unlock(context.WithoutCancel(ctx))
	}
	if err != nil && !errors.Is(err, client.ErrLost) && !errors.Is(err, client.ErrUnavailable) &&
		!errors.Is(err, client.ErrSessionEnded) && !errors.Is(err, client.ErrBusy) && ctx.Err() == nil {
		p.mu.Lock()
		p.mu.err = fmt.Errorf("probe of %q: %w", name, err)
		p.mu.Unlock()
	}
	return err == nil
}

func (p *probes) begin(group int, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.groups[group].began = at
}

func (p *probes) end(group int, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := &p.mu.groups[group]
	g.began = time.Time{}
	g.longest = max(g.longest, p.waited(began))
	g.served = g.served || !began.Before(p.mu.from)
}

// waited is how long a pair has taken since the watch began. Requires: mu is held.
func (p *probes) waited(began time.Time) time.Duration {
	if began.Before(p.mu.from) {
		began = p.mu.from
	}
	return time.Since(began)
}

// watch begins a new watch now: what was waited before does not count.
func (p *probes) watch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.from = time.Now()
	for g := range p.mu.groups {
		p.mu.groups[g].longest, p.mu.groups[g].served = 0, false
	}
}

// waits returns how long each group has kept callers waiting at most since the watch
// began.
func (p *probes) waits() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]time.Duration, len(p.mu.groups))
	for g := range p.mu.groups {
		all[g] = p.mu.groups[g].longest
		if began := p.mu.groups[g].began; !began.IsZero() {
			all[g] = max(all[g], p.waited(began))
		}
	}
	return all
}

// afresh forgets which groups have served.
func (p *probes) afresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for g := range p.mu.groups {
		p.mu.groups[g].served = false
	}
}

// silent returns the groups that have not served a whole pair since.
func (p *probes) silent() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []int
	for g := range p.mu.groups {
		if !p.mu.groups[g].served {
			all = append(all, g)
		}
	}
	return all
}
