package locktest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
)

// wantsOf asks for each of some names for itself alone.
func wantsOf(names []string) []client.Want {
	wants := make([]client.Want, len(names))
	for i, name := range names {
		wants[i].Name = name
	}
	return wants
}

// TestLockAllData proves that what others read of several locks can be changed while they
// are held, of each of them, be they of one group or of several.
func TestLockAllData(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 2})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	names := []string{"a", "b", "c", "d", "e", "f"}
	all, err := a.LockAllWith(ctx, wantsOf(names), client.LockAllOptions{Payload: []byte("0 %")})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"50 %", ""} {
		labels := map[string]string{"step": "of " + want}
		if err := errors.Join(all.SetPayload(ctx, []byte(want)), all.SetLabels(ctx, labels)); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			x, err := b.Get(ctx, name)
			if err != nil || string(x.Holders[0].Payload) != want ||
				x.Holders[0].Labels["step"] != "of "+want {
				t.Errorf("%s: got %+v, %v, want %q", name, x, err, want)
			}
		}
	}
	if err := all.SetPayload(ctx, make([]byte, 5000)); !errors.Is(err, client.ErrOptions) {
		t.Errorf("too long: got %v, want %v", err, client.ErrOptions)
	}
	if err := b.ForceRelease(ctx, "c", all.Token("c"), "test"); err != nil {
		t.Fatal(err)
	}
	if err := all.SetLabels(ctx, nil); !errors.Is(err, client.ErrForced) {
		t.Errorf("forced: got %v, want it lost by force", err)
	}
	if err := all.Unlock(ctx); !errors.Is(err, client.ErrLost) {
		t.Errorf("unlock: got %v, want it lost", err)
	}
	if err := all.SetPayload(ctx, nil); !errors.Is(err, client.ErrLost) {
		t.Errorf("after the end: got %v, want it lost", err)
	}
}

// TestLockAllPanics proves that nothing of several locks stays taken whose caller's OnWait
// panics.
func TestLockAllPanics(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 4})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	names := []string{"a", "b", "c", "d", "e", "f"}
	held, err := b.LockAll(ctx, names[3:]...)
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic came through")
			}
		}()
		_, _ = a.LockAllWith(ctx, wantsOf(names), client.LockAllOptions{
			OnWait: func(client.WhyInfo) { panic("boom") }})
	}()
	if err := held.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.LockAll(ctx, names...); err != nil {
		t.Errorf("got %v, want all free", err)
	}
}

// TestLockAllTerms proves on a cluster of three, over several groups, that a LockAll brings
// what a Lock does to each of its locks: others read its data, it ends by its max hold, and
// what it gives back early stays taken.
func TestLockAllTerms(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 4})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	names := []string{"a", "b", "c", "d", "e", "f"}
	wants := wantsOf(names)
	const span = time.Second
	began := time.Now()
	all, err := a.TryLockAllWith(ctx, wants, client.LockAllOptions{Payload: []byte("job"),
		Labels: map[string]string{"run": "7"}, MaxHold: span})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		x, err := b.Get(ctx, name)
		if err != nil || string(x.Holders[0].Payload) != "job" || x.Holders[0].Labels["run"] != "7" {
			t.Errorf("%s: got %+v, %v, want its payload and label", name, x, err)
		}
	}
	most, safe := all.MaxUntil(), all.SafeUntil()
	if most.IsZero() || most.After(began.Add(span+100*time.Millisecond)) ||
		safe.After(most.Add(time.Millisecond)) {
		t.Errorf("got max hold until %v, safe until %v, want neither after %v", most, safe,
			began.Add(span))
	}
	<-all.Lost()
	if cause := context.Cause(all.Context()); !errors.Is(cause, client.ErrMaxHold) ||
		!errors.Is(cause, client.ErrLost) {
		t.Errorf("lost: got %v, want it by max hold", cause)
	}
	next, err := b.LockAllWith(ctx, wants, client.LockAllOptions{MinHold: span})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < span {
		t.Errorf("passed on after %v, want %v", took, span)
	}
	if !next.MaxUntil().IsZero() {
		t.Errorf("without a max hold: got one until %v", next.MaxUntil())
	}
	began = time.Now()
	if err := next.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var held *client.HeldError
		_, err := a.TryLock(ctx, name)
		if !errors.As(err, &held) || !held.Info.Holders[0].Kept {
			t.Errorf("%s: got %v, want it to stay taken", name, err)
		}
	}
	if _, err := a.LockAll(ctx, names...); err != nil {
		t.Error(err)
	}
	// Of the last group the hold began when it was granted, before began.
	if took := time.Since(began); took < span/2 {
		t.Errorf("passed on after %v, want about %v", took, span)
	}
	if err := all.Unlock(ctx); !errors.Is(err, client.ErrLost) {
		t.Errorf("unlock of what is lost: got %v, want ErrLost", err)
	}
}

// TestLockAllDelay proves that each lock of a LockAll that is lost with its session stays
// taken for its delay.
func TestLockAllDelay(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	all, err := a.LockAllWith(ctx, []client.Want{{Name: "x"}, {Name: "y", Mode: client.Shared}},
		client.LockAllOptions{LockDelay: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	until := all.SafeUntil() // of a lease that is renewed no more, or later
	cluster.Expire("x")
	cluster.Expire("y")
	<-all.Lost()
	h, err := b.RWMutex("y").RLock(ctx) // who gets along with it is let in
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Error(err)
	}
	lock(ctx, t, b, "x")
	lock(ctx, t, b, "y")
	if took := time.Since(until); took < time.Second {
		t.Errorf("passed on %v after the lease, want a second", took)
	}
}

// TestLockAllOnWait proves that who waits for several locks is told at which it is
// stopped, one after the other, in whichever group that is.
func TestLockAllOnWait(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 4})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{Name: "other"}), cluster.Client(t, client.Options{})
	names := []string{"a", "b", "c", "d", "e", "f"}
	held := map[string]*client.Held{}
	for _, name := range names[1:] {
		held[name] = lock(ctx, t, a, name)
	}
	wants := wantsOf(names)
	stops := make(chan client.WhyInfo, 64)
	done := make(chan error, 1)
	go func() {
		all, err := b.LockAllWith(ctx, wants, client.LockAllOptions{
			OnWait: func(w client.WhyInfo) { stops <- w }})
		if err == nil {
			err = all.Unlock(ctx)
		}
		done <- err
	}()
	var told []string
	for len(held) > 0 {
		w := <-stops
		h := held[w.Name]
		if h == nil {
			t.Fatalf("told of %q, which is free, or was told before: %q", w.Name, told)
		}
		if w.Position != 1 || len(w.Holders) != 1 || w.Holders[0].Token != h.Token() ||
			w.Holders[0].Client != "other" {
			t.Errorf("%s: got place %d behind %+v, want the first behind its holder", w.Name,
				w.Position, w.Holders)
		}
		told = append(told, w.Name)
		delete(held, w.Name)
		if err := h.Unlock(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	slices.Sort(told)
	if !slices.Equal(told, names[1:]) {
		t.Errorf("got told of %q, want each that was held", told)
	}
}

// TestLockAllRefuses proves that what cannot be is refused before anything is asked for,
// and what a group has no room for with nothing held.
func TestLockAllRefuses(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	c := cluster.Client(t, client.Options{})
	wants := []client.Want{{Name: "a"}, {Name: "b"}}
	for name, opts := range map[string]client.LockAllOptions{
		"payload":           {Payload: make([]byte, 4097)},
		"labels":            {Labels: map[string]string{"": "x"}},
		"text":              {Labels: map[string]string{"k": "\xff"}},
		"negative":          {MaxHold: -1},
		"long":              {LockDelay: 100 * 24 * time.Hour},
		"above the max":     {MinHold: time.Minute, MaxHold: time.Second},
		"above the cluster": {MinHold: 25 * time.Hour},
	} {
		if _, err := c.LockAllWith(ctx, wants, opts); !errors.Is(err, client.ErrOptions) {
			t.Errorf("%s: got %v, want ErrOptions", name, err)
		}
	}
	for _, w := range wants {
		if _, err := c.Get(ctx, w.Name); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("%s: got %v, want it free", w.Name, err)
		}
	}
}

// TestLockAllResumed proves that a client that goes on with what another start was granted
// by LockAll can do with each hold what it can with any, but convert it.
func TestLockAllResumed(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	names := []string{"x", "y", "z"}
	a := cluster.Client(t, client.Options{SessionFile: first})
	if _, err := a.LockAll(ctx, names...); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c := cluster.Client(t, client.Options{SessionFile: second}) // as if a had died
	resumed := c.Resumed()
	if len(resumed) != len(names) {
		t.Fatalf("got %d holds, want %d", len(resumed), len(names))
	}
	for _, h := range resumed {
		if err := h.SetPayload(ctx, []byte(h.Name())); err != nil {
			t.Errorf("%s: payload: got %v, want no error", h.Name(), err)
		}
		x, err := c.Get(ctx, h.Name())
		if err != nil || string(x.Holders[0].Payload) != h.Name() {
			t.Errorf("%s: got %+v, %v, want its payload", h.Name(), x, err)
		}
		if err := h.Convert(ctx, client.Shared); !errors.Is(err, client.ErrOptions) {
			t.Errorf("%s: convert: got %v, want ErrOptions", h.Name(), err)
		}
		if err := h.Unlock(ctx); err != nil {
			t.Errorf("%s: unlock: got %v, want no error", h.Name(), err)
		}
	}
}

// TestLockAllOutlasted proves that a call whose max hold is over in one group while it
// still waits for another fails with that, and holds nothing.
func TestLockAllOutlasted(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 4})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	names := []string{"a", "b", "c", "d", "e", "f"}
	wants := wantsOf(names)
	outlasted := 0
	for _, name := range names { // the group of some is not the first that is asked
		h := lock(ctx, t, a, name)
		bounded, cancel := context.WithTimeout(ctx, 700*time.Millisecond)
		_, err := b.LockAllWith(bounded, wants, client.LockAllOptions{MaxHold: 200 * time.Millisecond})
		cancel()
		var lost *client.LostError
		switch {
		case errors.As(err, &lost) && errors.Is(err, client.ErrMaxHold):
			outlasted++
		case !errors.Is(err, context.DeadlineExceeded):
			t.Errorf("%s: got %v, want the end of the max hold or of the wait", name, err)
		}
		if err := h.Unlock(ctx); err != nil {
			t.Error(err)
		}
	}
	if outlasted == 0 {
		t.Error("got no call that was outlasted, want one")
	}
	if _, err := a.LockAll(ctx, names...); err != nil {
		t.Error(err)
	}
}

// TestLockAllInAnyOrder has many take overlapping names of several groups at once, each in
// an order of its own and without Detect: all come through, and no two have a name together.
func TestLockAllInAnyOrder(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 4})
	ctx := within(t)
	const names, callers, rounds = 6, 8, 25
	var held [names]atomic.Int32
	var all sync.WaitGroup
	for caller := range callers {
		c := cluster.Client(t, client.Options{})
		all.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(caller), 0))
			for range rounds {
				picked := dice.Perm(names)[:2+dice.IntN(names-1)]
				var wants []string
				for _, i := range picked {
					wants = append(wants, fmt.Sprint("name-", i))
				}
				h, err := c.LockAll(ctx, wants...)
				if err != nil {
					t.Errorf("%q: %v", wants, err)
					return
				}
				for _, i := range picked {
					if n := held[i].Add(1); n != 1 {
						t.Errorf("name-%d is held %d times", i, n)
					}
				}
				for _, i := range picked {
					held[i].Add(-1)
				}
				if err := h.Unlock(ctx); err != nil {
					t.Errorf("%q: unlock: %v", wants, err)
				}
			}
		})
	}
	all.Wait()
	look := cluster.Client(t, client.Options{})
	if left, err := look.List(ctx, "", client.ListOptions{}); err != nil || len(left) > 0 {
		t.Errorf("got %+v, %v left, want nothing", left, err)
	}
}
