package node

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// held is what a user has of a lock.
type held struct {
	name          []byte
	target, token uint64
}

// lockIn takes a lock in a mode.
func (u *user) lockIn(name []byte, m wire.Mode) held {
	u.w.t.Helper()
	h := u.header(wire.KindAcquire)
	u.send(wire.AppendAcquire(nil, h, &wire.Acquire{Session: u.session, Epoch: u.epoch, Mode: m,
		Name: name}))
	return held{name, h.Request, u.want(h.Request, wire.StatusOK).Token}
}

// convert asks for another mode and returns the request id.
func (u *user) convert(x held, m wire.Mode, flags wire.Flags) uint64 {
	h := u.header(wire.KindConvert)
	h.Flags = flags
	u.convertAgain(h, x, m)
	return h.Request
}

func (u *user) convertAgain(h wire.Header, x held, m wire.Mode) {
	u.send(wire.AppendConvert(nil, h, &wire.Convert{Session: u.session, Token: x.token,
		Target: x.target, Epoch: u.epoch, Mode: m, Name: x.name}))
}

// giveBack gives a hold back that may have been converted.
func (u *user) giveBack(x held, want wire.Status) {
	u.w.t.Helper()
	h := u.header(wire.KindGiveBack)
	u.send(wire.AppendGiveBack(nil, h, &wire.GiveBack{Session: u.session, Token: x.token,
		Target: x.target, Epoch: u.epoch, Name: x.name}))
	u.want(h.Request, want)
}

// The first of two readers who ask to write waits for the other, who is refused:
// neither would ever write. The grant has a larger token than all before.
func TestSecondUpgraderIsRefused(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	one, two := a.lockIn(name, wire.ModePR), b.lockIn(name, wire.ModePR)
	waits := a.convert(one, wire.ModeEX, wire.FlagWait)
	w.run(20 * Millisecond)
	refused := b.want(b.convert(two, wire.ModeEX, wire.FlagWait), wire.StatusDeadlock)
	if refused.Token != one.token {
		t.Errorf("in the way: got token %d, want %d", refused.Token, one.token)
	}
	b.want(b.convert(two, wire.ModeEX, wire.FlagDetails), wire.StatusHeld)
	if info := a.describe(name); info.HolderCount != 2 || info.WaiterCount != 1 {
		t.Errorf("lock: got %+v, want two holders and one who waits", info)
	}
	b.want(b.convert(two, wire.ModeCR, 0), wire.StatusOK) // still in the way
	if _, ok := w.leaderOf(0).response(a.conn, waits); ok {
		t.Error("answered while another reads")
	}
	b.giveBack(two, wire.StatusOK)
	if x := a.want(waits, wire.StatusOK); x.Token <= two.token {
		t.Errorf("token: got %d, want it above %d", x.Token, two.token)
	}
	a.giveBack(one, wire.StatusOK) // by the token it had before
	a.giveBack(one, wire.StatusNotHolder)
	w.converged()
}

// Who gives back a hold that waits to be converted hears what became of that; a
// cancelled conversion leaves the mode.
func TestConversionEnds(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	one, two := a.lockIn(name, wire.ModePR), b.lockIn(name, wire.ModePR)
	waits := a.convert(one, wire.ModeEX, wire.FlagWait)
	h := a.header(wire.KindCancel)
	x := w.call(a.conn, h, wire.AppendCancel(nil, h, &wire.Cancel{Session: a.session, Target: waits,
		Epoch: a.epoch, Name: name}))
	if x.Status != wire.StatusCancelled {
		t.Errorf("cancel: got %v, want cancelled", x.Status)
	}
	a.want(waits, wire.StatusCancelled)
	if info := a.describe(name); info.Holders[0].Mode != wire.ModePR || info.WaiterCount != 0 {
		t.Errorf("lock: got %+v, want shared and nobody waiting", info)
	}
	waits = a.convert(one, wire.ModeEX, wire.FlagWait)
	a.giveBack(one, wire.StatusOK)
	a.want(waits, wire.StatusNotHolder)
	b.giveBack(two, wire.StatusOK)
	if n := w.leaderOf(0).inFlight(a.conn); n != 0 {
		t.Errorf("in flight: got %d, want 0", n)
	}
}

// A conversion survives its leader: sent again to the next it finds its place,
// and, sent once more after the grant, its token.
func TestConversionSurvivesItsLeader(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.lasting(1, 0, 30_000), w.lasting(2, 0, 30_000)
	one, two := a.lockIn(name, wire.ModePR), b.lockIn(name, wire.ModePR)
	h := a.header(wire.KindConvert)
	h.Flags = wire.FlagWait
	a.convertAgain(h, one, wire.ModeEX)
	w.run(50 * Millisecond)
	w.kill(uint16(w.leaderOf(0).id))
	w.run(3 * Second)
	a.epoch, b.epoch = a.epoch+1, b.epoch+1
	a.convertAgain(h, one, wire.ModeEX)
	w.run(50 * Millisecond)
	if info := a.describe(name); info.WaiterCount != 1 || info.Holders[0].Mode != wire.ModePR {
		t.Errorf("lock: got %+v, want one who waits", info)
	}
	b.giveBack(two, wire.StatusOK)
	token := a.want(h.Request, wire.StatusOK).Token
	a.epoch++
	h2 := h
	a.convertAgain(h2, one, wire.ModeEX)
	w.run(50 * Millisecond)
	if x := a.want(h.Request, wire.StatusOK); x.Token != token {
		t.Errorf("again: got token %d, want %d", x.Token, token)
	}
}

// While a node of the cluster may not know conversions, nobody may use them.
func TestFP3ConversionNeedsAllNodes(t *testing.T) {
	o := testOptions()
	o.Format = lockfsm.FormatKinds
	w := newWorld(t, o)
	u := w.user(1, 0)
	x := u.lockIn(w.nameIn(0, 0), wire.ModePR)
	u.want(u.convert(x, wire.ModeEX, 0), wire.StatusUnsupported)
	u.giveBack(x, wire.StatusUnsupported)
	if got := w.leaderOf(0).node.Welcome(wire.Version).Version; got != wire.VersionKinds {
		t.Errorf("welcome: got version %d, want %d", got, wire.VersionKinds)
	}
}
