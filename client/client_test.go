package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// TestUnlockWhileAllWait gives locks back while as many requests wait as may be in
// flight: whoever waits for them would wait for ever otherwise.
func TestUnlockWhileAllWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{Name: "one", MaxInFlight: 2})
		h := lock(t, c, "a")
		all, err := c.LockAll(t.Context(), "b", "c")
		if err != nil {
			t.Fatal(err)
		}
		granted := make(chan error, 2)
		for range 2 {
			c.LockAsync(new(Held), "a", LockOptions{}, func(next *Held, err error) {
				granted <- err
				if err == nil {
					next.UnlockAsync(func(*Held, error) {})
				}
			})
		}
		if _, err := c.TryLock(t.Context(), "d"); !errors.Is(err, ErrBusy) {
			t.Errorf("third of two: got %v, want ErrBusy", err)
		}
		unlock(t, h)
		for range 2 {
			if err := <-granted; err != nil {
				t.Errorf("a waiter got %v, want the lock", err)
			}
		}
		synctest.Wait()
		if err := all.Unlock(t.Context()); err != nil {
			t.Errorf("several names: got %v, want them given back", err)
		}
		for _, name := range []string{"a", "b", "c"} {
			if got, _ := n.holder(name); got != 0 {
				t.Errorf("%s: got holder %d, want none", name, got)
			}
		}
	})
}

func TestLockUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{Name: "one"})
		h := lock(t, c, "a")
		if got, _ := n.holder("a"); got != h.Token() || got == 0 {
			t.Errorf("got token %d, the nodes say %d", h.Token(), got)
		}
		left := time.Until(h.SafeUntil())
		if !h.Valid() || left < 9*time.Second || left > 10*time.Second {
			t.Errorf("got valid %v for %s, want nearly ten seconds", h.Valid(), left)
		}
		unlock(t, h)
		if got, _ := n.holder("a"); got != 0 || h.Valid() || !h.SafeUntil().IsZero() {
			t.Errorf("after unlock: got holder %d, valid %v", got, h.Valid())
		}
		if err := h.Unlock(t.Context()); !errors.Is(err, ErrUnlocked) {
			t.Errorf("second unlock: got %v, want ErrUnlocked", err)
		}
		if cause := context.Cause(h.Context()); cause != ErrUnlocked {
			t.Errorf("context after unlock: got %v, want ErrUnlocked", cause)
		}
		if again := lock(t, c, "a"); again.Token() <= h.Token() {
			t.Errorf("got token %d after %d, want a larger one", again.Token(), h.Token())
		}
	})
}

func TestTryLockHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.mu.d.details = true
		lock(t, n.client(t, Options{Name: "ci-runner-7"}), "prod/deploy")
		_, err := n.client(t, Options{Name: "me"}).TryLock(t.Context(), "prod/deploy")
		var held *HeldError
		if !errors.Is(err, ErrHeld) || !errors.As(err, &held) || held.Info == nil {
			t.Fatalf("got %v, want a HeldError", err)
		}
		since := time.Now().Add(-252 * time.Second).UTC().Format(time.RFC3339)
		want := "lock \"prod/deploy\" is held\n" +
			"  holder : ci-runner-7\n" +
			"  mode   : exclusive   token: 1   since: " + since + " (4m12s)   lease: 10s left\n" +
			"  queue  : 0 waiting, you would be 1st"
		if got := err.Error(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// TestBadNames proves that what cannot be asked for is refused at once.
func TestBadNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		for name, want := range map[string]error{
			"": ErrBadName, "a\x00": ErrBadName, strings.Repeat("x", 513): ErrNameTooLong,
		} {
			if _, err := c.Lock(t.Context(), name); !errors.Is(err, want) {
				t.Errorf("%.10q: got %v, want %v", name, err, want)
			}
		}
		if _, err := c.LockWith(t.Context(), "a", LockOptions{Mode: 99}); !errors.Is(err, ErrOptions) {
			t.Errorf("mode: got %v, want ErrOptions", err)
		}
		if _, err := c.TryDetached(t.Context(), "a", 0); !errors.Is(err, ErrOptions) {
			t.Errorf("ttl: got %v, want ErrOptions", err)
		}
	})
}

// TestQueueSurvives proves that waiters keep their order through a change of
// leader, a reset of every conn, and both (F-K1, I17).
func TestQueueSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		h := lock(t, n.client(t, Options{}), "a")
		var wg sync.WaitGroup
		granted := make(chan int, 5)
		for i := range 5 {
			c := n.client(t, Options{})
			wg.Go(func() {
				h := lock(t, c, "a")
				granted <- i
				unlock(t, h)
			})
			n.until(t, "waiting", func() bool { _, waiting := n.holder("a"); return waiting == i+1 })
		}
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 3) })
		synctest.Wait()
		for node := range uint16(3) {
			n.resetNode(node + 1)
		}
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 2) })
		synctest.Wait()
		unlock(t, h)
		wg.Wait()
		var order []int
		for range 5 {
			order = append(order, <-granted)
		}
		if !slices.IsSorted(order) {
			t.Errorf("got order %v, want that of asking", order)
		}
	})
}

// TestLostInTime proves that a client that is cut off gives its locks up before
// the nodes do, says why, and gets a new session once it is healed (I25, F-T4).
func TestLostInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{Lease: 2 * time.Second, RequestTimeout: time.Second})
		h := lock(t, c, "a")
		<-time.After(10 * time.Second) // renewed many times
		if !h.Valid() {
			t.Fatal("a renewed lock is not valid")
		}
		ctx := h.Context()
		cut := time.Now()
		n.setCut(true)
		<-h.Lost()
		took := time.Since(cut)
		if took < time.Second || took > 2*time.Second {
			t.Errorf("got lost after %s, want it within the lease", took)
		}
		if token, _ := n.holder("a"); token != h.Token() {
			t.Errorf("lost after the nodes freed it: holder %d", token)
		}
		var lost *LostError
		if err := context.Cause(ctx); !errors.As(err, &lost) || !errors.Is(err, ErrSessionEnded) ||
			lost.Token != h.Token() {
			t.Errorf("got cause %v, want a LostError of the session", err)
		}
		if err := h.Unlock(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("unlock: got %v, want ErrLost", err)
		}
		if _, err := c.TryLock(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("while cut: got %v, want ErrUnavailable", err)
		}
		n.setCut(false)
		unlock(t, lock(t, c, "a"))
	})
}

// TestSessionTakenAway proves that a session the nodes have ended is noticed by
// its push-less answer, and that waiting calls go on in the next one (F-K2).
func TestSessionTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{Lease: 3 * time.Second})
		h := lock(t, c, "a")
		got := make(chan error, 1)
		go func() {
			second, err := c.Lock(t.Context(), "a")
			if err == nil && second.Token() <= h.Token() {
				err = errors.New("token did not rise")
			}
			got <- err
		}()
		n.until(t, "waiting", func() bool { _, waiting := n.holder("a"); return waiting == 1 })
		n.with(func(d *dumbCluster) { d.endSession(d.groups[groupOf("a")], 1) })
		<-h.Lost()
		if err := <-got; err != nil {
			t.Errorf("the waiting lock: got %v", err)
		}
	})
}

// TestContextEnds proves that a lock whose context ends is not left behind,
// whether it was waiting or just granted (F-K1).
func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		h := lock(t, c, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want DeadlineExceeded", err)
		}
		n.until(t, "cancel", func() bool { _, waiting := n.holder("a"); return waiting == 0 })
		unlock(t, lock(t, c, "b"))
		n.with(func(d *dumbCluster) {
			d.delay = func() Instant { return 100e6 }
		})
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := c.Lock(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want DeadlineExceeded", err)
		}
		n.until(t, "grant", func() bool { token, _ := n.holder("b"); return token != 0 })
		n.until(t, "release of the late grant", func() bool {
			token, _ := n.holder("b")
			return token == 0
		})
		ended, stop := context.WithCancel(t.Context())
		stop()
		if err := h.Unlock(ended); err != nil {
			t.Errorf("unlock with an ended context: got %v", err)
		}
		if _, err := c.Lock(ended, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("lock with an ended context: got %v, want Canceled", err)
		}
	})
}

// TestRefusals proves what each status becomes for a caller, and that Busy is
// tried again.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		unlock(t, lock(t, c, "a"))
		status := wire.StatusBusy
		left := 3
		n.with(func(d *dumbCluster) {
			d.filter = func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
				if h.Kind != wire.KindAcquire || left == 0 {
					return 0
				}
				left--
				return status
			}
		})
		unlock(t, lock(t, c, "a"))
		if left != 0 {
			t.Errorf("got %d refusals unused", left)
		}
		for s, want := range map[wire.Status]error{
			wire.StatusTooManyWaiters: ErrBusy, wire.StatusPermission: ErrPermission,
			wire.StatusNameTooLong: ErrNameTooLong, wire.StatusBadRequest: ErrProtocol,
			wire.StatusTooManyHolds: ErrBusy, wire.StatusWrongGroup: ErrProtocol,
		} {
			n.with(func(*dumbCluster) { status, left = s, 1 })
			if _, err := c.Lock(t.Context(), "a"); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", s, err, want)
			}
		}
	})
}

// TestSilentNode proves that a node that takes requests and says nothing is
// left for another (F-N4, half-open).
func TestSilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		unlock(t, lock(t, c, "a"))
		n.with(func(d *dumbCluster) {
			old := d.groups[groupOf("a")].leader
			send := d.send
			d.send = func(conn int, frame []byte) {
				if d.conns[conn].node != old {
					send(conn, frame)
				}
			}
		})
		done := make(chan *Held, 1)
		go func() { done <- lock(t, c, "a") }()
		<-time.After(200 * time.Millisecond)
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), d.groups[groupOf("a")].leader%3+1) })
		start := time.Now()
		unlock(t, <-done)
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("got it after %s, want within four seconds", took)
		}
	})
}

func TestDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		h, err := c.TryDetached(t.Context(), "a", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.TryDetached(t.Context(), "a", time.Second); !errors.Is(err, ErrHeld) {
			t.Errorf("second: got %v, want ErrHeld", err)
		}
		for range 3 {
			<-time.After(700 * time.Millisecond)
			if err := h.Renew(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		<-h.Lost()
		if token, _ := n.holder("a"); token != h.Token() {
			t.Errorf("the nodes freed it first: holder %d", token)
		}
		if err := h.Renew(t.Context(), time.Second); !errors.Is(err, ErrLost) {
			t.Errorf("renew after loss: got %v, want ErrLost", err)
		}
		n.until(t, "expiry", func() bool { token, _ := n.holder("a"); return token == 0 })
		h, err = c.TryDetached(t.Context(), "a", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		unlock(t, h)
		if err := lock(t, c, "a").Renew(t.Context(), time.Second); !errors.Is(err, ErrOptions) {
			t.Errorf("renew of another hold: got %v, want ErrOptions", err)
		}
	})
}

// A detached hold is renewed and given back by a client that did not take it.
func TestDetachedOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		first, c := n.client(t, Options{}), n.client(t, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h, err := first.TryDetached(ctx, "a", 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		sem, err := first.Semaphore("s", 3).TryAcquireDetached(ctx, 2, time.Minute, LockOptions{})
		if err != nil {
			t.Fatal(err)
		}
		tokens := map[string]uint64{"a": h.Token(), "s": sem.Token()}
		if err := first.Close(ctx); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for name, token := range tokens {
			d, err := c.FindDetached(ctx, name, token)
			if err != nil {
				t.Fatal(err)
			}
			until, err := c.RenewDetached(ctx, d, 10*time.Second)
			if left := until.Sub(began); err != nil || left < 9*time.Second || left > 10*time.Second {
				t.Errorf("renew of %s: got %s, %v, want less than 10s", name, left, err)
			}
		}
		<-time.After(5 * time.Second) // longer than it was taken for
		for name, token := range tokens {
			d, err := c.FindDetached(ctx, name, token)
			if err := errors.Join(err, c.ReleaseDetached(ctx, d)); err != nil {
				t.Errorf("release of %s: %v", name, err)
			}
			if err := c.ReleaseDetached(ctx, d); !errors.Is(err, ErrLost) {
				t.Errorf("second release of %s: got %v, want ErrLost", name, err)
			}
			if _, err := c.RenewDetached(ctx, d, time.Second); !errors.Is(err, ErrLost) {
				t.Errorf("renew of %s after its release: got %v, want ErrLost", name, err)
			}
			if _, err := c.FindDetached(ctx, name, token); !errors.Is(err, ErrLost) {
				t.Errorf("%s after its release: got %v, want ErrLost", name, err)
			}
		}
		h, err = c.TryDetachedWith(ctx, "b", time.Second, LockOptions{MaxHold: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		until, err := c.RenewDetached(ctx, DetachedHold{"b", h.Session(), h.Token()}, time.Minute)
		if left := until.Sub(began); err != nil || left < 2*time.Second || left > 3*time.Second {
			t.Errorf("renew beyond its max hold: got %s, %v, want less than 3s", left, err)
		}
		kept := lock(t, c, "a")
		if _, err := c.FindDetached(ctx, "a", kept.Token()); !errors.Is(err, ErrOptions) {
			t.Errorf("of a client: got %v, want ErrOptions", err)
		}
		if _, err := c.FindDetached(ctx, "a", tokens["a"]); !errors.Is(err, ErrLost) ||
			!strings.Contains(err.Error(), "in force is") {
			t.Errorf("old token: got %v, want the one in force", err)
		}
		err = c.ReleaseDetached(ctx, DetachedHold{"a", kept.Session(), kept.Token()})
		if !errors.Is(err, ErrOptions) {
			t.Errorf("release of a client's: got %v, want ErrOptions", err)
		}
	})
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{Lease: time.Second})
		wrong := errors.New("wrong")
		err := c.Do(t.Context(), "a", func(ctx context.Context, h *Held) error { return wrong })
		if token, _ := n.holder("a"); !errors.Is(err, wrong) || token != 0 {
			t.Errorf("got %v and holder %d, want the error of fn and none", err, token)
		}
		err = c.Do(t.Context(), "a", func(ctx context.Context, h *Held) error {
			n.setCut(true)
			<-ctx.Done()
			n.setCut(false)
			return context.Cause(ctx)
		})
		if !errors.Is(err, ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = c.Do(t.Context(), "b", func(context.Context, *Held) error { panic("fn") })
		}()
		if token, _ := n.holder("b"); token != 0 {
			t.Errorf("after a panic: got holder %d, want none", token)
		}
	})
}

func TestRWMutex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		m := c.RWMutex("cfg")
		one, err := m.RLock(t.Context())
		two, err2 := m.TryRLock(t.Context())
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if _, err := m.TryLock(t.Context()); !errors.Is(err, ErrHeld) {
			t.Errorf("write while read: got %v, want ErrHeld", err)
		}
		unlock(t, one)
		unlock(t, two)
		h, err := m.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		unlock(t, h)
	})
}

func TestAsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		const rounds = 200
		var left atomic.Int32
		left.Store(20)
		done := make(chan struct{})
		for _, name := range names(20) {
			h, n := &Held{}, 0
			var locked, unlocked func(*Held, error)
			locked = func(h *Held, err error) {
				if err != nil {
					t.Error(err)
				}
				h.UnlockAsync(unlocked)
			}
			unlocked = func(h *Held, err error) {
				if err != nil {
					t.Error(err)
				}
				if n++; n < rounds {
					c.LockAsync(h, name, LockOptions{}, locked)
				} else if left.Add(-1) == 0 {
					close(done)
				}
			}
			c.LockAsync(h, name, LockOptions{}, locked)
		}
		<-done
	})
}

func TestQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{Name: "one"})
		want := names(30)
		for _, name := range want {
			lock(t, c, name)
		}
		var got []string
		after := ""
		for {
			page, err := c.List(t.Context(), "job/", ListOptions{After: after, Limit: 7})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				got = append(got, e.Name)
			}
			after = got[len(got)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		info, err := c.Get(t.Context(), "job/07")
		if err != nil || info.HolderCount != 1 || info.Holders[0].Client != "one" {
			t.Errorf("got %+v, %v, want a holder called one", info, err)
		}
		if _, err := c.Get(t.Context(), "nothing"); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
		all, err := c.Status(t.Context())
		if err != nil || len(all) != 3 {
			t.Fatalf("got %+v, %v, want three nodes", all, err)
		}
		for i, s := range all {
			if s.Err != nil || int(s.Node) != i+1 || s.Build != "dumb" {
				t.Errorf("got %+v, want the status of node %d", s, i+1)
			}
		}
	})
}

// TestStatusSaysWhichNodeFailed: of a node that cannot be reached what went wrong with
// it is said, and nothing of others.
func TestStatusSaysWhichNodeFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		lock(t, c, "a")
		for node, address := range []string{"node1", "node2"} {
			n.setDown(address, true)
			n.resetNode(uint16(node + 1))
		}
		for range 5 { // also while it waits to dial again
			all, err := c.Status(t.Context())
			if err != nil || len(all) != 3 || all[2].Err != nil {
				t.Fatalf("got %+v, %v, want three nodes, the third up", all, err)
			}
			for i, s := range all[:2] {
				own, other := fmt.Sprint("node", i+1), fmt.Sprint("node", 2-i)
				if s.Err == nil || !strings.Contains(s.Err.Error(), own) ||
					strings.Contains(s.Err.Error(), other) {
					t.Errorf("node %d: got %v, want what is wrong with it alone", s.Node, s.Err)
				}
			}
		}
	})
}

// TestClose proves that Close releases everything, ends what waits and leaves
// no goroutine: the bubble would not end.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		held := lock(t, c, "a")
		waits := make(chan error, 1)
		go func() {
			_, err := c.Lock(t.Context(), "a")
			waits <- err
		}()
		n.until(t, "waiting", func() bool { _, waiting := n.holder("a"); return waiting == 1 })
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-waits; !errors.Is(err, ErrClosed) {
			t.Errorf("waiting: got %v, want ErrClosed", err)
		}
		<-held.Lost()
		if err := held.Unlock(t.Context()); !errors.Is(err, ErrLost) || !errors.Is(err, ErrClosed) {
			t.Errorf("unlock: got %v, want ErrLost and ErrClosed", err)
		}
		n.with(func(d *dumbCluster) {
			for g, group := range d.groups {
				if len(group.sessions) != 0 {
					t.Errorf("group %d: got %d sessions after Close", g, len(group.sessions))
				}
			}
		})
		if _, err := c.Lock(t.Context(), "b"); !errors.Is(err, ErrClosed) {
			t.Errorf("after close: got %v, want ErrClosed", err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("second close: %v", err)
		}
	})
}

// TestCloseWithEndedContext: a deferred Close gives back what is held though the
// context of the work has ended, and goes no further than RequestTimeout.
func TestCloseWithEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		c := n.client(t, Options{})
		lock(t, c, "a")
		if err := c.Close(ended); err != nil {
			t.Errorf("close: %v", err)
		}
		if token, _ := n.holder("a"); token != 0 {
			t.Errorf("after close: got held with token %d, want free", token)
		}
		c = n.client(t, Options{RequestTimeout: 2 * time.Second})
		lock(t, c, "a")
		n.setCut(true)
		defer n.setCut(false)
		began := time.Now()
		if err := c.Close(ended); !errors.Is(err, ErrUnavailable) {
			t.Errorf("cut off: got %v, want ErrUnavailable", err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("cut off: got an end after %s, want RequestTimeout", took)
		}
	})
}

// TestOneKeepalive: a client renews all it holds with one frame to each node for
// each third of its lease, however many locks those are.
func TestOneKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beats = 10
		n := newNodes(t, 4)
		c := n.client(t, Options{Lease: 9 * time.Second})
		var held []*Held
		for _, name := range names(100) {
			held = append(held, lock(t, c, name))
		}
		frames := 0
		n.with(func(d *dumbCluster) {
			d.loses = func(*dumbConn) bool { frames++; return false }
		})
		time.Sleep(beats * 3 * time.Second)
		synctest.Wait()
		n.with(func(*dumbCluster) {
			if most := 3 * (beats + 1); frames == 0 || frames > most {
				t.Errorf("got %d keepalives, want 1 to %d", frames, most)
			}
		})
		for _, h := range held {
			if !h.Valid() {
				t.Errorf("%s is not held any more", h.Name())
			}
		}
	})
}

// TestDialFails proves that Dial says what is wrong where.
func TestDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		for _, a := range []string{"node1", "node2", "node3"} {
			n.mu.down[a] = true
		}
		_, err := dialWith(t.Context(), []string{"node1", "node2"}, Options{Dial: n.dial}, n.now)
		reason := "node2: connection refused"
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), reason) {
			t.Errorf("got %v, want ErrUnavailable with the reason", err)
		}
		if _, err := Dial(t.Context(), nil, Options{}); !errors.Is(err, ErrOptions) {
			t.Errorf("no addresses: got %v, want ErrOptions", err)
		}
		n.mu.down = nil
		c, err := dialWith(t.Context(), []string{"node3"}, Options{Dial: n.dial}, n.now)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names(20) { // node 3 knows where the rest is
			unlock(t, lock(t, c, name))
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
