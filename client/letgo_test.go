package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// TestReleaseOnDisconnect proves that the locks of a process that dies are free its
// grace after its conns, long before its lease; that those of one which comes back in
// time are kept; and that one which does not knows first.
func TestReleaseOnDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 2)
		opts := Options{Lease: time.Minute, ReleaseOnDisconnect: 2 * time.Second}
		c, other := n.client(t, opts), n.client(t, Options{})
		h := lock(t, c, "a")
		if safe := time.Until(h.SafeUntil()); safe > 2*time.Second {
			t.Errorf("got safe for %v, want the grace at most", safe)
		}
		for range 5 { // conns break, others come
			<-time.After(3 * time.Second)
			for node := range uint16(3) {
				n.resetNode(node + 1)
			}
		}
		<-time.After(time.Minute)
		if !h.Valid() {
			t.Fatal("got a hold that is lost, want it kept over conns that break")
		}

		n.setCut(true) // no conn can be made, and those there were end
		for node := range uint16(3) {
			n.resetNode(node + 1)
		}
		cut := time.Now()
		<-h.Lost()
		if took := time.Since(cut); took > 2*time.Second {
			t.Errorf("got lost after %v, want within the grace", took)
		}
		if token, _ := n.holder("a"); token == 0 {
			t.Error("got the lock free, want the holder told first")
		}
		n.until(t, "free at the nodes", func() bool { holds, _ := n.holder("a"); return holds == 0 })
		if took := time.Since(cut); took > 3*time.Second {
			t.Errorf("got free after %v, want the grace after the conn", took)
		}
		n.setCut(false)
		unlock(t, lock(t, other, "a"))
	})
}

// TestReleaseOnDisconnectKilled: what a process that is killed had is free in the
// grace, not in the lease, if it was attached to the leader.
func TestReleaseOnDisconnectKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		other := n.client(t, Options{})
		c := started(t, n, Options{Lease: time.Hour, ReleaseOnDisconnect: time.Second})
		lock(t, c, "a")
		died := time.Now()
		n.kill(c)
		h := lock(t, other, "a")
		if took := time.Since(died); took > 2*time.Second {
			t.Errorf("got the lock after %v, want the grace", took)
		}
		unlock(t, h)
	})
}

// TestReleaseOnDisconnectNeedsAllNodes proves that locks are refused where the nodes do
// not know how to let go, and that options which say too little are, too.
func TestReleaseOnDisconnectNeedsAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		n.setFilter(func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
			if h.Kind == wire.KindLetGo {
				return wire.StatusUnsupported
			}
			return 0
		})
		c := n.client(t, Options{ReleaseOnDisconnect: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 3 {
			if _, err := c.Lock(ctx, "a"); !errors.Is(err, ErrUnsupported) {
				t.Errorf("got %v, want ErrUnsupported", err)
			}
		}
		n.setFilter(nil) // all have been upgraded
		h, err := c.Lock(ctx, "a")
		if err != nil {
			t.Fatalf("after the upgrade: got %v", err)
		}
		unlock(t, h)
		for _, o := range []Options{{ReleaseOnDisconnect: 499 * time.Millisecond},
			{ReleaseOnDisconnect: 11 * time.Second}, {ReleaseOnDisconnect: -1}} {
			if _, err := o.withDefaults(); !errors.Is(err, ErrOptions) {
				t.Errorf("%s: got %v, want ErrOptions", o.ReleaseOnDisconnect, err)
			}
		}
	})
}

// TestHeartbeat proves that keepalives are sent every Heartbeat, that one fewer missed
// than Misses leaves the lock, and that so many free it before the next, and not
// before the holder knows.
func TestHeartbeat(t *testing.T) {
	for misses := 1; misses <= mostMisses; misses++ {
		synctest.Test(t, func(t *testing.T) { heartbeats(t, misses) })
	}
}

func heartbeats(t *testing.T, misses int) {
	const beat = 2 * time.Second
	n := newNodes(t, 1)
	var sent []time.Time // heartbeats that arrived
	var loseUntil time.Time
	n.with(func(d *dumbCluster) {
		d.loses = func(k *dumbConn) bool {
			lost := k.name == "beats" && time.Now().Before(loseUntil)
			if k.name == "beats" && !lost {
				sent = append(sent, time.Now())
			}
			return lost
		}
		// Who has lost its locks gives its session back, which is no news of its lease.
		d.filter = func(k *dumbConn, h wire.Header, _ []byte) wire.Status {
			if k.name == "beats" && h.Kind == wire.KindCloseSession {
				return wire.StatusQueued // says nothing
			}
			return 0
		}
	})
	// lose has no heartbeat arrive until a while after the last.
	lose := func(d time.Duration) (last time.Time) {
		n.with(func(*dumbCluster) {
			last = sent[len(sent)-1]
			loseUntil = last.Add(d)
		})
		return last
	}
	c := n.client(t, Options{Name: "beats", Heartbeat: beat, Misses: misses})
	other := n.client(t, Options{Lease: time.Hour})
	h := lock(t, c, "a")
	<-time.After(10*beat + beat/2)
	for i := 1; i < len(sent); i++ {
		if d := sent[i].Sub(sent[i-1]); d < beat || d > beat+50*time.Millisecond {
			t.Errorf("heartbeat %d: got %v after the one before, want %v", i, d, beat)
		}
	}
	if len(sent) < 9 {
		t.Errorf("got %d heartbeats, want ten", len(sent))
	}
	late := beat / 8
	last := lose(time.Duration(misses)*beat - late)
	<-time.After(time.Until(last.Add(time.Duration(misses+3) * beat)))
	if !h.Valid() {
		t.Errorf("%d of %d missed: got lost, want held", misses-1, misses)
	}
	last = lose(time.Hour)
	<-h.Lost()
	if token, _ := n.holder("a"); token != h.Token() {
		t.Errorf("%d missed: got free before the holder knew", misses)
	}
	next := lock(t, other, "a")
	took := time.Since(last)
	if took <= time.Duration(misses)*beat || took >= time.Duration(misses+1)*beat {
		t.Errorf("%d missed: got free %v after the last heartbeat of every %v", misses, took, beat)
	}
	unlock(t, next)
	lose(0)
}

// TestHeartbeatOptions proves which heartbeats are refused.
func TestHeartbeatOptions(t *testing.T) {
	for _, o := range []Options{{Heartbeat: time.Second, Lease: 10 * time.Second},
		{Misses: 3}, {Heartbeat: time.Second, Misses: 11}, {Heartbeat: time.Second, Misses: -1},
		{Heartbeat: 499 * time.Millisecond}, {Heartbeat: -1},
		{Heartbeat: time.Second, Misses: 5, Drift: 0.1}, {Heartbeat: time.Hour}} {
		if _, err := o.withDefaults(); !errors.Is(err, ErrOptions) {
			t.Errorf("%s × %d: got %v, want ErrOptions", o.Heartbeat, o.Misses, err)
		}
	}
	o, err := Options{Heartbeat: 4 * time.Second}.withDefaults()
	if err != nil || o.Misses != 3 || o.Lease < 14*time.Second || o.Lease >= 16*time.Second {
		t.Errorf("got lease %s for %d misses, %v", o.Lease, o.Misses, err)
	}
}
