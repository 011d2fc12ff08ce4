package node

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// detect asks, as the request with this header, for a lock for an owner who gives
// nothing back meanwhile.
func (u *user) detect(h wire.Header, name []byte, owner uint64) {
	h.Flags = wire.FlagWait | wire.FlagVersion3 | wire.FlagDetect
	u.send(wire.AppendEnter(nil, h, &wire.Enter{Session: u.session, Owner: owner,
		Epoch: u.epoch, Mode: wire.ModeEX, Name: name}))
}

// wantCircle checks the refusal by the present leader and what it says of the circle.
func (u *user) wantCircle(request uint64, want []wire.CircleStep) {
	u.w.t.Helper()
	u.w.run(50 * Millisecond)
	x, ok := u.w.leaderOf(u.group).response(u.conn, request)
	if !ok || x.Status != wire.StatusDeadlock {
		u.w.t.Fatalf("request %d: got %v, %v, want a deadlock", request, ok, x.Status)
	}
	got, err := wire.DecodeCircle(x.Payload)
	if err != nil || len(got.Steps) != len(want) || int(got.Count) != len(want) ||
		x.Token != want[0].Token {
		u.w.t.Fatalf("circle: got %+v, %v, token %d, want %+v", got, err, x.Token, want)
	}
	for i, s := range got.Steps {
		y := want[i]
		if s.Session != y.Session || s.Owner != y.Owner || s.Token != y.Token ||
			string(s.Client) != "tester" || string(s.Name) != string(y.Name) {
			u.w.t.Errorf("step %d: got %+v, want %+v", i, s, y)
		}
	}
}

// Whoever of three owners closes a circle is told all of it, and so is who asks
// again, also of the next leader: a refusal changes nothing. When the circle is open
// the same request waits and is granted.
func TestCircleOfOwnersIsRefused(t *testing.T) {
	w := raisedWorld(t, testOptions())
	a, b, c := w.lasting(1, 0, 30_000), w.lasting(2, 0, 30_000), w.lasting(3, 0, 30_000)
	users := []*user{a, b, c}
	var steps []wire.CircleStep
	var first uint64 // the Enter of what the last holds
	for i, u := range users {
		name := w.nameIn(0, i)
		first = u.enter(name, 7, 0)
		token := u.want(first, wire.StatusOK).Token
		steps = append(steps, wire.CircleStep{Session: users[(i+2)%3].session, Owner: 7,
			Token: token, Name: name})
	}
	// steps[i] waits for what users[i] holds: the last of them for that of the first.
	waits := []wire.Header{a.header(wire.KindEnter), b.header(wire.KindEnter)}
	a.detect(waits[0], steps[1].Name, 7)
	b.detect(waits[1], steps[2].Name, 7)
	w.run(50 * Millisecond)
	h := c.header(wire.KindEnter)
	c.detect(h, steps[0].Name, 7)
	c.wantCircle(h.Request, steps)

	old := w.leaderOf(0)
	w.kill(uint16(old.id))
	w.run(3 * Second)
	for _, u := range users {
		u.epoch++
	}
	a.detect(waits[0], steps[1].Name, 7)
	b.detect(waits[1], steps[2].Name, 7)
	c.detect(h, steps[0].Name, 7)
	c.wantCircle(h.Request, steps)
	if n := w.leaderOf(0).inFlight(c.conn); n != 0 {
		t.Errorf("in flight: got %d, want 0", n)
	}
	if _, ok := w.leaderOf(0).response(a.conn, waits[0].Request); ok {
		t.Error("who waited before was answered")
	}

	if x := c.leave(steps[2].Name, first, steps[2].Token); x.Status != wire.StatusOK {
		t.Fatalf("leave: got %v, want ok", x.Status)
	}
	b.want(waits[1].Request, wire.StatusOK)
	c.epoch++
	c.detect(h, steps[0].Name, 7)
	w.run(50 * Millisecond)
	if info := c.describe(steps[0].Name); info.WaiterCount != 1 {
		t.Errorf("waiters: got %d, want the one who was refused before", info.WaiterCount)
	}
	old.start()
	w.link(old.id)
	w.run(2 * Second)
	w.converged()
}

// Who asks for several names, or to convert, and closes a circle is told all of it, with
// the name at which it waits; a Chase lists a wait for several at each name.
func TestCirclesOfKinds(t *testing.T) {
	w := raisedWorld(t, testOptions())
	a, b := w.lasting(1, 0, 30_000), w.lasting(2, 0, 30_000)
	names := w.namesIn(5)
	const word = wire.FlagWait | wire.FlagDetect | wire.FlagVersion3
	first, fourth := a.lock(names[0]).Token, b.lock(names[3]).Token
	ours, theirs := a.lockIn(names[4], wire.ModePR), b.lockIn(names[4], wire.ModePR)
	waits := b.acquire(names[0], word)
	w.run(50 * Millisecond)
	asks := a.acquireAll(names[1:4], word)
	a.wantCircle(asks, []wire.CircleStep{{Session: a.session, Token: fourth, Name: names[3]},
		{Session: b.session, Token: first, Name: names[0]}})
	if x, _ := w.leaderOf(0).response(a.conn, asks); x.Position != 2 {
		t.Errorf("position: got %d, want that of the third name", x.Position)
	}
	a.wantCircle(a.convert(ours, wire.ModeEX, word), []wire.CircleStep{
		{Session: a.session, Token: theirs.token, Name: names[4]},
		{Session: b.session, Token: first, Name: names[0]}})

	b.cancel(waits, names[0])
	asks = a.acquireAll(names[1:4], word)
	w.run(50 * Millisecond)
	got := b.chase(wire.ChaseNode, w.flowOf(a, 0))
	if len(got) != 1 || string(got[0].Name) != string(names[3]) || got[0].Request != asks ||
		got[0].Blockers[0].Token != fourth {
		t.Errorf("chase: got %+v, want one wait at the third name", got)
	}
	b.wantCircle(b.acquire(names[1], word), []wire.CircleStep{{Session: b.session, Name: names[1]},
		{Session: a.session, Token: fourth, Name: names[3]}})
}

// cancel gives a request up that waits.
func (u *user) cancel(target uint64, name []byte) {
	u.w.t.Helper()
	h := u.header(wire.KindCancel)
	u.send(wire.AppendCancel(nil, h, &wire.Cancel{Session: u.session, Target: target,
		Epoch: u.epoch, Name: name}))
	u.want(h.Request, wire.StatusCancelled)
}

// A try that says detect is any other try, and whoever gets the lock has it.
func TestDetectOfATry(t *testing.T) {
	w := raisedWorld(t, testOptions())
	u, name := w.user(1, 0), w.nameIn(0, 0)
	u.lock(name)
	u.want(u.enter(name, 7, wire.FlagDetect|wire.FlagVersion3), wire.StatusHeld)
	u.want(u.take(w.nameIn(0, 1), 1, wire.FlagWait|wire.FlagDetect), wire.StatusOK)
	h := u.header(wire.KindAsk)
	h.Flags = wire.FlagWait | wire.FlagVersion3 | wire.FlagDetect
	for i, kind := range []wire.Kind{wire.KindAcquire, wire.KindEnter} {
		x := wire.Ask{Kind: kind, Session: u.session, Epoch: u.epoch, Mode: wire.ModeEX,
			Name: w.nameIn(0, 2+i)}
		if kind == wire.KindEnter {
			x.Owner = 7
		}
		h.Request++
		u.send(wire.AppendAsk(nil, h, &x))
		u.want(h.Request, wire.StatusOK)
	}
}

// While a node of the cluster may not know it, nobody may say detect.
func TestFP3DetectNeedsAllNodes(t *testing.T) {
	o := testOptions()
	o.Format = lockfsm.FormatKinds
	w := newWorld(t, o)
	u := w.user(1, 0)
	h := u.header(wire.KindEnter)
	u.detect(h, w.nameIn(0, 0), 7)
	u.want(h.Request, wire.StatusUnsupported)
	if x := u.lock(w.nameIn(0, 0)); x.Status != wire.StatusOK {
		t.Errorf("lock: got %v, want ok", x.Status)
	}
}

// chase asks what owners of the users' clients wait for, and returns the waits as text.
func (u *user) chase(scope wire.ChaseScope, of ...wire.Flow) (all []wire.ChasedWait) {
	u.w.t.Helper()
	h := u.header(wire.KindChase)
	if scope == wire.ChaseNode {
		h.Group = 0
	}
	u.send(wire.AppendChase(nil, h, &wire.Chase{Scope: scope, Flows: of}))
	x, err := wire.DecodeChased(u.want(h.Request, wire.StatusOK).Payload)
	if err != nil {
		u.w.t.Fatal(err)
	}
	return x.Waits
}

// A Chase tells the waits with detect of the owners asked about, with what is in their
// way: of one group, and of all that the node leads.
func TestChase(t *testing.T) {
	w := raisedWorld(t, testOptions())
	a, b := w.lasting(1, 0, 30_000), w.lasting(2, 0, 30_000)
	ours, theirs := w.flowOf(a, 0), w.flowOf(b, 7)
	if ours.Client == theirs.Client {
		t.Fatalf("both are client %x", ours.Client)
	}
	one, two := w.nameIn(0, 0), w.nameIn(0, 1)
	held := b.want(b.enter(one, 7, 0), wire.StatusOK)
	a.lock(two)
	if got := a.chase(wire.ChaseGroup, ours, theirs); len(got) != 0 {
		t.Errorf("before anybody waits: got %+v", got)
	}
	h := a.header(wire.KindAcquire)
	h.Flags = wire.FlagWait | wire.FlagVersion3 | wire.FlagDetect
	a.send(wire.AppendAcquire(nil, h, &wire.Acquire{Session: a.session, Epoch: a.epoch,
		Mode: wire.ModeEX, Weight: 3, Name: one}))
	b.acquire(two, wire.FlagWait) // says nothing
	w.run(30 * Millisecond)
	for _, scope := range []wire.ChaseScope{wire.ChaseGroup, wire.ChaseNode} {
		got := b.chase(scope, theirs, ours)
		if len(got) != 1 || len(got[0].Blockers) != 1 || got[0].Flow != ours ||
			got[0].Session != a.session || got[0].Request != h.Request || got[0].Weight != 3 ||
			got[0].Group != 0 || string(got[0].Name) != string(one) || string(got[0].Client) != "tester" {
			t.Fatalf("scope %d: got %+v", scope, got)
		}
		want := wire.Blocker{Flow: theirs, Session: b.session, Request: got[0].Blockers[0].Request,
			Token: held.Token}
		if got[0].Blockers[0] != want {
			t.Errorf("scope %d: got %+v in the way, want %+v", scope, got[0].Blockers[0], want)
		}
	}
	if got := b.chase(wire.ChaseNode, theirs); len(got) != 0 {
		t.Errorf("of one who does not wait so: got %+v", got)
	}
	bad := a.header(wire.KindChase)
	a.send(wire.AppendChase(nil, bad, &wire.Chase{Scope: wire.ChaseNode}))
	a.want(bad.Request, wire.StatusBadRequest)
}

// A Chase costs what it has to look at, and looks no further than the answer has room.
func TestChaseIsPaidFor(t *testing.T) {
	w := raisedWorld(t, testOptions())
	a, b := w.lasting(1, 0, 30_000), w.lasting(2, 0, 30_000)
	name := w.nameIn(0, 0)
	a.lock(name)
	var flows []wire.Flow
	for i := range uint64(wire.MaxFlows) {
		h := b.header(wire.KindEnter)
		b.detect(h, name, i+1)
		flows = append(flows, w.flowOf(b, i+1))
	}
	w.run(50 * Millisecond)
	n := w.leaderOf(0).node
	for _, c := range []struct{ flows, after, waits, next, least, most int }{
		{1, 0, 1, 0, 2, 2}, // the last of 64, behind the hold and all others
		{wire.MaxFlows, 0, wire.MaxChased, wire.MaxChased, 16, 64},
		{wire.MaxFlows, wire.MaxChased, wire.MaxFlows - wire.MaxChased, 0, 16, 96},
		{wire.MaxFlows, wire.MaxFlows, 0, 0, 2, 2}, // all are gone past, which is paid for too
	} {
		before := n.turnstile.spent
		x := wire.Chase{After: uint32(c.after), Flows: flows[len(flows)-c.flows:]}
		got, err := wire.DecodeChased(n.chased(&x, n.groups[0]))
		if spent := n.turnstile.spent - before; err != nil || len(got.Waits) != c.waits ||
			int(got.Next) != c.next || spent < c.least || spent > c.most {
			t.Errorf("%d owners after %d: got %d waits, next %d, %v, for %d units, want %d, next %d, for "+
				"%d to %d", c.flows, c.after, len(got.Waits), got.Next, err, spent, c.waits, c.next, c.least,
				c.most)
		}
	}
}

// flowOf is an owner of a user, as the machine of its group knows it.
func (w *world) flowOf(u *user, owner uint64) wire.Flow {
	var s lockfsm.SessionInfo
	g := w.leaderOf(u.group).node.groups[u.group]
	if !g.machine.Session(lockfsm.SessionID(u.session), &s) {
		w.t.Fatalf("session %d: not there", u.session)
	}
	return wire.Flow{Client: uint64(s.Nonce.Client()), Owner: owner}
}
