package node

import (
	"slices"

	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// Stats counts what a node has done since it started.
type Stats struct {
	// Turns counts turns, Requests frames of clients, Reads answered questions.
	Turns, Requests, Reads uint64
	// Gaps counts turns that came half an election timeout after the one before.
	Gaps uint64
	// Proposed counts slots this node proposed, Applied slots applied here.
	Proposed, Applied uint64
	// MessagesIn and MessagesOut count messages of replicas.
	MessagesIn, MessagesOut uint64
	// Searches counts how often all names of a group were looked at, for lists and for
	// watches of many.
	Searches uint64
	// Pushes counts what watches were told, Retold how often one was told all that
	// is in use because more had changed than is kept.
	Pushes, Retold uint64
	// Forced counts the holds that requests to this node ended by force.
	Forced uint64
	// Busy counts requests refused for want of room, BadFrames frames of peers
	// that did not decode, Dropped frames that found the inbox full.
	Busy, BadFrames, Dropped uint64
	// Disbelieved counts records that strangers told and that proved nothing.
	Disbelieved uint64
	// OverLimit counts requests refused for a limit of their group.
	OverLimit uint64
	// Saves and SaveFailures count checkpoints, Installs snapshots taken over.
	Saves, SaveFailures, Installs uint64
	// SnapshotsSent counts snapshots that peers took over, SnapshotsResumed
	// those that went on with what a peer had of them, SnapshotRetries chunks
	// that were lost or refused, and SnapshotBytesOut what all of them were.
	SnapshotsSent, SnapshotsResumed, SnapshotRetries, SnapshotBytesOut uint64
}

// GroupStatus is one group as this node sees it.
type GroupStatus struct {
	Group   paxos.GroupID
	Role    paxos.Role
	Leading bool
	// Leader is who leads it as far as is known here, be it of others that keep it.
	Leader   paxos.NodeID
	Promised paxos.Ballot
	// Chosen and Applied are watermarks; Saved is the slot of the checkpoint.
	Chosen, Applied, Saved paxos.Slot
	// Sessions and Locks count what the machine holds.
	Sessions, Locks uint32
	// Waiters counts the queued requests that are to be answered here.
	Waiters uint32
	// Full is the share in use of the limit that is nearest, 0 to 1.
	Full float64
}

// PeerStatus is a peer as this node sees it.
type PeerStatus struct {
	Node paxos.NodeID
	Up   bool
}

// Status is a picture of a node, taken at the end of a turn and never changed
// afterwards.
type Status struct {
	Node    paxos.NodeID
	Disk    paxos.DiskID
	Cluster string
	Born    bool
	Waiting []paxos.NodeID // nodes not yet met, before the cluster is born
	// Draining says that the node gives its leaderships away, Stopping that it
	// does so because its process is about to end.
	Draining, Stopping bool
	Drained            bool // no leadership is left, or nobody is there to take one
	Stalled            bool
	Uptime             Nanos
	// At is the moment of the picture on the engine's clock. One that is old
	// shows an engine that cannot finish its turn.
	At Nanos
	// Durable is the position of the newest synced record, Appended that of
	// the newest record.
	Durable, Appended uint64
	Conns             int
	Watches           int // of clients, that are told of here
	// Groups are those this node keeps, Leaders the leader of every group of the
	// cluster as far as it is known here.
	Groups  []GroupStatus
	Leaders []paxos.NodeID
	// Record is the cluster's record, nil before the cluster is born, and
	// RecordVersion the slot of group 0 it was chosen in. Moving counts the
	// groups that are not known to be at home.
	Record        *placement.Record
	RecordVersion uint64
	Moving        int
	Peers         []PeerStatus
	Stats         Stats
}

// Ready reports whether the node can serve: the cluster is born, every group
// has a known leader, the disk moves, and the node is not draining.
func (s *Status) Ready() bool {
	if !s.Born || s.Stalled || s.Draining {
		return false
	}
	for i := range s.Groups {
		if s.Groups[i].Leader == paxos.NoNode {
			return false
		}
	}
	return true
}

// Status returns the newest picture. It may be called from any goroutine.
func (n *Node) Status() *Status { return n.status.Load() }

// statusEvery is how often a picture is taken, unless a leader changes.
const statusEvery = 200 * Millisecond

// publishStatus takes a new picture when it is time.
func (n *Node) publishStatus() {
	if n.startedAt == 0 {
		n.startedAt = n.now
	}
	if n.statusAt != 0 && n.now-n.statusAt < statusEvery {
		return
	}
	n.statusAt = n.now
	s := &Status{
		Node:     n.identity.Node,
		Disk:     n.identity.Disk,
		Cluster:  n.identity.Cluster,
		Born:     n.birth == nil,
		Draining: n.draining != NotDraining,
		Stopping: n.draining == DrainToStop,
		Drained:  n.drained,
		Stalled:  n.stalled,
		Uptime:   n.now - n.startedAt,
		At:       n.now,
		Durable:  uint64(n.durable),
		Appended: uint64(n.lastLSN),
		Conns:    len(n.conns.conns),
		Watches:  n.watching,
		Stats:    n.stats,
		Groups:   make([]GroupStatus, 0, len(n.hosted)),
		Leaders:  n.leaders(),
	}
	if n.birth == nil {
		s.Record, s.RecordVersion = n.identity.Record, n.identity.Version
		s.Moving = n.moving()
	}
	s.Stats.Dropped = n.inbox.dropped.Load()
	if n.birth != nil {
		s.Waiting = n.birth.waiting()
	}
	for _, g := range n.hosted {
		s.Groups = append(s.Groups, n.groupStatus(g))
	}
	for _, p := range n.peers {
		s.Peers = append(s.Peers, PeerStatus{Node: p.id, Up: p.up})
	}
	n.status.Store(s)
}

// leaders returns who leads each group: what replicas here know, and hints for
// the groups that this node does not keep.
func (n *Node) leaders() []paxos.NodeID {
	ids := make([]paxos.NodeID, n.opts.Groups)
	for g := range ids {
		switch have := n.group(uint16(g)); {
		case have != nil:
			ids[g] = n.leaderSeen(have)
		case n.birth == nil:
			ids[g] = n.leaderHint(paxos.GroupID(g))
		}
	}
	return ids
}

// leaderSeen is who leads a group of this node. Where its replica hears of nobody
// because those who keep the group do not count this node among them yet, as before
// they have moved to it, it is who said last that it leads there.
func (n *Node) leaderSeen(g *group) paxos.NodeID {
	if g.replica.Role() == paxos.RoleLeading {
		return n.identity.Node // perhaps since this turn, and not noted yet
	}
	h := &n.heard[g.id]
	if p := n.peer(uint16(h.leader)); g.leader == paxos.NoNode && p != nil && p.up &&
		h.version >= g.seatsVersion && !slices.Contains(h.nodes, n.identity.Node) {
		return h.leader
	}
	return g.leader
}

func (n *Node) groupStatus(g *group) GroupStatus {
	counts, limits := g.machine.Stats(), g.machine.Limits()
	return GroupStatus{
		Group:    g.id,
		Role:     g.replica.Role(),
		Leading:  g.leading,
		Leader:   n.leaderSeen(g),
		Promised: g.replica.Promised(),
		Chosen:   g.replica.Chosen(),
		Applied:  paxos.Slot(g.machine.Applied()),
		Saved:    g.saved,
		Sessions: counts.Sessions,
		Locks:    counts.Locks,
		Waiters:  uint32(len(g.waits)),
		Full:     fullness(&counts, &limits),
	}
}

// fullness is the share in use of the limit that is nearest.
func fullness(use *lockfsm.Stats, of *lockfsm.Limits) float64 {
	share := func(n uint64, limit uint32) float64 { return float64(n) / float64(max(limit, 1)) }
	return max(share(uint64(use.Sessions), of.Sessions), share(uint64(use.Locks), of.Locks),
		share(uint64(use.Claims), of.Claims), share(uint64(use.Detached), of.Detached),
		share(use.DataBytes, of.DataBytes))
}

// respondStatus answers a client's question about this node, from what it knows
// by itself. Requests are admitted before any group works, so one answer is good
// for all questions of a turn, however many there are.
func (n *Node) respondStatus(c *conn, h wire.Header) {
	old := n.answeredIn != n.stats.Turns && !plantedIs("status-of-an-earlier-turn")
	if len(n.statusAnswer) == 0 || old {
		n.answeredIn = n.stats.Turns
		n.statusAnswer = wire.AppendNodeStatus3(n.statusAnswer[:0], n.wireStatus())
	}
	payload := n.statusAnswer
	if h.Version() < wire.VersionWhole && n.draining != NotDraining {
		payload = wire.AppendNodeStatus(nil, n.wireStatus())
	}
	n.answer(c, h, &wire.Response{Status: wire.StatusOK, Payload: payload})
}

func (n *Node) wireStatus() *wire.NodeStatus {
	x := &wire.NodeStatus{
		Cluster:      clusterHash(n.identity.Cluster),
		UptimeMillis: uint64((n.now - n.startedAt) / Millisecond),
		Durable:      uint64(n.durable),
		Node:         uint16(n.identity.Node),
		Build:        []byte(n.opts.Build),
	}
	if n.draining != NotDraining {
		x.Flags = wire.NodeDraining
	}
	for _, g := range n.hosted {
		s := n.groupStatus(g)
		x.Groups = append(x.Groups, wire.GroupStatus{
			Round:      s.Promised.Round,
			Chosen:     uint64(s.Chosen),
			Applied:    uint64(s.Applied),
			Sessions:   s.Sessions,
			Locks:      s.Locks,
			Waiters:    s.Waiters,
			Group:      uint16(g.id),
			BallotNode: uint16(s.Promised.Node),
			Leader:     uint16(s.Leader),
			Role:       roleOf(s.Role),
		})
	}
	return x
}

func roleOf(r paxos.Role) wire.Role {
	switch r {
	case paxos.RoleLeading:
		return wire.RoleLeader
	case paxos.RoleAsking, paxos.RolePreparing:
		return wire.RolePreparing
	default:
		return wire.RoleReplica
	}
}

// Digests calls fn with every group's applied slot and machine digest. It walks
// whole machines: it is for tests and for comparing stopped traffic.
func (n *Node) Digests(fn func(group uint16, applied, digest uint64)) {
	for _, g := range n.hosted {
		fn(uint16(g.id), g.machine.Applied(), g.machine.Digest())
	}
}

// Leading counts the groups this node serves.
func (s *Status) Leading() int {
	k := 0
	for i := range s.Groups {
		if s.Groups[i].Leading {
			k++
		}
	}
	return k
}
