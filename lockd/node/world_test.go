package node

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// world runs nodes in one goroutine with perfect links and disks. It shows what
// a node does when nothing is wrong; lockd/sim breaks things.
type world struct {
	t     testing.TB
	opts  Options
	now   Nanos
	nodes map[uint16]*testNode
	// queue holds frames between nodes until deliver.
	queue []testFrame
	// drop says which frames are lost, nil for none.
	drop func(f testFrame) bool
	// apart says which nodes are not linked, nil for none.
	apart func(a, b uint16) bool
	// diskOf are disks other than the usual ones.
	diskOf map[uint16]paxos.DiskID
	// lanes bound what links carry, nil for no bound.
	lanes *lanes
}

type testFrame struct {
	from, to uint16
	frame    []byte
}

// testNode is a node with the world it sees.
type testNode struct {
	drops   int // checkpoints dropped
	freed   int // releases of the log
	w       *world
	id      uint16
	node    *Node
	inbox   *Inbox
	lsn     wal.LSN
	durable wal.LSN
	flushed bool
	records []wal.Record
	stored  []byte
	sent    map[ConnID][]byte
	saved   map[uint16]map[string][]byte
	slots   map[uint16]uint64
	shelf   shelf
	events  []Event
	saveErr error
	// slow puts installs off until finish; jobs are those that wait.
	slow    bool
	jobs    []func()
	syncing Nanos
	cramped bool
	starved bool     // gets no turns
	resumed []ConnID // conns to be read again
	// together has it catch up with all groups at once.
	together bool
	// format makes it stand for an older build, if not zero.
	format uint8
	// batchBytes is its MaxBatchBytes, if not zero.
	batchBytes int
	// broken is the failure that the log tells of beside a turn that appends to it.
	broken error
	// dead are the groups of which the log was told that it needs nothing.
	dead map[uint16]bool
	// past takes what ends, nil if nobody does.
	past *pastNotes
	// wantStop is the error with which it may stop, stopped that with which it
	// did.
	wantStop, stopped error
}

func testOptions() Options {
	o := Defaults()
	o.Cluster = "test"
	o.Groups = 4
	o.Nodes = []Peer{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}
	o.RetainSlots = 8
	return o
}

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	w := strangers(t, o)
	w.run(2 * Second)
	return w
}

// strangers returns nodes that are linked and have not spoken yet.
func strangers(t *testing.T, o Options) *world {
	t.Helper()
	w := &world{t: t, opts: o, now: Second, nodes: make(map[uint16]*testNode)}
	for _, p := range o.Nodes {
		n := &testNode{w: w, id: p.ID, shelf: newShelf(), sent: make(map[ConnID][]byte),
			saved: make(map[uint16]map[string][]byte), slots: make(map[uint16]uint64)}
		w.nodes[p.ID] = n
		n.start()
	}
	for _, p := range o.Nodes {
		w.link(p.ID)
	}
	return w
}

// start makes the node from what its disk holds.
func (n *testNode) start() {
	n.w.t.Helper()
	o := n.w.opts
	o.Self = n.id
	if n.format != 0 {
		o.Format = n.format
	}
	if n.batchBytes != 0 {
		o.MaxBatchBytes = n.batchBytes
	}
	id := Identity{Cluster: o.Cluster, Node: paxos.NodeID(n.id), Disk: paxos.DiskID(n.id) * 1111,
		Groups: uint16(o.Groups), Settings: o.Digest()}
	if d, ok := n.w.diskOf[n.id]; ok {
		id.Disk = d
	}
	if n.stored != nil {
		var err error
		if id, err = DecodeIdentity(n.stored); err != nil {
			n.w.t.Fatal(err)
		}
	}
	rec := NewRecovery(id, o)
	for g, kvs := range n.saved {
		rec.Checkpoint(g, n.load(kvs))
	}
	for i, r := range n.records {
		if err := rec.Replay(wal.LSN(i+1), r); err != nil {
			n.w.t.Fatal(err)
		}
	}
	n.durable, n.dead = wal.LSN(len(n.records)), nil
	n.shelf.open = make(map[uint16]*openSnapshot)
	n.inbox = NewInbox(o.MaxInboxBytes)
	n.flushed = false
	deps := Deps{Log: n, Peers: testPeers{n}, Clients: testClients{n},
		Checkpoints: n, Superblock: n,
		Observe: func(e Event) { n.events = append(n.events, e) }}
	if n.past != nil {
		deps.History = n.past
	}
	node, err := New(o, deps, n.inbox, rec)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.node = node
	if n.together {
		n.node.CatchUp(allAtOnce)
		return
	}
	n.node.CatchUp(OneByOne)
}

func (n *testNode) load(kvs map[string][]byte) *lockfsm.Machine {
	m, err := n.tryLoad(kvs)
	if err != nil {
		n.w.t.Fatal(err)
	}
	return m
}

func (n *testNode) tryLoad(kvs map[string][]byte) (*lockfsm.Machine, error) {
	o := n.w.opts
	if n.format != 0 {
		o.Format = n.format
	}
	m, err := lockfsm.New(o.machineLimits())
	if err != nil {
		return nil, err
	}
	for _, kv := range sortedRecords(kvs) {
		if err := m.Load(kv.Key, kv.Value); err != nil {
			return nil, err
		}
	}
	return m, m.Loaded()
}

func (n *testNode) Append(r wal.Record) wal.LSN {
	r.Data = bytes.Clone(r.Data)
	if n.dead[r.Group] && r.Kind != wal.KindState {
		n.w.t.Errorf("node %d, group %d: a record of slot %d, and the log was told that it needs none",
			n.id, r.Group, r.Slot)
	}
	n.records = append(n.records, r)
	n.lsn = wal.LSN(len(n.records))
	if n.broken != nil {
		n.inbox.Failed(n.broken)
	}
	return n.lsn
}

// Release judges that the log says first which checkpoint covers what it may drop
// (I12), or that a group has left of which it may drop all (I10), and durably: it may
// drop at once.
func (n *testNode) Release(group uint16, slot uint64) {
	if slot == 0 {
		return
	}
	n.freed++
	marked, at := uint64(0), wal.LSN(0)
	for i, r := range n.records {
		if r.Group != savedMark|group {
			continue
		}
		if at = wal.LSN(i + 1); at <= n.durable {
			marked = r.Slot
		}
	}
	if slot == ^uint64(0) {
		if at > n.durable {
			n.w.t.Errorf("node %d, group %d: releases all, with a mark at %d, durable up to %d", n.id,
				group, at, n.durable)
		}
		if n.dead == nil {
			n.dead = make(map[uint16]bool)
		}
		n.dead[group] = true
		return
	}
	if marked < slot {
		n.w.t.Errorf("node %d, group %d: releases up to slot %d, and the log says durably that %d "+
			"is saved", n.id, group, slot, marked)
	}
}

// logRoom is how many records may wait for the disk of a testNode.
const logRoom = 1000

func (n *testNode) backlog() int { return len(n.records) - int(n.durable) }

func (n *testNode) Flush()                         { n.flushed = true }
func (n *testNode) Reopen(group uint16)            { delete(n.dead, group) }
func (n *testNode) Cramped() bool                  { return n.cramped }
func (n *testNode) Full() bool                     { return n.backlog() >= logRoom }
func (n *testNode) SyncingSince() Nanos            { return n.syncing }
func (n *testNode) Store(b []byte) error           { n.stored = bytes.Clone(b); return nil }
func (n *testNode) CloseConn(ConnID)               {}
func (n *testNode) Resume(c ConnID)                { n.resumed = append(n.resumed, c) }
func (n *testNode) answer(c ConnID, frames []byte) { n.sent[c] = append(n.sent[c], frames...) }

// clients and peers share a method name; the wrappers tell them apart.
type testPeers struct{ *testNode }

func (p testPeers) Send(to uint16, frame []byte) {
	p.w.queue = append(p.w.queue, testFrame{p.id, to, bytes.Clone(frame)})
}

func (p testPeers) Meet(uint16, string) {}
func (p testPeers) Part(uint16)         {}

type testClients struct{ *testNode }

func (c testClients) Send(id ConnID, frames []byte) { c.answer(id, frames) }
func (c testClients) Flush()                        {}

func (n *testNode) Save(r SaveRequest) {
	if n.saveErr != nil {
		n.inbox.Saved(SaveDone{r, n.saveErr})
		return
	}
	if n.saved[r.Group] == nil {
		n.saved[r.Group] = make(map[string][]byte)
	}
	for _, kv := range slices.Concat(r.Changes...) {
		if kv.Adds && n.saved[r.Group][string(kv.Key)] != nil {
			n.w.t.Errorf("node %d, group %d: record %x is added, but it is there", n.id, r.Group,
				kv.Key)
		}
		if kv.Value == nil {
			delete(n.saved[r.Group], string(kv.Key))
		} else {
			n.saved[r.Group][string(kv.Key)] = bytes.Clone(kv.Value)
		}
	}
	n.slots[r.Group] = r.Slot
	n.inbox.Saved(SaveDone{Request: r})
}

func (n *testNode) Drop(g uint16) {
	n.drops++
	delete(n.saved, g)
	delete(n.slots, g)
	n.inbox.Dropped(DropDone{Group: g})
}

// sortedRecords returns the records of a checkpoint in order of their keys.
func sortedRecords(m map[string][]byte) []KeyValue {
	var kvs []KeyValue
	for k, v := range m {
		kvs = append(kvs, KeyValue{Key: []byte(k), Value: v})
	}
	slices.SortFunc(kvs, func(a, b KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	return kvs
}

// link brings up the links of a node with everybody who runs.
func (w *world) link(id uint16) {
	for _, other := range w.nodes {
		if other.id != id && other.node != nil && !w.areApart(id, other.id) {
			w.greet(w.nodes[id], other)
			w.greet(other, w.nodes[id])
		}
	}
}

// areApart reports whether two nodes are not to be linked.
func (w *world) areApart(a, b uint16) bool { return w.apart != nil && w.apart(a, b) }

// part has nodes be apart, and ends the links between them.
func (w *world) part(apart func(a, b uint16) bool) {
	w.apart = apart
	for _, a := range w.opts.Nodes {
		for _, b := range w.opts.Nodes {
			if n := w.nodes[a.ID]; a.ID != b.ID && n.node != nil && apart(a.ID, b.ID) {
				n.inbox.PeerDown(b.ID, DownTimeout)
			}
		}
	}
}

// greet shows a node to another, which takes it or refuses it.
func (w *world) greet(from, to *testNode) {
	h := from.node.PeerHello()
	h.From, h.To = from.id, to.id
	if r := to.node.CheckPeer(&h); r != nil {
		from.inbox.Refused(to.id, uint8(r.Code), string(r.Text))
		return
	}
	to.inbox.PeerUp(from.id, &h)
}

// kill ends a node; its peers see a reset.
func (w *world) kill(id uint16) {
	w.nodes[id].node = nil
	for _, other := range w.nodes {
		if other.node != nil {
			other.inbox.PeerDown(id, DownReset)
		}
	}
}

// run lets time pass in steps of a millisecond.
func (w *world) run(d Nanos) {
	w.t.Helper()
	for end := w.now + d; w.now < end; w.now += Millisecond {
		w.step()
	}
}

// step gives every node a turn and delivers what they sent.
func (w *world) step() {
	w.t.Helper()
	for _, p := range w.opts.Nodes {
		n := w.nodes[p.ID]
		if n.node == nil || n.starved {
			continue
		}
		if n.flushed && n.syncing == 0 {
			n.flushed = false
			n.durable = n.lsn
			n.inbox.Durable(n.lsn)
		}
		err := n.node.Turn(w.now)
		if err != nil && n.wantStop != nil && errors.Is(err, n.wantStop) {
			n.stopped = err
			w.kill(n.id)
			continue
		}
		if err != nil {
			w.t.Fatalf("node %d: %v", n.id, err)
		}
	}
	for _, f := range w.arrived() {
		to := w.nodes[f.to]
		if to == nil || to.node == nil || w.nodes[f.from].node == nil || w.drop != nil && w.drop(f) {
			continue
		}
		kind, payload, err := wire.ParsePeer(f.frame)
		if err != nil {
			w.t.Fatalf("frame of node %d: %v", f.from, err)
		}
		to.inbox.PeerFrame(f.from, uint8(kind), payload)
	}
}

// arrived returns the frames that have come to the end of their link.
func (w *world) arrived() []testFrame {
	frames := w.queue
	w.queue = nil
	if w.lanes != nil {
		return w.lanes.carry(frames, w.now)
	}
	return frames
}

// leaderOf returns the node that serves a group.
func (w *world) leaderOf(g uint16) *testNode {
	w.t.Helper()
	for _, p := range w.opts.Nodes {
		if n := w.nodes[p.ID]; n.node != nil && n.node.group(g) != nil && n.node.group(g).leading {
			return n
		}
	}
	w.t.Fatalf("group %d has no leader", g)
	return nil
}

// call sends one request to the leader of its group and returns the response.
func (w *world) call(c ConnID, h wire.Header, frame []byte) wire.Response {
	w.t.Helper()
	n := w.leaderOf(h.Group)
	n.inbox.Request(c, frame)
	for range 200 {
		w.run(Millisecond)
		if x, ok := n.response(c, h.Request); ok {
			return x
		}
	}
	w.t.Fatalf("no response to request %d", h.Request)
	return wire.Response{}
}

// response takes the response to a request from what was sent on a conn.
func (n *testNode) response(c ConnID, request uint64) (wire.Response, bool) {
	b := n.sent[c]
	for len(b) > 0 {
		size, err := wire.FrameBytes(b, wire.MaxFrameBytes)
		if err != nil || size == 0 {
			n.w.t.Fatalf("bad frame on conn %d: %v", c, err)
		}
		h, body, err := wire.Parse(b[:size])
		if err != nil {
			n.w.t.Fatal(err)
		}
		if h.Kind == wire.KindResponse && h.Request == request {
			x, err := wire.DecodeResponse(body)
			if err != nil {
				n.w.t.Fatal(err)
			}
			return x, true
		}
		b = b[size:]
	}
	return wire.Response{}, false
}

// nameIn returns a lock name of the group.
func (w *world) nameIn(g uint16, i int) []byte {
	for k := 0; ; k++ {
		name := fmt.Appendf(nil, "lock-%d-%d", i, k)
		if wire.GroupOf("", name, uint16(w.opts.Groups)) == g {
			return name
		}
	}
}
