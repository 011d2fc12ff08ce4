package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

func TestSemaphore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.mu.d.details = true
		a, b := n.client(t, Options{Name: "one"}), n.client(t, Options{Name: "two"})
		gpu, same := a.Semaphore("gpu", 8), b.Semaphore("gpu", 8)
		h, err := gpu.Acquire(t.Context(), 6)
		if err != nil || h.Permits() != 6 || !h.Valid() {
			t.Fatalf("acquire: got %v, want 6 permits", err)
		}
		_, err = same.TryAcquire(t.Context(), 3)
		var held *HeldError
		if !errors.As(err, &held) || held.Info == nil || held.Info.Taken != 6 {
			t.Fatalf("try: got %v, want a HeldError that knows of 6 permits", err)
		}
		if got := err.Error(); !strings.Contains(got, "6 of 8 permits are taken") ||
			!strings.Contains(got, "mode   : 6 permits") {
			t.Errorf("try: got %q, want the permits in it", got)
		}
		got := make(chan *Held, 1)
		go func() { // waits until the six are back
			h, err := same.AcquireWith(t.Context(), 3, LockOptions{Weight: 1})
			if err != nil {
				t.Errorf("acquire: got %v, want no error", err)
			}
			got <- h
		}()
		synctest.Wait()
		if _, err := gpu.TryAcquire(t.Context(), 1); !errors.Is(err, ErrHeld) {
			t.Errorf("past the one who waits: got %v, want ErrHeld", err)
		}
		unlock(t, h)
		second := <-got
		info, err := a.Get(t.Context(), "gpu")
		if err != nil || info.Capacity != 8 || info.Taken != 3 || info.Holders[0].Permits != 3 {
			t.Errorf("get: got %+v, %v, want 3 of 8 permits", info, err)
		}
		list, err := a.List(t.Context(), "", ListOptions{})
		if err != nil || len(list) != 1 || list[0].Capacity != 8 {
			t.Errorf("list: got %+v, %v, want a semaphore of 8", list, err)
		}
		unlock(t, second)
	})
}

// TestOtherKind proves that what a name is in use as can be told from the error.
func TestOtherKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		if _, err := c.Semaphore("gpu", 8).Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		var kind *KindError
		_, err := c.Semaphore("gpu", 9).Acquire(t.Context(), 1)
		if !errors.Is(err, ErrOtherKind) || !errors.As(err, &kind) || kind.Capacity != 8 {
			t.Errorf("other capacity: got %v, want a KindError that says 8", err)
		}
		_, err = c.Lock(t.Context(), "gpu")
		if !errors.As(err, &kind) ||
			err.Error() != `"gpu" is in use as a semaphore of 8 permits, not as a lock` {
			t.Errorf("lock: got %v, want a KindError", err)
		}
		lock(t, c, "a")
		_, err = c.Semaphore("a", 8).TryAcquire(t.Context(), 1)
		if !errors.As(err, &kind) || kind.Capacity != 0 ||
			err.Error() != `"a" is in use as a lock, not as a semaphore of 8 permits` {
			t.Errorf("semaphore: got %v, want a KindError without capacity", err)
		}
	})
}

func TestBadPermits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		for _, p := range [][2]int{{0, 1}, {2, 1}, {-1, 1}, {1, 0}, {1, -1}, {0, 0}} {
			_, err := c.Semaphore("s", p[1]).Acquire(t.Context(), p[0])
			if !errors.Is(err, ErrOptions) {
				t.Errorf("%d of %d: got %v, want ErrOptions", p[0], p[1], err)
			}
		}
		for _, o := range []LockOptions{{Mode: Shared}, {Owner: 1}} {
			if _, err := c.Semaphore("s", 1).AcquireWith(t.Context(), 1, o); !errors.Is(err, ErrOptions) {
				t.Errorf("%+v: got %v, want ErrOptions", o, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Semaphore("s", 1).Acquire(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("ended context: got %v, want its error", err)
		}
	})
}

// TestReentrant proves that an owner gets what it holds, each Held ends for
// itself, and the last lets others in.
func TestReentrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c, other := n.client(t, Options{}), n.client(t, Options{})
		mine := LockOptions{Owner: 7}
		first, err := c.LockWith(t.Context(), "a", mine)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan *Held, 1)
		go func() {
			h, err := other.LockWith(t.Context(), "a", mine) // an owner of another session
			if err != nil {
				t.Errorf("lock: got %v, want no error", err)
			}
			got <- h
		}()
		synctest.Wait()
		second, err := c.LockWith(t.Context(), "a", mine)
		if err != nil || second.Token() != first.Token() {
			t.Fatalf("second: got %v, want the same token", err)
		}
		third, err := c.TryLockWith(t.Context(), "a", mine)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.TryLockWith(t.Context(), "a", LockOptions{Owner: 8}); !errors.Is(err, ErrHeld) {
			t.Errorf("another owner: got %v, want ErrHeld", err)
		}
		if _, err := c.LockWith(t.Context(), "a",
			LockOptions{Owner: 7, Mode: Shared}); !errors.Is(err, ErrOtherMode) {
			t.Errorf("another mode: got %v, want ErrOtherMode", err)
		}
		for _, h := range []*Held{first, third} {
			unlock(t, h)
			if err := h.Unlock(t.Context()); !errors.Is(err, ErrUnlocked) || !second.Valid() {
				t.Errorf("unlock twice: got %v, want ErrUnlocked and the lock still held", err)
			}
		}
		select {
		case <-got:
			t.Fatal("granted to another while entered")
		default:
		}
		unlock(t, second)
		if h := <-got; h.Token() <= first.Token() {
			t.Errorf("next token: got %d after %d, want a larger one", h.Token(), first.Token())
		}
	})
}

// TestReentrantGivenUp proves that an Enter whose caller has gone is left again,
// and only it.
func TestReentrantGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		mine := LockOptions{Owner: 7}
		h, err := c.LockWith(t.Context(), "a", mine)
		if err != nil {
			t.Fatal(err)
		}
		deepest := 0
		n.with(func(d *dumbCluster) {
			d.delay = func() Instant { return Instant(time.Second) }
			d.onApply = func(wire.Header) {
				deepest = max(deepest, len(d.groups[groupOf("a")].lock("a").holds))
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := c.LockWith(ctx, "a", mine); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("lock: got %v, want DeadlineExceeded", err)
		}
		<-time.After(5 * time.Second) // three requests of a second each, and some
		n.with(func(d *dumbCluster) {
			if left := len(d.groups[groupOf("a")].lock("a").holds); deepest != 2 || left != 1 {
				t.Errorf("holds: got %d at most and %d in the end, want 2 and 1", deepest, left)
			}
		})
		if !h.Valid() {
			t.Error("the first hold went with the one that was given up")
		}
	})
}

// TestFP3OlderNodes proves that what the nodes cannot know is refused at once, and
// that all else goes on as before (I27).
func TestFP3OlderNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.with(func(d *dumbCluster) { d.version = 1 })
		c := n.client(t, Options{})
		if _, err := c.Semaphore("s", 2).Acquire(t.Context(), 1); !errors.Is(err, ErrUnsupported) {
			t.Errorf("semaphore: got %v, want ErrUnsupported", err)
		}
		_, err := c.LockWith(t.Context(), "a", LockOptions{Owner: 1})
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("owner: got %v, want ErrUnsupported", err)
		}
		lock(t, c, "a")
		if info, err := c.Get(t.Context(), "a"); err != nil || info.HolderCount != 1 {
			t.Errorf("get: got %+v, %v, want one holder", info, err)
		}
		if list, err := c.List(t.Context(), "", ListOptions{}); err != nil || len(list) != 1 {
			t.Errorf("list: got %+v, %v, want one lock", list, err)
		}
	})
}

// TestUnsupportedByTheCluster proves what becomes of a node's refusal.
func TestUnsupportedByTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.with(func(d *dumbCluster) {
			d.filter = func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
				if h.Kind == wire.KindTake {
					return wire.StatusUnsupported
				}
				return 0
			}
		})
		_, err := n.client(t, Options{}).Semaphore("s", 2).Acquire(t.Context(), 1)
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("got %v, want ErrUnsupported", err)
		}
	})
}
