package node

import (
	"slices"

	"lockd/paxos"
)

// What becomes of a hand-over shows in who leads. A node that does not come to lead is
// asked again, but not at once, and each time later than before: a try that the replica
// gives up costs an election timeout in which nothing is proposed, and one that it does
// not costs the group its leader.

// handover is a hand-over that this node began.
type handover struct {
	node paxos.NodeID // that was told to take over, NoNode for nobody
	gave bool         // this node leads no more for its sake
	led  Nanos        // when it was first seen to lead, 0 before
}

// rest is a node that is not asked to take a group over for a while.
type rest struct {
	node  paxos.NodeID
	until Nanos
	// length is how long it was made to wait, lost whether the group had no leader
	// because of it: it may have no links to a quorum, which shows to itself alone.
	length Nanos
	lost   bool
}

// moveAgain is how long a node is not asked again that did not come to lead although it
// seemed able to, or did not for long; and the longest that others are not.
const moveAgain = 30 * Second

// judgeMove sees what became of a hand-over that this node began.
func (n *Node) judgeMove(g *group) {
	h := &g.asked
	leading := g.replica.Role() == paxos.RoleLeading
	switch {
	case h.node == paxos.NoNode:
	case g.leader == h.node:
		if h.led == 0 {
			h.led = n.now
		}
	case h.led != 0:
		n.judgeLed(g)
	case h.gave && (leading || g.leader != paxos.NoNode && g.leader != n.identity.Node):
		// However long it took: whoever leads now leads in its place.
		n.restFrom(g, rest{length: moveAgain, lost: true})
	case !leading:
		h.gave = true
	case g.replica.Status().Transfer == paxos.NoNode:
		n.restFrom(g, rest{length: n.settle() / 2})
	}
}

// judgeLed judges one that has led and leads no more. If it led for long, it can, and
// something else happened to it; if that happens often, it is not worth while either.
func (n *Node) judgeLed(g *group) {
	switch led := n.now - g.asked.led; {
	case led < 2*n.settle():
		n.restFrom(g, rest{length: moveAgain, lost: true})
	case led < moveAgain:
		n.restFrom(g, rest{length: n.settle()})
	default:
		g.asked = handover{}
	}
}

// restFrom ends a hand-over of which nothing came. The node rests for the length given, or
// for twice as long as the last time, if that was lately.
func (n *Node) restFrom(g *group, x rest) {
	x.node = g.asked.node
	g.asked, g.movingTo = handover{}, paxos.NoNode // the next one is news
	if r := g.rest(x.node); r != nil && n.now < r.until+moveAgain {
		x.length = min(max(x.length, 2*r.length), moveAgain)
	}
	x.until = n.now + x.length
	g.resting = slices.DeleteFunc(g.resting, func(r rest) bool {
		return r.node == x.node || n.now >= r.until+moveAgain
	})
	g.resting = append(g.resting, x)
}

// rest is what is remembered of a node that was asked to take the group over, nil if
// nothing is.
func (g *group) rest(id paxos.NodeID) *rest {
	at := slices.IndexFunc(g.resting, func(r rest) bool { return r.node == id })
	if at < 0 {
		return nil
	}
	return &g.resting[at]
}

// rests reports whether a node is not to be asked yet to take a group over.
func (n *Node) rests(g *group, id paxos.NodeID) bool {
	r := g.rest(id)
	return r != nil && n.now < r.until
}

// breathes reports whether a group that was handed over in vain is to serve for a while
// before it is handed to anybody else. It is for twice as long with each node that is
// resting: where several cannot take it, it has a leader most of the time.
func (n *Node) breathes(g *group) bool {
	last, wait := Nanos(0), Nanos(0)
	for i := range g.resting {
		if r := &g.resting[i]; n.now < r.until {
			last = max(last, r.until-r.length)
			wait = max(n.settle(), 2*wait)
		}
	}
	return n.now < last+wait
}

// hasFailed reports whether a node lately cost a group its leader, and did not take it
// over.
func (n *Node) hasFailed(g *group, id paxos.NodeID) bool {
	return n.rests(g, id) && g.rest(id).lost
}
