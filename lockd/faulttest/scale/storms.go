package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"lockd/client"
)

// crowdLease is short, so that the end of all sessions need not be waited for.
const crowdLease = 15 * time.Second

// crowd opens the sessions, renews them for a while, and lets them all end.
func (m *measurement) crowd(ctx context.Context) error {
	others, err := m.sessions(ctx)
	if err != nil {
		return err
	}
	var c *crowd
	err = m.disturbed(ctx, fmt.Sprintf("%d sessions opened", m.options.sessions), func() error {
		var err error
		c, err = openCrowd(ctx, m.cluster.Addresses(), m.options.sessions, crowdLease)
		return err
	})
	if err != nil {
		return err
	}
	defer c.close()
	if err := m.costs(ctx, "session", 3*m.options.sessions, sessionPrice()); err != nil {
		return err
	}
	if err := m.renewing(ctx, c); err != nil {
		return err
	}
	c.stopRenewing()
	renewed, unknown, err := c.counts()
	if err != nil {
		return err
	}
	m.table.add("renewals answered, of them lost sessions",
		fmt.Sprintf("%d, %d", renewed, unknown), "0 lost")
	return m.disturbed(ctx, fmt.Sprintf("%d sessions run out", m.options.sessions),
		func() error {
			return poll(ctx, func() (bool, error) {
				n, err := m.sessions(ctx)
				return n <= others, err
			})
		})
}

// renewing measures what renewals cost.
func (m *measurement) renewing(ctx context.Context, c *crowd) error {
	computed := func() (sum time.Duration, err error) {
		for _, n := range m.cluster.Nodes {
			one, err := cpuTime(n)
			if err != nil {
				return 0, err
			}
			sum += one
		}
		return sum, nil
	}
	before, err := computed()
	if err != nil {
		return err
	}
	renewedBefore, _, _ := c.counts()
	err = m.disturbed(ctx, "two rounds of keepalives", func() error {
		return wait(ctx, 2*crowdLease/3)
	})
	if err != nil {
		return err
	}
	after, err := computed()
	if err != nil {
		return err
	}
	renewed, _, _ := c.counts()
	m.table.add("processor time of all nodes per renewal",
		((after - before) / time.Duration(max(1, renewed-renewedBefore))).String(), "3µs")
	return nil
}

// sessions counts the sessions that the nodes know of, each on every node.
func (m *measurement) sessions(ctx context.Context) (int, error) {
	all, err := m.watch.Status(ctx)
	sum := 0
	for i := range all {
		for _, g := range all[i].Groups {
			sum += int(g.Sessions)
		}
	}
	return sum, err
}

// endHolder closes a session that holds many locks of one group, each waited
// for by somebody.
func (m *measurement) endHolder(ctx context.Context) error {
	holder, err := m.dial(ctx, "holder", 0)
	if err != nil {
		return err
	}
	name := func(k int) string { return nameOfGroup(m.options.groups, k) }
	if _, err := fill(ctx, holder, m.options.holds, name); err != nil {
		return err
	}
	heir, err := m.dial(ctx, "heir", 0)
	if err != nil {
		return err
	}
	last := &client.Held{}
	granted := make(chan error, 1)
	heir.LockAsync(last, name(m.options.holds-1), client.LockOptions{},
		func(_ *client.Held, err error) { granted <- err })
	return m.disturbed(ctx, fmt.Sprintf("%d locks of one session end", m.options.holds),
		func() error {
			if err := holder.Close(ctx); err != nil {
				return err
			}
			select {
			case err := <-granted:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
}

// queue lets many wait for one lock and grants it to one after the other; then
// once more, and all give up at the same moment.
func (m *measurement) queue(ctx context.Context) error {
	n := m.options.waiters
	c, err := m.dial(ctx, "queue", 2*n+100)
	if err != nil {
		return err
	}
	first, err := c.Lock(ctx, "hot")
	if err != nil {
		return err
	}
	if m.base, err = memoryOf(ctx, m.cluster); err != nil {
		return err
	}
	q := &chain{holds: make([]client.Held, n), done: make(chan error, 1)}
	q.left.Store(int64(n))
	for i := range q.holds {
		c.LockAsync(&q.holds[i], "hot", client.LockOptions{}, q.granted)
	}
	if err := m.awaitWaiters(ctx, n); err != nil {
		return err
	}
	if err := m.costs(ctx, "waiter", 3*n, waiterPrice()); err != nil {
		return err
	}
	began := time.Now()
	err = m.disturbed(ctx, fmt.Sprintf("%d waiters granted one by one", n), func() error {
		if err := first.Unlock(ctx); err != nil {
			return err
		}
		select {
		case err := <-q.done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return err
	}
	m.table.add("… rate", fmt.Sprintf("%.0f grants/s", float64(n)/time.Since(began).Seconds()), "")
	return m.giveUp(ctx, c)
}

// giveUp cancels as many waiters at once.
func (m *measurement) giveUp(ctx context.Context, c *client.Client) error {
	n := m.options.waiters
	holder, err := m.watch.Lock(ctx, "hot")
	if err != nil {
		return err
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	waited := make(chan error, 1)
	inBackground(func() {
		waited <- each(n, func(int) error {
			if _, err := c.Lock(waiting, "hot"); err == nil {
				return fmt.Errorf("a lock that is held was granted")
			}
			return nil
		})
	})
	if err := m.awaitWaiters(ctx, n); err != nil {
		return err
	}
	return m.disturbed(ctx, fmt.Sprintf("%d waiters give up together", n), func() error {
		cancel()
		if err := <-waited; err != nil {
			return err
		}
		if err := m.awaitWaiters(ctx, 0); err != nil {
			return err
		}
		return holder.Unlock(ctx)
	})
}

// awaitWaiters waits until so many wait for the hot lock.
func (m *measurement) awaitWaiters(ctx context.Context, n int) error {
	return poll(ctx, func() (bool, error) {
		info, err := m.watch.Get(ctx, "hot")
		return err == nil && info.WaiterCount == n, err
	})
}

// chain passes one lock from waiter to waiter.
type chain struct {
	holds []client.Held
	left  atomic.Int64
	done  chan error // capacity 1
}

func (q *chain) granted(h *client.Held, err error) {
	if err != nil {
		q.end(err)
		return
	}
	h.UnlockAsync(func(_ *client.Held, err error) {
		if err != nil || q.left.Add(-1) == 0 {
			q.end(err)
		}
	})
}

// end reports the first outcome.
func (q *chain) end(err error) {
	select {
	case q.done <- err:
	default:
	}
}
