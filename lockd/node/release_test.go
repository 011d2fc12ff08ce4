package node

import (
	"testing"

	"lockd/lockd/placement"
	"lockd/paxos"
)

// A node that leaves is let go once the leaders of all groups have said for a while that
// they do without it: who says so may be deposed, and the next may have taken the node in
// by an older record.
func TestFM1LeaverIsLetGoWhenAllHaveSaidSoForAWhile(t *testing.T) {
	w := nodesOf(t, 4, 8)
	w.settle("all at home", w.atHome)
	w.nodes[4].wantStop = ErrRemoved
	w.mustChange(1, placement.Change{Kind: placement.Remove, Node: 4})
	n := w.leaderOf(0).node
	for range 30_000 {
		if w.run(Millisecond); n.keptNothing(4) {
			break
		}
	}
	contradict := func() {
		h := n.heard[3]
		n.hear(3, &heardSeats{leader: 2, version: h.version, record: h.record,
			nodes: []paxos.NodeID{1, 2, 4}})
		n.hear(3, &h)
	}
	w.run(2 * Second)
	contradict()
	w.run(2 * Second)
	if got := w.state(4); got != placement.Leaving || !n.keptNothing(4) {
		t.Fatalf("2 s after a leader said that it needs node 4 that is %v, want it leaving", got)
	}
	w.settle("node 4 is let go", func() bool { return w.state(4) == placement.Gone })
	w.settle("all at home", w.atHome)
}

// What a leader has said once does not count for ever.
func TestFM1LeaverIsNotLetGoByOldNews(t *testing.T) {
	w := nodesOf(t, 4, 8)
	w.settle("all at home", w.atHome)
	n := w.leaderOf(0).node
	n.identity.Record.Node(4).State = placement.Leaving
	for g := range n.heard {
		n.heard[g] = heardSeats{leader: 2, record: n.identity.Version, at: n.now,
			nodes: []paxos.NodeID{1, 2, 3}}
	}
	if !n.keptNothing(4) {
		t.Error("all have said that they do without node 4, and it counts as needed")
	}
	n.heard[3].at -= n.saidFor()
	if n.keptNothing(4) {
		t.Error("what was said long ago counts")
	}
}
