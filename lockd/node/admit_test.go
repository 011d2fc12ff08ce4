package node

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// send gives a frame to the leader of the group and does not wait.
func (u *user) send(frame []byte) { u.w.leaderOf(u.group).inbox.Request(u.conn, frame) }

// frames calls fn with every frame sent on a conn.
func (n *testNode) frames(c ConnID, fn func(h wire.Header, body []byte)) {
	for b := n.sent[c]; len(b) > 0; {
		size, err := wire.FrameBytes(b, wire.MaxFrameBytes)
		if err != nil || size == 0 {
			n.w.t.Fatalf("bad frame on conn %d: %v", c, err)
		}
		h, body, err := wire.Parse(b[:size])
		if err != nil {
			n.w.t.Fatal(err)
		}
		fn(h, body)
		b = b[size:]
	}
}

// inFlight is what a conn has in flight, -1 if the node does not know it.
func (n *testNode) inFlight(c ConnID) int {
	if x := n.node.conns.find(c); x != nil {
		return x.inFlight
	}
	return -1
}

func TestEndedAndUnknownSessionsAreForgotten(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	name := w.nameIn(0, 0)
	h := u.header(wire.KindCloseSession)
	x := w.call(u.conn, h, wire.AppendCloseSession(nil, h, &wire.CloseSession{
		Session: u.session, Epoch: u.epoch,
	}))
	if x.Status != wire.StatusOK {
		t.Fatalf("close: got %v, want ok", x.Status)
	}
	for i := range uint64(20) {
		u.session = 1000 + i
		u.wait(u.acquire(name, wire.FlagWait), Second)
	}
	leader := w.leaderOf(0)
	if got := len(leader.node.groups[0].bound); got != 0 {
		t.Errorf("sessions bound to conns: got %d, want 0: none is alive", got)
	}
	if got := len(leader.node.conns.find(1).sessions); got != 0 {
		t.Errorf("sessions of the conn: got %d, want 0", got)
	}
	if got := leader.inFlight(1); got != 0 {
		t.Errorf("in flight: got %d, want 0", got)
	}
}

// A group is as full as that of which it has the least left.
func TestFullness(t *testing.T) {
	limits := lockfsm.Limits{Sessions: 10, Locks: 100, Claims: 1000, DataBytes: 1 << 20}
	for want, use := range map[float64]lockfsm.Stats{
		0:    {},
		0.5:  {Sessions: 5, Locks: 49, Claims: 499, DataBytes: 1 << 18},
		0.75: {Sessions: 5, Locks: 75, Claims: 100},
		0.9:  {Claims: 900},
		1:    {Sessions: 1, DataBytes: 1 << 20},
	} {
		if got := fullness(&use, &limits); got != want {
			t.Errorf("%+v: got %v, want %v", use, got, want)
		}
	}
}

// What a group's limit refuses is counted by the node that answers, once.
func TestRefusalsForLimitsAreCounted(t *testing.T) {
	o := testOptions()
	o.Limits.WaitersPerLock = 1
	w := newWorld(t, o)
	name := w.nameIn(0, 0)
	a, b, c := w.user(1, 0), w.user(2, 0), w.user(3, 0)
	a.lock(name)
	b.acquire(name, wire.FlagWait)
	w.run(100 * Millisecond)
	leader := w.leaderOf(0)
	if got := leader.node.stats.OverLimit; got != 0 {
		t.Fatalf("within the limit: got %d refusals, want 0", got)
	}
	c.want(c.acquire(name, wire.FlagWait), wire.StatusTooManyWaiters)
	w.run(100 * Millisecond)
	for id, n := range w.nodes {
		want := uint64(0)
		if n == leader {
			want = 1
		}
		if got := n.node.stats.OverLimit; got != want {
			t.Errorf("node %d: got %d refusals, want %d", id, got, want)
		}
	}
}

func TestWaiterWhoseConnIsGoneBeforeItQueuesIsParked(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	held := a.lock(name)
	request := b.acquire(name, wire.FlagWait)
	w.leaderOf(0).inbox.ConnClosed(b.conn)
	w.run(20 * Millisecond)
	if got := a.get(name); got.WaiterCount != 1 {
		t.Fatalf("waiters: got %d, want 1", got.WaiterCount)
	}
	a.unlock(name, held.Token)
	if got := a.get(name); got.HolderCount != 0 {
		t.Errorf("holders: got %d, want 0: the waiter's conn is gone", got.HolderCount)
	}
	// It comes back on another conn under a raised epoch and is served.
	b.conn, b.epoch = 3, b.epoch+1
	h := wire.Header{Kind: wire.KindAcquire, Flags: wire.FlagWait, Group: 0, Request: request}
	b.send(wire.AppendAcquire(nil, h, &wire.Acquire{
		Session: b.session, Epoch: b.epoch, Mode: wire.ModeEX, Name: name,
	}))
	if x := b.wait(request, Second); x.Status != wire.StatusOK {
		t.Errorf("acquire on a new conn: got %v, want ok", x.Status)
	}
}

// Tries that turn out to be free go into the batch; together they must not make
// it larger than a slot takes.
func TestTriesThatBecomeFreeRespectTheBatch(t *testing.T) {
	o := testOptions()
	o.MaxBatchBytes = 4096
	w := newWorld(t, o)
	a, b := w.user(1, 0), w.user(2, 0)
	const count = 200
	for i := range count {
		if x := a.lock(w.nameIn(0, i)); x.Status != wire.StatusOK {
			t.Fatalf("lock %d: got %v, want ok", i, x.Status)
		}
	}
	var tries []uint64
	for i := range count {
		tries = append(tries, b.acquire(w.nameIn(0, i), 0))
	}
	h := a.header(wire.KindCloseSession)
	a.send(wire.AppendCloseSession(nil, h, &wire.CloseSession{
		Session: a.session, Epoch: a.epoch,
	}))
	served := 0
	for i, r := range tries {
		switch x := b.wait(r, Second); x.Status {
		case wire.StatusOK:
			served++
		case wire.StatusBusy, wire.StatusHeld:
		default:
			t.Fatalf("try %d: got %v, want ok, held or busy", i, x.Status)
		}
	}
	if served == 0 {
		t.Error("no try was granted")
	}
	leader := w.leaderOf(0)
	leader.frames(b.conn, func(h wire.Header, _ []byte) {
		if h.Kind == wire.KindMoved {
			t.Error("Moved from a node that leads")
		}
	})
	if got := leader.inFlight(b.conn); got != 0 {
		t.Errorf("in flight: got %d, want 0", got)
	}
}

func TestManyParkedSessionsDoNotOverfillASlot(t *testing.T) {
	o := testOptions()
	o.MaxBatchBytes = 4096
	w := newWorld(t, o)
	name := w.nameIn(0, 0)
	a := w.user(1, 0)
	held := a.lock(name)
	const count = 800
	leader := w.leaderOf(0)
	for i := range count {
		u := &user{w: w, conn: 2, group: 0, requests: uint64(i+1) * 10, epoch: 1}
		h := u.header(wire.KindOpenSession)
		u.session = w.call(2, h, wire.AppendOpenSession(nil, h, &wire.OpenSession{
			Nonce: wire.Nonce{byte(i), byte(i >> 8), 1}, Epoch: 1, LeaseMillis: 60_000,
		})).Token
		u.acquire(name, wire.FlagWait)
		leader.sent[2] = nil
		if i%100 == 0 {
			a.keepalive()
		}
	}
	w.run(20 * Millisecond)
	leader.inbox.ConnClosed(2)
	w.run(100 * Millisecond)
	a.unlock(name, held.Token)
	w.run(20 * Millisecond)
	var info lockfsm.LockInfo
	leader.node.groups[0].machine.Lock(name, &info, lockfsm.All)
	if len(info.Holders) != 0 || len(info.Waiters) != count {
		t.Errorf("got %d holders and %d waiters, want 0 and %d: all of them are parked",
			len(info.Holders), len(info.Waiters), count)
	}
}

// statuses lists the answers sent on a conn, by request.
func (n *testNode) statuses(c ConnID) map[uint64]wire.Status {
	all := make(map[uint64]wire.Status)
	n.frames(c, func(h wire.Header, body []byte) {
		if h.Kind != wire.KindResponse {
			return
		}
		x, err := wire.DecodeResponse(body)
		if err != nil {
			n.w.t.Fatal(err)
		}
		if old, ok := all[h.Request]; ok {
			n.w.t.Errorf("request %d answered twice: %v and %v", h.Request, old, x.Status)
		}
		all[h.Request] = x.Status
	})
	return all
}

// leaderless lets only the first node hear the others, and waits until that one
// knows of no leader of group 0.
func (w *world) leaderless() *testNode {
	w.t.Helper()
	w.drop = func(f testFrame) bool { return f.to != 1 }
	w.run(3 * Second)
	n := w.nodes[1]
	if got := n.node.groups[0].replica.Leader(); got != 0 {
		w.t.Fatalf("leader without a quorum: got node %d, want none", got)
	}
	return n
}

func acquireFrame(request uint64, name []byte) []byte {
	h := wire.Header{Kind: wire.KindAcquire, Flags: wire.FlagWait, Request: request}
	return wire.AppendAcquire(nil, h, &wire.Acquire{
		Session: 1, Epoch: 1, Mode: wire.ModeEX, Name: name,
	})
}

func TestHeldRequestsAreRefusedInTime(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	n := w.leaderless()
	n.inbox.Request(7, acquireFrame(1, name))
	w.run(500 * Millisecond)
	if got := n.statuses(7); len(got) != 0 {
		t.Fatalf("after half an election timeout: got %v, want it held", got)
	}
	w.run(600 * Millisecond)
	if got := n.statuses(7)[1]; got != wire.StatusNotLeader {
		t.Errorf("after an election timeout: got %v, want not leader", got)
	}
}

// Once one request of a conn is refused, none before it may be carried out
// (rule 3 of the wire).
func TestHeldRequestsAreNotOvertakenByARefusal(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	n := w.leaderless()
	// Many requests of one conn take some turns.
	served := func() {
		w.run(2 * Millisecond)
		for len(n.node.turnstile.ring) > 0 {
			w.run(Millisecond)
		}
	}
	frame := acquireFrame(1, name)
	n.inbox.Request(8, frame)
	held := uint64(0)
	for ; int(held+2)*(len(frame)+earlyItemBytes) <= maxGroupEarlyBytes; held++ {
		n.inbox.Request(7, acquireFrame(held+1, name))
	}
	served()
	if got := n.statuses(7); len(got) != 0 {
		t.Fatalf("got %d answers, want all held", len(got))
	}
	n.inbox.Request(7, acquireFrame(held+1, name))
	served()
	got := n.statuses(7)
	for r := uint64(1); r <= held+1; r++ {
		if got[r] != wire.StatusNotLeader {
			t.Fatalf("request %d of %d: got %v, want not leader", r, held+1, got[r])
		}
	}
	if got := n.statuses(8); len(got) != 0 {
		t.Errorf("another conn: got %v, want its request still held", got)
	}
	if got := n.node.groups[0].earlyBytes; got != len(frame)+earlyItemBytes {
		t.Errorf("held: got %d bytes, want %d", got, len(frame)+earlyItemBytes)
	}
}

// Keepalives in a flood are cut into slots that fit, and end at a bound.
func TestRenewalsRespectTheSlotAndTheConn(t *testing.T) {
	o := testOptions()
	o.MaxBatchBytes, o.MaxInFlight = 4096, 2000
	w := newWorld(t, o)
	u, other := w.user(1, 0), w.user(2, 0)
	leader := w.leaderOf(0)
	refs := make([]wire.SessionRef, wire.MaxGroups)
	for i := range refs {
		refs[i] = wire.SessionRef{Session: uint64(5000 + i)}
	}
	refs[0].Session = u.session
	for r := range uint64(3) {
		h := wire.Header{Kind: wire.KindKeepalive, Request: 100 + r}
		leader.inbox.Request(1, wire.AppendKeepalive(nil, h, refs))
	}
	other.keepalive()
	w.run(500 * Millisecond)
	codes := make(map[wire.Code]int)
	for _, c := range []ConnID{1, 2} {
		leader.frames(c, func(h wire.Header, body []byte) {
			if h.Kind != wire.KindKeepaliveAck {
				return
			}
			acks, err := wire.DecodeKeepaliveAck(body)
			if err != nil {
				t.Fatal(err)
			}
			for i := range acks.Len() {
				codes[acks.At(i).Code]++
			}
		})
	}
	if codes[wire.CodeRenewed] != 2 || codes[wire.CodeUnknown] != len(refs)-1 {
		t.Errorf("got %v, want 2 renewed and %d unknown", codes, len(refs)-1)
	}
	if got := leader.statuses(1)[102]; got != wire.StatusBusy {
		t.Errorf("third keepalive: got %v, want busy", got)
	}
	if c := leader.node.conns.find(1); c.renewing != 0 || len(c.sessions) != 1 {
		t.Errorf("conn: got %d renewals open and %d sessions, want 0 and 1",
			c.renewing, len(c.sessions))
	}
}

func TestRequestIsRefusedWhileTheLogIsCramped(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	name, other := w.nameIn(0, 0), w.nameIn(0, 1)
	held := u.lock(name)
	w.leaderOf(0).cramped = true
	w.run(50 * Millisecond)
	if x := u.lock(other); x.Status != wire.StatusBusy || x.RetryMillis == 0 {
		t.Errorf("acquire: got %v, retry after %d ms; want busy and a hint", x.Status, x.RetryMillis)
	}
	if x := u.unlock(name, held.Token); x.Status != wire.StatusOK {
		t.Errorf("release: got %v, want ok", x.Status)
	}
	w.leaderOf(0).cramped = false
	w.run(50 * Millisecond)
	if x := u.lock(other); x.Status != wire.StatusOK {
		t.Errorf("acquire with room: got %v, want ok", x.Status)
	}
}

// A node that hears nobody cannot become a leader: a client that asks it is to
// ask elsewhere at once. One that hears a quorum may lead soon and holds on to
// what it is asked.
func TestNodeThatHearsNobodyHoldsNothing(t *testing.T) {
	w := newWorld(t, testOptions())
	h := wire.Header{Group: 0, Request: 7}
	get := wire.AppendGet(nil, h, &wire.Get{Name: w.nameIn(0, 0)})
	w.drop = func(f testFrame) bool { return f.to == 1 }
	w.run(1200 * Millisecond)
	n := w.nodes[1]
	if got := n.node.groups[0].replica.Leader(); got != paxos.NoNode {
		t.Fatalf("node 1 believes that node %d leads, want none", got)
	}
	n.inbox.Request(1, get)
	w.run(20 * Millisecond)
	if r, ok := n.response(1, h.Request); !ok || r.Status != wire.StatusNotLeader {
		t.Errorf("a node that hears nobody: got %v, %v, want NotLeader at once", r.Status, ok)
	}

	w = newWorld(t, testOptions())
	n = w.nodes[1]
	w.drop = func(f testFrame) bool { return f.to == 1 || f.from == 1 }
	for range 2000 {
		if w.run(Millisecond); !n.node.groups[0].leading {
			break
		}
	}
	n.inbox.Request(1, get)
	w.run(20 * Millisecond)
	if r, ok := n.response(1, h.Request); !ok || r.Status != wire.StatusNotLeader {
		t.Errorf("a leader that has just stepped down: got %v, %v, want NotLeader at once",
			r.Status, ok)
	}

	w = newWorld(t, testOptions())
	old := w.leaderOf(0).id
	w.kill(old)
	next := w.nodes[uint16(w.nodes[old%3+1].node.home(0)[1])]
	next.inbox.Request(1, get)
	w.run(200 * Millisecond)
	if r, ok := next.response(1, h.Request); !ok || r.Status != wire.StatusNotFound {
		t.Errorf("the first successor of a dead leader: got %v, %v, want its answer", r.Status, ok)
	}
}
