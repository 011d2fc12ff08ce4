package node

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// write writes the value of a lock that u holds, under the request id of h.
func (u *user) write(h wire.Header, x held, value string) {
	u.send(wire.AppendAmend(nil, h, &wire.Amend{Session: u.session, Target: x.target,
		Token: x.token, Epoch: u.epoch, Name: x.name,
		Terms: wire.Terms{Fields: wire.TermValue, Value: []byte(value)}}))
}

// valueOf is the value that a grant brought.
func (u *user) valueOf(x wire.Response) wire.LockValue {
	u.w.t.Helper()
	v, err := wire.DecodeLockValue(x.Payload)
	if err != nil {
		u.w.t.Fatalf("grant with payload %x: %v", x.Payload, err)
	}
	return v
}

// describe3 asks for a lock as version 3 shows it.
func (u *user) describe3(name []byte) (wire.Status, wire.LockInfo) {
	u.w.t.Helper()
	h := u.header(wire.KindGet)
	h.Flags = wire.FlagVersion3
	x := u.w.call(u.conn, h, wire.AppendGet(nil, h, &wire.Get{Name: name}))
	if x.Status != wire.StatusOK {
		return x.Status, wire.LockInfo{}
	}
	info, err := wire.DecodeLockInfo3(x.Payload)
	if err != nil {
		u.w.t.Fatalf("get: got %v, want a lock", err)
	}
	return x.Status, info
}

// asksValue are the flags of an acquire that waits and asks for the value.
const asksValue = wire.FlagWait | wire.FlagVersion3 | wire.FlagValue

// The value of a lock is there for the next who has it, at once or in its turn, over a
// change of leaders; a write that is sent again counts once; a watch hears of it.
func TestValue(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b, c := w.user(1, 0), w.user(2, 0), w.user(3, 0)
	watch := c.watch(wire.Watch{Name: name})
	x := a.lockIn(name, wire.ModeEX)
	first := a.header(wire.KindAmend)
	a.write(first, x, "one")
	a.want(first.Request, wire.StatusOK)
	heard := c.last(watch)
	second := a.header(wire.KindAmend)
	a.write(second, x, "two")
	a.want(second.Request, wire.StatusOK)
	if again := c.last(watch); heard.Data == 0 || again.Data == heard.Data {
		t.Errorf("watch: got data %x and then %x, want two values told", heard.Data, again.Data)
	}
	waits := b.acquire(name, asksValue)
	w.run(20 * Millisecond)
	old := w.leaderOf(0)
	w.kill(old.id)
	w.run(300 * Millisecond)
	a.epoch, b.epoch, c.epoch = 2, 2, 2
	a.write(first, x, "one")
	a.want(first.Request, wire.StatusOK)
	again := wire.Header{Kind: wire.KindAcquire, Flags: asksValue, Group: b.group, Request: waits}
	b.send(wire.AppendAcquire(nil, again, &wire.Acquire{Session: b.session, Epoch: b.epoch,
		Mode: wire.ModeEX, Name: name}))
	w.run(20 * Millisecond)
	a.release(name, x.token)
	granted := b.want(waits, wire.StatusOK)
	want := wire.LockValue{Data: []byte("two"), Token: x.token}
	if v := b.valueOf(granted); string(v.Data) != "two" || v.Token != want.Token || v.Flags != 0 {
		t.Errorf("granted in turn: got %+v, want %+v", v, want)
	}
	b.unlock(name, granted.Token)
	if s, info := c.describe3(name); s != wire.StatusOK || info.HolderCount != 0 ||
		string(info.Value.Data) != "two" {
		t.Errorf("get: got %v, %+v, want the value and no holder", s, info)
	}
	if info := c.get(name); info.HolderCount != 0 {
		t.Errorf("get of version 1: got %+v, want not found", info)
	}
	now := c.want(c.acquire(name, asksValue), wire.StatusOK)
	if v := c.valueOf(now); string(v.Data) != "two" {
		t.Errorf("granted at once: got %+v, want %+v", v, want)
	}
	if g := w.leaderOf(0).node.groups[0]; len(g.valued) != 0 {
		t.Errorf("left: got %d waits that want a value, want none", len(g.valued))
	}
}

// A writer that was ended by force leaves the value doubtful; who holds to read may not
// write it; a name without a value says so to who asks.
func TestValueInDoubt(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	none := a.want(a.acquire(name, asksValue), wire.StatusOK)
	if v := a.valueOf(none); len(v.Data) != 0 || v.Token != 0 {
		t.Errorf("no value: got %+v, want none", v)
	}
	x := held{name, a.requests, none.Token}
	h := a.header(wire.KindAmend)
	a.write(h, x, "one")
	a.want(h.Request, wire.StatusOK)
	b.want(b.force(name, x.token), wire.StatusOK)
	reader := b.lockIn(name, wire.ModePR)
	if _, info := b.describe3(name); info.Value.Flags != wire.ValueDoubtful {
		t.Errorf("forced: got %+v, want a doubtful value", info.Value)
	}
	h = b.header(wire.KindAmend)
	b.write(h, reader, "two")
	b.want(h.Request, wire.StatusNotWriter)
	w.converged()
}

// While a node of the cluster may not know of values, nobody may write one.
func TestFP3ValueNeedsAllNodes(t *testing.T) {
	o := testOptions()
	o.Format = lockfsm.FormatKinds
	w := newWorld(t, o)
	u := w.user(1, 0)
	x := u.lockIn(w.nameIn(0, 0), wire.ModeEX)
	h := u.header(wire.KindAmend)
	u.write(h, x, "one")
	u.want(h.Request, wire.StatusUnsupported)
}
