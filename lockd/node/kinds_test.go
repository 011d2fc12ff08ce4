package node

import (
	"errors"
	"testing"

	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// take asks for permits, of eight, and returns the request id.
func (u *user) take(name []byte, permits uint32, flags wire.Flags) uint64 {
	h := u.header(wire.KindTake)
	h.Flags = flags
	u.send(wire.AppendTake(nil, h, &wire.Take{Session: u.session, Epoch: u.epoch,
		Permits: permits, Capacity: 8, Name: name}))
	return h.Request
}

// enter asks for a lock for an owner and returns the request id.
func (u *user) enter(name []byte, owner uint64, flags wire.Flags) uint64 {
	h := u.header(wire.KindEnter)
	h.Flags = flags
	u.send(wire.AppendEnter(nil, h, &wire.Enter{Session: u.session, Owner: owner,
		Epoch: u.epoch, Mode: wire.ModeEX, Name: name}))
	return h.Request
}

// leave takes an Enter back.
func (u *user) leave(name []byte, target, token uint64) wire.Response {
	u.w.t.Helper()
	h := u.header(wire.KindLeave)
	return u.w.call(u.conn, h, wire.AppendLeave(nil, h, &wire.Leave{Session: u.session,
		Token: token, Target: target, Epoch: u.epoch, Name: name}))
}

// want waits for the response to a request and checks its status.
func (u *user) want(request uint64, status wire.Status) wire.Response {
	u.w.t.Helper()
	x := u.wait(request, Second)
	if x.Status != status {
		u.w.t.Fatalf("request %d: got %v, want %v", request, x.Status, status)
	}
	return x
}

// describe asks for a lock as version 2 shows it.
func (u *user) describe(name []byte) wire.LockInfo {
	u.w.t.Helper()
	h := u.header(wire.KindGet)
	h.Flags = wire.FlagVersion2
	x := u.w.call(u.conn, h, wire.AppendGet(nil, h, &wire.Get{Name: name}))
	info, err := wire.DecodeLockInfo2(x.Payload)
	if x.Status != wire.StatusOK || err != nil {
		u.w.t.Fatalf("get: got %v, %v, want ok", x.Status, err)
	}
	return info
}

func TestPermitsOverTheWire(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	held := a.want(a.take(name, 6, 0), wire.StatusOK)
	refused := b.want(b.take(name, 3, wire.FlagDetails), wire.StatusHeld)
	if info, err := wire.DecodeLockInfo2(refused.Payload); err != nil || info.Capacity != 8 ||
		info.Taken != 6 || info.Holders[0].Kind.Permits != 6 || refused.Token != held.Token {
		t.Errorf("details: got %+v, %v, want 6 of 8 permits of token %d", info, err, held.Token)
	}
	if log := w.leaderOf(0).node.stats.Applied; log == 0 {
		t.Fatal("nothing was applied")
	}
	waits := b.take(name, 3, wire.FlagWait)
	w.run(20 * Millisecond)
	b.want(b.take(name, 1, 0), wire.StatusHeld) // not past the one who waits
	if info := a.describe(name); info.WaiterCount != 1 || info.Waiters[0].Kind.Permits != 3 {
		t.Errorf("waiters: got %+v, want one who waits for 3", info)
	}
	if x := a.unlock(name, held.Token); x.Status != wire.StatusOK {
		t.Errorf("release: got %v, want ok", x.Status)
	}
	if x := b.want(waits, wire.StatusOK); x.Token <= held.Token {
		t.Errorf("token: got %d, want it above %d", x.Token, held.Token)
	}
	h := a.header(wire.KindList)
	h.Flags = wire.FlagVersion2
	x := w.call(a.conn, h, wire.AppendList(nil, h, &wire.List{}))
	page, err := wire.DecodeListPage2(x.Payload)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Capacity != 8 ||
		page.Entries[0].Taken != 3 {
		t.Errorf("list: got %+v, %v, want 3 of 8 permits", page, err)
	}
}

// A name in use has one kind. The refusal says which to those who know that
// there are several, and is an old status to the others.
func TestOtherKindIsRefused(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	u := w.user(1, 0)
	u.want(u.take(name, 1, 0), wire.StatusOK)
	if x := u.want(u.enter(name, 7, wire.FlagWait), wire.StatusOtherKind); x.Token != 8 {
		t.Errorf("capacity: got %d, want 8", x.Token)
	}
	if x := u.want(u.acquire(name, wire.FlagVersion2), wire.StatusOtherKind); x.Token != 8 {
		t.Errorf("capacity: got %d, want 8", x.Token)
	}
	u.want(u.acquire(name, wire.FlagWait), wire.StatusBadRequest)
	if info := u.get(name); info.HolderCount != 1 || info.Holders[0].Mode != wire.ModeNL {
		t.Errorf("version 1: got %+v, want one holder in NL", info)
	}
	lock := w.nameIn(0, 1)
	u.lock(lock)
	if x := u.want(u.take(lock, 1, 0), wire.StatusOtherKind); x.Token != 0 {
		t.Errorf("capacity of a lock with modes: got %d, want 0", x.Token)
	}
}

func TestOwnerEntersAndLeaves(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	first := a.enter(name, 7, 0)
	token := a.want(first, wire.StatusOK).Token
	second := a.enter(name, 7, wire.FlagWait)
	if x := a.want(second, wire.StatusOK); x.Token != token {
		t.Errorf("second token: got %d, want %d", x.Token, token)
	}
	b.want(b.enter(name, 7, wire.FlagDetails), wire.StatusHeld) // of another session
	waits := []uint64{b.enter(name, 7, wire.FlagWait), b.enter(name, 7, wire.FlagWait)}
	w.run(20 * Millisecond)
	if info := a.describe(name); info.Holders[0].Kind != (wire.ClaimKind{Depth: 2, Owner: 7}) ||
		info.WaiterCount != 1 || info.Waiters[0].Kind.Depth != 2 {
		t.Errorf("lock: got %+v, want two levels of owner 7 and two waiting as one", info)
	}
	for _, c := range []struct {
		target uint64
		want   wire.Status
	}{{first, wire.StatusOK}, {first, wire.StatusNotHolder}, {second, wire.StatusOK}} {
		if x := a.leave(name, c.target, token); x.Status != c.want {
			t.Errorf("leave %d: got %v, want %v", c.target, x.Status, c.want)
		}
	}
	if x, y := b.want(waits[0], wire.StatusOK), b.want(waits[1], wire.StatusOK); x.Token != y.Token {
		t.Errorf("tokens: got %d and %d, want the same", x.Token, y.Token)
	}
	h := b.header(wire.KindEnter)
	x := w.call(b.conn, h, wire.AppendEnter(nil, h, &wire.Enter{Session: b.session, Owner: 7,
		Epoch: b.epoch, Mode: wire.ModePR, Name: name}))
	if x.Status != wire.StatusOtherMode {
		t.Errorf("another mode: got %v, want other mode", x.Status)
	}
	for range 2 {
		if n := w.leaderOf(0).inFlight(b.conn); n != 0 {
			t.Errorf("in flight: got %d, want 0", n)
		}
	}
}

func TestDetachedPermitsRunOut(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	u := w.user(1, 0)
	h := u.header(wire.KindTake)
	h.Flags = wire.FlagDetached
	x := w.call(u.conn, h, wire.AppendTake(nil, h, &wire.Take{Session: wire.DetachedOwner | 5,
		TTLMillis: 500, Permits: 8, Capacity: 8, Name: name}))
	if x.Status != wire.StatusOK {
		t.Fatalf("take: got %v, want ok", x.Status)
	}
	waits := u.take(name, 8, wire.FlagWait)
	w.run(300 * Millisecond)
	if _, ok := w.leaderOf(0).response(u.conn, waits); ok {
		t.Error("granted before the detached permits ran out")
	}
	u.want(waits, wire.StatusOK)
}

// raisedWorld is a world in which the newest format may be used.
func raisedWorld(t *testing.T, o Options) *world {
	t.Helper()
	w := newWorld(t, o)
	raise := placement.Change{Kind: placement.Raise, Format: lockfsm.FormatLatest}
	if err := w.change(2, raise); err != nil && !errors.Is(err, placement.ErrNoChange) {
		t.Fatalf("raise the format: %v", err)
	}
	w.until("all know", func() bool {
		for _, n := range w.nodes {
			if n.node.activeFormat() != lockfsm.FormatLatest {
				return false
			}
		}
		return true
	})
	return w
}

// An upgrade, node by node, stops nobody: what only the newest format can say is
// refused until the last node knows it, and is then in use at once (I27, I21).
func TestFP3MixedClusterStopsNobody(t *testing.T) {
	w := strangers(t, testOptions())
	n := w.older(3)
	w.run(2 * Second)
	name := w.nameIn(0, 0)
	u := w.user(1, 0)
	u.want(u.take(name, 1, 0), wire.StatusUnsupported)
	raise := placement.Change{Kind: placement.Raise, Format: lockfsm.FormatLatest}
	if err := w.change(1, raise); !errors.Is(err, placement.ErrRefused) {
		t.Errorf("raise in a mixed cluster: got %v, want ErrRefused", err)
	}
	u.lock(w.nameIn(0, 1))
	w.run(500 * Millisecond)
	if n.node == nil {
		t.Fatalf("older node: stopped by %v", n.stopped)
	}
	w.kill(3)
	u.want(u.take(name, 1, 0), wire.StatusUnsupported) // whoever is away may be older
	n.format, n.wantStop = 0, nil
	n.start()
	w.link(3)
	w.run(Second)
	u.keepalive()
	w.run(Second)
	if got := w.nodes[1].node.activeFormat(); got != lockfsm.FormatLatest {
		t.Errorf("active format, all nodes upgraded: got %d, want %d", got, lockfsm.FormatLatest)
	}
	u.keepalive()
	u.want(u.take(name, 1, 0), wire.StatusOK)
	w.run(300 * Millisecond)
	w.converged()
}

// While a node of the cluster may not know a format, nobody may use it.
func TestFP3FormatThatIsNotActiveIsUnsupported(t *testing.T) {
	o := testOptions()
	o.Format = lockfsm.FormatFirst
	w := newWorld(t, o)
	name := w.nameIn(0, 0)
	u := w.user(1, 0)
	u.want(u.take(name, 1, wire.FlagWait), wire.StatusUnsupported)
	u.want(u.enter(name, 7, 0), wire.StatusUnsupported)
	if x := u.leave(name, 1, 1); x.Status != wire.StatusUnsupported {
		t.Errorf("leave: got %v, want unsupported", x.Status)
	}
	if x := u.lock(name); x.Status != wire.StatusOK {
		t.Errorf("lock: got %v, want ok", x.Status)
	}
	n := w.leaderOf(0)
	if got := n.inFlight(u.conn); got != 0 {
		t.Errorf("in flight: got %d, want 0", got)
	}
	if got := n.node.Welcome(wire.Version).Version; got != 1 {
		t.Errorf("welcome: got version %d, want 1", got)
	}
	o.Format = lockfsm.FormatLatest + 1
	if err := o.Validate(); !errors.Is(err, ErrOptions) {
		t.Errorf("format %d: got %v, want %v", o.Format, err, ErrOptions)
	}
}

// older makes a node stand for an older build from now on.
func (w *world) older(id uint16) *testNode {
	n := w.nodes[id]
	w.kill(id)
	n.format, n.wantStop = lockfsm.FormatFirst, lockfsm.ErrTooNew
	n.start()
	w.link(id)
	w.run(Second)
	return n
}

// upgraded starts a stopped node as this build, and waits until it has the
// others' state.
func (w *world) upgraded(n *testNode) {
	w.t.Helper()
	if n.node != nil || !errors.Is(n.stopped, lockfsm.ErrTooNew) {
		w.t.Fatalf("older node: got %v, want it stopped by %v", n.stopped, lockfsm.ErrTooNew)
	}
	n.format, n.wantStop = 0, nil
	n.start()
	w.link(n.id)
	w.run(2 * Second)
	w.converged()
}

// A node that meets a format it does not know stops and says so; nothing is
// damaged, and a newer binary carries on where it stopped (I27).
func TestFP3OlderNodeStopsAtANewerBatch(t *testing.T) {
	w := raisedWorld(t, testOptions())
	n := w.older(3)
	u := w.user(1, 0)
	name := w.nameIn(0, 0)
	if x := u.lock(name); x.Status != wire.StatusOK {
		t.Fatalf("lock: got %v, want ok", x.Status)
	}
	w.run(300 * Millisecond)
	w.upgraded(n)
}

// The same of a snapshot.
func TestFP3OlderNodeStopsAtANewerSnapshot(t *testing.T) {
	o := testOptions()
	o.CheckpointBytes, o.RetainSlots = 2048, 4
	w := raisedWorld(t, o)
	w.kill(3)
	w.run(500 * Millisecond)
	u := w.user(1, 0)
	u.want(u.take(w.nameIn(0, 0), 3, 0), wire.StatusOK)
	for i := range 100 {
		u.lock(w.nameIn(0, i+1))
		if i%20 == 0 {
			u.keepalive()
		}
	}
	n := w.nodes[3]
	n.format, n.wantStop = lockfsm.FormatFirst, lockfsm.ErrTooNew
	n.start()
	w.link(3)
	w.until("the stop", func() bool { return n.stopped != nil })
	w.upgraded(n)
}
