package faulttest

import (
	"context"
	"errors"
	"fmt"

	"lockd/client"
)

// Waiter is somebody who waits for a lock in the background.
type Waiter struct {
	Name   string
	client *client.Client
	cancel context.CancelFunc
	done   chan struct{} // closed when it waits no more
	held   *client.Held  // set before done is closed
	err    error
}

// StartWaiter begins to wait.
func StartWaiter(c *client.Client, name string) *Waiter {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Waiter{Name: name, client: c, cancel: cancel, done: make(chan struct{})}
	w.start(ctx)
	return w
}

// Done is closed when the wait is over.
func (w *Waiter) Done() <-chan struct{} { return w.done }

// Await waits for the grant.
func (w *Waiter) Await(ctx context.Context) (*client.Held, error) {
	select {
	case <-w.done:
		return w.held, w.err
	case <-ctx.Done():
		return nil, fmt.Errorf("faulttest: still waiting for %q: %w", w.Name, ctx.Err())
	}
}

// waiting reports whether the wait goes on.
func (w *Waiter) waiting() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

// Keep is holds of an undisturbed client, each with one waiter, that must
// outlive whatever is done to the nodes.
type Keep struct {
	holder, other *client.Client
	holds         []*client.Held
	waiters       []*Waiter
}

// NewKeep takes n locks with one client and queues for each with another.
func NewKeep(ctx context.Context, holder, other *client.Client, n int) (*Keep, error) {
	k := &Keep{holder: holder, other: other}
	for i := range n {
		h, err := holder.Lock(ctx, fmt.Sprintf("keep/%d", i))
		if err != nil {
			return nil, err
		}
		k.holds = append(k.holds, h)
		k.waiters = append(k.waiters, StartWaiter(other, h.Name()))
	}
	for _, h := range k.holds {
		if err := k.awaitQueue(ctx, h); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// awaitQueue waits until the waiter of a hold stands in the queue.
func (k *Keep) awaitQueue(ctx context.Context, h *client.Held) error {
	for {
		info, err := k.holder.Get(ctx, h.Name())
		if err != nil {
			return err
		}
		if info.WaiterCount == 1 {
			return nil
		}
	}
}

// Check says what was lost: every lock must still be held with its token, the
// holder must know it, and the waiter must wait.
func (k *Keep) Check(ctx context.Context) error {
	var problems []error
	for i, h := range k.holds {
		if !h.Valid() {
			problems = append(problems, fmt.Errorf("faulttest: the hold of %q ended: %w", h.Name(),
				context.Cause(h.Context())))
			continue
		}
		info, err := k.other.Get(ctx, h.Name())
		switch {
		case err != nil:
			problems = append(problems, err)
		case len(info.Holders) != 1 || info.Holders[0].Token != h.Token():
			problems = append(problems, fmt.Errorf("faulttest: %q is held by %+v, want token %d",
				h.Name(), info.Holders, h.Token()))
		case info.WaiterCount != 1 || !k.waiters[i].waiting():
			problems = append(problems, fmt.Errorf("faulttest: %q has %d waiters, want 1; waits: %v",
				h.Name(), info.WaiterCount, k.waiters[i].waiting()))
		}
	}
	return errors.Join(problems...)
}

// PassOn gives every lock back and checks that its waiter gets it with a larger
// token.
func (k *Keep) PassOn(ctx context.Context) error {
	for i, h := range k.holds {
		if err := h.Unlock(ctx); err != nil {
			return err
		}
		next, err := k.waiters[i].Await(ctx)
		if err != nil {
			return err
		}
		if next.Token() <= h.Token() {
			return fmt.Errorf("faulttest: %q was granted with token %d after token %d", h.Name(),
				next.Token(), h.Token())
		}
		if err := next.Unlock(ctx); err != nil {
			return err
		}
	}
	return nil
}
