package node

import (
	"slices"

	"lockd/netio/wire"
	"lockd/paxos"
)

// This file holds requests for groups that have no leader, if this node may become it,
// and serves them when it has.

const (
	// maxEarlyBytes bounds what is held for all groups of a node, and
	// maxGroupEarlyBytes what is held for one: the requests of the clients of one that
	// died, or of many that have nothing else in mind.
	maxEarlyBytes, maxGroupEarlyBytes = 4 << 20, 256 << 10
	// earlyItemBytes is what one of them takes besides its bytes.
	earlyItemBytes = 64
	// earlyCost is what those may cost in a turn that were held for groups this node
	// leads by now. They come first, and leave room for what else there is.
	earlyCost = turnCost / 2
)

// EarlyBytes bounds the memory of requests that are held for groups without a leader.
func EarlyBytes() uint64 { return maxEarlyBytes }

// earlyRequest is a frame held until the group has a leader.
type earlyRequest struct {
	conn  ConnID
	frame []byte
}

// bytes is what it counts.
func (e *earlyRequest) bytes() int { return len(e.frame) + earlyItemBytes }

// refuseOrHold answers a request for a group that this node does not lead, or of which
// it still holds earlier ones of the conn. While the group has no leader, and this
// node may become it, the request is held for up to an election timeout: after the
// death of a leader a client that asks the first successor is served as soon as that
// node leads. A node that hears too few peers will not lead, and says so at once.
func (n *Node) refuseOrHold(g *group, c *conn, h wire.Header, frame []byte) {
	if g.leading {
		if !n.hold(g, c, frame) {
			n.busy(c, h)
		}
		return
	}
	leader := g.replica.Leader()
	if leader == n.identity.Node {
		// Elected, but not before a slot of its own ballot is chosen.
		leader = paxos.NoNode
	}
	accepts := slices.Contains(g.seats.Now.Acceptors, n.acceptor())
	if leader == paxos.NoNode && !accepts {
		leader = n.leaderHint(g.id)
	}
	stays := n.draining != DrainToStop
	if leader == paxos.NoNode && accepts && stays && n.hearsMajority() && !g.earlyFull &&
		n.hold(g, c, frame) {
		return
	}
	g.earlyFull = len(g.early) > 0
	if c.early[g.id] > 0 {
		n.refuseEarly(g, c, leader)
	}
	n.notLeader(c, h, leader)
}

// hold keeps a copy of a request, if there is room.
func (n *Node) hold(g *group, c *conn, frame []byte) bool {
	e := earlyRequest{conn: c.id, frame: frame}
	if n.earlyBytes+e.bytes() > maxEarlyBytes || g.earlyBytes+e.bytes() > maxGroupEarlyBytes {
		return false
	}
	if len(g.early) == 0 {
		g.earlyUntil = n.now + Nanos(n.opts.ElectionTicks)*n.opts.Tick
	}
	e.frame = append([]byte(nil), frame...)
	g.early = append(g.early, e)
	g.earlyBytes += e.bytes()
	n.earlyBytes += e.bytes()
	if c.early == nil {
		c.early = make(map[paxos.GroupID]int)
	}
	c.early[g.id]++
	c.inFlight++
	return true
}

// unhold counts off a request that the group holds no more. It returns its conn, nil
// if that is gone.
func (n *Node) unhold(g *group, e *earlyRequest) *conn {
	g.earlyBytes -= e.bytes()
	n.earlyBytes -= e.bytes()
	c := n.conns.find(e.conn)
	if c == nil {
		return nil
	}
	c.inFlight--
	if c.early[g.id]--; c.early[g.id] == 0 {
		delete(c.early, g.id)
	}
	return c
}

// refuseEarly refuses what the group holds of a conn: after one request was
// refused, none that was sent before it may be carried out.
func (n *Node) refuseEarly(g *group, c *conn, leader paxos.NodeID) {
	kept := g.early[:0]
	for i := range g.early {
		e := g.early[i]
		if e.conn != c.id {
			kept = append(kept, e)
			continue
		}
		n.unhold(g, &e)
		h, _, _ := wire.Parse(e.frame)
		n.notLeader(c, h, leader)
	}
	clear(g.early[len(kept):])
	g.early = kept
}

// settleEarly deals with held requests once it is clear who leads, or time is
// up. If this node does, they are served in the turns that follow.
func (n *Node) settleEarly(g *group) {
	switch {
	case !g.leading || len(g.early) == 0:
		n.refuseHeld(g)
	case !g.settling:
		g.settling = true
		n.settling = append(n.settling, g)
		n.inbox.again()
	}
}

// refuseHeld refuses all that the group holds.
func (n *Node) refuseHeld(g *group) {
	held := g.early
	g.early, g.earlyFull = nil, false
	for i := range held {
		if c := n.unhold(g, &held[i]); c != nil {
			h, _, _ := wire.Parse(held[i].frame)
			n.notLeader(c, h, g.replica.Leader())
		}
	}
}

// serveEarly serves what was held for groups that this node leads now, one after the
// other, until that has cost enough. It comes before what the turn has brought.
func (n *Node) serveEarly() {
	if len(n.settling) == 0 {
		return
	}
	quantum := max(leastQuantum, earlyCost/len(n.settling))
	k := 0
	for ; k < len(n.settling) && n.turnstile.spent < earlyCost; k++ {
		g := n.settling[k]
		n.settling[k] = nil
		n.serveHeld(g, quantum)
		if g.settling = g.leading && len(g.early) > 0; g.settling {
			n.settling = append(n.settling, g)
		} else if len(g.early) == 0 {
			g.early, g.earlyFull = nil, false
		}
	}
	n.settling = append(n.settling[:0], n.settling[k:]...)
	if len(n.settling) > 0 {
		n.inbox.again()
		return
	}
	n.settling = nil
}

// serveHeld serves of what a group holds what costs about quantum. If it was lost
// meanwhile, that has been refused, and what it holds now waits for the next leader.
func (n *Node) serveHeld(g *group, quantum int) {
	for g.leading && len(g.early) > 0 && quantum > 0 {
		e := g.early[0]
		g.early[0] = earlyRequest{}
		g.early = g.early[1:]
		cost := 1
		if c := n.unhold(g, &e); c != nil {
			before := len(c.out)
			h, body, _ := wire.Parse(e.frame)
			n.admit(g, c, h, body)
			cost = costOf(h.Kind, e.frame) + answerUnits(len(c.out)-before)
		}
		n.turnstile.spent += cost
		quantum -= cost
	}
}

// expireEarly refuses requests that were held for too long, or in vain.
func (n *Node) expireEarly(g *group) {
	if len(g.early) > 0 && (n.now >= g.earlyUntil || !n.hearsMajority()) {
		n.settleEarly(g)
	}
}
