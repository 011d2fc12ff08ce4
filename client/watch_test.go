package client

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// follow pulls the events of a watch; stop ends it.
func follow(t *testing.T, c *Client, name string, opts WatchOptions) (
	next func() WatchEvent, stop func()) {
	t.Helper()
	pull, stop := iter.Pull2(c.Watch(t.Context(), name, opts))
	return func() WatchEvent {
		t.Helper()
		e, err, ok := pull()
		if err != nil || !ok {
			t.Fatalf("watch %q: %v, %v", name, err, ok)
		}
		return e
	}, stop
}

func TestWatchOneLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{Name: "a"}), n.client(t, Options{Name: "b"})
		next, stop := follow(t, b, "a", WatchOptions{})
		defer stop()
		if e := next(); e.Change != LockPresent || !e.Free() || e.Name != "a" {
			t.Errorf("free: got %+v", e)
		}
		h := lock(t, a, "a")
		if e := next(); e.Change != LockAcquired || e.Token != h.Token() || e.Holders != 1 ||
			e.Mode != Exclusive {
			t.Errorf("held: got %+v, want token %d", e, h.Token())
		}
		var wg sync.WaitGroup
		wg.Go(func() { unlock(t, lock(t, b, "a")) })
		if e := next(); e.Change != LockChanged || e.Waiters != 1 {
			t.Errorf("waited for: got %+v", e)
		}
		last := next
		unlock(t, h)
		wg.Wait()
		e := last()
		for !e.Free() {
			e = last()
		}
		if e.Change != LockReleased || e.Waiters != 0 || e.Token != 0 {
			t.Errorf("free again: got %+v", e)
		}
		stop()
		n.until(t, "the watch to end", func() bool { return n.watches() == 0 })
		// Whoever goes on from there is not told the same again.
		next, stop = follow(t, a, "a", WatchOptions{From: e.Version})
		defer stop()
		h = lock(t, b, "a")
		if e := next(); e.Token != h.Token() {
			t.Errorf("from version %s: got %+v, want token %d", e.Version, e, h.Token())
		}
	})
}

// watches counts those of all groups.
func (n *testNodes) watches() (all int) {
	n.with(func(d *dumbCluster) {
		for _, g := range d.groups {
			all += len(g.watches)
		}
	})
	return all
}

// TestWatchSurvives proves that leaders that move and conns that break do not show
// in a watch, and that what happened meanwhile does.
func TestWatchSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		next, stop := follow(t, b, "a", WatchOptions{})
		defer stop()
		last := next()
		check := func(what string, token uint64) {
			t.Helper()
			e := next()
			for e.Token != token {
				e = next()
			}
			if e.Version.Slot < last.Version.Slot {
				t.Errorf("%s: version %s after %s", what, e.Version, last.Version)
			}
			last = e
		}
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 3) })
		h := lock(t, a, "a")
		check("leader moved", h.Token())
		n.with(func(d *dumbCluster) { d.quiet = true }) // the leader tells nobody, and goes
		unlock(t, h)
		h = lock(t, a, "a")
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 1); d.quiet = false })
		check("told by the next leader", h.Token())
		for node := range uint16(3) {
			n.resetNode(node + 1)
		}
		unlock(t, h)
		check("conns reset", 0)
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 3) })
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 1) })
		h = lock(t, a, "a")
		check("there and back", h.Token())
	})
}

func TestWatchPrefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		held := map[string]*Held{}
		for _, name := range names(20) {
			held[name] = lock(t, a, name)
		}
		lock(t, a, "other")
		next, stop := follow(t, b, "job/", WatchOptions{Prefix: NamePrefix})
		defer stop()
		view := map[string]uint64{}
		take := func(want func() bool) {
			t.Helper()
			for !want() {
				e := next()
				if view[e.Name] = e.Token; e.Free() {
					delete(view, e.Name)
				}
			}
		}
		agrees := func() bool {
			for name, h := range held {
				if view[name] != h.Token() {
					return false
				}
			}
			return len(view) == len(held)
		}
		take(agrees)
		free := func(name string) { unlock(t, held[name]); delete(held, name) }
		free("job/07")
		take(agrees)
		// What is freed and taken while no leader tells shows when one does.
		n.with(func(d *dumbCluster) { d.quiet = true })
		free("job/03")
		free("job/11")
		held["job/20"] = lock(t, a, "job/20")
		n.with(func(d *dumbCluster) {
			for g := range d.groups {
				d.lead(g, uint16(g%3+2)%3+1)
			}
			d.quiet = false
		})
		take(agrees)
		stop()
		n.until(t, "the watches to end", func() bool { return n.watches() == 0 })
	})
}

// TestWatchEnds proves how a watch ends, and that nothing is left behind.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		next, stop := iter.Pull2(c.Watch(ctx, "a", WatchOptions{}))
		defer stop()
		if _, err, _ := next(); err != nil {
			t.Fatal(err)
		}
		cancel(cause)
		if _, err, ok := next(); !ok || !errors.Is(err, cause) {
			t.Errorf("context ended: got %v, %v, want its cause", err, ok)
		}
		if _, _, ok := next(); ok {
			t.Error("after the error: got another, want the end")
		}
		n.until(t, "the watch to end", func() bool { return n.watches() == 0 })
		for name, want := range map[string]error{"": ErrBadName, "x\x00": ErrBadName} {
			for _, err := range c.Watch(t.Context(), name, WatchOptions{}) {
				if !errors.Is(err, want) {
					t.Errorf("%q: got %v, want %v", name, err, want)
				}
			}
		}
		bad := WatchOptions{Prefix: NamePrefix, From: Version{1, 2}}
		for _, err := range c.Watch(t.Context(), "", bad) {
			if !errors.Is(err, ErrOptions) {
				t.Errorf("prefix from a version: got %v, want ErrOptions", err)
			}
		}
		open, stop := iter.Pull2(c.Watch(t.Context(), "", WatchOptions{Prefix: NamePrefix}))
		defer stop()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err, _ := open(); !errors.Is(err, ErrClosed) {
				t.Errorf("client closed: got %v, want ErrClosed", err)
			}
		})
		synctest.Wait()
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		for _, err := range c.Watch(t.Context(), "a", WatchOptions{}) {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("after Close: got %v, want ErrClosed", err)
			}
		}
	})
}

func TestWatchNeedsNewNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.with(func(d *dumbCluster) { d.version = wire.VersionKinds })
		c := n.client(t, Options{})
		for _, err := range c.Watch(t.Context(), "a", WatchOptions{}) {
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("watch: got %v, want ErrUnsupported", err)
			}
		}
		if _, err := c.Why(t.Context(), "a"); !errors.Is(err, ErrUnsupported) {
			t.Errorf("why: got %v, want ErrUnsupported", err)
		}
		if _, err := c.Top(t.Context(), 3); !errors.Is(err, ErrUnsupported) {
			t.Errorf("top: got %v, want ErrUnsupported", err)
		}
		told := func(WhyInfo) { t.Error("told by nodes that cannot") }
		h, err := c.LockWith(t.Context(), "a", LockOptions{OnWait: told})
		if err != nil {
			t.Fatal(err)
		}
		unlock(t, h)
	})
}

// TestSeen proves that the nodes are told of the pushes that have come, and again
// when that found no room.
func TestSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		next, stop := follow(t, b, "a", WatchOptions{})
		defer stop()
		next() // nothing is asked before
		for range 3 * seenEvery {
			unlock(t, lock(t, a, "a"))
			synctest.Wait()
		}
		last := lock(t, a, "a").Token()
		for e := next(); e.Token != last; {
			e = next()
		}
		synctest.Wait()
		n.with(func(d *dumbCluster) {
			seen := uint64(0)
			for _, k := range d.conns {
				seen = max(seen, k.seen)
			}
			if int(seen) < d.pushes-2*seenEvery || seen == 0 {
				t.Errorf("got %d of %d pushes seen", seen, d.pushes)
			}
		})
	})
}

// TestSeenIsRepeated plays a node that has no room for it.
func TestSeenIsRepeated(t *testing.T) {
	b := newBench(t)
	e := b.core.endpoints[0]
	e.version = wire.Version
	x := &Call{Kind: wire.KindWatch, Name: "a", View: NewView("a", Version{})}
	b.core.Start(x)
	watch := b.one(1, wire.KindWatch)
	for i := range uint64(seenEvery) {
		b.receive(1, wire.AppendWatched(nil, wire.Header{Request: watch.Request}, &wire.Watched{
			Slot: i + 1, Token: i, Holders: 1, Change: wire.ChangeAcquired, Name: []byte("a")}))
	}
	seen := b.one(1, wire.KindSeen)
	b.respond(1, seen, wire.Response{Status: wire.StatusBusy, RetryMillis: 20})
	if got := b.sent(1, wire.KindSeen); len(got) != 0 {
		t.Errorf("at once: got %d, want none", len(got))
	}
	b.after(time.Second)
	b.one(1, wire.KindSeen)
	if ev, ok := x.View.Next(); !ok || ev.Token != seenEvery-1 || ev.Version.Slot != seenEvery {
		t.Errorf("got %+v, want the last only", ev)
	}
	if _, ok := x.View.Next(); ok {
		t.Error("got two events, want one: they are of one lock")
	}
}

// TestTellingThatWasLeft proves that the end of a telling of which some went by, while
// the watch was with another node, does not make a lock free that is held.
func TestTellingThatWasLeft(t *testing.T) {
	b := newBench(t)
	b.core.endpoints[0].version, b.core.endpoints[1].version = wire.Version, wire.Version
	held := wire.Watched{Slot: 3, Token: 7, Holders: 1, Change: wire.ChangePresent, Name: []byte("a")}
	x := &Call{Kind: wire.KindWatch, View: NewPrefixView(nil)}
	b.core.Start(x)
	first := b.one(1, wire.KindWatch)
	synced := func(slot uint64, p wire.Phase) {
		b.receive(1, wire.AppendWatchSynced(nil, wire.Header{Request: first.Request},
			&wire.WatchSynced{Slot: slot, Phase: p}))
	}
	present := func(slot uint64) {
		held.Slot = slot
		b.receive(1, wire.AppendWatched(nil, wire.Header{Request: first.Request}, &held))
	}
	synced(3, wire.PhaseBegin)
	present(3)
	synced(3, wire.PhaseEnd)
	if e, ok := x.View.Next(); !ok || e.Holders != 1 {
		t.Fatalf("got %+v, %v, want that it is held", e, ok)
	}
	away := func(from ConnID, hint uint16) {
		b.respond(from, b.one(from, wire.KindGet), wire.Response{Status: wire.StatusNotLeader,
			Leader: hint})
	}
	synced(5, wire.PhaseBegin) // it was too far behind
	b.core.Start(&Call{Kind: wire.KindGet, Name: "b"})
	away(1, 2)
	b.after(time.Second)
	b.core.Tick(b.now)
	present(5) // goes by
	away(2, 1)
	b.after(time.Second)
	if got := b.one(1, wire.KindWatch); got.Request != first.Request {
		t.Fatalf("asked again as %d, want %d", got.Request, first.Request)
	}
	synced(5, wire.PhaseEnd)
	if e, ok := x.View.Next(); ok {
		t.Fatalf("got %+v of the rest of a telling that was left, want nothing", e)
	}
	synced(6, wire.PhaseBegin)
	synced(6, wire.PhaseEnd)
	if e, ok := x.View.Next(); !ok || e.Holders != 0 || e.Name != "a" {
		t.Errorf("got %+v, %v, want that it is free: a whole telling lacked it", e, ok)
	}
}

// TestTellingsAtOneSlot proves that what a telling of all leaves out is free, even if it
// was told at the very slot at which that telling begins.
func TestTellingsAtOneSlot(t *testing.T) {
	v := NewPrefixView(nil)
	sync := func(slot uint64, p wire.Phase) { v.sync(&wire.WatchSynced{Slot: slot, Phase: p}) }
	hear := func(slot uint64, name string) {
		v.take(&wire.Watched{Slot: slot, Holders: 1, Token: 7, Session: 1, Mode: wire.ModeEX,
			Change: wire.ChangePresent, Name: []byte(name)})
	}
	free := func() (names []string) {
		for e, ok := v.Next(); ok; e, ok = v.Next() {
			if e.Free() {
				names = append(names, e.Name)
			}
		}
		return names
	}
	sync(5, wire.PhaseBegin)
	hear(5, "a")
	hear(5, "b")
	sync(5, wire.PhaseEnd)
	sync(5, wire.PhaseBegin) // asked again, in the same slot
	hear(5, "b")
	sync(6, wire.PhaseEnd) // a was given back in 6, behind what had been told
	if got := free(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %v free, want a alone", got)
	}
	hear(9, "c")
	sync(8, wire.PhaseBegin) // of a node that is behind, and comes up while it tells
	hear(8, "c")
	sync(9, wire.PhaseEnd)
	if got := free(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("got %v free, want b alone: c was told, if of an older slot", got)
	}
}

// TestWhyAndOnWait proves that who waits hears where it stands, and hears it anew.
func TestWhyAndOnWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b, c := n.client(t, Options{Name: "a"}), n.client(t, Options{}), n.client(t, Options{})
		if why, err := c.Why(t.Context(), "a"); err != nil || why.Position != 0 {
			t.Errorf("free: got %+v, %v", why, err)
		}
		h := lock(t, a, "a")
		var wg sync.WaitGroup
		wg.Go(func() { unlock(t, lock(t, b, "a")) })
		n.until(t, "b to wait", func() bool { _, k := n.holder("a"); return k == 1 })
		var places []int
		wg.Go(func() {
			h, err := c.LockWith(t.Context(), "a", LockOptions{OnWait: func(w WhyInfo) {
				places = append(places, w.Position)
				if w.Usual != 1500*time.Millisecond || w.Samples != 2 || len(w.Holders) != 1 ||
					w.Estimate != time.Duration(w.Position)*1500*time.Millisecond {
					t.Errorf("got %+v", w)
				}
			}})
			if err != nil {
				t.Error(err)
				return
			}
			unlock(t, h)
		})
		n.until(t, "c to be told", func() bool { synctest.Wait(); return len(places) == 1 })
		why, err := c.Why(t.Context(), "a")
		if err != nil || why.Position != 3 || why.Holders[0].Client != "a" ||
			why.Holders[0].Since.IsZero() {
			t.Errorf("held: got %+v, %v", why, err)
		}
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 3) })
		synctest.Wait()
		unlock(t, h)
		wg.Wait()
		if places[0] != 2 || !slices.Contains(places, 2) || slices.Max(places) != 2 {
			t.Errorf("got places %v, want the second and perhaps the first", places)
		}
		n.until(t, "no watch to be left", func() bool { return n.watches() == 0 })
	})
}

func TestOnWaitIsNotForAsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		opts := LockOptions{OnWait: func(WhyInfo) {}}
		c.LockAsync(&Held{}, "a", opts, func(_ *Held, err error) {
			if !errors.Is(err, ErrOptions) {
				t.Errorf("got %v, want ErrOptions", err)
			}
		})
	})
}

func TestTop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		top, err := c.Top(t.Context(), 2)
		if err != nil || len(top) != 2 || top[0].Name != "hot/3" || top[0].Score != 30 ||
			top[1].Node != 2 || top[0].Usual >= 0 {
			t.Errorf("got %+v, %v", top, err)
		}
	})
}

func TestVersionText(t *testing.T) {
	v := Version{Slot: 4711, State: 0x9f3c}
	if got, err := ParseVersion(v.String()); err != nil || got != v {
		t.Errorf("%s: got %+v, %v", v, got, err)
	}
	for _, text := range []string{"", "4711", "x-1", "1-x"} {
		if _, err := ParseVersion(text); !errors.Is(err, ErrOptions) {
			t.Errorf("%q: got %v, want ErrOptions", text, err)
		}
	}
}

// A watch of a prefix that goes on from what another was told hears at first of what
// is not as it is known, each name once, free ones too, and of nothing else.
func TestWatchPrefixFromWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{Name: "a"}), n.client(t, Options{Name: "b"})
		stays, goes, again := lock(t, a, "p/stays"), lock(t, a, "p/goes"), lock(t, a, "p/again")
		next, stop := follow(t, b, "p/", WatchOptions{Prefix: NamePrefix})
		known := map[string]Version{"other": {1, 2}, "p/was free": {1, fingerprint(&wire.Watched{})}}
		for range 3 {
			e := next()
			known[e.Name] = e.Version
		}
		stop()
		unlock(t, goes)
		unlock(t, again)
		again, come := lock(t, a, "p/again"), lock(t, a, "p/come")
		opts := WatchOptions{Prefix: NamePrefix, Known: known}
		next, stop = follow(t, n.client(t, Options{Name: "c"}), "p/", opts)
		defer stop()
		got := map[string]WatchEvent{}
		for range 3 {
			e := next()
			got[e.Name] = e
		}
		if e := got["p/goes"]; e.Change != LockReleased || !e.Free() {
			t.Errorf("gone: got %+v", e)
		}
		if e := got["p/again"]; e.Token != again.Token() || e.Change != LockAcquired {
			t.Errorf("taken again: got %+v, want token %d", e, again.Token())
		}
		if e := got["p/come"]; e.Token != come.Token() || e.Change != LockAcquired {
			t.Errorf("new: got %+v, want token %d", e, come.Token())
		}
		unlock(t, stays)
		if e := next(); e.Name != "p/stays" || !e.Free() {
			t.Errorf("after that: got %+v, want that p/stays is free", e)
		}
		for e, err := range b.Watch(t.Context(), "p/stays", WatchOptions{Known: map[string]Version{}}) {
			if !errors.Is(err, ErrOptions) {
				t.Errorf("one name: got %+v, %v", e, err)
			}
		}
	})
}
