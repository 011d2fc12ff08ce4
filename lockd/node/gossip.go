package node

import (
	"encoding/binary"
	"slices"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// Leaders tell everybody which groups they lead and who keeps them. It is how a
// node that does not keep a group knows where to send those who ask for it, how
// a node learns that a group has left it, and how the leader of group 0 learns
// that a leaving node keeps nothing any more. All of it is a hint but for one
// thing: seats that were chosen stay chosen, so a newer version counts more.
//
//	PeerSeats  record version u64 | group*
//	group      group u16 | seats version u64 | standing u8 | nodes u8, each: id u16

// heardSeats is what was last heard of a group from its leader.
type heardSeats struct {
	leader  paxos.NodeID
	version uint64 // of the seats
	record  uint64 // version of the record the leader knew
	// standing is how the group stands to its home.
	standing standing
	nodes    []paxos.NodeID
	at       Nanos // when it was heard
}

// standing says how a group stands to its home. The numbers are on the wire; an
// older build takes and tells all but standsHome as one.
type standing uint8

const (
	// standsMoving: not at home, and disks of several nodes that count in it were
	// given up. What an older build says of any group that is not at home.
	standsMoving standing = 0
	// standsHome: where the record wants it.
	standsHome standing = 1
	// standsWhole: not at home, and all its acceptors are on disks of the record.
	standsWhole standing = 2
	// standsShort: as Whole, but for a disk of the first node that is named.
	standsShort standing = 3
)

// gossipEvery is how often leaders tell what they lead.
const gossipEvery = 500 * Millisecond

// gossip tells all peers what this node leads.
func (n *Node) gossip() {
	if n.birth != nil || n.now < n.nextGossip {
		return
	}
	n.nextGossip = n.now + gossipEvery
	b := binary.LittleEndian.AppendUint64(nil, n.identity.Version)
	for _, g := range n.hosted {
		if !n.knowsSeats(g) || !n.hasShown(g) {
			continue
		}
		h := heardSeats{leader: n.identity.Node, version: g.seatsVersion, record: n.identity.Version}
		h.standing, h.nodes = n.standingOf(g)
		n.hear(g.id, &h)
		b = binary.LittleEndian.AppendUint16(b, uint16(g.id))
		b = binary.LittleEndian.AppendUint64(b, h.version)
		b = append(b, byte(h.standing), byte(len(h.nodes)))
		for _, id := range h.nodes {
			b = binary.LittleEndian.AppendUint16(b, uint16(id))
		}
	}
	for _, p := range n.peers {
		if p.record <= n.identity.Version {
			n.tellRecord(p)
		}
		n.sendFrame(p, wire.PeerKindSeats, b)
	}
	n.releaseLeavers()
	n.bindAwaited()
}

// knowsSeats reports whether this node leads a group and knows its seats. A step that
// is not applied may name a disk that was given up since it was proposed, by this
// leader or by one before it: nobody is to count on the seats as they are before it. Nor
// on those to come: the slots before their first are still decided by the acceptors of
// the seats before, one of whom they may let go.
func (n *Node) knowsSeats(g *group) bool {
	return g.leading && g.stepping == 0 && g.replica.TookOver() &&
		paxos.Slot(g.machine.Applied())+1 >= g.seats.Now.From
}

// settledHome reports whether nothing is left to do for a group that this node
// leads.
func (n *Node) settledHome(g *group) bool {
	home, known := n.identity.Record.Home(g.id)
	if !known || paxos.Slot(g.machine.Applied())+1 < g.seats.Now.From {
		return false
	}
	_, _, more := placement.Next(&g.seats.Now, home)
	return !more && !n.leansOnLost(g)
}

// leansOnLost reports whether the slots below the newest seats of a group that this
// node leads may still need those before, among which is a disk that was given up: a
// node that comes back on another disk leaves nobody to be let go, which would show
// that they do not. One that has just begun to lead does not know.
func (n *Node) leansOnLost(g *group) bool {
	lost := slices.ContainsFunc(g.seats.Before.Acceptors, func(a paxos.Acceptor) bool {
		return !n.counts(a)
	})
	return lost && !g.replica.Settled()
}

// counts reports whether an acceptor is on the disk that the record names.
func (n *Node) counts(a paxos.Acceptor) bool {
	x := n.listed(a.Node)
	return x != nil && x.Disk == a.Disk
}

// standingOf says how a group that this node leads stands to its home, and which
// nodes its seats name. What counts below the newest seats counts too, as long as
// the group is not at home.
func (n *Node) standingOf(g *group) (standing, []paxos.NodeID) {
	nodes := namedBy(&g.seats.Now)
	if n.settledHome(g) {
		return standsHome, nodes
	}
	lost := paxos.NoNode
	for _, a := range slices.Concat(g.seats.Before.Acceptors, g.seats.Now.Acceptors) {
		switch {
		case n.counts(a) || a.Node == lost:
		case lost != paxos.NoNode:
			return standsMoving, nodes
		default:
			lost = a.Node
		}
	}
	if lost == paxos.NoNode {
		return standsWhole, nodes
	}
	nodes = slices.DeleteFunc(nodes, func(id paxos.NodeID) bool { return id == lost })
	return standsShort, slices.Insert(nodes, 0, lost)
}

// namedBy are the nodes that a configuration names, in whatever role.
func namedBy(c *paxos.Configuration) []paxos.NodeID {
	var ids []paxos.NodeID
	for _, a := range c.Acceptors {
		ids = append(ids, a.Node)
	}
	for _, id := range c.Observers {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// seatsHeadBytes is the size of a group in a PeerSeats, but for its nodes.
const seatsHeadBytes = 12

// onSeats hears what a peer leads.
func (n *Node) onSeats(p *peer, b []byte) {
	if len(b) < 8 {
		n.stats.BadFrames++
		return
	}
	record := binary.LittleEndian.Uint64(b)
	p.record = max(p.record, record+1)
	for b = b[8:]; len(b) > 0; {
		if len(b) < seatsHeadBytes || len(b) < seatsHeadBytes+2*int(b[11]) {
			n.stats.BadFrames++
			return
		}
		id, k := binary.LittleEndian.Uint16(b), int(b[11])
		h := heardSeats{leader: p.id, version: binary.LittleEndian.Uint64(b[2:]), record: record,
			standing: standing(b[10])}
		for i := range k {
			h.nodes = append(h.nodes, paxos.NodeID(binary.LittleEndian.Uint16(b[seatsHeadBytes+2*i:])))
		}
		b = b[seatsHeadBytes+2*k:]
		if int(id) < len(n.heard) && h.version >= n.heard[id].version {
			n.hear(paxos.GroupID(id), &h)
			n.retireIfLeft(paxos.GroupID(id))
		}
	}
}

// hear notes what the leader of a group says, and which leaving nodes it needs.
func (n *Node) hear(id paxos.GroupID, h *heardSeats) {
	h.at = n.now
	n.heard[id] = *h
	if h.record < n.identity.Version {
		n.oldRecordAt = n.now
	}
	for _, k := range h.nodes {
		if x := n.listed(k); x != nil && x.State == placement.Leaving {
			n.neededAt[k] = n.now
		}
	}
}

// leaderHint says whom to ask for a group that this node does not keep.
func (n *Node) leaderHint(g paxos.GroupID) paxos.NodeID {
	if id := n.heard[g].leader; id != paxos.NoNode && id != n.identity.Node {
		return id
	}
	for _, id := range n.home(g) {
		if id != n.identity.Node {
			return id
		}
	}
	return paxos.NoNode
}

// retireIfLeft drops a group that is neither at home here nor names this node
// any more. Seats without a node are chosen only after the others hold
// everything (placement.Settled), so nothing is lost with what is dropped.
func (n *Node) retireIfLeft(id paxos.GroupID) {
	h := &n.heard[id]
	g := n.group(uint16(id))
	if g == nil || g.leading || n.atHome(id) || h.version < g.seatsVersion ||
		slices.Contains(h.nodes, n.identity.Node) || n.saving == int(id) || n.installs(g) {
		return
	}
	n.retire(g, paxos.Slot(h.version)+paxos.Slot(n.opts.Window))
}

// releaseLeavers lets a leaving node go once no group names it, and none has for a
// while. A leader that was deposed says for up to an election timeout how the seats were,
// and the next one may have begun to move the group by an older record: it says so within
// the time of two gossips, and is told the newest.
func (n *Node) releaseLeavers() {
	g := n.group(0)
	if g == nil || !g.leading {
		return
	}
	r := n.identity.Record
	if n.heardFor != n.identity.Version {
		n.heardFor, n.oldRecordAt = n.identity.Version, n.now
	}
	for i := range r.Nodes {
		x := &r.Nodes[i]
		needed := max(n.neededAt[x.ID], n.oldRecordAt)
		if x.State == placement.Leaving && n.now-needed >= n.saidFor() &&
			n.keptNothing(x.ID) {
			n.proposeOwn(g, &placement.Change{Kind: placement.Release, Node: x.ID})
			return
		}
	}
}

// saidFor is how long what leaders say counts, and how long all have to say so before a
// node is let go.
func (n *Node) saidFor() Nanos { return n.settle() + 2*gossipEvery }

// keptNothing reports whether every group's leader, knowing the newest record,
// said of late that its seats do not name a node.
func (n *Node) keptNothing(id paxos.NodeID) bool {
	for g := range n.heard {
		h := &n.heard[g]
		if h.leader == paxos.NoNode || h.record < n.identity.Version ||
			n.now-h.at >= n.saidFor() || slices.Contains(h.nodes, id) {
			return false
		}
	}
	return true
}

// bindAwaited takes the disk that an awaited node shows. One that is born has a cluster
// already: another one, or it would not be awaited.
func (n *Node) bindAwaited() {
	g := n.group(0)
	if g == nil || !g.leading {
		return
	}
	for _, p := range n.peers {
		x := n.listed(p.id)
		if x == nil || x.Disk != 0 || x.State == placement.Leaving {
			continue
		}
		if p.up && p.record == 0 && !slices.Contains(x.Retired, p.disk) {
			n.proposeOwn(g, &placement.Change{Kind: placement.Bind, Node: p.id, Disk: p.disk})
			return
		}
	}
}
