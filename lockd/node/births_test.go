package node

import (
	"errors"
	"slices"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// A leaver that is lost while slots of the seats before are not chosen counts: those need
// it, or the node beside it, though the newest seats name it as an observer only.
func TestFM1LostLeaverOfTheSeatsBeforeCounts(t *testing.T) {
	w := nodesOf(t, 5, 2) // group 1 is at home on 2, 3 and 4
	w.kill(3)             // is only down: its disk is sound
	w.run(3 * Second)
	w.mustChange(1, placement.Change{Kind: placement.Remove, Node: 4})
	between := func() bool {
		g := w.nodes[2].node.group(1)
		return g.leading && g.replica.Chosen()+1 < g.seats.Now.From &&
			!slices.ContainsFunc(g.seats.Now.Acceptors, func(a paxos.Acceptor) bool { return a.Node == 4 })
	}
	for range 20000 {
		w.relink()
		if w.run(Millisecond); between() {
			break
		}
	}
	if !between() {
		t.Fatal("the step towards seats without node 4 was never seen")
	}
	w.kill(4) // its machine is lost
	w.run(4 * Second)
	err := w.change(1, placement.Change{Kind: placement.Replace, Node: 3})
	if !errors.Is(err, placement.ErrBusy) {
		t.Fatalf("the disk of node 3 is given up: got %v, want ErrBusy", err)
	}
	w.nodes[3].start() // with its own disk the group goes on
	w.settle("group 1 is led", func() bool {
		g := w.nodes[2].node.group(1)
		return g != nil && g.replica.Leader() != paxos.NoNode
	})
}

// leftover starts node 4 on a directory that has the roster of a birth that never came
// about, and has it invited.
func leftover(t *testing.T, replicas int) (*world, *testNode) {
	o := testOptions()
	o.Replicas = replicas
	w := newWorld(t, o)
	n := &testNode{w: w, id: 4, shelf: newShelf(), sent: make(map[ConnID][]byte),
		saved: make(map[uint16]map[string][]byte), slots: make(map[uint16]uint64), wantStop: ErrWiped}
	w.nodes[4] = n
	birth := placement.Birth([]placement.Node{{ID: 1, Disk: 91, State: placement.Member},
		{ID: 2, Disk: 92, State: placement.Member}, {ID: 4, Disk: 4444, State: placement.Member}},
		o.Groups, uint8(o.Replicas), 1)
	n.stored = AppendIdentity(nil, &Identity{Cluster: o.Cluster, Node: 4, Disk: 4444,
		Groups: uint16(o.Groups), Settings: o.Digest(), Birth: &birth})
	w.opts.Nodes = append(slices.Clone(w.opts.Nodes), Peer{ID: 4, ClientAddress: "x:1"})
	n.start()
	add := placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"}
	if err := w.change(2, add); err != nil {
		t.Fatal(err)
	}
	return w, n
}

// Either it is refused, or it has its links again after a restart.
func TestFM1DirectoryOfAnotherBirthIsAdded(t *testing.T) {
	w, n := leftover(t, 3)
	for restarted := false; ; restarted = true {
		for range 200 {
			w.relink()
			w.run(50 * Millisecond)
		}
		switch {
		case n.node == nil:
			return
		case restarted:
			for _, p := range n.node.peers {
				if !p.up {
					t.Errorf("state %v: no link to node %d after a restart", w.state(4), p.id)
				}
			}
			return
		}
		w.kill(4)
		n.start()
	}
}

// Where each group has one replica it would serve one by itself.
func TestFM1DirectoryOfAnotherBirthServesAlone(t *testing.T) {
	w, n := leftover(t, 1)
	w.drop = func(f testFrame) bool { return f.from == 3 && f.to == 4 } // which leads group 2
	for range 3000 {
		w.relink()
		w.run(Millisecond)
		if n.node == nil {
			return
		}
		g, h := n.node.group(2), w.nodes[3].node.group(2)
		if g != nil && h != nil && g.replica.CanPropose() && h.replica.CanPropose() {
			t.Fatalf("group 2 is served by two: %+v and %+v", g.seats.Now, h.seats.Now)
		}
	}
}

// The answer to a change that was asked for before a restart is none to one asked since.
func TestAnswerToAChangeOfALifeBefore(t *testing.T) {
	w := newWorld(t, testOptions())
	w.settle("all at home", w.atHome)
	leader := w.leaderOf(0)
	asker := w.nodes[leader.id%3+1]
	homes := func() [][]paxos.NodeID { return leader.node.identity.Record.Homes }
	first := placement.Change{Kind: placement.Move, Node: homes()[1][1], Group: 1}
	second := placement.Change{Kind: placement.Move, Node: homes()[2][1], Group: 2}
	w.drop = func(f testFrame) bool { // nothing is chosen for a moment
		kind, _, err := wire.ParsePeer(f.frame)
		return err == nil && f.to == leader.id && kind == wire.PeerKindMessages
	}
	asker.inbox.Change(first, func(error) {})
	w.run(10 * Millisecond)
	w.kill(asker.id)
	asker.start()
	w.relink()
	w.run(200 * Millisecond)
	var answer error
	answered := false
	asker.inbox.Change(second, func(err error) { answer, answered = err, true })
	w.run(10 * Millisecond)
	w.drop = nil
	w.settle("an answer", func() bool { return answered })
	w.run(3 * Second)
	t.Logf("answer %v, homes %v, first %v second %v", answer, homes(), first, second)
	if answer == nil && homes()[2][0] != second.Node {
		t.Errorf("the second is said to be made, and group 2 is still to be led by %d", homes()[2][0])
	}
}
