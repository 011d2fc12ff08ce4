package node

import (
	"slices"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// TestFM2StepThatWaitedIsLookedAtAgain: an observer is to be made an acceptor, and there
// is no room for that among the slots on their way. Once there is, the observer has died:
// it stays one, however far it had come before.
func TestFM2StepThatWaitedIsLookedAtAgain(t *testing.T) {
	o := testOptions()
	o.Window = 4
	w := newWorld(t, o)
	w.addNode(4)
	hold := func(until Nanos) {
		for _, n := range w.nodes {
			for _, g := range n.node.hosted {
				g.reseatAfter = until
			}
		}
	}
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
	hold(w.now + 100*Second)
	w.drop = nil
	n, g := group()
	observer := paxos.Acceptor{Node: 4, Disk: w.nodes[4].node.identity.Disk}
	w.settle("node 4 has caught up", func() bool { return n.node.isCurrent(g, observer) })

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
	hold(0)
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
	for id := range uint16(3) {
		if g := w.nodes[id+1].node.group(uint16(g.id)); g != nil &&
			slices.Contains(g.seats.Now.Acceptors, observer) {
			t.Errorf("node %d: got node 4, which is down, among the acceptors %v", id+1,
				g.seats.Now.Acceptors)
		}
	}
}
