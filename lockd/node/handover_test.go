package node

import (
	"bytes"
	"testing"

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
