package client_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
)

// within is a context that ends before the test would be given up.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// first is the first event of a watch: how the lock stands.
func first(ctx context.Context, t *testing.T, c *client.Client, name string) client.WatchEvent {
	t.Helper()
	for e, err := range c.Watch(ctx, name, client.WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	return client.WatchEvent{}
}

// TestKeptIsSaid has every way to look at a lock say that its holder is gone.
func TestKeptIsSaid(t *testing.T) {
	t.Parallel()
	c := locktest.New(t, locktest.Options{}).Client(t, client.Options{Name: "batch"})
	ctx := within(t)
	kept, err := c.LockWith(ctx, "kept", client.LockOptions{MinHold: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryDetached(ctx, "detached", time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lock(ctx, "held"); err != nil {
		t.Fatal(err)
	}
	page, err := c.List(ctx, "", client.ListOptions{})
	if err != nil || len(page) != 3 {
		t.Fatalf("list: got %+v, %v, want three", page, err)
	}
	for _, e := range page {
		info, err := c.Get(ctx, e.Name)
		if err != nil {
			t.Fatal(err)
		}
		why, err := c.Why(ctx, e.Name)
		if err != nil {
			t.Fatal(err)
		}
		seen, h := first(ctx, t, c, e.Name), info.Holders[0]
		for what, got := range map[string][2]bool{"list": {e.Kept, e.Detached},
			"get": {h.Kept, h.Detached}, "watch": {seen.Kept, seen.Detached},
			"why": {why.Holders[0].Kept, why.Holders[0].Detached}} {
			if want := [2]bool{e.Name == "kept", e.Name == "detached"}; got != want {
				t.Errorf("%s of %s: got kept, detached %v, want %v", what, e.Name, got, want)
			}
		}
		if left := why.Estimate; e.Name == "kept" && (left < 59*time.Minute || left > 61*time.Minute) ||
			e.Name != "kept" && left >= 0 {
			t.Errorf("why %s: got an estimate of %s", e.Name, left)
		}
	}
}

// TestWhyOfOtherKinds asks what whoever comes to a semaphore or a gate would wait for.
func TestWhyOfOtherKinds(t *testing.T) {
	t.Parallel()
	c := locktest.New(t, locktest.Options{}).Client(t, client.Options{Name: "batch"})
	ctx := within(t)
	if _, err := c.Semaphore("sem", 2).Acquire(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Semaphore("full", 2).Acquire(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := c.Latch("latch").Set(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if err := c.Event("set").Set(ctx); err != nil {
		t.Fatal(err)
	}
	waits, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- c.Event("event").Wait(waits) }()
	go func() { _, err := c.Barrier("barrier", 3).Wait(waits); ended <- err }()
	defer func() {
		stop()
		<-ended
		<-ended
	}()
	for _, name := range []string{"event", "barrier"} { // until both wait
		for e, err := range c.Watch(ctx, name, client.WatchOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Waiters > 0 {
				break
			}
		}
	}
	for name, want := range map[string]struct {
		gate     client.GateKind
		position int
		number   int
	}{"sem": {}, "full": {position: 1}, "latch": {client.GateLatch, 1, 3},
		"set": {client.GateEvent, 0, 0}, "event": {client.GateEvent, 2, 0},
		"barrier": {client.GateBarrier, 2, 3}, "nothing": {}} {
		w, err := c.Why(ctx, name)
		if err != nil || w.Gate != want.gate || w.Position != want.position || w.Number != want.number ||
			w.Gate != 0 && w.Estimate >= 0 && w.Position > 0 {
			t.Errorf("%s: got %+v, %v, want %+v", name, w, err, want)
		}
	}
	if w, err := c.Why(ctx, "barrier"); err != nil || w.WaiterCount != 1 {
		t.Errorf("barrier: got %+v, %v, want one waiter", w, err)
	}
	if e := first(ctx, t, c, "set"); !e.Stands || e.Detached || e.Kept {
		t.Errorf("watch of an event: got %+v, want that it stands", e)
	}
	two, err := c.Why(ctx, "full")
	if err != nil || two.Holders[0].Permits != 2 {
		t.Errorf("full: got %+v, %v, want its holder", two, err)
	}
}

// TestWatchTellsThatTheHolderIsGone has a watch see that a lock stays taken although
// nobody has it any more, and an election that nobody leads then.
func TestWatchTellsThatTheHolderIsGone(t *testing.T) {
	t.Parallel()
	c := locktest.New(t, locktest.Options{}).Client(t, client.Options{Name: "batch"})
	ctx := within(t)
	h, err := c.LockWith(ctx, "job", client.LockOptions{MinHold: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull2(c.Watch(ctx, "job", client.WatchOptions{}))
	defer stop()
	held, err, _ := next()
	if err != nil || held.Kept || held.Client != "batch" {
		t.Fatalf("got %+v, %v, want the holder", held, err)
	}
	if l, err := c.Election("job", nil).Leader(ctx); err != nil || l.Token != h.Token() {
		t.Errorf("leader: got %+v, %v, want the holder", l, err)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	gone, err, _ := next()
	if err != nil || !gone.Kept || gone.Token != h.Token() ||
		gone.Version.State == held.Version.State {
		t.Errorf("got %+v, %v, want that it stays taken", gone, err)
	}
	if l, err := c.Election("job", nil).Leader(ctx); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("leader: got %+v, %v, want nobody", l, err)
	}
}

// TestForcedDetachedHold has who renews or releases a detached hold that was ended by
// force get a LostError with its name and token.
func TestForcedDetachedHold(t *testing.T) {
	t.Parallel()
	c := locktest.New(t, locktest.Options{}).Client(t, client.Options{})
	ctx := within(t)
	h, err := c.TryDetached(ctx, "job", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	d := client.DetachedHold{Name: "job", Session: h.Session(), Token: h.Token()}
	if err := c.ForceRelease(ctx, "job", h.Token(), "test"); err != nil {
		t.Fatal(err)
	}
	_, renewed := c.RenewDetached(ctx, d, time.Hour)
	for what, err := range map[string]error{"renewed by another": renewed,
		"released by another": c.ReleaseDetached(ctx, d), "renewed": h.Renew(ctx, time.Hour)} {
		var lost *client.LostError
		const want = `lock "job" (token 1) is lost: no hold has this token any more`
		if !errors.As(err, &lost) || lost.Token != h.Token() || err.Error() != want {
			t.Errorf("%s: got %v, want %s", what, err, want)
		}
	}
	if _, err := c.TryLock(ctx, ""); err == nil || err.Error() != "client: bad name: empty" {
		t.Errorf("no name: got %v, want it said once", err)
	}
}
