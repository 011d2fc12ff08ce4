package client

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// calls are all calls that a context governs, with a hold of "held" and several of
// which c may make use.
func calls(c *Client, h *Held) map[string]func(context.Context) error {
	rw, sem, el := c.RWMutex("taken"), c.Semaphore("sem", 2), c.Election("taken", nil)
	latch, event, barrier := c.Latch("latch"), c.Event("event"), c.Barrier("barrier", 2)
	lock := func(lock func(context.Context) (*Held, error)) func(context.Context) error {
		return func(ctx context.Context) error { _, err := lock(ctx); return err }
	}
	return map[string]func(context.Context) error{
		"Lock": func(ctx context.Context) error { _, err := c.Lock(ctx, "taken"); return err },
		"OnWait": func(ctx context.Context) error {
			_, err := c.LockWith(ctx, "taken", LockOptions{OnWait: func(WhyInfo) {}})
			return err
		},
		"Do": func(ctx context.Context) error {
			return c.Do(ctx, "taken", func(context.Context, *Held) error { return nil })
		},
		"RLock": lock(rw.RLock), "RWMutex.Lock": lock(rw.Lock),
		"Acquire": func(ctx context.Context) error { _, err := sem.Acquire(ctx, 1); return err },
		"LockAll": func(ctx context.Context) error {
			_, err := c.LockAll(ctx, "x", "taken")
			return err
		},
		"Campaign": func(ctx context.Context) error { _, err := el.Campaign(ctx); return err },
		"WatchAndLock": func(ctx context.Context) error {
			_, err := c.WatchAndLock(ctx, "taken", LockOptions{}, func(WatchEvent) {})
			return err
		},
		"LockAgain": func(ctx context.Context) error {
			for _, err := range c.LockAgain(ctx, "taken", LockOptions{}) {
				return err
			}
			return nil
		},
		"Latch.Wait": latch.Wait, "Event.Wait": event.Wait,
		"Barrier.Wait": func(ctx context.Context) error { _, err := barrier.Wait(ctx); return err },
		"Watch": func(ctx context.Context) error {
			for _, err := range c.Watch(ctx, "taken", WatchOptions{}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Observe": func(ctx context.Context) error {
			for _, err := range el.Observe(ctx) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Convert": func(ctx context.Context) error { return h.Convert(ctx, Exclusive) },
	}
}

// shortCalls are those that wait for nobody but the nodes.
func shortCalls(c *Client, h, detached *Held) map[string]func(context.Context) error {
	latch, event := c.Latch("latch"), c.Event("event")
	one := func(err error) error { return err }
	return map[string]func(context.Context) error{
		"TryLock": func(ctx context.Context) error {
			_, err := c.TryLock(ctx, "taken")
			return err
		},
		"TryDetached": func(ctx context.Context) error {
			_, err := c.TryDetached(ctx, "taken", time.Second)
			return err
		},
		"TryLockAll": func(ctx context.Context) error {
			_, err := c.TryLockAll(ctx, "x", "taken")
			return err
		},
		"TryConvert": func(ctx context.Context) error { return h.TryConvert(ctx, Exclusive) },
		"SetPayload": func(ctx context.Context) error { return h.SetPayload(ctx, []byte("x")) },
		"SetLabels": func(ctx context.Context) error {
			return h.SetLabels(ctx, map[string]string{"a": "b"})
		},
		"Renew": func(ctx context.Context) error { return detached.Renew(ctx, time.Minute) },
		"Get": func(ctx context.Context) error {
			_, err := c.Get(ctx, "taken")
			return err
		},
		"List": func(ctx context.Context) error {
			_, err := c.List(ctx, "", ListOptions{})
			return err
		},
		"Why": func(ctx context.Context) error {
			_, err := c.Why(ctx, "taken")
			return err
		},
		"Top": func(ctx context.Context) error { _, err := c.Top(ctx, 1); return err },
		"CheckToken": func(ctx context.Context) error {
			_, err := c.CheckToken(ctx, "taken", 1)
			return err
		},
		"Leader": func(ctx context.Context) error {
			_, err := c.Election("taken", nil).Leader(ctx)
			return err
		},
		"Latch.Set":   func(ctx context.Context) error { return latch.Set(ctx, 1) },
		"Latch.Count": func(ctx context.Context) error { _, err := latch.Count(ctx); return err },
		"Latch.Reset": func(ctx context.Context) error { return latch.Reset(ctx) },
		"CountDown": func(ctx context.Context) error {
			_, err := latch.CountDown(ctx, 1)
			return err
		},
		"Event.Set":   func(ctx context.Context) error { return one(event.Set(ctx)) },
		"Event.IsSet": func(ctx context.Context) error { _, err := event.IsSet(ctx); return err },
		"Event.Reset": func(ctx context.Context) error { return event.Reset(ctx) },
		"Locks": func(ctx context.Context) error {
			for _, err := range c.Locks(ctx, "", ListOptions{}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// foreignCalls are short calls about what others hold.
func foreignCalls(c *Client, h *Held) map[string]func(context.Context) error {
	d := DetachedHold{Name: h.Name(), Session: h.Session(), Token: h.Token()}
	return map[string]func(context.Context) error{
		"ForceRelease": func(ctx context.Context) error {
			return c.ForceRelease(ctx, "taken", 1, "why")
		},
		"FindDetached": func(ctx context.Context) error {
			_, err := c.FindDetached(ctx, d.Name, d.Token)
			return err
		},
		"RenewDetached": func(ctx context.Context) error {
			_, err := c.RenewDetached(ctx, d, time.Hour)
			return err
		},
		"ReleaseDetached": func(ctx context.Context) error { return c.ReleaseDetached(ctx, d) },
	}
}

var errOwn = errors.New("the caller's own reason")

// TestEndedContext has the context of every call end, before it and while it waits,
// with a cause of the caller's own: the error matches that and context.Canceled.
func TestEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		patient := Options{Lease: time.Hour, DialTimeout: time.Minute, RequestTimeout: time.Minute}
		c, other := n.client(t, patient), n.client(t, patient)
		lock(t, other, "taken")
		if _, err := other.Semaphore("sem", 2).Acquire(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if err := other.Latch("latch").Set(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		for range 2 { // so that neither can be converted
			if _, err := other.RWMutex("held").RLock(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		h, err := c.RWMutex("held").RLock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		detached, err := c.TryDetached(t.Context(), "detached", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for name, call := range calls(c, h) {
			checkEnds(t, name, call)
		}
		n.setCut(true)
		for name, call := range shortCalls(c, h, detached) {
			checkEnds(t, name, call)
		}
		for name, call := range foreignCalls(c, detached) {
			checkEnds(t, name, call)
		}
		n.setCut(false)
	})
}

// noneLeft reports whether no node was left to ask before the context ended, or in the
// same moment.
func noneLeft(ctx context.Context, err error) bool {
	return errors.Is(err, ErrUnavailable) && (ctx.Err() == nil || errors.Is(err, errSilent))
}

func checkEnds(t *testing.T, name string, call func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errOwn)
	begin := time.Now()
	err := call(ctx)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errOwn) {
		t.Errorf("%s, ended before: got %v, want context.Canceled and the cause", name, err)
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	stop := time.AfterFunc(time.Second, func() { cancel(errOwn) })
	defer stop.Stop()
	err = call(ctx)
	if noneLeft(ctx, err) {
		return
	}
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errOwn) {
		t.Errorf("%s, ended while it waits: got %v, want context.Canceled and the cause", name, err)
	}
	late, done := context.WithTimeoutCause(t.Context(), time.Second, errOwn)
	defer done()
	err = call(late)
	if noneLeft(late, err) {
		return
	}
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errOwn) {
		t.Errorf("%s: got %v, want context.DeadlineExceeded and the cause", name, err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("%s: got an end after %s, want it with the context", name, took)
	}
}

// TestNeverHeld uses holds that were never granted.
func TestNeverHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		ctx := t.Context()
		var nobody *Held
		var none *HeldAll
		for name, err := range map[string]error{
			"Unlock": new(Held).Unlock(ctx), "nil Unlock": nobody.Unlock(ctx),
			"Convert": new(Held).Convert(ctx, Shared), "nil Convert": nobody.Convert(ctx, Shared),
			"SetPayload": new(Held).SetPayload(ctx, nil), "nil SetPayload": nobody.SetPayload(ctx, nil),
			"SetLabels": new(Held).SetLabels(ctx, nil), "Renew": new(Held).Renew(ctx, time.Second),
			"nil Renew": nobody.Renew(ctx, time.Second), "Resign": Leadership{}.Resign(ctx),
			"Proclaim": Leadership{}.Proclaim(ctx, nil), "HeldAll": new(HeldAll).Unlock(ctx),
			"nil HeldAll": none.Unlock(ctx), "HeldAll SetPayload": new(HeldAll).SetPayload(ctx, nil),
			"nil SetPayload of all": none.SetPayload(ctx, nil),
			"HeldAll SetLabels":     new(HeldAll).SetLabels(ctx, nil),
			"Context":               context.Cause(new(Held).Context()),
			"HeldAll Context":       context.Cause(new(HeldAll).Context()),
			"Upgrade":               c.RWMutex("a").Upgrade(ctx, nil),
			"TryUpgrade":            c.RWMutex("a").TryUpgrade(ctx, new(Held)),
			"Downgrade":             c.RWMutex("a").Downgrade(ctx, new(Held)),
		} {
			if !errors.Is(err, ErrUnlocked) {
				t.Errorf("%s: got %v, want ErrUnlocked", name, err)
			}
		}
		var got error
		new(Held).UnlockAsync(func(_ *Held, err error) { got = err })
		if !errors.Is(got, ErrUnlocked) {
			t.Errorf("UnlockAsync: got %v, want ErrUnlocked", got)
		}
		h := new(Held)
		if h.Token() != 0 || h.Session() != 0 || h.Valid() || !h.SafeUntil().IsZero() ||
			h.Name() != "" || h.Permits() != 0 || h.Mode() != Exclusive {
			t.Error("a zero Held: got something, want nothing")
		}
		select {
		case <-h.Lost():
			t.Error("a zero Held: got lost, want it never to be")
		default:
		}
		all := new(HeldAll)
		if all.Valid() || !all.SafeUntil().IsZero() || all.Token("a") != 0 || len(all.Tokens()) != 0 {
			t.Error("a zero HeldAll: got something, want nothing")
		}
	})
}

// TestNoClient proves that what no Client made says so.
func TestNoClient(t *testing.T) {
	ctx := t.Context()
	for name, use := range map[string]func(){
		"RWMutex":   func() { _, _ = RWMutex{}.Lock(ctx) },
		"Semaphore": func() { _, _ = Semaphore{capacity: 1}.Acquire(ctx, 1) },
		"Latch":     func() { _ = Latch{}.Wait(ctx) },
		"Event":     func() { _, _ = Event{}.IsSet(ctx) },
		"Barrier":   func() { _, _ = Barrier{parties: 1}.Wait(ctx) },
		"Election":  func() { _, _ = Election{}.Leader(ctx) },
		"Campaign":  func() { _, _ = Election{}.Campaign(ctx) },
		"Observe":   func() { Election{}.Observe(ctx)(func(Leader, error) bool { return false }) },
	} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || text != noClient {
					t.Errorf("zero %s: got panic %q, want %q", name, text, noClient)
				}
			}()
			use()
		}()
	}
}

// TestTimesWithoutEnd waits as long as a number can say.
func TestTimesWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.with(func(d *dumbCluster) { d.delay = func() Instant { return 500e6 } })
		c := n.client(t, Options{RequestTimeout: math.MaxInt64, DialTimeout: math.MaxInt64})
		if _, err := c.TryLock(t.Context(), "a"); err != nil {
			t.Errorf("got %v, want the lock", err)
		}
	})
	o := Options{Heartbeat: math.MaxInt64 / 4, Misses: 10}
	if o, err := o.withDefaults(); !errors.Is(err, ErrOptions) {
		t.Errorf("heartbeat of %s: got %v and a lease of %s, want ErrOptions", o.Heartbeat, err, o.Lease)
	}
}

// TestLongTimes asks for times that do not fit.
func TestLongTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		ctx := t.Context()
		for _, d := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, -1, longest + 1,
			math.MinInt64} {
			_, minHold := c.TryLockWith(ctx, "a", LockOptions{MinHold: d})
			_, delay := c.TryLockWith(ctx, "a", LockOptions{LockDelay: d})
			_, detached := c.TryDetached(ctx, "a", d)
			for name, err := range map[string]error{"MinHold": minHold, "LockDelay": delay,
				"TryDetached": detached, "Event": c.Event("e").SetWith(ctx, GateOptions{TTL: d}),
				"Latch": c.Latch("l").SetWith(ctx, 1, GateOptions{TTL: d})} {
				if !errors.Is(err, ErrOptions) {
					t.Errorf("%s %d: got %v, want ErrOptions", name, d, err)
				}
			}
		}
	})
}
