package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// lockShared takes a lock to read.
func lockShared(t *testing.T, c *Client, name string) *Held {
	t.Helper()
	h, err := c.RWMutex(name).RLock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// free proves that nobody holds a lock or waits for it.
func free(t *testing.T, n *testNodes, name string) {
	t.Helper()
	n.with(func(d *dumbCluster) {
		l := d.groups[groupOf(name)].lock(name)
		if len(l.holds)+len(l.queue)+len(l.turns) != 0 {
			t.Errorf("%q: got %+v, want nothing left", name, l)
		}
	})
}

// TestUpgrade proves that of two readers who ask to write the second is told so,
// and the first writes, with a larger token, as soon as it reads alone.
func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		rw := a.RWMutex("cfg")
		one, two := lockShared(t, a, "cfg"), lockShared(t, b, "cfg")
		first := one.Token()
		up := make(chan error, 1)
		go func() { up <- rw.Upgrade(t.Context(), one) }()
		synctest.Wait()
		var circle *DeadlockError
		err := b.RWMutex("cfg").Upgrade(t.Context(), two)
		if !errors.Is(err, ErrDeadlock) || !errors.As(err, &circle) || circle.Token != first {
			t.Errorf("second upgrade: got %v, want a deadlock with token %d", err, first)
		}
		if err := b.RWMutex("cfg").TryUpgrade(t.Context(), two); !errors.Is(err, ErrHeld) {
			t.Errorf("second as a try: got %v, want ErrHeld", err)
		}
		if one.Mode() != Shared || two.Mode() != Shared || !one.Valid() || !two.Valid() {
			t.Errorf("modes: got %v and %v, want both shared and held", one.Mode(), two.Mode())
		}
		unlock(t, two)
		if err := <-up; err != nil || one.Mode() != Exclusive || one.Token() <= two.Token() {
			t.Errorf("upgrade: got %v, %v, token %d after %d", err, one.Mode(), one.Token(), two.Token())
		}
		written := one.Token()
		if err := rw.Downgrade(t.Context(), one); err != nil || one.Mode() != Shared ||
			one.Token() != written {
			t.Errorf("downgrade: got %v, %v, token %d, want %d", err, one.Mode(), one.Token(), written)
		}
		unlock(t, lockShared(t, b, "cfg"))
		unlock(t, one)
		if err := rw.Downgrade(t.Context(), one); !errors.Is(err, ErrUnlocked) {
			t.Errorf("after unlock: got %v, want ErrUnlocked", err)
		}
		if err := a.RWMutex("other").Upgrade(t.Context(), one); !errors.Is(err, ErrOptions) {
			t.Errorf("another name: got %v, want ErrOptions", err)
		}
		free(t, n, "cfg")
	})
}

// TestConvertGivenUp proves that a conversion whose caller goes away leaves the
// old mode, be it that it was granted before it could be cancelled.
func TestConvertGivenUp(t *testing.T) {
	for _, alone := range []string{"waits", "is granted"} {
		t.Run(alone, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNodes(t, 4)
				a, b := n.client(t, Options{}), n.client(t, Options{})
				one := lockShared(t, a, "a")
				var two *Held
				if alone == "waits" {
					two = lockShared(t, b, "a")
				}
				n.with(func(d *dumbCluster) {
					d.delay = func() Instant { return Instant(time.Second) }
				})
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if err := one.Convert(ctx, Exclusive); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("convert: got %v, want DeadlineExceeded", err)
				}
				<-time.After(5 * time.Second)
				if one.Mode() != Shared || !one.Valid() {
					t.Errorf("mode: got %v, want shared", one.Mode())
				}
				n.with(func(d *dumbCluster) {
					l := d.groups[groupOf("a")].lock("a")
					if len(l.turns) != 0 || l.holds[0].mode != wire.ModePR ||
						l.holds[0].token != one.Token() {
						t.Errorf("lock: got %+v, want shared with token %d", l, one.Token())
					}
					d.delay = func() Instant { return 0 }
				})
				if two != nil {
					unlock(t, two)
				}
				unlock(t, one)
				free(t, n, "a")
			})
		})
	}
}

// TestConvertSurvivesLeader proves that a change of leader is not noticed by who
// waits for a conversion, nor by who then unlocks.
func TestConvertSurvivesLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		one, two := lockShared(t, a, "a"), lockShared(t, b, "a")
		up := make(chan error, 1)
		go func() { up <- one.Convert(t.Context(), Exclusive) }()
		synctest.Wait()
		for node := uint16(1); node <= 3; node++ {
			n.with(func(d *dumbCluster) { d.lead(int(groupOf("a")), node) })
			<-time.After(time.Second)
		}
		unlock(t, two)
		if err := <-up; err != nil || one.Token() <= two.Token() {
			t.Errorf("convert: got %v, token %d after %d", err, one.Token(), two.Token())
		}
		unlock(t, one)
		free(t, n, "a")
	})
}

// TestUnlockWhileConverting proves that nothing is left of a hold that is given
// back while it waits to be converted.
func TestUnlockWhileConverting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		one, two := lockShared(t, a, "a"), lockShared(t, b, "a")
		up := make(chan error, 1)
		go func() { up <- one.Convert(t.Context(), Exclusive) }()
		synctest.Wait()
		if err := one.Convert(t.Context(), Null); !errors.Is(err, ErrOtherMode) {
			t.Errorf("second conversion: got %v, want ErrOtherMode", err)
		}
		unlock(t, one)
		if err := <-up; !errors.Is(err, ErrUnlocked) {
			t.Errorf("convert: got %v, want ErrUnlocked", err)
		}
		unlock(t, two)
		free(t, n, "a")
	})
}

// TestConvertOfAnOwner proves that all that an owner holds changes together.
func TestConvertOfAnOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		mine := LockOptions{Owner: 7, Mode: Shared}
		var all []*Held
		for range 3 {
			h, err := c.LockWith(t.Context(), "a", mine)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, h)
		}
		first := all[0].Token()
		if err := all[1].Convert(t.Context(), Exclusive); err != nil {
			t.Fatal(err)
		}
		for i, h := range all {
			if h.Mode() != Exclusive || h.Token() <= first || h.Token() != all[0].Token() {
				t.Errorf("hold %d: got %v, token %d, want exclusive and one above %d", i, h.Mode(),
					h.Token(), first)
			}
		}
		for _, h := range all {
			unlock(t, h)
		}
		free(t, n, "a")
	})
}

// TestConvertOfWhatIsGone proves that the answer that a hold is not known says
// nothing of what an earlier send of its Convert has made of the owner's others.
func TestConvertOfWhatIsGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		unsure bool
		want   wire.Mode
	}{
		{"sent once", false, wire.ModeEX},
		{"sent before", true, wire.ModePR},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			enter := Call{Kind: wire.KindEnter, Name: "a", Owner: 7, Token: 35, Mode: wire.ModePR}
			left, kept := enter, enter
			left.Kind, left.state = wire.KindLeave, StateOpen
			kept.state = StateHeld
			b.core.groups[0].session.holds.push(&kept)
			x := &Call{Kind: wire.KindConvert, Name: "a", Owner: 7, Token: 35, Hold: &left,
				Mode: wire.ModePR, was: wire.ModeEX, unsure: c.unsure, state: StateOpen}
			r := &wire.Response{Status: wire.StatusNotHolder}
			if err := b.core.onConverted(x, r); err != nil || !errors.Is(x.Err, ErrUnlocked) {
				t.Fatalf("got %v and %v, want the convert to end with ErrUnlocked", err, x.Err)
			}
			if kept.Mode != c.want {
				t.Errorf("what the owner still has counts as %v, want %v", kept.Mode, c.want)
			}
		})
	}
}

// TestConvertRefused proves that what cannot be converted is told apart.
func TestConvertRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		permits, err := c.Semaphore("s", 2).Acquire(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := permits.Convert(t.Context(), Null); !errors.Is(err, ErrOtherKind) {
			t.Errorf("permits: got %v, want ErrOtherKind", err)
		}
		h, err := c.TryDetached(t.Context(), "d", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Convert(t.Context(), Shared); err != nil || h.Mode() != Shared {
			t.Errorf("detached to shared: got %v, %v", err, h.Mode())
		}
		if err := h.Convert(t.Context(), Exclusive); !errors.Is(err, ErrOptions) {
			t.Errorf("detached to exclusive: got %v, want ErrOptions", err)
		}
		if err := h.Convert(t.Context(), Mode(9)); !errors.Is(err, ErrOptions) {
			t.Errorf("no mode: got %v, want ErrOptions", err)
		}
		unlock(t, permits)
		unlock(t, h)
		free(t, n, "d")
	})
}

// TestFP3ConvertNeedsAllNodes proves that a hold which could not be converted,
// because a node does not know how, is given back as ever.
func TestFP3ConvertNeedsAllNodes(t *testing.T) {
	for _, version := range []uint16{wire.VersionKinds, wire.Version} {
		synctest.Test(t, func(t *testing.T) {
			n := newNodes(t, 4)
			n.with(func(d *dumbCluster) {
				d.version = version
				d.filter = func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
					if h.Kind == wire.KindConvert || h.Kind == wire.KindGiveBack {
						return wire.StatusUnsupported
					}
					return 0
				}
			})
			c := n.client(t, Options{})
			h := lockShared(t, c, "a")
			if err := h.Convert(t.Context(), Exclusive); !errors.Is(err, ErrUnsupported) {
				t.Errorf("convert: got %v, want ErrUnsupported", err)
			}
			if h.Mode() != Shared {
				t.Errorf("mode: got %v, want shared", h.Mode())
			}
			unlock(t, h)
			free(t, n, "a")
		})
	}
}

// TestReuseWhileConverting asks anew with a Held that was lost, of this client or another,
// while the Core still has a Convert of what it held. It is for the race detector.
func TestReuseWhileConverting(t *testing.T) {
	for _, another := range []bool{false, true} {
		b := newBench(t)
		for _, e := range b.core.endpoints {
			e.version = wire.VersionWhole
		}
		c := &Client{opts: Options{RequestTimeout: time.Second}, clock: func() Instant { return b.now }}
		c.mu.core = b.core
		h := &Held{}
		if err := h.prepare(c, "a", LockOptions{Mode: Shared}, wire.FlagWait); err != nil {
			t.Fatal(err)
		}
		b.core.Start(&h.call)
		b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
		b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
		if err := h.granted(nil); err != nil {
			t.Fatal(err)
		}
		x := &Call{Kind: wire.KindConvert, Name: "a", Mode: wire.ModeEX, Flags: wire.FlagWait,
			Hold: &h.call}
		b.core.Start(x)
		turn := b.one(1, wire.KindConvert)
		lost, reused := h.Lost(), make(chan error, 1)
		to := c
		if another {
			to = &Client{}
			to.mu.core = newBench(t).core
		}
		go func() {
			<-lost
			reused <- h.prepare(to, "b", LockOptions{}, wire.FlagWait)
			to.mu.Lock()
			defer to.mu.Unlock()
			to.mu.core.Start(&h.call)
		}()
		c.mu.Lock()
		b.receive(1, wire.AppendLost(nil, wire.Header{}, &wire.Lost{Session: 9, Token: 1,
			Reason: wire.ReasonForced}))
		b.core.Take(&b.ready)
		c.mu.Unlock()
		for _, l := range b.ready.Lost {
			l.Call.held.lose(l.Use, l.Err)
		}
		c.mu.Lock()
		b.respond(1, turn, wire.Response{Status: wire.StatusNotHolder})
		c.mu.Unlock()
		if err := <-reused; err != nil {
			t.Error(err)
		}
		if x.State() != StateDone || x.Err == nil {
			t.Errorf("the Convert: got state %d, %v, want that it failed", x.State(), x.Err)
		}
	}
}
