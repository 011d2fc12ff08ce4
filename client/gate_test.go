package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// waitAll starts several waits and returns their outcomes as they end.
func waitAll(waits ...func() error) <-chan error {
	ended := make(chan error, len(waits))
	for _, wait := range waits {
		go func() { ended <- wait() }()
	}
	return ended
}

func TestLatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{Name: "one"}), n.client(t, Options{Name: "two"})
		jobs, same := a.Latch("jobs"), b.Latch("jobs")
		if err := same.Wait(t.Context()); err != nil {
			t.Fatalf("wait at zero: got %v, want no error", err)
		}
		if err := jobs.Set(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		var already *AlreadySetError
		if err := same.Set(t.Context(), 5); !errors.Is(err, ErrAlreadySet) ||
			!errors.As(err, &already) || already.Count != 3 {
			t.Errorf("set again: got %v, want a count of 3", err)
		}
		ended := waitAll(func() error { return jobs.Wait(t.Context()) },
			func() error { return same.Wait(t.Context()) })
		if left, err := jobs.CountDown(t.Context(), 2); err != nil || left != 1 {
			t.Errorf("count down: got %d, %v, want 1", left, err)
		}
		if left, err := same.Count(t.Context()); err != nil || left != 1 {
			t.Errorf("count: got %d, %v, want 1", left, err)
		}
		synctest.Wait()
		if len(ended) > 0 {
			t.Errorf("let through by a count of 1: %v", <-ended)
		}
		if left, err := same.CountDown(t.Context(), 9); err != nil || left != 0 {
			t.Errorf("count down: got %d, %v, want 0", left, err)
		}
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("wait: got %v, want no error", err)
			}
		}
		if left, err := jobs.Count(t.Context()); err != nil || left != 0 {
			t.Errorf("count: got %d, %v, want 0", left, err)
		}
		if err := jobs.Set(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		broken := waitAll(func() error { return same.Wait(t.Context()) })
		synctest.Wait()
		var kind *KindError
		if err := a.Event("jobs").Set(t.Context()); !errors.As(err, &kind) ||
			kind.Gate != GateLatch || kind.Capacity != 1 {
			t.Errorf("as an event: got %v, want a KindError of a latch of 1", err)
		}
		if err := jobs.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-broken; !errors.Is(err, ErrBroken) {
			t.Errorf("wait over a reset: got %v, want ErrBroken", err)
		}
		if err := jobs.Set(t.Context(), 0); !errors.Is(err, ErrOptions) {
			t.Errorf("set to 0: got %v, want ErrOptions", err)
		}
	})
}

func TestEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		open, same := a.Event("open"), b.Event("open")
		ended := waitAll(func() error { return same.Wait(t.Context()) })
		synctest.Wait()
		if set, err := open.IsSet(t.Context()); err != nil || set || len(ended) > 0 {
			t.Errorf("before: got set %t, %v, %d through, want neither", set, err, len(ended))
		}
		if err := open.SetWith(t.Context(), GateOptions{TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("wait: got %v, want no error", err)
		}
		if set, err := same.IsSet(t.Context()); err != nil || !set {
			t.Errorf("is set: got %t, %v, want true", set, err)
		}
		if err := open.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := same.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the reset: got %v, want the deadline", err)
		}
	})
}

func TestBarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		rounds := make(chan uint64, 3)
		arrive := func(c *Client, ctx context.Context) func() error {
			return func() error {
				round, err := c.Barrier("round", 3).Wait(ctx)
				if err == nil {
					rounds <- round
				}
				return err
			}
		}
		ctx, leave := context.WithCancel(t.Context())
		gone := waitAll(arrive(a, ctx))
		ended := waitAll(arrive(a, t.Context()))
		synctest.Wait()
		leave() // a party that goes is no party
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("left: got %v, want context.Canceled", err)
		}
		synctest.Wait()
		others := waitAll(arrive(b, t.Context()))
		var kind *KindError
		if _, err := b.Barrier("round", 2).Wait(t.Context()); !errors.As(err, &kind) ||
			kind.Gate != GateBarrier || kind.Capacity != 3 {
			t.Errorf("another number of parties: got %v, want a KindError of 3", err)
		}
		synctest.Wait()
		if len(rounds) > 0 {
			t.Error("it opened for two")
		}
		last := waitAll(arrive(b, t.Context()))
		for _, c := range []<-chan error{ended, others, last} {
			if err := <-c; err != nil {
				t.Errorf("wait: got %v, want no error", err)
			}
		}
		first := <-rounds
		if x, y := <-rounds, <-rounds; x != first || y != first || first == 0 {
			t.Errorf("rounds: got %d, %d, %d, want one", first, x, y)
		}
		if _, err := a.Barrier("round", 0).Wait(t.Context()); !errors.Is(err, ErrOptions) {
			t.Errorf("no parties: got %v, want ErrOptions", err)
		}
	})
}

// TestGateRetriesCountOnce proves that what was asked of a leader that then moved,
// and asked again of the next, counted once, and that nothing is kept for ever.
func TestGateRetriesCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a := n.client(t, Options{})
		jobs := a.Latch("jobs")
		if err := jobs.Set(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		g := int(groupOf("jobs"))
		for i := range 3 {
			n.with(func(d *dumbCluster) { d.delay = func() Instant { return 1e6 } })
			ended := waitAll(func() error { _, err := jobs.CountDown(t.Context(), 1); return err })
			synctest.Wait() // it is proposed
			n.with(func(d *dumbCluster) { d.lead(g, uint16(i%2+2)) })
			if err := <-ended; err != nil {
				t.Fatalf("count down: got %v, want no error", err)
			}
		}
		n.with(func(d *dumbCluster) { d.delay = func() Instant { return 0 } })
		if left, err := jobs.CountDown(t.Context(), 1); err != nil || left != 6 {
			t.Errorf("count: got %d, %v, want 6 after four", left, err)
		}
		n.with(func(d *dumbCluster) {
			if k := len(d.groups[g].answers); k != 1 {
				t.Errorf("answers kept: got %d, want the last", k)
			}
		})
	})
}

// TestGateGivenUp proves that a count goes on when its caller goes, and a wait does
// not.
func TestGateGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a := n.client(t, Options{})
		jobs := a.Latch("jobs")
		if err := jobs.Set(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		n.with(func(d *dumbCluster) { d.delay = func() Instant { return 1e9 } })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := jobs.CountDown(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("count down: got %v, want the deadline", err)
		}
		if err := jobs.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait: got %v, want the deadline", err)
		}
		n.with(func(d *dumbCluster) { d.delay = func() Instant { return 0 } })
		time.Sleep(3 * time.Second)
		if left, err := jobs.Count(t.Context()); err != nil || left != 2 {
			t.Errorf("count: got %d, %v, want 2", left, err)
		}
		n.with(func(d *dumbCluster) {
			if e := d.groups[groupOf("jobs")].gates["jobs"]; e == nil || len(e.queue) > 0 {
				t.Errorf("latch: got %+v, want nobody waiting", e)
			}
		})
	})
}
