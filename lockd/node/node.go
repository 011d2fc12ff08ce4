package node

import (
	"fmt"
	"sync/atomic"

	"lockd/lockd/placement"
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
	// record is the version of the cluster's record that the peer is known to
	// have, plus one.
	record uint64
	// format is the newest format that the peer knows, as it said at the handshake
	// of the link that stands; zero means the first.
	format uint8
	// leaving is set while the peer gives its leaderships away, or wants none
	// because its disk stands still.
	leaving bool
	// draining is set while it leaves because it was told to.
	draining bool
	// upSince is the moment the link stood or the peer left off leaving; leadership is given back to a
	// preferred node only after it has been up for a while.
	upSince Nanos
	// lessons are the slots that the peer is being told of.
	lessons lessons
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
	box   box  // being worked on
	taken bool // by Take, for the next Turn

	identity Identity
	start    uint64                   // random mark of this start
	admitted atomic.Pointer[Identity] // written by the engine, read by handshakes
	birth    *birth                   // nil once the cluster is born
	// first is the record that was known when this node had one first since it started,
	// written by the engine, read by handshakes.
	first atomic.Pointer[placement.Record]
	// invited is the record of the cluster that waits for this node's disk,
	// written by the engine, read by handshakes; nil if none is known.
	invited  atomic.Pointer[placement.Record]
	recovery *Recovery // what startGroups builds replicas from

	peers  []*peer // ascending by id, without self
	peerOf [1 << 16]uint16
	groups []*group // by id, nil for those this node does not keep
	hosted []*group // the others, ascending
	heard  []heardSeats
	// neededAt is when a leader last named a node that leaves; oldRecordAt when one last
	// did not know the newest record, which is heardFor.
	neededAt    map[paxos.NodeID]Nanos
	oldRecordAt Nanos
	heardFor    uint64
	departed    map[paxos.GroupID]departure // groups that have left
	dropping    map[paxos.GroupID]bool      // whose checkpoints are being removed
	dropAgain   []paxos.GroupID             // whose removal failed
	drops       []pendingDrop               // that wait for the mark to be synced
	releases    []pendingRelease            // that wait for it too
	changes     map[uint64]*pendingChange
	lastChange  uint64
	nextReseat  Nanos // before which no group is looked at for a move
	nextGossip  Nanos
	parting     []parting // nodes that were let go, by time
	strangers   []stranger
	// notOurs is why a peer does not take this directory for the node's, and
	// notOursAt when it said so first; for a node that is not born.
	notOurs           error
	notOursAt         Nanos
	dirty, dirtySpare []*group
	waiting           []*group // for the disk, to propose
	conns             connTable
	watching          int           // watches of all groups
	earlyBytes        int           // of the requests that all groups hold
	settling          []*group      // those led, whose held requests are being served
	spareReads        [][]read      // room for questions that groups have left
	asked             int           // bytes of the questions of all groups that wait
	moreNames         bool          // behind names
	toTell            []*group      // whose watches have something to be told
	tellLater         []*queueWatch // that were told a moment ago
	contention        contention
	turnstile         turnstile
	acks              keepaliveAcks

	// lastLSN is the position of the newest record appended, durable that of
	// the newest one synced. What must not leave before a record is synced
	// waits in held, in order of position.
	lastLSN, durable wal.LSN
	// spokenLSN is the position of the newest record of a replica: what peers
	// are told is how far those are synced.
	spokenLSN wal.LSN
	backlog   backlog
	memories  memories
	held      heldQueue

	now          Nanos
	turnAt       Nanos // when the last turn began
	lastTick     Nanos
	lastBeat     Nanos // the beat of log time in which leaders last stepped it
	flushWAL     bool
	nextAnnounce Nanos // before which the roster is not announced again
	nextMove     Nanos // before which no leadership is moved again
	nextRaise    Nanos // before which the format is not asked to be raised again
	moveNext     int   // group looked at last for a move
	stalled      bool  // the running sync is suspiciously long
	cramped      bool  // the log has hardly any room
	draining     Draining
	drained      bool // nothing is left that could be given away
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
	ended        HistoryNote     // scratch for noteEnds
	command      lockfsm.Command // scratch for admission
	ticker       lockfsm.BatchBuilder
	outboxes     paxos.Outboxes
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
	o.Limits.AgeStep = rec.limits.AgeStep
	n := &Node{opts: o, deps: d, inbox: inbox, identity: rec.identity, recovery: rec, saving: -1}
	n.conns.init()
	n.snapshots.init()
	n.lastLSN, n.durable, n.spokenLSN = rec.lastLSN, rec.lastLSN, rec.lastLSN
	n.memories.init(rec.memories)
	// What the log still holds counts towards the next checkpoint, or a node
	// that crashes again and again would fill its disk.
	n.walBytes = rec.bytes
	inbox.durable.Store(uint64(rec.lastLSN))
	n.groups = make([]*group, o.Groups)
	n.heard = make([]heardSeats, o.Groups)
	n.neededAt = make(map[paxos.NodeID]Nanos)
	n.departed = make(map[paxos.GroupID]departure)
	n.dropping = make(map[paxos.GroupID]bool)
	n.changes = make(map[uint64]*pendingChange)
	// The start is counted before anybody hears of it (I7).
	n.identity.Starts++
	n.start = fnvUint(fnvUint(fnvOffset, o.Seed), n.identity.Starts) | 1
	n.lastChange = n.start // answers to an earlier life are none of ours
	if !n.storeIdentity() {
		return nil, n.failure
	}
	if n.identity.Born {
		if self := n.listed(n.identity.Node); self == nil || self.State == placement.Gone {
			return nil, fmt.Errorf("%w: node %d", ErrRemoved, n.identity.Node)
		}
		n.followRecord()
		return n, n.openGroups()
	}
	n.setPeers(n.birthNodes())
	n.birth = newBirth(n.acceptor(), n.birthNodes(), n.identity.Birth)
	// A cluster of one has nobody to wait for.
	n.advanceBirth()
	return n, n.failure
}

// acceptor is what this node is called among acceptors.
func (n *Node) acceptor() paxos.Acceptor {
	return paxos.Acceptor{Node: n.identity.Node, Disk: n.identity.Disk}
}

// publishIdentity lets handshakes see the identity as it is now stored.
func (n *Node) publishIdentity() {
	id := n.identity
	n.admitted.Store(&id)
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

// group returns a group that this node keeps, nil when there is none.
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
