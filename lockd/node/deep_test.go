package node

import (
	"slices"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// deepLock makes a lock of group 0 with so many holders, or so many waiters behind one
// hold. It returns who has them all.
func (w *world) deepLock(name []byte, conn ConnID, holders, waiters int) *user {
	w.t.Helper()
	a := w.lasting(conn, 0, 3_600_000)
	for i := range holders + waiters {
		h, mode := a.header(wire.KindAcquire), wire.ModePR
		if i >= holders {
			h.Flags, mode = wire.FlagWait, wire.ModeEX
		}
		a.send(wire.AppendAcquire(nil, h, &wire.Acquire{Session: a.session, Epoch: a.epoch,
			Mode: mode, Name: name}))
		if i%400 == 399 {
			w.run(2 * Millisecond)
		}
	}
	w.run(100 * Millisecond)
	s := w.leaderOf(0).node.groups[0].machine.Summary(name)
	if int(s.Holders) != holders || int(s.Waiters) != waiters {
		w.t.Fatalf("got %d holders and %d waiters, want %d and %d", s.Holders, s.Waiters, holders,
			waiters)
	}
	return a
}

// What is printed of a lock is bounded, and so is what is looked at for it, however many
// hold the lock or wait for it.
func TestFN5DescribingADeepLockIsBounded(t *testing.T) {
	const holders, waiters = 300, 500
	w := newWorld(t, testOptions())
	n := w.leaderOf(0).node
	name := w.nameIn(0, 0)
	w.deepLock(name, 1, holders, waiters)
	b := w.lasting(2, 0, 3_600_000)
	limits := func(what string, most int) {
		t.Helper()
		if h, q := len(n.found.Holders), len(n.found.Waiters); h > most || q > most {
			t.Errorf("%s: got %d holders and %d waiters looked at, want %d at most", what, h, q, most)
		}
		n.found = lockfsm.LockInfo{}
	}
	n.found = lockfsm.LockInfo{}
	info := b.get(name)
	limits("a get", wire.MaxListed)
	if info.HolderCount != holders || info.WaiterCount != waiters ||
		len(info.Holders) != wire.MaxListed || len(info.Waiters) != wire.MaxListed {
		t.Errorf("got %d and %d of %d holders and %d waiters", len(info.Holders), len(info.Waiters),
			info.HolderCount, info.WaiterCount)
	}
	r := b.want(b.acquire(name, wire.FlagDetails), wire.StatusHeld)
	limits("a try", wire.MaxListed)
	if r.Position != waiters+1 {
		t.Errorf("got position %d, want %d", r.Position, waiters+1)
	}
	h := b.header(wire.KindList)
	b.send(wire.AppendList(nil, h, &wire.List{Limit: 10, Prefix: name}))
	page, err := wire.DecodeListPage(b.want(h.Request, wire.StatusOK).Payload)
	limits("a list", 1)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].HolderCount != holders ||
		page.Entries[0].WaiterCount != waiters || page.Entries[0].Token != info.Holders[0].Token {
		t.Errorf("got %+v, %v", page.Entries, err)
	}
}

// What walks a queue is charged for all who hold the lock or wait for it.
func TestFN5WhyIsChargedForAllItLooksAt(t *testing.T) {
	const holders, waiters = 320, 640
	w := newWorld(t, testOptions())
	n := w.leaderOf(0).node
	name := w.nameIn(0, 0)
	w.deepLock(name, 1, holders, waiters)
	b := &user{w: w, conn: 9, group: 0}
	h := b.header(wire.KindWhy)
	b.send(wire.AppendWhy(nil, h, &wire.Why{Name: name, Mode: wire.ModeEX}))
	cost := 0
	for range 20 {
		w.step()
		cost = max(cost, n.turnstile.lists, n.turnstile.spent)
	}
	b.want(h.Request, wire.StatusOK)
	if want := (holders + waiters) / 32; cost < want {
		t.Errorf("got charged %d, want %d at least", cost, want)
	}
}

// Who has the leader's machine go past many claims to find one is charged for them, when
// that becomes a command and when it is a question.
func TestFN5WalksAreCharged(t *testing.T) {
	const holders = 640
	w := newWorld(t, testOptions())
	n := w.leaderOf(0).node
	names := w.namesIn(64)
	a := w.deepLock(names[0], 1, holders, 0)
	var info lockfsm.LockInfo
	n.groups[0].machine.Lock(names[0], &info, lockfsm.All)
	charged := func(what string, want int, do func()) {
		t.Helper()
		do()
		cost := 0
		for range 20 {
			w.step()
			cost = max(cost, n.turnstile.spent)
		}
		if cost < want || cost > want+10 {
			t.Errorf("%s: got charged %d, want %d to %d", what, cost, want, want+10)
		}
	}
	release := func(i int) func() {
		return func() { a.release(names[0], uint64(info.Holders[i].Token)) }
	}
	charged("a release of what was taken first", 0, release(0))
	charged("a release of what was taken last", 0, release(holders-1))
	charged("a release in the middle", holders/2/32, release(holders/2))
	b := w.lasting(2, 0, 3_600_000)
	for range 10 {
		b.acquireAll(names, wire.FlagWait)
	}
	w.run(100 * Millisecond)
	charged("what a session has", 10*len(names)/32, func() {
		b.send(wire.AppendFindSession(nil, b.header(wire.KindFindSession),
			&wire.FindSession{Nonce: wire.Nonce{2}}))
	})
}

// fillWatches has so many conns from one on watch a name of the list each.
func (w *world) fillWatches(from ConnID, count int, name func(i int) []byte) {
	w.t.Helper()
	for i := range count {
		u := &user{w: w, conn: from + ConnID(i/maxConnWatches), group: 0, requests: uint64(i)}
		u.watch(wire.Watch{Name: name(i)})
		if i%200 == 199 {
			w.run(2 * Millisecond)
		}
	}
	w.run(100 * Millisecond)
	if got := w.leaderOf(0).node.watching; got != count {
		w.t.Fatalf("got %d watches, want %d", got, count)
	}
}

// Those who watch a name are told in the order in which they came, whoever of them went.
func TestWatchesOfANameKeepTheirOrder(t *testing.T) {
	w := newWorld(t, testOptions())
	g := w.leaderOf(0).node.groups[0]
	name := w.nameIn(0, 0)
	users := make([]*user, 6)
	requests := make([]uint64, len(users))
	for i := range users {
		users[i] = &user{w: w, conn: ConnID(20 + i), group: 0}
		requests[i] = users[i].watch(wire.Watch{Name: name})
	}
	w.run(10 * Millisecond)
	unwatch := func(i int) {
		h := users[i].header(wire.KindUnwatch)
		users[i].send(wire.AppendUnwatch(nil, h, &wire.Unwatch{Target: requests[i]}))
		users[i].want(h.Request, wire.StatusOK)
	}
	for _, row := range []struct {
		gone int
		left []ConnID
	}{
		{2, []ConnID{20, 21, 23, 24, 25}}, {0, []ConnID{21, 23, 24, 25}},
		{5, []ConnID{21, 23, 24}}, {3, []ConnID{21, 24}},
	} {
		unwatch(row.gone)
		var left, back []ConnID
		of := g.watches.byName[string(name)]
		for x := of.first; x != nil; x = x.later {
			left = append(left, x.key.conn)
		}
		for x := of.last; x != nil; x = x.prev {
			back = append([]ConnID{x.key.conn}, back...)
		}
		if !slices.Equal(left, row.left) || !slices.Equal(back, row.left) {
			t.Fatalf("got %v, and %v from behind, want %v", left, back, row.left)
		}
	}
	a := w.lasting(1, 0, 60_000)
	a.lock(name)
	w.run(10 * Millisecond)
	for _, i := range []int{1, 4} {
		if got := users[i].last(requests[i]); got.Change != wire.ChangeAcquired {
			t.Errorf("got %v told to the watch of conn %d, want it acquired", got.Change, 20+i)
		}
	}
}

// However often a lock is touched before its watches are told, they are gone through once;
// and a watch that comes then hears nothing of what was before it.
func TestFN5TouchesOfAWatchedNameAreMerged(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0).node
	g, name := n.groups[0], w.nameIn(0, 0)
	const watches = 500
	w.fillWatches(30, watches, func(int) []byte { return name })
	touch := lockfsm.Touch{Name: name}
	for _, what := range []lockfsm.Changes{0, lockfsm.ChangedGrant, lockfsm.ChangedRelease} {
		touch.Changes = what
		n.watchTouched(g, &touch)
	}
	if due := len(g.watches.due); due != 0 || len(g.watches.touched) != 1 {
		t.Fatalf("got %d watches gone through by %d touches, want that when they are told", due,
			len(g.watches.touched))
	}
	late := read{kind: wire.KindWatch, request: 7, name: name, from: g.machine.Applied()}
	n.startWatch(g, n.conns.open(40), &late)
	if due := len(g.watches.due); due != watches {
		t.Errorf("got %d watches to be told, want %d", due, watches)
	}
	want := lockfsm.ChangedGrant | lockfsm.ChangedRelease
	if got := g.watches.of[watchKey{30, 1}].changes; got != want {
		t.Errorf("got changes %b, want %b", got, want)
	}
	if got := g.watches.of[watchKey{40, 7}]; got.changes != 0 || got.due {
		t.Errorf("got %+v of the watch that came late, want no news", got)
	}
}

// Who gives a question up is charged for the questions that are gone through for it, and
// nobody goes through them for who has none there.
func TestFN5GivingUpIsChargedForWhatItLooksAt(t *testing.T) {
	const reads = 1000
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	a, b := w.lasting(1, 0, 3_600_000), w.lasting(2, 0, 3_600_000)
	name, other := w.nameIn(0, 0), w.nameIn(0, 1)
	a.lock(name)
	w.drop = func(f testFrame) bool { return f.to == n.id } // nothing is confirmed
	for i := range reads {
		h := wire.Header{Group: 0, Request: uint64(i + 1)}
		n.inbox.Request(ConnID(50+i%200), wire.AppendGet(nil, h, &wire.Get{Name: name}))
	}
	watch := b.watch(wire.Watch{Name: other})
	try := b.acquire(name, 0)
	for range 4 {
		w.step()
	}
	g := n.node.groups[0]
	if len(g.reads) != reads+2 {
		t.Fatalf("got %d questions that wait, want %d", len(g.reads), reads+2)
	}
	var others []watchKey // those of others, in their order
	for i := range g.reads {
		if r := &g.reads[i]; r.conn != b.conn {
			others = append(others, watchKey{r.conn, r.request})
		}
	}
	charged := func(frame []byte, conn ConnID) int {
		return n.node.serve(n.node.conns.open(conn), frame)
	}
	unwatch := func(u *user, target uint64) int {
		h := u.header(wire.KindUnwatch)
		return charged(wire.AppendUnwatch(nil, h, &wire.Unwatch{Target: target}), u.conn)
	}
	cancel := func(u *user, target uint64) int {
		h := u.header(wire.KindCancel)
		return charged(wire.AppendCancel(nil, h, &wire.Cancel{Session: u.session, Epoch: u.epoch,
			Target: target, Name: other}), u.conn)
	}
	const whole = reads / readsPerUnit
	for _, row := range []struct {
		what        string
		got         int
		least, most int
	}{
		{"an unwatch of a conn that waits for none", unwatch(a, 7), 1, whole - 1},
		{"a cancel of a conn that has no try", cancel(a, 7), 1, whole - 1},
		{"an unwatch of another watch", unwatch(b, 7), whole, 2 * whole},
		{"an unwatch", unwatch(b, watch), whole, 2 * whole},
		{"an unwatch of one that is gone", unwatch(b, watch), 1, whole - 1},
		{"a cancel before which a try goes", cancel(b, try), whole, 2 * whole},
		{"a cancel when that has gone", cancel(b, try), 1, whole - 1},
	} {
		if row.got < row.least || row.got > row.most {
			t.Errorf("%s: got %d charged, want %d to %d", row.what, row.got, row.least, row.most)
		}
	}
	w.drop = nil
	if !slices.EqualFunc(g.reads, others, func(r read, k watchKey) bool {
		return r.conn == k.conn && r.request == k.request
	}) {
		t.Errorf("got %d questions left, want the %d of others in their order", len(g.reads), reads)
	}
	b.want(watch, wire.StatusCancelled)
	b.want(try, wire.StatusHeld)
	if left := n.node.conns.find(b.conn).pending; len(left) != 0 {
		t.Errorf("got %v of the conn pending, want nothing", left)
	}
}
