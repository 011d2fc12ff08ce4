package node

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// count is how many events of a kind a node has seen.
func (n *testNode) count(k EventKind) int {
	c := 0
	for _, e := range n.events {
		if e.Kind == k {
			c++
		}
	}
	return c
}

// A node whose disk stands still must not be handed the leaderships it lost.
func TestStalledPreferredLeaderIsLeftAlone(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	old := w.leaderOf(0)
	if old.id != 1 {
		t.Fatalf("leader of group 0: got node %d, want 1", old.id)
	}
	old.syncing = w.now
	u.acquire(w.nameIn(0, 0), 0)
	w.run(4 * Second)
	before := w.nodes[2].count(EventLeader)
	for range 50 {
		w.run(200 * Millisecond)
		if got := w.leaderOf(0).id; got == 1 {
			t.Fatal("a leadership went back to the node whose disk stands still")
		}
	}
	if got := w.nodes[2].count(EventLeader) - before; got > 0 {
		t.Errorf("leaders changed %d times, want 0", got)
	}
	if got := w.nodes[2].count(EventTransfer) + w.nodes[3].count(EventTransfer); got != 0 {
		t.Errorf("transfers: got %d, want none", got)
	}
	old.syncing = 0
	w.run(4 * Second)
	if got := w.leaderOf(0).id; got != 1 {
		t.Errorf("leader after the disk moves: got node %d, want 1 again", got)
	}
}

// The peer that is asked first may not answer: another one takes the group.
func TestDrainPassesOverAPeerThatDoesNotAnswer(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1]
	first := uint16(n.node.home(0)[1])
	w.nodes[first].node = nil // paused: its link stands
	w.run(1500 * Millisecond)
	n.inbox.Drain(DrainToStop, nil)
	w.run(Second)
	for g := range uint16(4) {
		if got := w.leaderOf(g).id; got == 1 {
			t.Errorf("group %d is still led by the node that leaves", g)
		}
	}
	if got := n.count(EventTransfer); got > 4 {
		t.Errorf("transfers reported: got %d, want at most one a group", got)
	}
}

// A preferred leader that speaks and hears nothing looks well to its peers. A
// group handed to it would stand still until the hand-over is given up.
func TestDeafPreferredLeaderIsLeftAlone(t *testing.T) {
	w := newWorld(t, testOptions())
	if got := w.leaderOf(0).id; got != 1 {
		t.Fatalf("leader of group 0: got node %d, want 1", got)
	}
	w.drop = func(f testFrame) bool { return f.to == 1 }
	w.run(10 * Second)
	if got := w.leaderOf(0).id; got == 1 {
		t.Fatal("a node that hears nothing still leads")
	}
	if got := w.nodes[2].count(EventTransfer) + w.nodes[3].count(EventTransfer); got != 0 {
		t.Errorf("transfers: got %d, want none", got)
	}
	w.drop = nil
	w.run(4 * Second)
	if got := w.leaderOf(0).id; got != 1 {
		t.Errorf("leader after node 1 hears again: got node %d, want 1", got)
	}
}

// Whoever waits at a leader that has stepped down is told at once, not when
// something else happens to the group.
func TestDeposedLeaderSaysSoAtOnce(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1]
	g := n.node.groups[0]
	w.drop = func(f testFrame) bool { return f.to == 1 || f.from == 1 }
	for range 2000 {
		w.run(Millisecond)
		if g.replica.Role() != paxos.RoleLeading {
			break
		}
	}
	if g.leading || n.count(EventDeposed) == 0 {
		t.Errorf("the replica is %v, and the node still takes requests for it", g.replica.Role())
	}
}

// A leader that was stopped for longer than half an election timeout proposes
// nothing before a quorum has answered it again; then it goes on as if nothing
// had been (F-T3).
func TestFT3LeaderThatWasStoppedAsksFirst(t *testing.T) {
	w := newWorld(t, testOptions())
	old := w.leaderOf(0)
	g := old.node.group(0)
	u := w.user(1, 0)
	u.lock(w.nameIn(0, 0))
	for i, gap := range []Nanos{400, 600} {
		launched := g.launched
		w.drop = func(f testFrame) bool { return f.to == old.id }
		w.now += gap * Millisecond // stopped, and what peers said in between is on its way
		u.acquire(w.nameIn(0, i+1), 0)
		w.run(20 * Millisecond)
		if got, want := g.launched > launched, gap < 500; got != want {
			t.Errorf("unanswered after %d ms: proposed %v, want %v", gap, got, want)
		}
		w.drop = nil
		w.run(200 * Millisecond)
		if !g.leading || g.launched == launched || g.landed != g.launched {
			t.Errorf("answered after %d ms: leads %v, %d of %d slots landed, want all of some", gap,
				g.leading, g.landed, g.launched)
		}
	}
	if got := old.node.stats.Gaps; got != 1 {
		t.Errorf("gaps: got %d, want 1", got)
	}
}

// A node that hardly ever runs may lose what it leads. It deposes nobody: what it
// did not hear while it did not run was not silence (F-P2).
func TestFP2NodeThatHardlyRunsDeposesNobody(t *testing.T) {
	w := newWorld(t, testOptions())
	w.run(3 * Second)
	starved := w.nodes[3]
	before := make(map[uint16]paxos.Ballot)
	for g := range uint16(w.opts.Groups) {
		if n := w.leaderOf(g); n != starved {
			before[g] = n.node.group(g).replica.Ballot()
		}
	}
	for range 10 {
		starved.starved = true
		w.run(1500 * Millisecond)
		starved.starved = false
		w.run(20 * Millisecond)
	}
	w.run(Second)
	if len(before) == 0 || starved.node.stats.Gaps < 10 {
		t.Fatalf("%d groups led by others, %d gaps, want some and 10", len(before),
			starved.node.stats.Gaps)
	}
	for g, ballot := range before { // order: each by itself
		if got := w.leaderOf(g).node.group(g).replica.Ballot(); got != ballot {
			t.Errorf("group %d: got ballot %v, want %v as before", g, got, ballot)
		}
	}
}

// A new leader counts time from when its takeover is chosen. A step of the leader
// before that it finds on the way may speak of moments later than its promises, and
// to count those twice would end leases early (I21).
func TestLeaderCountsFromTheEndOfItsTakeover(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	u.lock(w.nameIn(0, 0))
	w.run(Second)
	before := w.leaderOf(0).node.group(0).machine.LogTime()
	w.drop = func(f testFrame) bool { return w.hasAccepted(f) }
	w.kill(w.leaderOf(0).id)
	w.settle("somebody leads", func() bool { return w.takingOver() != nil })
	w.run(600 * Millisecond)
	n := w.takingOver()
	if n == nil || n.replica.Status().Serving {
		t.Fatal("nobody takes over any more, or has done so without a quorum")
	}
	w.drop = nil
	w.run(250 * Millisecond)
	if got := n.machine.LogTime() - before; !n.replica.Status().Serving || got > 250 {
		t.Errorf("log time went on by %d ms in 250 ms after the takeover, want no more", got)
	}
	w.run(Second)
	if got := n.machine.LogTime() - before; got < 800 {
		t.Errorf("log time went on by %d ms in 1250 ms, want 800 at least", got)
	}
}

// hasAccepted reports whether a frame tells that something was accepted.
func (w *world) hasAccepted(f testFrame) bool {
	kind, b, err := wire.ParsePeer(f.frame)
	if err != nil || kind != wire.PeerKindMessages {
		return false
	}
	var m paxos.Message
	for b = b[messagesHeadBytes:]; len(b) > 0; {
		if b, err = paxos.DecodeMessage(b, &m); err != nil {
			w.t.Fatal(err)
		}
		if m.Kind == paxos.KindAccepted {
			return true
		}
	}
	return false
}

// takingOver returns group 0 where it leads, nil if it does nowhere.
func (w *world) takingOver() *group {
	for _, p := range w.opts.Nodes {
		n := w.nodes[p.ID].node
		if n != nil && n.group(0).replica.Role() == paxos.RoleLeading {
			return n.group(0)
		}
	}
	return nil
}

// A group all of whose acceptors have been replaced is led in a ballot that may be below
// those of its log: nobody is left who promised them. The steps of such a leader do not
// count, so it takes a ballot above, and who is silent loses what he has in time.
func TestFM1LeaderOutbidsTheBallotsOfItsLog(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(2, 0)
	a, b := w.user(1, 2), w.user(2, 2)
	a.lock(name)
	n := w.leaderOf(2).node
	var batch lockfsm.BatchBuilder
	batch.TickBy(lockfsm.Clock{Round: 99, Node: 9}, 1, nil)
	if _, err := n.groups[2].replica.Propose(batch.Bytes()); err != nil {
		t.Fatal(err)
	}
	n.touch(n.groups[2])
	w.run(500 * Millisecond)
	g := w.leaderOf(2).node.groups[2]
	if got := g.replica.Ballot(); got.Round <= 99 {
		t.Errorf("the group is led by ballot %v, below that of its log, 99.9", got)
	}
	if got := g.machine.Clock(); got != w.leaderOf(2).node.clockOf(g) {
		t.Errorf("log time was last moved by the clock of %v, the leader's is %v", got,
			g.replica.Ballot())
	}
	request := b.acquire(name, wire.FlagWait)
	for before := w.now; ; {
		w.run(100 * Millisecond)
		b.keepalive()
		if _, ok := w.leaderOf(2).response(b.conn, request); ok {
			return
		}
		if w.now > before+5*Second {
			t.Fatal("the lock of a dead client was not passed on")
		}
	}
}
