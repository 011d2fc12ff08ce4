package node

import (
	"slices"

	"lockd/netio/wire"
	"lockd/paxos"
)

// noteLeadership acts on a change of who leads a group.
func (n *Node) noteLeadership(g *group) {
	leading := g.replica.Role() == paxos.RoleLeading
	leader := g.replica.Leader()
	if leading == g.leading && leader == g.leader {
		return
	}
	was := g.leading
	g.leading = leading
	g.movingTo = paxos.NoNode
	if leader != g.leader {
		g.leader = leader
		n.statusAt = 0
		n.observe(Event{Kind: EventLeader, Group: g.id, Node: leader})
	}
	n.judgeMove(g)
	switch {
	case leading && !was:
		g.paced = false
		g.counting = plantedIs("expiry-from-leader-memory") && g.lastTick > 0
		g.moveAfter = max(g.moveAfter, n.now+n.settle())
		n.observe(Event{Kind: EventLeading, Group: g.id})
		n.settleEarly(g)
	case was && !leading:
		n.observe(Event{Kind: EventDeposed, Group: g.id})
		n.abandon(g)
		n.refuseHeld(g)
	}
	if leader != paxos.NoNode && !leading {
		n.settleEarly(g)
	}
}

// abandon tells everybody who waits for a group that this node leads it no
// more. What they asked for may have been chosen, or be chosen yet: they ask
// the next leader with a raised epoch, and it knows.
func (n *Node) abandon(g *group) {
	moved := map[ConnID]struct{}{}
	for s, b := range g.bound { // order: a set is built
		moved[b.conn] = struct{}{}
		if c := n.conns.find(b.conn); c != nil {
			delete(c.sessions, boundSession{g.id, s})
		}
	}
	clear(g.bound)
	for _, c := range g.waits { // order: counters and a set
		n.leave(c, moved)
	}
	clear(g.waits)
	g.valued = nil
	n.dropWatches(g, moved)
	n.contention.forgetTop()
	for i := range g.flights {
		f := &g.flights[i]
		n.leaveAll(f.origins, f.renewals, g, moved)
	}
	clear(g.flights)
	g.flights = g.flights[:0]
	g.landed = g.launched
	n.leaveAll(g.origins, g.renewals, g, moved)
	g.origins, g.renewals, g.parks, g.idle = nil, nil, nil, nil
	g.resetBatch()
	g.tickDue, g.timed, g.stepping, g.strangers = false, false, 0, 0
	for i := range g.reads {
		n.leave(g.reads[i].conn, moved)
		n.countOff(g, &g.reads[i])
	}
	clear(g.reads)
	n.keepReads(g, 0)
	for i := range g.lists {
		n.leave(g.lists[i].conn, moved)
		n.countOff(g, &g.lists[i])
	}
	g.lists = nil
	g.forgetSearches()
	for _, id := range sortedConns(moved) {
		c := n.conns.find(id)
		if c == nil {
			continue
		}
		c.out = wire.AppendMoved(c.out, wire.Header{Group: uint16(g.id)},
			&wire.Moved{Leader: uint16(g.leader)})
		n.conns.touch(c)
	}
}

// leave takes one unanswered request off a conn and notes the conn.
func (n *Node) leave(id ConnID, moved map[ConnID]struct{}) {
	if c := n.conns.find(id); c != nil {
		c.inFlight--
		moved[id] = struct{}{}
	}
}

func (n *Node) leaveAll(os []origin, rs []renewal, g *group, moved map[ConnID]struct{}) {
	for i := range os {
		if os[i].conn != 0 {
			n.leave(os[i].conn, moved)
		}
	}
	for _, r := range rs {
		n.ackRenewal(g, r, wire.CodeNotLeader)
	}
}

// disown is abandon for a batch that could not be proposed.
func (n *Node) disown(g *group, os []origin, rs []renewal) {
	moved := map[ConnID]struct{}{}
	n.leaveAll(os, rs, g, moved)
	for _, id := range sortedConns(moved) {
		if c := n.conns.find(id); c != nil {
			c.out = wire.AppendMoved(c.out, wire.Header{Group: uint16(g.id)}, &wire.Moved{})
			n.conns.touch(c)
		}
	}
}

func sortedConns(set map[ConnID]struct{}) []ConnID {
	ids := make([]ConnID, 0, len(set))
	for id := range set {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// settle is how long a link must have stood, and a leader must have led, before
// a group is moved: by then a peer that does not hear this node has missed an
// election timeout of heartbeats, and TransferLead refuses it.
func (n *Node) settle() Nanos { return 2 * Nanos(n.opts.ElectionTicks) * n.opts.Tick }

// balance moves one group a beat towards its preferred leader, once that node
// has been back for two election timeouts, answers and has caught up. Clients
// notice nothing but a redirect.
func (n *Node) balance() {
	if n.draining != NotDraining {
		n.drain()
		return
	}
	if n.now < n.nextMove {
		return
	}
	for range n.hosted {
		n.moveNext = (n.moveNext + 1) % len(n.hosted)
		g := n.hosted[n.moveNext]
		n.judgeMove(g)
		if !g.leading || n.now < g.moveAfter || g.asked.node != paxos.NoNode {
			continue
		}
		first := n.home(g.id)[0]
		p := n.peer(uint16(first))
		if p == nil || !p.up || p.leaving || n.now-p.upSince < n.settle() || !n.caughtUp(g, first) ||
			n.rests(g, first) || !n.transfer(g, first) {
			continue
		}
		n.nextMove = n.now + 2*n.opts.Tick
		return
	}
}

// maxTransferGap is how many slots the next leader may be behind when a
// transfer begins; it catches up while the group takes no proposals.
const maxTransferGap = 64

// caughtUp reports whether a peer speaks in a group and has all but the newest
// slots of it.
func (n *Node) caughtUp(g *group, id paxos.NodeID) bool {
	chosen, ok := g.replica.PeerChosen(id)
	return ok && chosen+maxTransferGap >= g.replica.Chosen()
}

// transfer begins to hand a group over, or goes on with it, and reports whether
// the target can be asked. Whether it worked shows in who leads.
func (n *Node) transfer(g *group, to paxos.NodeID) bool {
	if err := g.replica.TransferLead(to); err != nil {
		return false
	}
	if g.asked.node != to {
		g.asked = handover{node: to}
	}
	if g.movingTo != to {
		g.movingTo = to
		n.observe(Event{Kind: EventTransfer, Group: g.id, Node: to})
	}
	n.touch(g)
	return true
}

// handOverTo are the nodes that may lead a group, best first: those at home, and
// whoever else accepts.
func (n *Node) handOverTo(g *group) []paxos.NodeID {
	ids := slices.Clone(n.home(g.id))
	for _, a := range g.seats.Now.Acceptors {
		if !slices.Contains(ids, a.Node) {
			ids = append(ids, a.Node)
		}
	}
	return ids
}

// handOver begins to hand a group to its first successor that can take it, and
// reports whether any peer may be able to. One that has no links to a quorum is not, nor
// one that was asked lately, and of whom the group had no leader for a while.
func (n *Node) handOver(g *group) bool {
	n.judgeMove(g)
	found := false
	for _, id := range n.handOverTo(g) {
		p := n.peer(uint16(id))
		if p == nil || !p.up || p.leaving || n.hasFailed(g, id) || g.replica.PeerBarred(id) {
			continue
		}
		found = true
		if n.caughtUp(g, id) && !n.rests(g, id) && !n.breathes(g) && n.transfer(g, id) {
			break
		}
	}
	return found
}
