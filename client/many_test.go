package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd are goroutines that share one client and take locks in every way.
type crowd struct {
	c      *Client
	inside [20]atomic.Int32 // holders of each lock
	grants atomic.Int64
	gaveUp atomic.Int64
}

const crowdSize = 3000

// run has them all work, and returns when all have ended.
func (x *crowd) run(t *testing.T) {
	var wg sync.WaitGroup
	for i := range crowdSize {
		wg.Go(func() { x.work(t, i) })
	}
	wg.Wait()
}

// work is one of them: some wait as long as it takes, some give up, some try.
func (x *crowd) work(t *testing.T, i int) {
	lock := i % len(x.inside)
	name := fmt.Sprint("crowd/", lock)
	ctx, cancel := context.Background(), func() {}
	if i%3 == 1 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(1+i%200)*10*time.Millisecond)
	}
	defer cancel()
	for range 2 {
		var h *Held
		var err error
		if i%7 == 0 {
			h, err = x.c.TryLock(ctx, name)
		} else {
			h, err = x.c.Lock(ctx, name)
		}
		switch {
		case err == nil:
		case errors.Is(err, ErrHeld), errors.Is(err, context.DeadlineExceeded),
			errors.Is(err, ErrUnavailable):
			x.gaveUp.Add(1)
			continue
		default:
			t.Errorf("goroutine %d: %v", i, err)
			return
		}
		x.grants.Add(1)
		if n := x.inside[lock].Add(1); n != 1 {
			t.Errorf("%q: %d are inside", name, n)
		}
		<-time.After(time.Millisecond)
		x.inside[lock].Add(-1)
		if err := h.Unlock(context.Background()); err != nil && !errors.Is(err, ErrUnavailable) {
			t.Errorf("goroutine %d: unlock: %v", i, err)
		}
	}
}

// left is what the nodes still have of the clients.
func (n *testNodes) left() (holds, waiters, sessions int) {
	n.with(func(d *dumbCluster) {
		for _, g := range d.groups {
			sessions += len(g.sessions)
			for _, l := range g.locks {
				holds, waiters = holds+len(l.holds), waiters+len(l.queue)
			}
		}
	})
	return holds, waiters, sessions
}

// busyWith is how many calls and holds the client itself still has.
func (c *Client) busyWith() (calls, holds int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.mu.core.groups {
		g := &c.mu.core.groups[i]
		calls, holds = calls+g.calls.count, holds+g.session.holds.count
	}
	return calls + c.mu.core.userOpen, holds
}

// TestThousandsOnOneClient proves that thousands of goroutines may share a client
// while leaders move, every node restarts in turn and then all at once: nobody
// is inside with another, and in the end no call, hold, waiter or goroutine is
// left (the bubble would not end with one).
func TestThousandsOnOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.with(func(d *dumbCluster) { d.delay = func() Instant { return 1e6 } })
		x := &crowd{c: n.client(t, Options{MaxInFlight: 2 * crowdSize})}
		done := make(chan struct{})
		var trouble sync.WaitGroup
		trouble.Go(func() { n.trouble(done) })
		x.run(t)
		close(done)
		trouble.Wait()
		n.until(t, "nothing left", func() bool {
			holds, waiters, _ := n.left()
			calls, own := x.c.busyWith()
			return holds+waiters+calls+own == 0
		})
		if x.grants.Load() < crowdSize || x.gaveUp.Load() == 0 {
			t.Errorf("got %d grants, %d gave up, want some of both", x.grants.Load(), x.gaveUp.Load())
		}
		if err := x.c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, _, sessions := n.left(); sessions != 0 {
			t.Errorf("after Close: got %d sessions, want none", sessions)
		}
	})
}

// trouble moves leaders and restarts nodes until done, which then are all up.
func (n *testNodes) trouble(done <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		case <-time.After(70 * time.Millisecond):
		}
		switch {
		case i%8 == 7: // all restart
			for node := range uint16(3) {
				n.restart(node+1, 60*time.Millisecond)
			}
		case i%2 == 0:
			n.restart(uint16(i/2%3)+1, 40*time.Millisecond)
		default:
			n.with(func(d *dumbCluster) { d.lead(i%4, uint16(i/3%3)+1) })
		}
	}
}

// restart ends all conns of a node, has it refuse new ones for a while, and its
// groups led by the next one.
func (n *testNodes) restart(node uint16, down time.Duration) {
	address := fmt.Sprint("node", node)
	n.setDown(address, true)
	n.resetNode(node)
	n.with(func(d *dumbCluster) {
		for g := range d.groups {
			if d.groups[g].leader == node {
				d.lead(g, node%3+1)
			}
		}
	})
	time.AfterFunc(down, func() { n.setDown(address, false) })
}

func (n *testNodes) setDown(address string, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.down[address] = down
}

// TestCloseUnderLoad proves that Close ends thousands of calls, whatever they wait
// for, each with ErrClosed, and leaves nothing with the nodes.
func TestCloseUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{MaxInFlight: 2 * crowdSize})
		var closed atomic.Int64
		var wg sync.WaitGroup
		for i := range crowdSize {
			wg.Go(func() {
				for {
					h, err := c.Lock(context.Background(), fmt.Sprint("crowd/", i%20))
					if err == nil {
						<-time.After(time.Millisecond)
						err = h.Unlock(context.Background())
					}
					if errors.Is(err, ErrClosed) {
						closed.Add(1)
						return
					}
					if err != nil {
						t.Errorf("goroutine %d: %v", i, err)
						return
					}
				}
			})
		}
		n.until(t, "all wait", func() bool {
			_, waiters, _ := n.left()
			return waiters > crowdSize/2
		})
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if closed.Load() != crowdSize {
			t.Errorf("got %d closed, want %d", closed.Load(), crowdSize)
		}
		if holds, waiters, sessions := n.left(); holds+waiters+sessions != 0 {
			t.Errorf("got %d holds, %d waiters, %d sessions left, want none", holds, waiters, sessions)
		}
	})
}

// TestConnsThatNeverComeUp proves that a client whose every dial hangs, or is
// answered by nobody, leaves no goroutine behind.
func TestConnsThatNeverComeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.setCut(true)
		for range 5 {
			_, err := dialWith(t.Context(), []string{"node1", "node2"},
				Options{Dial: n.dial, DialTimeout: time.Second}, n.now)
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("got %v, want unavailable", err)
			}
		}
		n.setCut(false)
		c := n.client(t, Options{RequestTimeout: time.Second, Lease: 2 * time.Second})
		h := lock(t, c, "a")
		n.setCut(true)
		<-h.Lost()
		if _, err := c.Get(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("get: got %v, want unavailable", err)
		}
		n.setCut(false)
		n.until(t, "forgotten", func() bool { token, _ := n.holder("a"); return token == 0 })
		unlock(t, lock(t, c, "a"))
	})
}
