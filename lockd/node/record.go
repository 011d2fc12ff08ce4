package node

import (
	"encoding/binary"
	"fmt"
	"slices"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// The cluster's record says which nodes there are and which groups they keep.
// It is a register of group 0. Nodes that do not keep group 0 hear of it from
// their peers; every node keeps the newest it knows in its identity file, so
// that it can greet the others before it knows anything else. No quorum is
// counted by it: that is what the seats of each group are for (seats.go).
//
//	PeerRecord  version u64 | record (placement.Record)

// registerCluster is the register of group 0 that holds the record.
const registerCluster = "cluster"

// setPeers makes the list of peers that of the nodes given, keeping what is
// known of those that stay.
func (n *Node) setPeers(ids []paxos.NodeID) {
	var peers []*peer
	for _, id := range ids {
		if id == n.identity.Node {
			continue
		}
		p := n.peer(uint16(id))
		if p == nil {
			p = &peer{id: id}
		}
		peers = append(peers, p)
	}
	n.peers = peers
	clear(n.peerOf[:])
	for i, p := range peers {
		n.peerOf[p.id] = uint16(i + 1)
	}
}

// birthNodes are the nodes of a cluster that is not born yet.
func (n *Node) birthNodes() []paxos.NodeID {
	ids := make([]paxos.NodeID, 0, len(n.opts.Nodes))
	for _, p := range n.opts.Nodes {
		ids = append(ids, paxos.NodeID(p.ID))
	}
	return ids
}

// currentNodes are the nodes of the record that have not gone.
func currentNodes(r *placement.Record) []paxos.NodeID {
	var ids []paxos.NodeID
	for i := range r.Nodes {
		if r.Nodes[i].State != placement.Gone {
			ids = append(ids, r.Nodes[i].ID)
		}
	}
	return ids
}

// adoptRecord goes on with a newer record of the cluster.
func (n *Node) adoptRecord(r *placement.Record, version uint64) {
	if n.identity.Record != nil && version <= n.identity.Version {
		return
	}
	self := r.Node(n.identity.Node)
	switch {
	case self == nil || self.State == placement.Gone:
		n.fail(fmt.Errorf("%w: node %d", ErrRemoved, n.identity.Node))
		return
	case self.Disk != n.identity.Disk:
		n.fail(fmt.Errorf("%w: node %d was given another disk than %016x", ErrWiped,
			n.identity.Node, uint64(n.identity.Disk)))
		return
	}
	old := n.identity.Record
	n.identity.Record, n.identity.Version, n.identity.Born = r, version, true
	if !n.storeIdentity() {
		return
	}
	n.followRecord()
	for _, g := range n.hosted {
		if old != nil && old.Homes[g.id][0] != r.Homes[g.id][0] {
			n.moveSoon(g)
		}
	}
	n.statusAt = 0
	n.observe(Event{Kind: EventRecord, Slot: paxos.Slot(version)})
}

// followRecord does what the record says: peers, and who is to lead.
func (n *Node) followRecord() {
	r := n.identity.Record
	n.first.CompareAndSwap(nil, r)
	old := n.peers
	n.setPeers(currentNodes(r))
	for _, p := range n.peers {
		node := r.Node(p.id)
		n.deps.Peers.Meet(uint16(p.id), node.Peer)
	}
	for _, p := range old {
		if n.peer(uint16(p.id)) == nil {
			n.snapshots.forget(p.id, n.now)
			n.tellRecord(p) // it is to hear that it has been let go
			n.parting = append(n.parting, parting{p.id, n.now + partAfter})
		}
	}
	n.rankSuccessors()
}

// parting is a node that the cluster let go and that is still linked.
type parting struct {
	id paxos.NodeID
	at Nanos // when the link ends
}

// partAfter is how long a node that was let go has to hear of it.
const partAfter = 2 * Second

// part ends the links to nodes that were let go.
func (n *Node) part() {
	for len(n.parting) > 0 && n.now >= n.parting[0].at {
		n.deps.Peers.Part(uint16(n.parting[0].id))
		n.parting = n.parting[1:]
	}
}

// join makes a node that is not born yet part of a cluster that is, once the
// cluster has bound its disk.
func (n *Node) join(r *placement.Record, version uint64) {
	self := r.Node(n.identity.Node)
	if self == nil {
		return
	}
	if self.Disk == 0 {
		// The leader of group 0 will see our disk at the link. It may have joined
		// after the list of nodes was written that this one was started with.
		n.invited.Store(r)
		n.setPeers(currentNodes(r))
		for _, p := range n.peers {
			n.deps.Peers.Meet(uint16(p.id), r.Node(p.id).Peer)
		}
		return
	}
	n.birth = nil
	n.adoptRecord(r, version)
	if n.failure != nil {
		return
	}
	n.startGroups()
	n.observe(Event{Kind: EventBorn})
}

// onRecord hears of the record from a peer.
func (n *Node) onRecord(b []byte) {
	r, version := n.readRecord(b)
	switch {
	case r == nil:
	case n.birth != nil:
		n.join(r, version)
	default:
		n.adoptRecord(r, version)
	}
}

// readRecord decodes a PeerRecord. It returns nil, and counts the frame, if it does
// not decode.
func (n *Node) readRecord(b []byte) (r *placement.Record, version uint64) {
	if len(b) < 8 {
		n.stats.BadFrames++
		return nil, 0
	}
	decoded, err := placement.DecodeRecord(b[8:])
	if err != nil || len(decoded.Homes) != n.opts.Groups {
		n.stats.BadFrames++
		return nil, 0
	}
	return &decoded, binary.LittleEndian.Uint64(b)
}

// tellRecord sends a peer the record.
func (n *Node) tellRecord(p *peer) {
	if n.identity.Record == nil || n.birth != nil {
		return
	}
	b := binary.LittleEndian.AppendUint64(nil, n.identity.Version)
	n.sendFrame(p, wire.PeerKindRecord, n.identity.Record.Append(b))
}

// machineRecord returns the record as group 0 has it here, and its version. It
// is what a change is based on.
func (n *Node) machineRecord(g *group) (*placement.Record, uint64, error) {
	b, version := g.machine.Register(registerCluster)
	if version == 0 {
		if n.identity.Birth == nil {
			return nil, 0, fmt.Errorf("node: group 0 has no record at slot %d", g.machine.Applied())
		}
		return n.identity.Birth, 0, nil
	}
	r, err := placement.DecodeRecord(b)
	return &r, version, err
}

// home are the nodes that are to keep a group, in the order of succession.
func (n *Node) home(g paxos.GroupID) []paxos.NodeID { return n.identity.Record.Homes[g] }

// atHome reports whether this node is to keep a group.
func (n *Node) atHome(g paxos.GroupID) bool {
	return slices.Contains(n.home(g), n.identity.Node)
}

// listed returns the record's node with an id, nil if there is none.
func (n *Node) listed(id paxos.NodeID) *placement.Node {
	if n.identity.Record == nil {
		return nil
	}
	return n.identity.Record.Node(id)
}
