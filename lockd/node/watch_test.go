package node

import (
	"fmt"
	"testing"

	"lockd/netio/wire"
)

// watch asks for a watch and returns its request id.
func (u *user) watch(x wire.Watch) uint64 {
	h := u.header(wire.KindWatch)
	u.send(wire.AppendWatch(nil, h, &x))
	return h.Request
}

// pushes decodes what a conn was told, in order, by any node.
func (u *user) pushes(request uint64) (told []wire.Watched, synced []wire.WatchSynced,
	places []wire.Waiting) {
	u.w.t.Helper()
	for _, p := range u.w.opts.Nodes {
		b := u.w.nodes[p.ID].sent[u.conn]
		for len(b) > 0 {
			size, err := wire.FrameBytes(b, wire.MaxFrameBytes)
			if err != nil || size == 0 {
				u.w.t.Fatal(err)
			}
			h, body, err := wire.Parse(b[:size])
			b = b[size:]
			if err != nil || h.Request != request {
				continue
			}
			var bad error
			switch h.Kind {
			case wire.KindWatched:
				var x wire.Watched
				x, bad = wire.DecodeWatched(body)
				told = append(told, x)
			case wire.KindWatchSynced:
				var x wire.WatchSynced
				x, bad = wire.DecodeWatchSynced(body)
				synced = append(synced, x)
			case wire.KindWaiting:
				var x wire.Waiting
				x, bad = wire.DecodeWaiting(body)
				places = append(places, x)
			}
			if bad != nil {
				u.w.t.Fatal(bad)
			}
		}
	}
	return told, synced, places
}

// last returns what a watch was told last, after a while.
func (u *user) last(request uint64) wire.Watched {
	u.w.t.Helper()
	u.w.run(30 * Millisecond)
	told, _, _ := u.pushes(request)
	if len(told) == 0 {
		u.w.t.Fatalf("watch %d was told nothing", request)
	}
	return told[len(told)-1]
}

func TestWatchTellsPresentAndChanges(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	watch := b.watch(wire.Watch{Name: name})
	if x := b.last(watch); x.Change != wire.ChangePresent || x.Holders != 0 || x.Token != 0 {
		t.Errorf("free: got %+v", x)
	}
	held := a.lock(name)
	if x := b.last(watch); x.Change != wire.ChangeAcquired || x.Token != held.Token ||
		x.Holders != 1 || x.Session != a.session || string(x.Client) != "tester" ||
		x.Mode != wire.ModeEX || x.Slot < held.Slot {
		t.Errorf("held: got %+v, want token %d", x, held.Token)
	}
	waits := b.acquire(name, wire.FlagWait)
	if x := b.last(watch); x.Change != wire.ChangeOther || x.Waiters != 1 || x.Token != held.Token {
		t.Errorf("waited for: got %+v", x)
	}
	a.unlock(name, held.Token)
	next := b.want(waits, wire.StatusOK)
	if x := b.last(watch); x.Change != wire.ChangeAcquired || x.Token != next.Token || x.Waiters != 0 {
		t.Errorf("handed over: got %+v, want token %d", x, next.Token)
	}
	b.unlock(name, next.Token)
	x := b.last(watch)
	if x.Change != wire.ChangeReleased || x.Holders != 0 || x.Token != 0 || len(x.Client) != 0 {
		t.Errorf("released: got %+v", x)
	}
	late := a.watch(wire.Watch{Name: name, From: x.Slot})
	w.run(30 * Millisecond)
	if told, _, _ := a.pushes(late); w.leaderOf(0).node.group(0).machine.Applied() == x.Slot &&
		len(told) > 0 {
		t.Errorf("from slot %d on: got %+v, want nothing", x.Slot, told)
	}
}

func TestWatchTellsExpiry(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.lasting(2, 0, 60_000)
	a.lock(name)
	watch := b.watch(wire.Watch{Name: name})
	w.run(4 * Second)
	if x := b.last(watch); x.Change != wire.ChangeExpired || x.Holders != 0 {
		t.Errorf("got %+v, want it expired", x)
	}
}

// Unwatch ends a watch, before it has begun too, and each is answered once.
func TestUnwatch(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a := w.user(1, 0)
	watch := a.watch(wire.Watch{Name: name})
	a.last(watch)
	n := w.leaderOf(0).node
	for range 2 { // the second finds none
		h := a.header(wire.KindUnwatch)
		frame := wire.AppendUnwatch(nil, h, &wire.Unwatch{Target: watch})
		if x := w.call(1, h, frame); x.Status != wire.StatusOK {
			t.Errorf("unwatch: got %v, want ok", x.Status)
		}
	}
	a.want(watch, wire.StatusCancelled)
	early := a.watch(wire.Watch{Name: name})
	h := a.header(wire.KindUnwatch)
	a.send(wire.AppendUnwatch(nil, h, &wire.Unwatch{Target: early}))
	a.want(h.Request, wire.StatusOK)
	a.want(early, wire.StatusCancelled)
	if g := n.group(0); n.watching != 0 || g.watches != nil || n.conns.find(1).inFlight != 0 {
		t.Errorf("left: %d watches, %+v, %d in flight", n.watching, g.watches,
			n.conns.find(1).inFlight)
	}
}

// A watch ends with its conn, and with the leadership, of which the client hears.
func TestWatchEndsWithConnAndLeadership(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	a.last(a.watch(wire.Watch{Name: name}))
	b.watch(wire.Watch{Scope: wire.ScopePrefix})
	x := b.watch(wire.Watch{Scope: wire.ScopeWaiter, Name: name, Session: 1, Target: 2})
	w.run(30 * Millisecond)
	old := w.leaderOf(0)
	if old.node.watching != 3 {
		t.Fatalf("got %d watches, want 3", old.node.watching)
	}
	old.inbox.ConnClosed(1)
	w.run(30 * Millisecond)
	if old.node.watching != 2 || len(old.node.group(0).watches.of) != 2 {
		t.Errorf("conn gone: got %d watches, want 2", old.node.watching)
	}
	old.inbox.Drain(DrainToStop, nil)
	w.run(Second)
	if old.node.watching != 0 || old.node.group(0).watches != nil {
		t.Errorf("deposed: got %d watches", old.node.watching)
	}
	if c := old.node.conns.find(2); c.inFlight != 0 || len(c.watches) != 0 {
		t.Errorf("conn: got %d in flight, %d watches", c.inFlight, len(c.watches))
	}
	if old == w.leaderOf(0) || !b.moved() {
		t.Errorf("watch %d: its conn was not told that the group moved", x)
	}
}

// moved reports whether a conn was told so of any group.
func (u *user) moved() bool {
	for _, n := range u.w.nodes {
		b := n.sent[u.conn]
		for len(b) > 0 {
			size, _ := wire.FrameBytes(b, wire.MaxFrameBytes)
			if h, _, _ := wire.Parse(b[:size]); h.Kind == wire.KindMoved {
				return true
			}
			b = b[size:]
		}
	}
	return false
}

// prefixView is what a watch of a prefix knows, as a client works it out.
func prefixView(told []wire.Watched) map[string]uint64 {
	view := map[string]uint64{}
	for _, x := range told {
		if x.Holders+x.Waiters == 0 {
			delete(view, string(x.Name))
		} else {
			view[string(x.Name)] = x.Token
		}
	}
	return view
}

func TestWatchOfPrefix(t *testing.T) {
	w := newWorld(t, testOptions())
	a, b := w.lasting(1, 0, 60_000), w.user(2, 0)
	tokens := map[string]uint64{}
	for i := range 2*wire.MaxPage + 5 {
		name := w.nameIn(0, i)
		tokens[string(name)] = a.lock(name).Token
	}
	watch := b.watch(wire.Watch{Scope: wire.ScopePrefix, Name: []byte("lock-1")})
	other := b.watch(wire.Watch{Scope: wire.ScopePrefix, Name: []byte("none/")})
	w.run(50 * Millisecond)
	told, synced, _ := b.pushes(watch)
	want := map[string]uint64{}
	for name, token := range tokens {
		if name[:6] == "lock-1" {
			want[name] = token
		}
	}
	if got := prefixView(told); fmt.Sprint(got) != fmt.Sprint(want) || len(told) != len(want) {
		t.Errorf("present: got %v, want %v", got, want)
	}
	if len(synced) != 2 || synced[0].Phase != wire.PhaseBegin || synced[1].Phase != wire.PhaseEnd {
		t.Errorf("got %+v, want a beginning and an end", synced)
	}
	name := w.nameIn(0, 1)
	a.unlock(name, tokens[string(name)])
	if x := b.last(watch); x.Change != wire.ChangeReleased || string(x.Name) != string(name) {
		t.Errorf("got %+v, want %q released", x, name)
	}
	if told, synced, _ := b.pushes(other); len(told) > 0 || len(synced) != 2 {
		t.Errorf("other prefix: got %v, %v", told, synced)
	}
}

// A conn that does not say what it has seen is told no more than a bound; when it
// does, it is told how everything stands, by telling all anew if need be.
func TestSlowWatchIsToldLatest(t *testing.T) {
	w := newWorld(t, testOptions())
	a, b := w.lasting(1, 0, 60_000), w.user(2, 0)
	one, name := b.watch(wire.Watch{Name: w.nameIn(0, 0)}), w.nameIn(0, 0)
	all := b.watch(wire.Watch{Scope: wire.ScopePrefix})
	w.run(30 * Millisecond)
	n := w.leaderOf(0).node
	c := n.conns.find(2)
	free := func(name []byte, token uint64) { a.release(name, token); w.run(10 * Millisecond) }
	for c.pushed < maxUnseen {
		free(name, a.lock(name).Token)
	}
	for i, end := 1, n.group(0).watches.end()+2*maxChanged+1; n.group(0).watches.end() < end; i++ {
		free(w.nameIn(0, i%40), a.lock(w.nameIn(0, i%40)).Token)
		if c.pushed > maxUnseen+1 {
			t.Fatalf("got %d pushes, want %d at most", c.pushed, maxUnseen)
		}
	}
	held := a.lock(name)
	told, _, _ := b.pushes(one)
	for i := 1; i < len(told); i++ {
		if told[i].Slot <= told[i-1].Slot {
			t.Fatalf("slot %d after %d", told[i].Slot, told[i-1].Slot)
		}
	}
	b.send(wire.AppendSeen(nil, wire.Header{}, &wire.Seen{Total: c.pushed}))
	if x := b.last(one); x.Token != held.Token {
		t.Errorf("lock: got token %d, want %d", x.Token, held.Token)
	}
	told, synced, _ := b.pushes(all)
	if got := prefixView(told)[string(name)]; got != held.Token || n.stats.Retold == 0 {
		t.Errorf("prefix: got token %d, want %d, retold %d", got, held.Token, n.stats.Retold)
	}
	if k := len(synced); k != 4 || synced[2].Phase != wire.PhaseBegin ||
		synced[3].Phase != wire.PhaseEnd {
		t.Errorf("synced: got %+v, want twice", synced)
	}
	b.send(wire.AppendSeen(nil, wire.Header{}, &wire.Seen{Total: c.pushed + 1}))
	w.run(10 * Millisecond)
}

func TestWatchesAreBounded(t *testing.T) {
	w := newWorld(t, testOptions())
	a := w.user(1, 0)
	for range maxPrefixes {
		a.watch(wire.Watch{Scope: wire.ScopePrefix})
	}
	over := a.watch(wire.Watch{Scope: wire.ScopePrefix})
	a.want(over, wire.StatusTooManyWaiters)
	bad := a.watch(wire.Watch{})
	a.want(bad, wire.StatusNameTooLong)
	stranger := a.watch(wire.Watch{Name: w.nameIn(1, 0)})
	a.want(stranger, wire.StatusWrongGroup)
}

// Who waits is told its place, who is in the way, how long that usually takes.
func TestWaiterIsToldItsPlace(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b, c := w.lasting(1, 0, 60_000), w.lasting(2, 0, 60_000), w.lasting(3, 0, 60_000)
	for range 3 { // holds of 300 ms while somebody waits
		held := a.lock(name)
		waits := b.acquire(name, wire.FlagWait)
		w.run(300 * Millisecond)
		a.unlock(name, held.Token)
		b.unlock(name, b.want(waits, wire.StatusOK).Token)
		w.run(300 * Millisecond)
	}
	held := a.lock(name)
	first, second := b.acquire(name, wire.FlagWait), c.acquire(name, wire.FlagWait)
	watch := c.watch(wire.Watch{Scope: wire.ScopeWaiter, Name: name, Session: c.session,
		Target: second})
	w.run(30 * Millisecond)
	_, _, places := c.pushes(watch)
	if len(places) != 1 || places[0].Position != 2 || places[0].Info.Holders[0].Token != held.Token ||
		places[0].Samples == 0 || places[0].EstimateMillis == wire.UnknownMillis {
		t.Fatalf("got %+v, want the second place behind token %d", places, held.Token)
	}
	why := c.why(wire.Why{Session: c.session, Target: second, Name: name})
	if why.Position != 2 || why.UsualMillis > 400 || why.Info.WaiterCount != 2 {
		t.Errorf("why: got %+v", why)
	}
	if x := c.why(wire.Why{Name: name, Mode: wire.ModeEX}); x.Position != 3 {
		t.Errorf("why of one who would come: got position %d, want 3", x.Position)
	}
	if x := c.why(wire.Why{Name: w.nameIn(0, 1), Mode: wire.ModeEX}); x.Position != 0 ||
		x.Samples != 0 || x.EstimateMillis != wire.UnknownMillis {
		t.Errorf("why of a free lock: got %+v", x)
	}
	a.unlock(name, held.Token)
	b.want(first, wire.StatusOK)
	w.run(2 * queueEvery)
	_, _, places = c.pushes(watch)
	if k := len(places); k != 2 || places[1].Position != 1 {
		t.Errorf("got %+v, want the first place then", places)
	}
}

func (u *user) why(x wire.Why) wire.Blockage {
	u.w.t.Helper()
	h := u.header(wire.KindWhy)
	r := u.w.call(u.conn, h, wire.AppendWhy(nil, h, &x))
	b, err := wire.DecodeBlockage(r.Payload)
	if r.Status != wire.StatusOK || err != nil {
		u.w.t.Fatalf("why: got %v, %v", r.Status, err)
	}
	return b
}

func TestTopNamesContended(t *testing.T) {
	w := newWorld(t, testOptions())
	a, b := w.lasting(1, 0, 60_000), w.lasting(2, 0, 60_000)
	busy, calm := w.nameIn(0, 0), w.nameIn(0, 1)
	a.lock(w.nameIn(0, 2))
	for _, name := range [][]byte{busy, calm} {
		a.lock(name)
	}
	for range 3 {
		b.acquire(busy, wire.FlagWait)
		b.want(b.acquire(calm, 0), wire.StatusHeld)
	}
	b.acquire(busy, wire.FlagWait)
	w.run(30 * Millisecond)
	top := func() []wire.TopEntry {
		h := wire.Header{Kind: wire.KindTop, Request: b.header(0).Request}
		w.leaderOf(0).inbox.Request(2, wire.AppendTop(nil, h, &wire.Top{Limit: 10}))
		page, err := wire.DecodeTopPage(b.want(h.Request, wire.StatusOK).Payload)
		if err != nil {
			t.Fatal(err)
		}
		return page.Entries
	}
	got := top()
	if len(got) != 2 || string(got[0].Name) != string(busy) || got[0].Waits != 4 ||
		string(got[1].Name) != string(calm) || got[1].Refusals != 3 ||
		got[0].UsualMillis != wire.UnknownMillis {
		t.Errorf("got %+v", got)
	}
	w.leaderOf(0).inbox.Drain(DrainToStop, nil)
	w.run(Second)
	old := w.nodes[1].node
	if got := old.top(10); len(got) != 0 {
		t.Errorf("of a node that leads nothing: got %+v", got)
	}
}

// What is remembered of names is bounded, and the busiest stay.
func TestContentionIsBounded(t *testing.T) {
	var x contention
	for range 100 {
		x.refused(1, []byte("busy"), Second)
	}
	for i := range 3 * maxContended {
		x.refused(2, fmt.Appendf(nil, "name %d", i), Second+Nanos(i))
	}
	if len(x.entries) != maxContended || len(x.of) != maxContended ||
		x.known[1]+x.known[2] != maxContended {
		t.Errorf("got %d entries, %d names, %v", len(x.entries), len(x.of), x.known)
	}
	if e := x.find([]byte("busy")); e == nil || e.now(Second) != 100 || e.now(Second+scoreHalf) != 50 {
		t.Errorf("busy: got %+v", e)
	}
}

// Watches that wait for their client to have seen more are forgotten when they end,
// though it never says so.
func TestUnwatchOfHeldWatch(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a := w.user(1, 0)
	a.last(a.watch(wire.Watch{Name: name}))
	c := w.leaderOf(0).node.conns.find(1)
	c.pushed += maxUnseen
	for range 5 {
		watch := a.watch(wire.Watch{Name: name})
		w.run(30 * Millisecond)
		h := a.header(wire.KindUnwatch)
		a.send(wire.AppendUnwatch(nil, h, &wire.Unwatch{Target: watch}))
		a.want(h.Request, wire.StatusOK)
		a.want(watch, wire.StatusCancelled)
	}
	if len(c.held) != 0 {
		t.Errorf("got %d watches that wait, want none", len(c.held))
	}
}

// A prefix that takes many turns to be told keeps no other watch waiting: who had no
// turn comes before who wants another.
func TestLongPrefixKeepsNobodyWaiting(t *testing.T) {
	w := newWorld(t, testOptions())
	a, b := w.lasting(1, 0, 60_000), w.user(2, 0)
	for i := range 2*wire.MaxPage + 5 {
		a.lock(w.nameIn(0, i))
	}
	one, all := b.watch(wire.Watch{Name: w.nameIn(0, 0)}), b.watch(wire.Watch{Scope: wire.ScopePrefix})
	w.run(50 * Millisecond)
	n := w.leaderOf(0).node
	g := n.group(0)
	lock, prefix := g.watches.of[watchKey{2, one}], g.watches.of[watchKey{2, all}]
	if lock == nil || prefix == nil || len(n.toTell) > 0 {
		t.Fatalf("got watches %v and %v, %d groups to tell", lock, prefix, len(n.toTell))
	}
	prefix.telling, lock.fresh = tellingNew, true
	n.watchDue(g, prefix)
	n.watchDue(g, lock)
	n.tellWithin(2)
	if prefix.telling != tellingOn || !lock.fresh || !prefix.due || !lock.due {
		t.Fatalf("first: got a prefix told to %d, a lock told %v, want a page and none",
			prefix.telling, !lock.fresh)
	}
	n.tellWithin(2)
	if lock.fresh {
		t.Error("a lock waits for the whole of a prefix")
	}
	for range 10 {
		n.tellWithin(2)
	}
	if prefix.telling != tellingNot || len(n.toTell) > 0 {
		t.Errorf("got a prefix told to %d, %d groups to tell, want it told as a whole",
			prefix.telling, len(n.toTell))
	}
}
