package node

import (
	"bytes"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// edited has the messages of a frame arrive as keep leaves them, without those of which it
// says no. A frame that is dropped for it comes again a turn later, as it is to be.
func (w *world) edited(f testFrame, keep func(m *paxos.Message) bool) bool {
	kind, b, err := wire.ParsePeer(f.frame)
	if err != nil || kind != wire.PeerKindMessages {
		return false
	}
	left := bytes.Clone(b[:messagesHeadBytes])
	var m paxos.Message
	for rest := b[messagesHeadBytes:]; len(rest) > 0; {
		if rest, err = paxos.DecodeMessage(rest, &m); err != nil {
			w.t.Fatal(err)
		}
		if keep(&m) {
			left = paxos.AppendMessage(left, &m)
		}
	}
	if bytes.Equal(left, b) {
		return false
	}
	f.frame = wire.AppendPeer(nil, kind, left)
	w.queue = append(w.queue, f)
	return true
}

// withoutTakeOver has nobody be told to take over.
func (w *world) withoutTakeOver(f testFrame) bool {
	return w.edited(f, func(m *paxos.Message) bool { return m.Kind != paxos.KindTakeOver })
}

// homeless has node 1 lose the leadership of group 0 by a disk that stands still for
// 3 s, and returns who leads it then.
func (w *world) homeless() *testNode {
	w.t.Helper()
	n := w.nodes[1]
	u := w.user(ConnID(1+w.now/Second), 0)
	n.syncing = w.now
	u.acquire(w.nameIn(0, int(w.now/Millisecond)), 0)
	w.run(3 * Second)
	n.syncing = 0
	old := w.leaderOf(0)
	if old == n {
		w.t.Fatal("a node leads whose disk stands still")
	}
	return old
}

// home returns after how long node 1 leads group 0.
func (w *world) home(atMost Nanos) Nanos {
	w.t.Helper()
	for began := w.now; ; w.run(50 * Millisecond) {
		if g := w.nodes[1].node.group(0); g.leading && g.replica.Status().Serving {
			return w.now - began
		}
		if w.now-began > atMost {
			w.t.Fatalf("group 0 is not home after %d ms", atMost/Millisecond)
		}
	}
}

// A group whose hand-over came to nothing is handed over again soon (F-D8).
func TestFD8MoveThatCameToNothingIsTriedAgain(t *testing.T) {
	w := newWorld(t, testOptions())
	w.run(Second)
	old := w.homeless()
	w.drop = w.withoutTakeOver
	for g := old.node.group(0); g.replica.Status().Transfer == paxos.NoNode; {
		w.run(10 * Millisecond)
	}
	w.run(1500 * Millisecond)
	if old.node.group(0).replica.Status().Transfer != paxos.NoNode {
		t.Fatal("the hand-over goes on, want one that was given up")
	}
	w.drop = nil
	w.home(4 * Second)
}

// A node whose disk stands still again leads again some seconds later, as after the first
// time, if it led well in between; not if it fails as soon as it leads (F-D8).
func TestFD8MoveToWhoFailsOftenIsPutOff(t *testing.T) {
	w := newWorld(t, testOptions())
	w.run(Second)
	for i := range 3 {
		w.homeless()
		if took := w.home(40 * Second); took > 6*Second {
			t.Errorf("after stall %d: home after %d ms, want some seconds", i+1, took/Millisecond)
		}
		w.run(6 * Second)
	}
	w.homeless()
	w.home(10 * Second)
	w.run(Second)
	w.homeless()
	w.run(20 * Second)
	if w.nodes[1].node.group(0).leading {
		t.Error("a node that led for a second was given the group again within 20 s")
	}
	w.home(15 * Second)
	w.run(moveAgain + Second) // it leads for so long that what was is forgotten
	w.homeless()
	w.home(4 * Second)
}

// blocked is for how much of a time group 0 takes nothing because it is being handed over.
func (w *world) blocked(of *testNode, during Nanos) (blocked Nanos) {
	for end := w.now + during; w.now < end; w.run(10 * Millisecond) {
		if g := of.node.group(0); g.leading && g.replica.Status().Transfer != paxos.NoNode {
			blocked += 10 * Millisecond
		}
	}
	return blocked
}

// A hand-over that comes to nothing again and again is tried seldom: in each try the
// group takes nothing for an election timeout.
func TestMoveThatNeverWorksIsTriedSeldom(t *testing.T) {
	w := newWorld(t, testOptions())
	w.run(Second)
	w.drop = w.withoutTakeOver
	old := w.homeless()
	told := old.count(EventTransfer)
	got := w.blocked(old, 100*Second)
	if got < 4*Second || got > 8*Second {
		t.Errorf("of 100 s group 0 takes nothing for %d ms, want some seconds", got/Millisecond)
	}
	if told = old.count(EventTransfer) - told; told < int(got/Second) {
		t.Errorf("%d of the tries were told of, want all that took %d ms", told, got/Millisecond)
	}
	w.drop = nil
	w.home(2 * moveAgain)
}

// So it is with who drains, and it waits all the same.
func TestFM1DrainThatNeverWorksIsTriedSeldom(t *testing.T) {
	w := newWorld(t, testOptions())
	w.run(Second)
	w.drop = w.withoutTakeOver
	n := w.nodes[1]
	_ = w.drain(1, DrainAside)
	if got := w.blocked(n, 60*Second); got < 4*Second || got > 16*Second {
		t.Errorf("of 60 s group 0 takes nothing for %d ms, want some seconds", got/Millisecond)
	}
	if got := n.count(EventDrained); got != 0 {
		t.Errorf("drained %d times, want a node that goes on trying", got)
	}
	w.drop = nil
	w.settle("node 1 leads nothing", func() bool { return w.leads(1) == 0 })
}

// Who was told to take over, and cost the group its leader for longer than anybody waits
// for a leader, is not told again at once either.
func TestFM1DrainRemembersALongFailure(t *testing.T) {
	o := fiveNodes()
	o.Replicas = 5
	w := newWorld(t, o)
	w.settle("all at home", w.atHome)
	w.drop = func(f testFrame) bool { return f.from != 1 && f.to != 1 }
	w.settle("node 1 leads all", func() bool { return w.leads(1) == o.Groups })
	for id := uint16(4); id > 0; id-- {
		_ = w.drain(id, DrainAside)
	}
	n := w.nodes[1]
	w.settle("all are given up", func() bool { return n.count(EventDeposed) == o.Groups })
	chain := w.drop
	w.drop = func(testFrame) bool { return true }
	w.run(6 * Second)
	w.drop = chain
	w.settle("node 1 leads all again", func() bool { return w.leads(1) == o.Groups })
	w.run(18 * Second)
	if got := n.count(EventDeposed); got != o.Groups {
		t.Errorf("leaderships given up in vain: got %d, want one a group, %d", got, o.Groups)
	}
	if !n.node.Status().Drained {
		t.Error("node 1 waits for somebody who can take a group, and there is nobody")
	}
	w.drop = nil
	w.settle("node 5 leads all", func() bool { return w.leads(5) == o.Groups })
}

// hubOptions have five nodes keep all groups.
func hubOptions() Options {
	o := fiveNodes()
	o.Replicas = 5
	return o
}

// spoke reports whether neither of two nodes is node 1.
func spoke(a, b uint16) bool { return a != 1 && b != 1 }

// A group is handed to nobody who has no links to a quorum, whether it is at home there
// or its leader drains: it would have no leader for a while, and nothing would come of it.
func TestFN1GroupIsNotHandedToWhoHasNoLinks(t *testing.T) {
	for _, anew := range []bool{false, true} {
		w := newWorld(t, hubOptions())
		w.settle("all at home", w.atHome)
		n := w.nodes[1]
		w.part(spoke)
		for id := uint16(2); id <= 5 && anew; id++ {
			w.kill(id)
			w.run(10 * Millisecond)
			w.nodes[id].start()
			w.link(id)
		}
		w.settle("node 1 leads all", func() bool { return w.leads(1) == w.opts.Groups })
		w.run(Second)
		told := n.count(EventTransfer)
		w.run(10 * Second)
		_ = w.drain(1, DrainAside)
		w.run(20 * Second)
		if got := n.count(EventTransfer) - told; got != 0 || w.leads(1) != w.opts.Groups {
			t.Errorf("started anew %v: got %d hand-overs and %d groups led, want 0 and all", anew, got,
				w.leads(1))
		}
		if !n.node.Status().Drained {
			t.Error("node 1 waits for somebody who can take a group, and there is nobody")
		}
		w.apart = nil
		w.settle("node 1 leads nothing", func() bool { return w.leads(1) == 0 })
	}
}

// Where that does not show, because links stand that carry nothing, a group that has been
// handed over in vain serves for a while before it is handed to somebody else: each time
// for longer, and for longer than it had no leader.
func TestFN1GroupServesBetweenHandOversInVain(t *testing.T) {
	o := hubOptions()
	o.Nodes = append(o.Nodes, Peer{ID: 6, ClientAddress: "x:1"}, Peer{ID: 7, ClientAddress: "x:1"})
	o.Replicas = 7
	w := newWorld(t, o)
	w.settle("all at home", w.atHome)
	w.drop = func(f testFrame) bool { return spoke(f.from, f.to) }
	w.settle("node 1 leads all", func() bool { return w.leads(1) == w.opts.Groups })
	w.run(4 * Second)
	n := w.nodes[1]
	_ = w.drain(1, DrainAside)
	g := n.node.group(0)
	var led, not, served Nanos
	for end := w.now + 60*Second; w.now < end; w.run(10 * Millisecond) {
		switch {
		case g.leading:
			led, served = led+10*Millisecond, served+10*Millisecond
		case led > 0 && not > 0 && led < n.node.settle():
			t.Fatalf("served for %d ms between two hand-overs in vain", led/Millisecond)
		default:
			led, not = 0, not+10*Millisecond
		}
	}
	if not == 0 {
		t.Error("nothing was handed over, want tries")
	}
	if served < 45*Second {
		t.Errorf("of 60 s group 0 had a leader for %d ms, want most", served/Millisecond)
	}
}

// A replica knows which of its peers are not linked, also of those that its group moved
// to since, whether the log tells of these or a snapshot.
func TestFN1ReplicaKnowsWhoIsNotLinked(t *testing.T) {
	for _, row := range []struct {
		way    string
		down   bool
		retain int // slots
	}{{"log", false, 4096}, {"snapshot", true, 4}} {
		o := testOptions()
		o.Groups, o.CheckpointBytes, o.RetainSlots = 8, 2048, row.retain
		w := newWorld(t, o)
		w.apart = func(a, b uint16) bool { return min(a, b) == 2 && max(a, b) == 4 }
		n := w.nodes[2]
		_ = w.drain(2, DrainAside)
		w.run(Second)
		if row.down {
			w.kill(2)
			w.run(2 * Second)
		}
		w.addNode(4)
		add := placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"}
		if err := w.change(1, add); err != nil {
			t.Fatal(err)
		}
		w.settle("groups move to node 4", func() bool { return w.leads(4) > 0 })
		for g := range uint16(8) {
			u := w.user(ConnID(g+10), g)
			for i := range 30 {
				u.lock(w.nameIn(g, i))
			}
		}
		if row.down {
			n.start()
			w.link(2)
		}
		w.run(10 * Second)
		cut := 0
		for _, g := range n.node.hosted {
			for _, p := range g.replica.Status().Peers {
				if p.Cut != (p.Node == 4) {
					t.Errorf("%s, group %d: cut off from node %d: got %v", row.way, g.id, p.Node, p.Cut)
				}
				if p.Cut {
					cut++
				}
			}
		}
		if cut == 0 || row.down != (n.count(EventSnapshotInstalled) > 0) {
			t.Errorf("by a %s: got %d replicas that know node 4, %d snapshots", row.way, cut,
				n.count(EventSnapshotInstalled))
		}
	}
}
