package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// lostUntold has a hold lost, and returns what one of the loops has then still to tell
// of it.
func lostUntold(c *Client, h *Held) *Ready {
	var ready Ready
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.core.lose(&h.call, ErrForced)
	c.take(&ready)
	return &ready
}

// TestLostWhileUnlocked gives a hold back that is lost, before the loop that found that
// out tells of it: whoever watches the hold hears of it once.
func TestLostWhileUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		for _, name := range []string{"watched from the start", "watched after"} {
			h := lock(t, c, name)
			var watched []<-chan struct{}
			if name == "watched from the start" {
				watched = append(watched, h.Lost())
			}
			ready := lostUntold(c, h)
			if err := h.Unlock(t.Context()); !errors.Is(err, ErrLost) {
				t.Errorf("%s: unlock: got %v, want ErrLost", name, err)
			}
			watched = append(watched, h.Lost())
			c.deliver(ready)
			for _, lost := range watched {
				select {
				case <-lost:
				default:
					t.Errorf("%s: Lost is not closed", name)
				}
			}
		}
	})
}

// TestLostWhileAskedAnew asks for a lock with a Held that was lost, beside the loop that
// has still to tell of that: for the race detector.
func TestLostWhileAskedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		h := lock(t, c, "a")
		ready := lostUntold(c, h)
		if err := h.Unlock(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("unlock: got %v, want ErrLost", err)
		}
		told := make(chan struct{})
		go func() {
			c.deliver(ready)
			close(told)
		}()
		granted := make(chan error, 1)
		c.LockAsync(h, "b", LockOptions{}, func(_ *Held, err error) { granted <- err })
		<-told
		if err := <-granted; err != nil || !h.Valid() {
			t.Errorf("got %v, valid %v: want the other lock", err, h.Valid())
		}
	})
}

// TestContextOfALockThatFailed proves that the context of a lock that was asked for in the
// background ends if it is not granted.
func TestContextOfALockThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		lock(t, c, "a")
		var h Held
		failed := make(chan error, 1)
		c.LockAsync(&h, "a", LockOptions{}, func(_ *Held, err error) { failed <- err })
		ctx := h.Context()
		if ctx.Err() != nil {
			t.Errorf("got %v before the outcome, want none", ctx.Err())
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; context.Cause(ctx) != err || !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want %v", context.Cause(ctx), err)
		}
	})
}
