package node

import (
	"fmt"
	"slices"
	"testing"

	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/paxos"
)

// A leader with a record of before, cut off from whoever leads group 0 until that lets a
// node go, does not take that node into its group (F-M1). Nodes 1 and 2 know that node 4
// leaves and lead all; then they are cut off from the others, which do not know it, and
// of which 3 and 5 are a quorum of group 5.
func TestFM1LeaverIsNotTakenInByAnOldRecord(t *testing.T) {
	w := newWorld(t, fiveNodes())
	w.settle("all at home", w.atHome)
	for id := uint16(3); id <= 5; id++ {
		_ = w.drain(id, DrainAside)
	}
	old, version := w.nodes[3].node.identity.Record, w.nodes[3].node.identity.Version
	w.mustChange(1, placement.Change{Kind: placement.Remove, Node: 4})
	leader := w.leaderOf(0).node
	w.settle("no group needs node 4, and nodes 1 and 2 lead all", func() bool {
		return leader.keptNothing(4) && w.leads(1)+w.leads(2) == w.opts.Groups
	})
	w.run(2300 * Millisecond)
	if got := w.state(4); got != placement.Leaving {
		t.Fatalf("node 4 is %v, want it to be leaving", got)
	}
	w.drop = func(f testFrame) bool { return f.from < 3 != (f.to < 3) }
	for id := uint16(3); id <= 5; id++ {
		n := w.nodes[id].node
		n.identity.Record, n.identity.Version = old, version
		n.followRecord()
	}
	w.run(20 * Second)
	if got := leader.identity.Record.Node(4).State; got != placement.Gone {
		t.Fatalf("node 4 is %v, want it to have gone", got)
	}
	led := w.leads(3) + w.leads(5)
	if seats := w.nodes[3].node.group(5).seats; slices.Contains(namedBy(&seats.Now), 4) || led == 0 {
		t.Errorf("group 5 counts on node 4, which has gone: %+v; %d groups are led", seats.Now, led)
	}
	w.nodes[4].wantStop = ErrRemoved
	w.drop = nil
	w.settle("all at home", w.atHome)
	w.run(3 * Second)
	w.served(2)
}

// know has a node know another record of the cluster.
func (n *testNode) know(version uint64, change func(r *placement.Record)) {
	r := n.node.identity.Record.Clone()
	change(&r)
	n.node.identity.Record, n.node.identity.Version = &r, version
	n.node.followRecord()
}

// A step that a leader with a record of before proposed, and that only itself accepted,
// may be found by a later leader and be chosen. It is not once a leader that knows of the
// node that leaves has told how the seats are (F-M1).
func TestFM1StepOfBeforeIsNotTakenAfterwards(t *testing.T) {
	for _, wait := range []Nanos{0, 3 * Second} {
		name := fmt.Sprint("writes after ", wait/Second, " s")
		t.Run(name, func(t *testing.T) { stepOfBefore(t, wait) })
	}
}

// stepOfBefore has the later leader write what its log has seen after a while only.
func stepOfBefore(t *testing.T, wait Nanos) {
	w := nodesOf(t, 4, 8)
	id := uint16(slices.IndexFunc(w.nodes[1].node.identity.Record.Homes,
		func(home []paxos.NodeID) bool { return home[0] == 1 && !slices.Contains(home, 4) }))
	old := w.nodes[1].node.group(id)
	if !old.leading {
		t.Fatalf("group %d is not led by node 1", id)
	}
	u := w.lasting(50, id, 120_000)
	old.reseatAfter = w.now + 100*Second
	w.drop = func(f testFrame) bool { return f.from == 1 && f.to < 4 || f.to == 1 && f.from < 4 }
	for i := range 5 {
		u.acquire(w.nameIn(id, 10+i), 0)
		w.run(2 * Millisecond)
	}
	w.nodes[1].know(w.nodes[1].node.identity.Version, func(r *placement.Record) {
		r.Homes[id] = []paxos.NodeID{1, 2, 4}
	})
	for other := uint16(2); other <= 3; other++ {
		w.nodes[other].know(1000, func(r *placement.Record) { r.Node(4).State = placement.Leaving })
		w.nodes[other].node.nextReseat = w.now + wait
	}
	old.reseatAfter = 0
	w.run(2 * reseatEvery)
	if old.stepping != 1 {
		t.Fatalf("node 1 has %d steps under way, want one", old.stepping)
	}
	told := func() *testNode {
		for from, to := uint16(2), uint16(3); from <= 3; from, to = from+1, to-1 {
			h := w.nodes[to].node.heard[id]
			if h.record == 1000 && h.leader == paxos.NodeID(from) && !slices.Contains(h.nodes, 4) {
				return w.nodes[from]
			}
		}
		return nil
	}
	for told() == nil {
		if w.run(Millisecond); w.now > 100*Second {
			t.Fatal("nobody tells of group 5")
		}
	}
	w.kill(told().id)
	w.drop = nil
	for range 100 {
		w.run(50 * Millisecond)
		for _, n := range w.nodes {
			if n.node == nil || n.node.group(id) == nil {
				continue
			}
			if seats := n.node.group(id).seats.Now; slices.Contains(namedBy(&seats), 4) {
				t.Fatalf("node 4 was told to be needed no more, and is in %+v", seats)
			}
		}
	}
	if got := w.leaderOf(id).node.group(id); !got.replica.Status().Serving {
		t.Error("the group is not served")
	}
}

// What a newer build says of what the log has seen is not known here: no step is taken by
// guess.
func TestFM1NoStepByARecordThatCannotBeRead(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(2).node
	g := n.group(2)
	if !n.mayStep(g) {
		t.Fatal("a leader that knows all may take no step")
	}
	for _, row := range []struct {
		value []byte
		may   bool
	}{
		{placement.AppendSeen(nil, n.identity.Version), true},
		{placement.AppendSeen(nil, n.identity.Version+1), false},
		{[]byte{2, 0, 0, 0, 0, 0, 0, 0, 0}, false},
		{placement.AppendSeen(nil, 0), true},
	} {
		_, at, _ := g.seen()
		n.enqueue(g, &lockfsm.Command{Op: lockfsm.OpWrite, Name: []byte(registerSeen),
			Token: lockfsm.Token(at), Value: row.value}, origin{})
		w.run(20 * Millisecond)
		if _, now, _ := g.seen(); now == at {
			t.Fatalf("%x was not written", row.value)
		}
		if got := n.mayStep(g); got != row.may {
			t.Errorf("%x: may take a step: got %v, want %v", row.value, got, row.may)
		}
	}
}

// A replica that has begun to lead in a turn is named as the leader in that turn, before
// the node has noted it, not who led by the last that was heard.
func TestLeaderOfThisTurnIsSeen(t *testing.T) {
	w := newWorld(t, testOptions())
	led := w.leaderOf(0)
	n := led.node
	g := n.groups[0]
	g.leader = paxos.NoNode
	n.heard[0] = heardSeats{leader: paxos.NodeID(1 + led.id%3), at: n.now}
	if got := n.leaderSeen(g); got != n.identity.Node {
		t.Errorf("got node %d as the leader, want %d itself", got, n.identity.Node)
	}
}
