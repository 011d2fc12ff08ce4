package node

import (
	"fmt"
	"sync/atomic"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// peer is another node as the engine sees it.
type peer struct {
	id   paxos.NodeID
	disk paxos.DiskID // shown at the handshake of the link that stands
	out  []byte       // messages of this turn, sent as one frame at its end
	up   bool
	// leaving is set while the peer gives its leaderships away, or wants none
	// because its disk stands still.
	leaving bool
	// upSince is the moment the link stood or the peer left off leaving; leadership is given back to a
	// preferred node only after it has been up for a while.
	upSince Nanos
	// heardAt is when it last said anything.
	heardAt Nanos
}

// Node is the engine room of one process: all groups, the people who wait for
// them, and one Turn that deals with everything that happened since the last.
// It is steppable: it belongs to whoever runs the turn, one at a time, touches
// the world only through Deps, and reads no clock of its own.
type Node struct {
	opts  Options
	deps  Deps
	inbox *Inbox
	box   box // being worked on

	identity Identity
	start    uint64                   // random mark of this start
	admitted atomic.Pointer[Identity] // written by the engine, read by handshakes
	birth    *birth                   // nil once the cluster is born
	recovery *Recovery                // what startGroups builds replicas from

	peers             []*peer // ascending by id, without self
	peerOf            [1 << 16]uint8
	groups            []*group
	dirty, dirtySpare []*group
	conns             connTable
	acks              keepaliveAcks
	queries           []func(*Node)

	// lastLSN is the position of the newest record appended, durable that of
	// the newest one synced. What must not leave before a record is synced
	// waits in held, in order of position.
	lastLSN, durable wal.LSN
	// spokenLSN is the position of the newest record of a replica: what peers
	// are told is how far those are synced.
	spokenLSN wal.LSN
	memories  memories
	held      heldQueue

	now          Nanos
	lastTick     Nanos
	lastBeat     Nanos // the beat of log time in which leaders last stepped it
	flushWAL     bool
	nextAnnounce Nanos // before which the roster is not announced again
	nextMove     Nanos // before which no leadership is moved again
	moveNext     int   // group looked at last for a move
	preferred    []paxos.NodeID
	stalled      bool // the running sync is suspiciously long
	cramped      bool // the log has hardly any room
	draining     bool
	drained      bool
	failure      error
	savedAt      int64 // walBytes at the last round of checkpoints
	walBytes     int64
	saving       int   // group being checkpointed, -1 when none
	saveNext     int   // group with which the next round goes on
	saveLeft     int   // groups still to save in this round
	saveAfter    Nanos // before which a failed save is not tried again
	collector    collector
	snapshots    snapshotTable
	stats        Stats
	status       atomic.Pointer[Status]
	statusAt     Nanos
	statusAnswer []byte // to clients who ask how this node is
	answeredIn   uint64 // turn in which statusAnswer was made
	startedAt    Nanos
	outcome      lockfsm.Outcome
	command      lockfsm.Command // scratch for admission
	ticker       lockfsm.BatchBuilder
	sessionIDs   []lockfsm.SessionID
	found        lockfsm.LockInfo // scratch for describe
	names        [][]byte         // scratch for listPage
	scratch      []byte           // payload of the answer being built
	lockInfo     wire.LockInfo    // scratch for describe
	self         []paxos.Message  // to this node itself, stepped after a Ready
	message      paxos.Message    // scratch for decoding
}

// New makes a node from what its directory held. Groups start at once when the
// cluster has been born before, otherwise as soon as all nodes have met.
func New(o Options, d Deps, inbox *Inbox, rec *Recovery) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := rec.identity.Check(&o); err != nil {
		return nil, err
	}
	n := &Node{opts: o, deps: d, inbox: inbox, identity: rec.identity, recovery: rec, saving: -1}
	n.conns.init()
	n.snapshots.init()
	n.lastLSN, n.durable, n.spokenLSN = rec.lastLSN, rec.lastLSN, rec.lastLSN
	n.memories.init(rec.memories)
	// What the log still holds counts towards the next checkpoint, or a node
	// that crashes again and again would fill its disk.
	n.walBytes = rec.bytes
	inbox.durable.Store(uint64(rec.lastLSN))
	var ids []paxos.NodeID
	for _, p := range o.Nodes {
		ids = append(ids, paxos.NodeID(p.ID))
		if p.ID == o.Self {
			continue
		}
		n.peers = append(n.peers, &peer{id: paxos.NodeID(p.ID)})
		n.peerOf[p.ID] = uint8(len(n.peers))
	}
	// The start is counted before anybody hears of it (I7).
	n.identity.Starts++
	n.start = fnvUint(fnvUint(fnvOffset, o.Seed), n.identity.Starts) | 1
	if !n.storeIdentity() {
		return nil, n.failure
	}
	if n.identity.Born {
		return n, n.openGroups()
	}
	self := paxos.Acceptor{Node: n.identity.Node, Disk: n.identity.Disk}
	n.birth = newBirth(self, ids, n.identity.Roster)
	// A cluster of one has nobody to wait for.
	n.advanceBirth()
	return n, n.failure
}

// publishIdentity lets handshakes see the identity as it is now stored.
func (n *Node) publishIdentity() {
	id := n.identity
	n.admitted.Store(&id)
}

// startGroups opens the groups of a cluster that has just been born.
func (n *Node) startGroups() {
	if err := n.openGroups(); err != nil {
		n.fail(err)
	}
}

// openGroups builds every group from its checkpoint and its records.
func (n *Node) openGroups() error {
	for g := range n.opts.Groups {
		gr, err := n.openGroup(paxos.GroupID(g))
		if err != nil {
			return fmt.Errorf("node: opening group %d: %w", g, err)
		}
		n.groups = append(n.groups, gr)
		n.preferred = append(n.preferred, n.successors(gr.id)[0])
		n.touch(gr)
	}
	n.recovery = nil
	return nil
}

// successors is the fixed order in which nodes come forward to lead group g.
// It is spread so that each node is first for an equal share of the groups and
// a dead node's groups fall to different nodes.
func (n *Node) successors(g paxos.GroupID) []paxos.NodeID {
	k := len(n.opts.Nodes)
	order := make([]paxos.NodeID, 0, k)
	first := int(g) % k
	order = append(order, paxos.NodeID(n.opts.Nodes[first].ID))
	turn := int(g) / k
	for i := range k - 1 {
		// The remaining nodes follow in a rotation that differs from one
		// group of the same first node to the next.
		j := (first + 1 + (i+turn)%(k-1)) % k
		order = append(order, paxos.NodeID(n.opts.Nodes[j].ID))
	}
	return order
}

func (n *Node) openGroup(id paxos.GroupID) (*group, error) {
	machine, recovered, err := n.recovery.group(uint16(id))
	if err != nil {
		return nil, err
	}
	replica, err := paxos.New(paxos.Config{
		Group:          id,
		Self:           n.identity.Node,
		Disk:           n.identity.Disk,
		Configurations: []paxos.Configuration{{From: 1, Acceptors: n.identity.Roster}},
		Successors:     n.successors(id),
		ElectionTicks:  paxos.Ticks(n.opts.ElectionTicks),
		HeartbeatTicks: paxos.Ticks(n.opts.HeartbeatTicks),
		RankDelayTicks: paxos.Ticks(n.opts.RankDelayTicks),
		Window:         n.opts.Window,
		MaxValueBytes:  2 * n.opts.MaxBatchBytes,
		RetainSlots:    paxos.Slot(n.opts.RetainSlots),
		RetainBytes:    int(n.opts.RetainBytes / int64(n.opts.Groups)),
		Seed:           fnvUint(fnvUint(n.opts.Seed, uint64(id)), uint64(n.identity.Node)),
	}, recovered)
	if err != nil {
		return nil, err
	}
	g := newGroup(id, replica, machine)
	n.deps.Log.Release(uint16(id), uint64(g.saved))
	n.probeAdopted(g)
	return g, nil
}

// touch puts a group on the list of those that need a look at the end of the
// turn.
func (n *Node) touch(g *group) {
	if !g.dirty {
		g.dirty = true
		n.dirty = append(n.dirty, g)
	}
}

// fail stops the node: nothing leaves it any more (I11). The first cause wins.
func (n *Node) fail(err error) {
	if n.failure == nil {
		n.failure = err
		n.observe(Event{Kind: EventFailed, Text: err.Error()})
	}
}

// Err is the reason for which the node stopped, nil while it runs.
func (n *Node) Err() error { return n.failure }

// Inbox is where everything that happens is put.
func (n *Node) Inbox() *Inbox { return n.inbox }

// group returns the group of a message, nil when there is none.
func (n *Node) group(id uint16) *group {
	if int(id) >= len(n.groups) {
		return nil
	}
	return n.groups[id]
}

// peer returns a peer by its id, nil for a stranger.
func (n *Node) peer(id uint16) *peer {
	i := n.peerOf[id]
	if i == 0 {
		return nil
	}
	return n.peers[i-1]
}
