package node

import (
	"errors"

	"lockd/paxos"
)

// Draining says whether a node gives its leaderships away, and until when.
type Draining uint8

const (
	// NotDraining: the node leads what falls to it.
	NotDraining Draining = iota
	// DrainAside: an operator wants the node to lead nothing that another can
	// lead. It goes on as an acceptor and answers as before, until it is told
	// NotDraining or is started anew.
	DrainAside
	// DrainToStop: the process is about to end. The node takes nothing upon
	// itself any more, and nothing undoes it.
	DrainToStop
)

// ErrStopping means that a node cannot be told how to drain because its process
// is about to end. Nothing has changed.
var ErrStopping = errors.New("node: the node is about to stop, and has given its leaderships away")

// drainRequest is an operator's wish, or the process's own.
type drainRequest struct {
	to   Draining
	done func(error) // may be nil
}

// onDrain begins to give all leaderships away, or to lead again what falls to
// this node.
func (n *Node) onDrain(q drainRequest) {
	var err error
	switch {
	case n.draining == DrainToStop && q.to != DrainToStop:
		err = ErrStopping
	case n.draining != q.to:
		n.draining, n.drained, n.statusAt = q.to, false, 0
		n.announceRoster()
		n.rankSuccessors()
		n.drain()
	}
	if q.done != nil {
		q.done(err)
	}
}

// drain moves every group this node leads to its best peer, also those that fell
// to it since, and reports once none is left, or nobody is there to take one.
func (n *Node) drain() {
	if n.draining == NotDraining {
		return
	}
	left := 0
	for _, g := range n.hosted {
		if g.leading && n.handOver(g) {
			left++
		}
	}
	if left == 0 && !n.drained {
		n.statusAt = 0
		n.observe(Event{Kind: EventDrained})
	}
	n.drained = left == 0
}

// wantsNone reports whether this node wants no leaderships.
func (n *Node) wantsNone() bool { return n.draining != NotDraining || n.stalled }

// succession is the order in which nodes take a group over: as the record has
// it, but for those that want none, who come last. They do take it if all
// others are down, and hand it over as soon as one is back.
func (n *Node) succession(g paxos.GroupID) []paxos.NodeID {
	home := n.home(g)
	order := make([]paxos.NodeID, 0, len(home))
	for _, id := range home {
		if !n.declines(id) {
			order = append(order, id)
		}
	}
	for _, id := range home {
		if n.declines(id) {
			order = append(order, id)
		}
	}
	return order
}

// declines reports whether a node, this one or a peer, wants no leaderships.
func (n *Node) declines(id paxos.NodeID) bool {
	if id == n.identity.Node {
		return n.wantsNone()
	}
	p := n.peer(uint16(id))
	return p != nil && p.leaving
}

// rankSuccessors tells all replicas here who takes over in which order.
func (n *Node) rankSuccessors() {
	for _, g := range n.hosted {
		g.replica.SetSuccessors(n.succession(g.id))
	}
}

// drainOver notes that a peer does not drain, or no more. What it gave away is no
// sign that it cannot lead (judgeMove).
func (n *Node) drainOver(p *peer) {
	if !p.draining {
		return
	}
	p.draining = false
	for _, g := range n.hosted {
		if n.home(g.id)[0] == p.id {
			n.moveSoon(g)
		}
	}
}

// moveSoon has a group go to its preferred leader as soon as that is able to lead,
// whatever became of an earlier move.
func (n *Node) moveSoon(g *group) {
	g.moveAfter = min(g.moveAfter, n.now+n.settle())
	g.resting = g.resting[:0]
}
