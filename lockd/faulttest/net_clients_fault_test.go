//go:build fault

package faulttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest/proxy"
)

// TestFK1GivingUpRacesGrants is F-K1: many ask for a few locks and give up at
// any moment, just when they are granted included, while conns are cut off and
// nodes are killed, so that neither request nor cancel has a certain end. In the
// end nobody holds and nobody waits: what was granted to those who had gone was
// given back. It fails if giving up is the client's decision alone, without a
// Cancel that is answered (I19).
func TestFK1GivingUpRacesGrants(t *testing.T) {
	c := newProxied(t, 11)
	watch := dial(t, c, client.Options{Name: "watch"})
	clients := []*client.Client{dial(t, c, client.Options{Name: "a", Lease: time.Minute}),
		dial(t, c, client.Options{Name: "b", Lease: time.Minute})}
	c.Mesh.SetClients(proxy.Rules{Jitter: 5 * time.Millisecond})
	ctx, stop := context.WithCancel(within(t, 2*time.Minute))
	var asked, granted, gaveUp atomic.Int64
	var askers sync.WaitGroup
	for i := range 24 {
		askers.Add(1)
		go func() {
			defer askers.Done()
			draw := rand.New(rand.NewPCG(11, uint64(i)))
			for ctx.Err() == nil {
				asked.Add(1)
				patience := time.Duration(draw.Int64N(int64(30 * time.Millisecond)))
				short, cancel := context.WithTimeout(ctx, patience)
				h, err := clients[i%2].Lock(short, fmt.Sprintf("raced/%d", draw.IntN(4)))
				cancel()
				if err != nil {
					gaveUp.Add(1)
					continue
				}
				granted.Add(1)
				_ = h.Unlock(ctx) // goes on in the background if it must
			}
		}()
	}
	draw := rand.New(rand.NewPCG(12, 12))
	for round := range 24 {
		c.Mesh.Before(1 + draw.IntN(3)).Orphan(time.Duration(draw.IntN(300)) * time.Millisecond)
		if n := c.Nodes[draw.IntN(3)]; round%8 == 7 {
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(400 * time.Millisecond)
	}
	c.Mesh.SetClients(proxy.Rules{})
	stop()
	askers.Wait()
	began := time.Now()
	for i := range 4 {
		name := fmt.Sprintf("raced/%d", i)
		for {
			info, err := watch.Get(within(t, 10*time.Second), name)
			if err != nil {
				break // nothing is known under this name
			}
			if time.Since(began) > 15*time.Second {
				t.Fatalf("%v after the last gave up, %q is held by %+v, waited for by %+v",
					time.Since(began), name, info.Holders, info.Waiters)
			}
			time.Sleep(20 * time.Millisecond)
		}
		free(t, watch, name)
	}
	t.Logf("%d asked, %d were granted, %d gave up; all was given back %v after the end",
		asked.Load(), granted.Load(), gaveUp.Load(), time.Since(began).Round(time.Millisecond))
}

// TestFK2HolderAndWaiterDie is F-K2: the process that holds a lock and the one
// that waits first are killed at one moment, and with them the node that leads
// the lock. The next in the queue has it within session lease, failover and two
// beats of log time (G7), and never the dead waiter. It fails if a waiter is
// granted without a look at its session (I16, I17).
func TestFK2HolderAndWaiterDie(t *testing.T) {
	c := newCluster(t, 3)
	const lease, beat = 3 * time.Second, 200 * time.Millisecond
	next := dial(t, c, client.Options{Name: "next"})
	for round := range 3 {
		name := fmt.Sprintf("inherited/%d", round)
		holding := startHolder(t, c, name, lease)
		first := startRun(t, c, "--lease", lease.String(), "--kill-grace", "500ms", name, "--",
			"true")
		awaitWaiters(t, next, name, 1)
		w := StartWaiter(next, name)
		awaitWaiters(t, next, name, 2)
		leader, err := c.Leader(within(t, 10*time.Second), next, int(groupOf(name)))
		if err != nil {
			t.Fatal(err)
		}
		for _, kill := range []func() error{holding.cmd.Process.Kill, first.cmd.Process.Kill,
			leader.Kill} {
			if err := kill(); err != nil {
				t.Fatal(err)
			}
		}
		killed := time.Now()
		h, err := w.Await(within(t, 30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		took, limit := time.Since(killed), lease+4*electionTimeout+2*beat
		if h.Token() <= holding.token || took > limit {
			t.Errorf("got token %d after %v, want more than %d within %v", h.Token(), took,
				holding.token, limit)
		}
		t.Logf("lease %v: the next in the queue had it after %v", lease,
			took.Round(time.Millisecond))
		if err := h.Unlock(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := c.Start(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}
