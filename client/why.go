package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockd/netio/wire"
)

// WhyInfo says what a request waits for.
type WhyInfo struct {
	// Position is its place in the queue, from 1; zero if it would not wait. At a latch,
	// an event or a barrier (see LockInfo.Gate) it is one more than those who wait.
	Position int
	// Usual is how long holds of the lock usually take: the middle one of the last
	// Samples, eight at most, that ended while somebody took an interest. Zero
	// Samples: unknown.
	Usual   time.Duration
	Samples int
	// Estimate is how long the wait may last by that, negative if it is unknown. It
	// is a guess, since nobody need give a lock back, unless all holders are Kept: then
	// the lock comes free by itself.
	Estimate time.Duration
	// Holders are who is in the way and since when, Waiters who waits, in order; the
	// latter are left out of what OnWait is told, and payload and labels too.
	LockInfo
}

func newWhyInfo(x *wire.Blockage, now time.Time) *WhyInfo {
	w := &WhyInfo{Position: int(x.Position), Samples: int(x.Samples), Estimate: -1,
		LockInfo: *newLockInfo(&x.Info, now)}
	if x.Samples > 0 {
		w.Usual = millis(uint64(x.UsualMillis))
	}
	if x.EstimateMillis != wire.UnknownMillis {
		w.Estimate = millis(uint64(x.EstimateMillis))
	}
	return w
}

// Why says what a request for the lock in exclusive mode would wait for if it came
// now: who holds it and since when, who waits, and how long that may take. A
// Position of zero means that it would wait for nothing. Of a semaphore it is one permit
// that is asked about, of a latch, an event or a barrier its Wait. To hear this of a request
// that waits, see LockOptions.OnWait.
func (c *Client) Why(ctx context.Context, name string) (*WhyInfo, error) {
	x := &Call{Kind: wire.KindWhy, Name: name, Mode: wire.ModeEX, Timeout: c.opts.RequestTimeout}
	if err := c.call(ctx, x); err != nil {
		return nil, err
	}
	b, err := wire.DecodeBlockage(x.Response.Payload)
	if err != nil {
		return nil, fmt.Errorf("%w: why %q: %w", ErrProtocol, name, err)
	}
	return newWhyInfo(&b, time.Now()), nil
}

// TopEntry is one contended name.
type TopEntry struct {
	Name string
	Node uint16 // that leads its group
	// Score counts requests that waited or were refused of late; it halves every
	// minute.
	Score           int
	Waits, Refusals uint64 // since the node has counted for this name
	// Usual is how long a hold usually takes, negative if that is unknown.
	Usual time.Duration
}

// Top returns the most contended names of the cluster, at most limit of them and at
// most 64 of each node, most contended first. What a node knows of
// this it forgets when it stops leading the group. A node that does not answer is
// left out; the error says so if none does.
func (c *Client) Top(ctx context.Context, limit int) ([]TopEntry, error) {
	c.mu.Lock()
	nodes := c.mu.core.nodes()
	c.mu.Unlock()
	calls := make([]*Call, len(nodes))
	for i := range nodes {
		calls[i] = &Call{Kind: wire.KindTop, Node: nodes[i].Node, Limit: wire.MaxPage,
			Timeout: c.opts.RequestTimeout}
		c.begin(calls[i])
	}
	var all []TopEntry
	var failures []error
	var broken error
	for i, x := range calls {
		c.wait(ctx, x)
		if x.Err != nil {
			failures = append(failures, x.Err)
			continue
		}
		page, err := wire.DecodeTopPage(x.Response.Payload)
		if err != nil {
			broken = fmt.Errorf("%w: top of node %d: %w", ErrProtocol, nodes[i].Node, err)
			continue // the others are waited for, and given up with ctx
		}
		for _, e := range page.Entries {
			all = append(all, newTopEntry(&e, nodes[i].Node))
		}
	}
	if broken != nil {
		return nil, broken
	}
	if len(failures) == len(calls) {
		return nil, errors.Join(append(failures, fmt.Errorf("%w: top", ErrUnavailable))...)
	}
	slices.SortFunc(all, func(a, b TopEntry) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Name, b.Name))
	})
	return all[:min(max(limit, 0), len(all))], nil
}

func newTopEntry(e *wire.TopEntry, node uint16) TopEntry {
	t := TopEntry{Name: string(e.Name), Node: node, Score: int(e.Score), Waits: e.Waits,
		Refusals: e.Refusals, Usual: -1}
	if e.UsualMillis != wire.UnknownMillis {
		t.Usual = millis(uint64(e.UsualMillis))
	}
	return t
}

// callTold is call for a lock whose caller wants to hear meanwhile: hear is called
// when there may be news, of which the call's channel tells. If it panics the call is
// given up, and what it was granted given back.
func (c *Client) callTold(ctx context.Context, x *Call, hear func()) error {
	c.begin(x)
	heard := false
	defer func() {
		if !heard {
			c.forsake(x)
		}
	}()
	for {
		select {
		case <-x.told:
			hear()
			continue
		case <-x.wake:
			x.wake <- struct{}{} // for wait
		case <-ctx.Done():
		}
		heard = true
		c.wait(ctx, x)
		return x.Err
	}
}

// forsake ends the call of a lock for which nobody waits any more, and gives back, in the
// background, what it was granted.
func (c *Client) forsake(x *Call) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	c.wait(over, x)
	if h := x.held; h.granted(x.Err) == nil && h.release() == nil {
		c.begin(x)
		c.wait(over, x)
		_ = h.released(x.Err) // nobody is left to be told
	}
}

// tellPlace passes on where a request stands, if that is news.
func (c *Client) tellPlace(x *Call, tell func(WhyInfo)) {
	c.mu.Lock()
	news := x.Place.Take()
	c.mu.Unlock()
	if news != nil {
		news.date(time.Now())
		tell(*news)
	}
}
