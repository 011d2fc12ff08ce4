package node

import (
	"slices"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// observed is a world in which node 4 is an observer of a group, which has caught up, and
// its leader n is kept from making it an acceptor until holdSteps says otherwise.
func observed(t *testing.T) (w *world, n *testNode, g *group, observer paxos.Acceptor) {
	o := testOptions()
	o.Window = 4
	w = newWorld(t, o)
	w.addNode(4)
	w.drop = func(f testFrame) bool { // so that it learns nothing yet
		kind, _, err := wire.ParsePeer(f.frame)
		return f.to == 4 && (err != nil || kind == wire.PeerKindMessages ||
			kind == wire.PeerKindSnapshot)
	}
	w.mustChange(1, placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"})
	group := func() (*testNode, *group) {
		for id := range uint16(4) {
			n := w.leaderOf(id)
			if g := n.node.group(id); n.id != 4 && slices.Contains(g.seats.Now.Observers, 4) {
				return n, g
			}
		}
		return nil, nil
	}
	w.settle("node 4 observes", func() bool { _, g := group(); return g != nil })
	w.holdSteps(w.now + 100*Second)
	w.drop = nil
	n, g = group()
	observer = paxos.Acceptor{Node: 4, Disk: w.nodes[4].node.identity.Disk}
	w.settle("node 4 has caught up", func() bool { return n.node.isCurrent(g, observer) })
	return w, n, g, observer
}

// holdSteps has no group change its seats before a moment.
func (w *world) holdSteps(until Nanos) {
	for _, n := range w.nodes {
		for _, g := range n.node.hosted {
			g.reseatAfter = until
		}
	}
}

// mustNotAccept fails if the acceptors of a group are to be told of one.
func (w *world) mustNotAccept(group uint16, x paxos.Acceptor) {
	w.t.Helper()
	for id := range uint16(3) {
		if g := w.nodes[id+1].node.group(group); g != nil && slices.Contains(g.seats.Now.Acceptors, x) {
			w.t.Errorf("node %d: got node %d, which is down, among the acceptors %v", id+1, x.Node,
				g.seats.Now.Acceptors)
		}
	}
}

// TestFM2StepThatWaitedIsLookedAtAgain: an observer is to be made an acceptor, and there
// is no room for that among the slots on their way. Once there is, the observer has died:
// it stays one, however far it had come before.
func TestFM2StepThatWaitedIsLookedAtAgain(t *testing.T) {
	w, n, g, observer := observed(t)
	u := w.user(77, uint16(g.id))
	for _, other := range w.nodes {
		other.starved = other != n
	}
	var asked []uint64
	for i := 0; g.replica.CanPropose(); i++ {
		asked = append(asked, u.acquire(w.nameIn(uint16(g.id), i), 0))
		w.run(Millisecond)
	}
	if !slices.Contains(g.seats.Now.Observers, 4) {
		t.Fatalf("got seats %v, want node 4 to observe", g.seats.Now)
	}
	w.holdSteps(0)
	w.run(2 * reseatEvery)
	w.kill(4)
	w.run(2 * Millisecond) // the leader hears of it
	for _, other := range w.nodes {
		other.starved = false
	}
	for _, request := range asked {
		u.wait(request, 200*Millisecond)
	}
	w.run(Second)
	w.mustNotAccept(uint16(g.id), observer)
}

// TestFM2StepGivesWayToAHandOver: in the beat in which an observer is to be made an
// acceptor its leader begins to hand the group over, which comes to nothing, because the
// next one does not catch up. By then the observer has died, and stays one.
func TestFM2StepGivesWayToAHandOver(t *testing.T) {
	w, n, g, observer := observed(t)
	next := paxos.NoNode
	for _, id := range n.node.handOverTo(g) {
		if next == paxos.NoNode && uint16(id) != n.id && id != observer.Node {
			next = id
		}
	}
	w.nodes[uint16(next)].starved = true
	u := w.user(77, uint16(g.id))
	u.wait(u.acquire(w.nameIn(uint16(g.id), 0), 0), 200*Millisecond)
	w.holdSteps(0)
	n.node.draining, n.node.nextReseat, g.moveAfter = DrainAside, 0, w.now+100*Second
	w.settle("the group is handed over", func() bool {
		return g.replica.Status().Transfer == next
	})
	w.kill(4)
	n.node.draining = NotDraining
	w.settle("the leader goes on", g.replica.CanPropose)
	w.run(200 * Millisecond)
	if !g.leading {
		t.Fatalf("node %d does not lead any more, want it to", n.id)
	}
	w.mustNotAccept(uint16(g.id), observer)
}

// TestFM2ObserverWhoseDiskStandsStillIsNotPromoted: an observer has learned all and
// synced none of it, so that it would lose that with its process, and could accept
// nothing.
func TestFM2ObserverWhoseDiskStandsStillIsNotPromoted(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.addNode(4)
	w.mustChange(1, placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"})
	w.settle("node 4 has joined", func() bool { return n.node.birth == nil })
	n.syncing = w.now
	accepts := func() (groups int) {
		for id := range uint16(4) {
			if slices.Contains(w.leaderOf(id).node.group(id).seats.Now.Acceptors,
				paxos.Acceptor{Node: 4, Disk: n.node.identity.Disk}) {
				groups++
			}
		}
		return groups
	}
	w.settle("node 4 has learned all of a group", func() bool {
		for id := range uint16(4) {
			leader := w.leaderOf(id).node.group(id)
			if g := n.node.group(id); g != nil && g.replica.Chosen() == leader.replica.Chosen() {
				return true
			}
		}
		return false
	})
	already := accepts()
	w.run(10 * Second)
	if got := accepts() - already; got > 0 {
		t.Errorf("node 4 was made an acceptor of %d groups while its disk stood still", got)
	}
	n.syncing = 0
	w.settle("all at home", w.atHome)
}

// An observer of an earlier version does not say what it has synced, and is promoted by
// what it has (F-P3).
func TestFP3ObserverThatDoesNotSayWhatIsSyncedIsPromoted(t *testing.T) {
	w := newWorld(t, testOptions())
	w.addNode(4)
	said := 0
	w.drop = func(f testFrame) bool {
		return w.edited(f, func(m *paxos.Message) bool {
			if m.Kind == paxos.KindHeartbeatAck && m.Slot > 0 {
				m.Slot = 0
				said++
			}
			return true
		})
	}
	w.mustChange(1, placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"})
	w.settle("all at home", func() bool { return w.nodes[4].node.birth == nil && w.atHome() })
	if said == 0 {
		t.Error("node 4 never said what it has synced")
	}
}
