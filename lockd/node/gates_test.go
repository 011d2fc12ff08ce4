package node

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// gate sends a request at a gate and returns its id.
func (u *user) gate(k wire.Kind, x wire.Gate) uint64 {
	h := u.header(k)
	u.gateAs(h, x)
	return h.Request
}

// gateAs sends one with the id of h, as a retry does.
func (u *user) gateAs(h wire.Header, x wire.Gate) {
	if h.Kind == wire.KindAwait {
		h.Flags = wire.FlagWait
	}
	x.Session, x.Epoch = u.session, u.epoch
	u.send(wire.AppendGate(nil, h.Kind, h, &x))
}

func TestLatchOverTheWire(t *testing.T) {
	w := raisedWorld(t, testOptions())
	a, b := w.user(1, 0), w.user(2, 0)
	latch := wire.Gate{Kind: wire.GateLatch, Name: w.nameIn(0, 0)}
	three, one := latch, latch
	three.Count, one.Count = 3, 1
	a.want(a.gate(wire.KindAwait, latch), wire.StatusOK) // at zero it is open
	set := a.want(a.gate(wire.KindSetGate, three), wire.StatusOK)
	if x := b.want(b.gate(wire.KindSetGate, one), wire.StatusAlreadySet); x.Token != 3 {
		t.Errorf("set again: got %d in force, want 3", x.Token)
	}
	waits := []uint64{a.gate(wire.KindAwait, latch), b.gate(wire.KindAwait, latch)}
	w.run(20 * Millisecond)
	h := a.header(wire.KindGet)
	h.Flags = wire.FlagVersion3
	got := w.call(a.conn, h, wire.AppendGet(nil, h, &wire.Get{Name: latch.Name}))
	info, err := wire.DecodeLockInfo3(got.Payload)
	if err != nil || info.Gate != wire.GateLatch || info.Number != 3 || info.WaiterCount != 2 ||
		info.HolderCount != 1 || info.Holders[0].Token != set.Token {
		t.Errorf("get: got %+v, %v, want a latch of 3 with two waiting", info, err)
	}
	h = a.header(wire.KindList)
	h.Flags = wire.FlagVersion3
	got = w.call(a.conn, h, wire.AppendList(nil, h, &wire.List{}))
	page, err := wire.DecodeListPage3(got.Payload)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Gate != wire.GateLatch {
		t.Errorf("list: got %+v, %v, want a latch", page, err)
	}
	for left := uint64(2); left > 0; left-- {
		if x := b.want(b.gate(wire.KindCountDown, one), wire.StatusOK); x.Token != left {
			t.Errorf("count down: got %d left, want %d", x.Token, left)
		}
	}
	if _, ok := w.leaderOf(0).response(a.conn, waits[0]); ok {
		t.Error("let through before the count was zero")
	}
	a.want(a.acquire(latch.Name, wire.FlagWait|wire.FlagVersion2), wire.StatusOtherKind)
	if x := a.want(a.take(latch.Name, 1, 0), wire.StatusOtherKind); x.Token != 0 {
		t.Errorf("take of a latch: got %d, want 0 for who knows no gates", x.Token)
	}
	x := a.want(a.gate(wire.KindAwait, wire.Gate{Kind: wire.GateEvent, Name: latch.Name}),
		wire.StatusOtherKind)
	if got := wire.OtherKindOf(x.Token); got != (wire.OtherKind{Gate: wire.GateLatch, Number: 1}) {
		t.Errorf("other kind: got %+v, want a latch of 1", got)
	}
	b.want(b.gate(wire.KindCountDown, one), wire.StatusOK)
	if x := a.want(waits[0], wire.StatusOK); x.Token <= set.Token {
		t.Errorf("opening: got token %d, want it above %d", x.Token, set.Token)
	}
	b.want(waits[1], wire.StatusOK)
	a.want(a.gate(wire.KindSetGate, one), wire.StatusOK)
	broken := b.gate(wire.KindAwait, latch)
	w.run(20 * Millisecond)
	a.want(a.gate(wire.KindResetGate, latch), wire.StatusOK)
	b.want(broken, wire.StatusBroken)
	for _, u := range []*user{a, b} {
		if n := w.leaderOf(0).inFlight(u.conn); n != 0 {
			t.Errorf("in flight: got %d, want 0", n)
		}
	}
}

// An event that was given a time is set back by itself, which its leader's clock
// has to bring about: no session asks for that.
func TestEventRunsOut(t *testing.T) {
	w := raisedWorld(t, testOptions())
	u := w.user(1, 0)
	event := wire.Gate{Kind: wire.GateEvent, Name: w.nameIn(0, 0)}
	timed := event
	timed.TTLMillis = 500
	waits := u.gate(wire.KindAwait, event)
	w.run(20 * Millisecond)
	u.want(u.gate(wire.KindSetGate, timed), wire.StatusOK)
	u.want(waits, wire.StatusOK)
	u.want(u.gate(wire.KindAwait, event), wire.StatusOK)
	h := u.header(wire.KindCloseSession)
	w.call(u.conn, h, wire.AppendCloseSession(nil, h,
		&wire.CloseSession{Session: u.session, Epoch: u.epoch}))
	g := w.leaderOf(0).node.groups[0]
	if s := g.machine.Stats(); s.Detached != 1 || !g.machine.Timed() {
		t.Fatalf("stats: got %+v, want an event that stands", s)
	}
	w.until("it is set back", func() bool {
		return w.leaderOf(0).node.groups[0].machine.Stats().Detached == 0
	})
	w.converged()
}

// A count-down and an arrival that are asked for again at the next leader have
// had their effect, once (G5).
func TestGatesSurviveTheirLeader(t *testing.T) {
	w := raisedWorld(t, testOptions())
	a, b := w.user(1, 0), w.user(2, 0)
	latch := wire.Gate{Kind: wire.GateLatch, Name: w.nameIn(0, 0), Count: 3}
	round := wire.Gate{Kind: wire.GateBarrier, Name: w.nameIn(0, 1), Count: 2}
	a.want(a.gate(wire.KindSetGate, latch), wire.StatusOK)
	latch.Count = 1
	down := wire.Header{Kind: wire.KindCountDown, Group: 0, Request: a.gate(wire.KindCountDown, latch)}
	a.want(down.Request, wire.StatusOK)
	first := wire.Header{Kind: wire.KindAwait, Group: 0, Request: a.gate(wire.KindAwait, round)}
	w.run(20 * Millisecond)
	opening := b.want(b.gate(wire.KindAwait, round), wire.StatusOK).Token
	a.want(first.Request, wire.StatusOK)
	waits := wire.Header{Kind: wire.KindAwait, Group: 0, Request: a.gate(wire.KindAwait, round)}
	w.run(20 * Millisecond)

	old := w.leaderOf(0)
	w.kill(old.id)
	w.run(300 * Millisecond)
	a.epoch, b.epoch = 2, 2
	a.gateAs(down, latch)
	a.gateAs(first, round)
	a.gateAs(waits, round)
	if x := a.want(down.Request, wire.StatusOK); x.Token != 2 {
		t.Errorf("count-down again: got %d left, want 2", x.Token)
	}
	if x := a.want(first.Request, wire.StatusOK); x.Token != opening {
		t.Errorf("arrival again: got opening %d, want %d", x.Token, opening)
	}
	var info lockfsm.LockInfo
	m := w.leaderOf(0).node.groups[0].machine
	if !m.Lock(round.Name, &info, lockfsm.All) || len(info.Waiters) != 1 {
		t.Errorf("barrier: got %d waiting, want the one who arrived after it opened", len(info.Waiters))
	}
	next := b.want(b.gate(wire.KindAwait, round), wire.StatusOK).Token
	if x := a.want(waits.Request, wire.StatusOK); x.Token != next || next <= opening {
		t.Errorf("next opening: got %d and %d, want one above %d", x.Token, next, opening)
	}
}
