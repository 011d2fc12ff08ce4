package node

import (
	"bytes"
	"errors"
	"testing"

	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// closings counts the conns a node ends.
type closings struct {
	testClients
	closed []ConnID
}

func (c *closings) CloseConn(id ConnID) { c.closed = append(c.closed, id) }

func TestRequestsThatCannotBeDoneAreRefused(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1] // leads groups 0 and 3
	name, long := w.nameIn(0, 0), bytes.Repeat([]byte("x"), wire.MaxNameBytes)
	acquire := func(group uint16, name []byte) []byte {
		return wire.AppendAcquire(nil, wire.Header{Group: group, Request: 1}, &wire.Acquire{
			Session: 1, Epoch: 1, Mode: wire.ModeEX, Name: name})
	}
	get := func(group uint16, name []byte) []byte {
		return wire.AppendGet(nil, wire.Header{Group: group, Request: 1}, &wire.Get{Name: name})
	}
	// cut takes the last byte off a frame, so that its body ends too early.
	cut := func(frame []byte) []byte {
		frame = frame[:len(frame)-1]
		frame[0]--
		return frame
	}
	h := wire.Header{Request: 1}
	for _, x := range []struct {
		what  string
		frame []byte
		want  wire.Status
	}{
		{"a group there is not", acquire(4, name), wire.StatusWrongGroup},
		{"a group the name is not of", acquire(3, name), wire.StatusWrongGroup},
		{"a question to another group", get(3, name), wire.StatusWrongGroup},
		{"a group led elsewhere", acquire(1, w.nameIn(1, 0)), wire.StatusNotLeader},
		{"an empty name", acquire(0, nil), wire.StatusNameTooLong},
		{"a zero byte", acquire(0, []byte("a\x00b")), wire.StatusNameTooLong},
		{"a question without a name", get(0, nil), wire.StatusNameTooLong},
		{"the longest name, elsewhere", acquire(0, long), wire.StatusWrongGroup},
		{"a cut acquire", cut(acquire(0, name)), wire.StatusBadRequest},
		{"a cut question", cut(get(0, name)), wire.StatusBadRequest},
		{"a cut list", cut(wire.AppendList(nil, h, &wire.List{})), wire.StatusBadRequest},
		{"a cut keepalive", cut(wire.AppendKeepalive(nil, h, []wire.SessionRef{{}})),
			wire.StatusBadRequest},
		{"a cut close", cut(wire.AppendCloseSession(nil, h, &wire.CloseSession{})),
			wire.StatusBadRequest},
		{"a cut open", cut(wire.AppendOpenSession(nil, h, &wire.OpenSession{Name: name})),
			wire.StatusBadRequest},
		{"a cut cancel", cut(wire.AppendCancel(nil, h, &wire.Cancel{Name: name})),
			wire.StatusBadRequest},
		{"a cut renewal", cut(wire.AppendRenewHold(nil, h, &wire.RenewHold{Name: name})),
			wire.StatusBadRequest},
		{"a cut release", cut(wire.AppendRelease(nil, h, &wire.Release{Name: name})),
			wire.StatusBadRequest},
	} {
		n.sent[9] = nil
		n.inbox.Request(9, x.frame)
		w.run(2 * Millisecond)
		if got := n.statuses(9)[1]; got != x.want {
			t.Errorf("%s: got %v, want %v", x.what, got, x.want)
		}
	}
	if got := n.inFlight(9); got != 0 {
		t.Errorf("in flight: got %d, want 0", got)
	}
}

func TestFrameThatIsNoRequestEndsTheConn(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1]
	c := &closings{testClients: testClients{n}}
	n.node.deps.Clients = c
	n.inbox.Request(5, []byte{1, 2, 3})
	n.inbox.Request(6, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{}))
	w.run(2 * Millisecond)
	if len(c.closed) != 2 || c.closed[0] != 5 || c.closed[1] != 6 {
		t.Errorf("closed conns: got %v, want 5 and 6", c.closed)
	}
}

func TestConnWithTooMuchInFlightMayStillGiveBack(t *testing.T) {
	o := testOptions()
	o.MaxInFlight = 2
	w := newWorld(t, o)
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	held := a.lock(name)
	b.acquire(name, wire.FlagWait)
	waiting := b.acquire(name, wire.FlagWait)
	w.run(20 * Millisecond)
	if x := b.wait(b.acquire(name, 0), Second); x.Status != wire.StatusBusy {
		t.Errorf("third request: got %v, want busy", x.Status)
	}
	// What it holds, and whether it waits in a circle, it may ask all the same.
	if x := b.check(wire.TokenRef{Token: held.Token, Name: name}); x.Status != wire.StatusOK {
		t.Errorf("question about a token: got %v, want ok", x.Status)
	}
	b.chase(wire.ChaseGroup, w.flowOf(b, 0))
	h := b.header(wire.KindCancel)
	x := w.call(b.conn, h, wire.AppendCancel(nil, h, &wire.Cancel{
		Session: b.session, Target: waiting, Epoch: b.epoch, Name: name,
	}))
	if x.Status != wire.StatusCancelled {
		t.Errorf("cancel: got %v, want cancelled", x.Status)
	}
	if x := a.unlock(name, held.Token); x.Status != wire.StatusOK {
		t.Errorf("release: got %v, want ok", x.Status)
	}
	w.run(20 * Millisecond)
	if got := w.leaderOf(0).inFlight(b.conn); got != 0 {
		t.Errorf("in flight: got %d, want 0", got)
	}
}

// Everything that waits for a group ends with Moved when its leader goes.
func TestDeposedLeaderLeavesNothingOpen(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	a.lock(name)
	b.acquire(name, wire.FlagWait) // queued in the machine
	w.run(20 * Millisecond)
	n := w.leaderOf(0)
	w.nodes[2].node, w.nodes[3].node = nil, nil
	b.acquire(w.nameIn(0, 1), wire.FlagWait) // proposed, never chosen
	try := b.acquire(name, 0)                // never confirmed
	renewed := b.keepalive()
	w.run(3 * Second)
	moved, refused := 0, false
	n.frames(b.conn, func(h wire.Header, body []byte) {
		switch h.Kind {
		case wire.KindMoved:
			moved++
		case wire.KindKeepaliveAck:
			acks, err := wire.DecodeKeepaliveAck(body)
			refused = err == nil && h.Request == renewed && acks.At(0).Code == wire.CodeNotLeader
		}
	})
	if moved != 1 || !refused {
		t.Errorf("got %d Moved, keepalive refused %t; want 1 and true", moved, refused)
	}
	if _, ok := n.response(b.conn, try); ok {
		t.Error("a request was answered besides Moved")
	}
	g, c := n.node.groups[0], n.node.conns.find(b.conn)
	if c.inFlight != 0 || c.renewing != 0 || len(c.pending) != 0 || len(c.sessions) != 0 {
		t.Errorf("conn: got %d in flight, %d renewals, %d tries, %d sessions; want none",
			c.inFlight, c.renewing, len(c.pending), len(c.sessions))
	}
	if len(g.waits)+len(g.bound)+len(g.flights)+len(g.reads)+g.batch.Len() != 0 {
		t.Errorf("group: got %d waits, %d bound, %d flights, %d reads, %d commands; want none",
			len(g.waits), len(g.bound), len(g.flights), len(g.reads), g.batch.Len())
	}
}

func TestListAndStatusAnswer(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	for i := range 3 {
		u.lock(w.nameIn(0, i))
	}
	h := u.header(wire.KindList)
	x := w.call(u.conn, h, wire.AppendList(nil, h, &wire.List{Limit: 2}))
	page, err := wire.DecodeListPage(x.Payload)
	if err != nil || len(page.Entries) != 2 || page.More != wire.MorePages {
		t.Errorf("list: got %+v, error %v; want two entries and more", page, err)
	}
	h = u.header(wire.KindStatus)
	x = w.call(u.conn, h, wire.AppendStatus(nil, h))
	s, err := wire.DecodeNodeStatus(x.Payload)
	if err != nil || s.Node != 1 || len(s.Groups) != 4 || s.Groups[0].Locks != 3 {
		t.Errorf("status: got %+v, error %v; want node 1 with 4 groups and 3 locks", s, err)
	}
	if !w.nodes[1].node.Status().Ready() {
		t.Error("a healthy node says that it is not ready")
	}
	if got := w.nodes[1].node.Welcome(1); len(got.Leaders) != 4 || got.Leaders[1] != 2 {
		t.Errorf("welcome: leaders %v, want those of 4 groups with node 2 for group 1", got.Leaders)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	good := testOptions()
	good.Self = 1
	if err := good.Validate(); err != nil {
		t.Fatalf("got %v, want none", err)
	}
	for what, spoil := range map[string]func(o *Options){
		"no name":        func(o *Options) { o.Cluster = "" },
		"no groups":      func(o *Options) { o.Groups = 0 },
		"many groups":    func(o *Options) { o.Groups = 1025 },
		"no nodes":       func(o *Options) { o.Nodes = nil },
		"order of nodes": func(o *Options) { o.Nodes = []Peer{{2, "b"}, {1, "a"}} },
		"a stranger":     func(o *Options) { o.Self = 9 },
		"tick":           func(o *Options) { o.Tick = 0 },
		"election":       func(o *Options) { o.ElectionTicks = o.HeartbeatTicks },
		"log tick":       func(o *Options) { o.LogTick = o.Tick - 1 },
		"large batch":    func(o *Options) { o.MaxBatchBytes = 2 << 20 },
		"window":         func(o *Options) { o.Window = 0 },
	} {
		o := good
		spoil(&o)
		if err := o.Validate(); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: got %v, want ErrOptions", what, err)
		}
	}
}

func TestHeldQueueKeepsItsOrderWhenCompacted(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1].node
	var q heldQueue
	const count = 4000
	for i := range count {
		q.push(wal.LSN(i+1), &paxos.Message{Kind: paxos.KindHeartbeatAck, From: 1, To: 2,
			Seq: uint64(i)})
	}
	n.peer(2).out = n.peer(2).out[:0]
	before := n.stats.MessagesOut
	for lsn := wal.LSN(0); lsn <= count; lsn += 100 {
		q.release(lsn, n)
		if got := n.stats.MessagesOut - before; got != uint64(lsn) {
			t.Fatalf("let go up to %d: got %d messages", lsn, got)
		}
	}
	if len(q.items) != 0 || len(q.data) != 0 {
		t.Errorf("got %d items and %d bytes left, want none", len(q.items), len(q.data))
	}
	var m paxos.Message
	b := n.peer(2).out[wire.PeerHeaderBytes+messagesHeadBytes:]
	for i := range count {
		rest, err := paxos.DecodeMessage(b, &m)
		if err != nil || m.Seq != uint64(i) {
			t.Fatalf("message %d: got %d, error %v", i, m.Seq, err)
		}
		b = rest
	}
}

// lean is a world without memory of its own.
type lean struct {
	inbox *Inbox
	lsn   wal.LSN
}

func (l *lean) Append(wal.Record) wal.LSN { l.lsn++; return l.lsn }
func (l *lean) Flush()                    { l.inbox.Durable(l.lsn) }
func (l *lean) Release(uint16, uint64)    {}
func (l *lean) Reopen(uint16)             {}
func (l *lean) Cramped() bool             { return false }
func (l *lean) Full() bool                { return false }
func (l *lean) SyncingSince() Nanos       { return 0 }

type leanClients struct{ sent int }

func (c *leanClients) Send(_ ConnID, frames []byte) { c.sent += len(frames) }
func (c *leanClients) Flush()                       {}
func (c *leanClients) CloseConn(ConnID)             {}
func (c *leanClients) Resume(ConnID)                {}

// From admission to answer a request allocates nothing once warm; what a batch
// allocates is shared by its requests.
func TestRequestPathAllocatesPerBatchOnly(t *testing.T) {
	o := testOptions()
	o.Nodes, o.Groups = o.Nodes[:1], 1
	w := newWorld(t, o)
	u := w.user(1, 0)
	n := w.nodes[1].node
	clients := &leanClients{}
	n.deps.Log, n.deps.Clients = &lean{n.inbox, n.lastLSN}, clients
	h := u.header(wire.KindRelease)
	frame := wire.AppendRelease(nil, h, &wire.Release{
		Session: u.session, Token: 1 << 40, Epoch: u.epoch, Name: w.nameIn(0, 0),
	})
	const batch = 256
	round := func() {
		for range batch {
			n.inbox.Request(u.conn, frame)
		}
		for range 3 {
			if err := n.Turn(w.now); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 100 {
		round()
	}
	before := clients.sent
	round()
	if got := clients.sent - before; got < batch*wire.HeaderBytes {
		t.Fatalf("got %d bytes of answers to %d requests", got, batch)
	}
	if got := testing.AllocsPerRun(100, round); got > batch/32 {
		t.Errorf("got %.0f allocations for a batch of %d requests, want at most %d",
			got, batch, batch/32)
	} else {
		t.Logf("%.0f allocations for a batch of %d requests", got, batch)
	}
}
