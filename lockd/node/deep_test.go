package node

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// deepLock makes a lock of group 0 with so many holders, or so many waiters behind one
// hold.
func (w *world) deepLock(name []byte, conn ConnID, holders, waiters int) {
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
