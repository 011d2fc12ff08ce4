package client

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"testing/synctest"

	"lockd/netio/wire"
)

func TestElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{Name: "a"}), n.client(t, Options{Name: "b"})
		observed, stop := iter.Pull2(n.client(t, Options{}).Election("boss", nil).Observe(t.Context()))
		defer stop()
		next := func() Leader {
			t.Helper()
			l, err, ok := observed()
			if err != nil || !ok {
				t.Fatalf("observe: %v, %v", err, ok)
			}
			return l
		}
		if l := next(); l.Token != 0 {
			t.Errorf("at first: got %+v, want nobody", l)
		}
		ea, eb := a.Election("boss", []byte("a:1")), b.Election("boss", []byte("b:1"))
		if _, err := ea.Leader(t.Context()); !errors.Is(err, ErrNotFound) {
			t.Errorf("leader of none: got %v, want ErrNotFound", err)
		}
		la, err := ea.Campaign(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if l := next(); l.Client != "a" || string(l.Value) != "a:1" || l.Token != la.Token() {
			t.Errorf("elected: got %+v, want a", l)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			lb, err := eb.Campaign(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			<-lb.Context().Done()
		})
		synctest.Wait()
		if err := la.Proclaim(t.Context(), []byte("a:2")); err != nil {
			t.Fatal(err)
		}
		if l := next(); string(l.Value) != "a:2" || l.Token != la.Token() {
			t.Errorf("proclaimed: got %+v, want the new value", l)
		}
		n.with(func(d *dumbCluster) { d.lead(groupOf("boss"), 3) })
		if err := la.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		l := next()
		for l.Client != "b" {
			l = next() // nobody, perhaps
		}
		if string(l.Value) != "b:1" || l.Token <= la.Token() || la.Context().Err() == nil {
			t.Errorf("followed: got %+v, want b with a larger token", l)
		}
		if got, err := ea.Leader(t.Context()); err != nil || got.Token != l.Token {
			t.Errorf("leader: got %+v, %v, want token %d", got, err, l.Token)
		}
		synctest.Wait() // b has heard of it too
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if l := next(); l.Token != 0 {
			t.Errorf("closed: got %+v, want nobody", l)
		}
	})
}

// TestWatchAndLock is WLock's watchAndWaitLock: it tells while it waits.
func TestWatchAndLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		held := lock(t, a, "a")
		var events []WatchEvent
		places := 0
		var wg sync.WaitGroup
		wg.Go(func() {
			opts := LockOptions{OnWait: func(WhyInfo) { places++ }}
			h, err := b.WatchAndLock(t.Context(), "a", opts, func(e WatchEvent) {
				events = append(events, e)
			})
			if err != nil {
				t.Error(err)
				return
			}
			unlock(t, h)
		})
		n.until(t, "b to be told", func() bool { synctest.Wait(); return len(events) > 0 && places > 0 })
		if e := events[0]; e.Token != held.Token() || e.Holders != 1 {
			t.Errorf("got %+v, want token %d", e, held.Token())
		}
		unlock(t, held)
		wg.Wait()
		n.until(t, "the watches to end", func() bool { return n.watches() == 0 })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.WatchAndLock(ctx, "a", LockOptions{}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("ended context: got %v, want canceled", err)
		}
	})
}

// TestLockAgain is WLock's continueWatchAndWaitLock: who loses the lock waits anew.
func TestLockAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var tokens []uint64
		for h, err := range c.LockAgain(ctx, "a", LockOptions{}) {
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want canceled", err)
				}
				break
			}
			tokens = append(tokens, h.Token())
			switch len(tokens) {
			case 1: // its session ends at the nodes
				n.with(func(d *dumbCluster) {
					g := d.groups[groupOf("a")]
					d.endSession(g, h.Session())
					for conn := range d.conns {
						d.send(conn, wire.AppendSessionLost(nil, wire.Header{Group: uint16(groupOf("a"))},
							&wire.SessionLost{Session: h.Session(), Reason: wire.ReasonExpired}))
					}
				})
				<-h.Lost()
			case 2:
				unlock(t, h)
			case 4:
				cancel()
			}
		}
		if len(tokens) != 4 || tokens[3] <= tokens[0] {
			t.Errorf("got tokens %v, want four", tokens)
		}
		n.until(t, "the lock to be free", func() bool { token, _ := n.holder("a"); return token == 0 })
	})
}

// TestLockAgainPanics proves that a loop that panics leaves nothing held.
func TestLockAgainPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		defer func() {
			if recover() == nil {
				t.Error("got no panic")
			}
			free(t, n, "a")
		}()
		for range c.LockAgain(t.Context(), "a", LockOptions{}) {
			panic("in the loop")
		}
	})
}
