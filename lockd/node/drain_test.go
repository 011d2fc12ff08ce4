package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// drain tells a node how to drain and returns the answer.
func (w *world) drain(at uint16, to Draining) error {
	w.t.Helper()
	var answer error
	answered := false
	w.nodes[at].inbox.Drain(to, func(err error) { answer, answered = err, true })
	w.run(5 * Millisecond)
	if !answered {
		w.t.Fatalf("node %d does not answer", at)
	}
	return answer
}

// leads is how many groups a node leads.
func (w *world) leads(id uint16) int {
	k := 0
	for _, g := range w.nodes[id].node.hosted {
		if g.leading {
			k++
		}
	}
	return k
}

// A node that wants leaderships again says so until it is heard: else it would lead
// nothing any more, and nobody would know why.
func TestEndOfDrainIsRepeated(t *testing.T) {
	w := newWorld(t, testOptions())
	_ = w.drain(1, DrainAside)
	w.run(Second)
	w.drop = func(f testFrame) bool {
		kind, _, _ := wire.ParsePeer(f.frame)
		return kind == wire.PeerKindRoster && f.from == 1
	}
	_ = w.drain(1, NotDraining)
	w.run(100 * Millisecond)
	w.drop = nil
	w.run(6 * Second)
	if got := w.leads(1); got != 2 {
		t.Errorf("node 1 leads %d groups, want the 2 that prefer it", got)
	}
}

// A node that drains leads nothing, is no successor, and serves as an acceptor. Told
// otherwise, it leads what prefers it.
func TestFM1NodeIsDrained(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.lasting(1, 2, 120_000)
	h := u.lock(w.nameIn(2, 0))
	if err := w.drain(3, DrainAside); err != nil {
		t.Fatal(err)
	}
	w.settle("node 3 leads nothing", func() bool { return w.leads(3) == 0 })
	w.run(300 * Millisecond)
	n := w.nodes[3]
	if s := n.node.Status(); !s.Draining || s.Stopping || !s.Drained || s.Ready() {
		t.Errorf("got %+v, want a node that drains, and does not stop", s)
	}
	led, dies := n.count(EventLeading), w.leaderOf(2).id
	left := 3 - dies // of equal ballots that of node 3 would win
	w.kill(dies)
	w.settle("who is left leads all", func() bool { return w.leads(left) == 4 })
	if x := u.unlock(w.nameIn(2, 0), h.Token); x.Status != wire.StatusOK {
		t.Errorf("unlock: got %v, and node 3 is needed for it", x.Status)
	}
	w.nodes[dies].start()
	w.link(dies)
	w.settle("who died leads again", func() bool { return w.leads(dies) > 0 })
	if got := n.count(EventLeading) - led; got != 0 || n.count(EventDrained) != 1 {
		t.Errorf("got %d groups taken over, drained %d times, want 0 and 1", got, n.count(EventDrained))
	}
	if err := w.drain(3, NotDraining); err != nil {
		t.Fatal(err)
	}
	w.settle("node 3 leads what prefers it", func() bool { return w.leads(3) == 1 })
	w.run(300 * Millisecond)
	if s := n.node.Status(); s.Draining || s.Drained || !s.Ready() {
		t.Errorf("got %+v, want a node that serves", s)
	}
}

// A restart ends it.
func TestDrainIsOverAfterARestart(t *testing.T) {
	w := newWorld(t, testOptions())
	_ = w.drain(1, DrainAside)
	w.settle("node 1 leads nothing", func() bool { return w.leads(1) == 0 })
	w.kill(1)
	w.run(Second)
	w.nodes[1].start()
	w.link(1)
	w.settle("node 1 leads what prefers it", func() bool { return w.leads(1) == 2 })
}

// A group that was moved to its preferred leader and fell back because that drains goes
// there soon after the drain, told or by a restart; not as late as to a node that cannot
// lead although it seems able to.
func TestDrainIsNoFailureToLead(t *testing.T) {
	w := newWorld(t, testOptions())
	for i := range 3 {
		_ = w.drain(1, DrainAside)
		w.settle("node 1 leads nothing", func() bool { return w.leads(1) == 0 })
		for _, n := range w.nodes {
			for _, g := range n.node.hosted {
				if g.leading && n.node.home(g.id)[0] == 1 { // it saw node 1 lead for a moment
					g.resting = []rest{{node: 1, until: w.now + moveAgain, length: moveAgain}}
				}
			}
		}
		began := w.now
		if i < 2 {
			_ = w.drain(1, NotDraining)
		} else {
			w.kill(1)
			w.nodes[1].start()
			w.link(1)
		}
		w.settle("node 1 leads what prefers it", func() bool { return w.leads(1) == 2 })
		if took := w.now - began; took > 5*Second {
			t.Errorf("round %d: back after %d ms, want some seconds at most", i, took/Millisecond)
		}
	}
}

// Where all drain, groups are led all the same, and fall to the first that is told
// otherwise.
func TestDrainOfAllNodesServes(t *testing.T) {
	w := newWorld(t, testOptions())
	for id := range uint16(3) {
		_ = w.drain(id+1, DrainAside)
	}
	w.run(3 * Second)
	for g := range uint16(4) {
		w.user(ConnID(g+1), g).lock(w.nameIn(g, 0))
	}
	w.kill(w.leaderOf(0).id)
	w.run(3 * Second)
	for g := range uint16(4) {
		w.user(ConnID(g+10), g).lock(w.nameIn(g, 1))
	}
	up := uint16(2)
	if w.nodes[2].node == nil {
		up = 3
	}
	_ = w.drain(up, NotDraining)
	w.settle("one leads all", func() bool { return w.leads(up) == 4 })
}

// A stop is final, and is one whatever was before.
func TestStopIsNotUndone(t *testing.T) {
	w := newWorld(t, testOptions())
	_ = w.drain(1, DrainAside)
	if err := w.drain(1, DrainToStop); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	for _, to := range []Draining{DrainAside, NotDraining} {
		if err := w.drain(1, to); !errors.Is(err, ErrStopping) {
			t.Errorf("got %v, want ErrStopping", err)
		}
	}
	w.run(300 * Millisecond)
	if s := w.nodes[1].node.Status(); !s.Draining || !s.Stopping {
		t.Errorf("got %+v, want a node that stops", s)
	}
}

// While nobody leads, a node that drains holds requests and sends them on as soon as
// somebody does; one that stops refuses them, because it may be gone by then.
func TestDrainHoldsRequestsAndStopDoesNot(t *testing.T) {
	for _, row := range []struct {
		how  Draining
		held bool
	}{{DrainAside, true}, {DrainToStop, false}} {
		w := newWorld(t, testOptions())
		u := w.user(1, 0)
		_ = w.drain(3, row.how)
		w.run(100 * Millisecond)
		w.kill(1)
		w.run(2 * Millisecond)
		n := w.nodes[3]
		h := u.header(wire.KindAcquire)
		n.inbox.Request(u.conn, wire.AppendAcquire(nil, h, &wire.Acquire{Name: w.nameIn(0, 0)}))
		w.run(2 * Millisecond)
		_, answered := n.response(u.conn, h.Request)
		if answered == row.held {
			t.Errorf("draining %d: answered at once %v, want %v", row.how, answered, !row.held)
		}
		if !row.held {
			continue
		}
		w.run(3 * Second)
		if x, ok := n.response(u.conn, h.Request); !ok || x.Status != wire.StatusNotLeader ||
			x.Leader != w.leaderOf(0).id {
			t.Errorf("got %+v, %v, want to be sent to node %d", x, ok, w.leaderOf(0).id)
		}
	}
}

// A group is moved by any node's word, stays where it was moved through restarts, and
// goes back when it is moved back, at once.
func TestFM1GroupIsMoved(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.lasting(1, 0, 120_000)
	h := u.lock(w.nameIn(0, 0))
	move := func(at uint16, to paxos.NodeID) error {
		return w.change(at, placement.Change{Kind: placement.Move, Node: to})
	}
	for i, to := range []paxos.NodeID{3, 1, 3, 2} {
		began := w.now
		if err := move(uint16(i%3+1), to); err != nil {
			t.Fatal(err)
		}
		if err := move(2, to); !errors.Is(err, placement.ErrNoChange) {
			t.Errorf("moved twice: got %v, want ErrNoChange", err)
		}
		w.settle(fmt.Sprintf("node %d leads", to), func() bool {
			g := w.nodes[uint16(to)].node.group(0)
			return g.leading
		})
		if took := w.now - began; took > 6*Second {
			t.Errorf("move %d took %d ms, want some seconds at most", i, took/Millisecond)
		}
	}
	if x := u.unlock(w.nameIn(0, 0), h.Token); x.Status != wire.StatusOK {
		t.Errorf("unlock after the moves: got %v", x.Status)
	}
	for id := range uint16(3) {
		w.kill(id + 1)
	}
	for id := range uint16(3) {
		w.nodes[id+1].start()
	}
	w.relink()
	w.run(5 * Second)
	if got := w.leaderOf(0).id; got != 2 {
		t.Errorf("leader after all nodes started again: got node %d, want 2", got)
	}
}

// A group whose node is down or drains goes there when it is back.
func TestMoveWaitsForItsNode(t *testing.T) {
	w := newWorld(t, testOptions())
	w.kill(3)
	move := placement.Change{Kind: placement.Move, Node: 3}
	if err := w.change(2, move); err != nil {
		t.Fatal(err)
	}
	w.run(3 * Second)
	if got := w.leaderOf(0).id; got != 1 {
		t.Errorf("node 3 is down: got leader %d, want 1", got)
	}
	w.nodes[3].start()
	_ = w.drain(3, DrainAside)
	w.link(3)
	w.run(5 * Second)
	if got := w.leaderOf(0).id; got != 1 {
		t.Errorf("node 3 drains: got leader %d, want 1", got)
	}
	_ = w.drain(3, NotDraining)
	w.settle("node 3 leads", func() bool { return w.nodes[3].node.group(0).leading })
	w.kill(3) // what leads next has read the record, too
	w.run(5 * Second)
	w.nodes[3].start()
	w.link(3)
	w.settle("node 3 leads again", func() bool { return w.nodes[3].node.group(0).leading })
}

// Whoever leads group 0 may die while a move is asked for: who asks again has it made
// once.
func TestMoveWhileTheLeaderDies(t *testing.T) {
	w := newWorld(t, testOptions())
	move := placement.Change{Kind: placement.Move, Node: 2, Group: 2}
	for i, after := range []Nanos{0, 1, 2, 3, 4, 6} {
		move.Node = paxos.NodeID(2 + i%2)
		w.nodes[uint16(i%2+2)].inbox.Change(move, func(error) {})
		w.run(after * Millisecond)
		w.kill(1)
		w.run(2 * Second)
		if err := w.change(2, move); err != nil && !errors.Is(err, placement.ErrNoChange) {
			t.Fatalf("asked again: %v", err)
		}
		w.settle("moved", func() bool { return w.nodes[uint16(move.Node)].node.group(2).leading })
		w.nodes[1].start()
		w.link(1)
		w.settle("node 1 leads group 0", func() bool { return w.nodes[1].node.group(0).leading })
		if got := w.leaderOf(2).id; got != uint16(move.Node) {
			t.Errorf("after %d ms: got leader %d, want %d", after, got, move.Node)
		}
	}
}

func TestMoveIsRefused(t *testing.T) {
	o := fiveNodes()
	w := newWorld(t, o)
	w.settle("all at home", w.atHome)
	home := w.nodes[1].node.home(0)
	other := paxos.NodeID(1)
	for other == home[0] || other == home[1] || other == home[2] {
		other++
	}
	for _, row := range []struct {
		c    placement.Change
		says string
	}{
		{placement.Change{Node: other}, fmt.Sprintf("nodes %d, %d, %d do", home[0], home[1], home[2])},
		{placement.Change{Node: home[1], Group: 8}, "groups are 0 to 7"},
		{placement.Change{Node: 9}, "no node 9"},
	} {
		row.c.Kind = placement.Move
		for at := range uint16(5) {
			err := w.change(at+1, row.c)
			if !errors.Is(err, placement.ErrRefused) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%+v asked of node %d: got %v, want a refusal with %q", row.c, at+1, err, row.says)
			}
		}
	}
}

// Who asks how a node is hears that it drains if he knows that there is such a thing.
func TestDrainIsToldInVersion3(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	_ = w.drain(1, DrainAside)
	n := w.nodes[1]
	for _, row := range []struct {
		flags wire.Flags
		want  wire.NodeFlags
	}{{0, 0}, {wire.FlagVersion3, wire.NodeDraining}, {0, 0}} {
		h := u.header(wire.KindStatus)
		h.Flags = row.flags
		n.inbox.Request(u.conn, wire.AppendStatus(nil, h))
		w.run(2 * Millisecond)
		x, _ := n.response(u.conn, h.Request)
		s, err := wire.DecodeNodeStatus3(x.Payload)
		if err != nil || s.Node != 1 || s.Flags != row.want || len(s.Groups) != 4 {
			t.Errorf("asked with flags %d: got %+v, %v, want flags %d", row.flags, s, err, row.want)
		}
	}
}

// All others drain, too, and the only node that does not has no links to a quorum: it is
// asked seldom, since each time the group has no leader for a while. It leads soon after
// it is able to.
func TestFM1DrainKeepsWhatNobodyElseCanLead(t *testing.T) {
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
	w.run(20 * Second)
	if got := n.count(EventDeposed); got != o.Groups {
		t.Errorf("leaderships given up in vain in 20 s: got %d, want one a group, %d", got, o.Groups)
	}
	if got := w.leads(1); got != o.Groups {
		t.Errorf("groups led: got %d, want all %d", got, o.Groups)
	}
	w.drop = nil
	w.settle("node 5 leads all", func() bool { return w.leads(5) == o.Groups })
}
