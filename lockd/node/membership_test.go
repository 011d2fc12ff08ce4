package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// addNode puts another node into the world, on an empty disk.
func (w *world) addNode(id uint16) *testNode {
	n := &testNode{w: w, id: id, shelf: newShelf(), sent: make(map[ConnID][]byte),
		saved: make(map[uint16]map[string][]byte), slots: make(map[uint16]uint64)}
	w.nodes[id] = n
	w.opts.Nodes = append(slices.Clone(w.opts.Nodes), Peer{ID: id, ClientAddress: "x:1"})
	slices.SortFunc(w.opts.Nodes, func(a, b Peer) int { return int(a.ID) - int(b.ID) })
	n.start()
	return n
}

// relink lets nodes that are not linked greet each other, as dialing does for
// ever.
func (w *world) relink() {
	for _, a := range w.opts.Nodes {
		for _, b := range w.opts.Nodes {
			x, y := w.nodes[a.ID], w.nodes[b.ID]
			if a.ID >= b.ID || x.node == nil || y.node == nil || w.areApart(a.ID, b.ID) {
				continue
			}
			px, py := x.node.peer(b.ID), y.node.peer(a.ID)
			if px != nil && py != nil && px.up && py.up {
				continue
			}
			hx, hy := x.node.PeerHello(), y.node.PeerHello()
			hx.From, hy.From = a.ID, b.ID
			rx, ry := y.node.CheckPeer(&hx), x.node.CheckPeer(&hy)
			if rx != nil {
				x.inbox.Refused(b.ID, uint8(rx.Code), string(rx.Text))
			}
			if ry != nil {
				y.inbox.Refused(a.ID, uint8(ry.Code), string(ry.Text))
			}
			if rx == nil && ry == nil {
				x.inbox.PeerUp(b.ID, &hy)
				y.inbox.PeerUp(a.ID, &hx)
			}
		}
	}
}

// settle runs, dialing all the while, until a condition holds.
func (w *world) settle(what string, ok func() bool) {
	w.t.Helper()
	for range 600 {
		w.relink()
		w.run(50 * Millisecond)
		if ok() {
			return
		}
	}
	for _, p := range w.opts.Nodes {
		if n := w.nodes[p.ID].node; n != nil && n.identity.Record != nil {
			w.t.Logf("node %d: record %d %+v", p.ID, n.identity.Version, n.identity.Record)
			for _, g := range n.hosted {
				w.t.Logf("  group %d leading %t leader %d chosen %d seats %+v", g.id, g.leading,
					g.replica.Leader(), g.replica.Chosen(), g.seats)
			}
		}
	}
	w.t.Fatalf("never came: %s", what)
}

// change asks a node for a change and returns the answer.
func (w *world) change(at uint16, c placement.Change) error {
	w.t.Helper()
	var answer error
	answered := false
	w.nodes[at].inbox.Change(c, func(err error) { answer, answered = err, true })
	w.settle("an answer", func() bool { return answered })
	return answer
}

// atHome reports whether every group is kept by exactly the nodes of its home,
// and led.
func (w *world) atHome() bool {
	var any *testNode
	for _, p := range w.opts.Nodes {
		if n := w.nodes[p.ID]; n.node != nil && n.node.identity.Record != nil &&
			(any == nil || n.node.identity.Version > any.node.identity.Version) {
			any = n
		}
	}
	for g := range w.opts.Groups {
		home, known := any.node.identity.Record.Home(paxos.GroupID(g))
		leaders := 0
		for _, p := range w.opts.Nodes {
			n := w.nodes[p.ID].node
			if n == nil {
				continue
			}
			have := n.group(uint16(g))
			at := slices.ContainsFunc(home, func(a paxos.Acceptor) bool {
				return a.Node == n.identity.Node
			})
			if (have != nil) != at {
				return false
			}
			if have != nil && have.leading {
				leaders++
				if !sameAcceptors(have.seats.Now.Acceptors, home) ||
					len(have.seats.Now.Observers) > 0 {
					return false
				}
			}
		}
		if !known || leaders != 1 {
			return false
		}
	}
	return true
}

func sameAcceptors(a, b []paxos.Acceptor) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

func fiveNodes() Options {
	o := testOptions()
	o.Groups = 8
	for id := uint16(4); id <= 5; id++ {
		o.Nodes = append(o.Nodes, Peer{ID: id, ClientAddress: "x:1"})
	}
	return o
}

// Five nodes keep three replicas of each group, and every group serves.
func TestGroupsLiveOnThreeOfFiveNodes(t *testing.T) {
	w := newWorld(t, fiveNodes())
	w.settle("all at home", w.atHome)
	for g := range uint16(8) {
		w.user(ConnID(g+1), g).lock(w.nameIn(g, 1))
	}
	// Who does not keep a group says who does.
	for _, p := range w.opts.Nodes {
		n := w.nodes[p.ID].node
		for g := range uint16(8) {
			if hint := n.leaders()[g]; hint == paxos.NoNode || w.nodes[uint16(hint)].node.group(g) == nil {
				t.Errorf("node %d sends askers for group %d to node %d", p.ID, g, hint)
			}
		}
	}
}

// A node is invited, shows its disk, and takes its share of the groups over
// while clients lock (F-M1).
func TestFM1NodeIsAdded(t *testing.T) {
	o := testOptions()
	o.Groups = 8
	w := newWorld(t, o)
	for g := range uint16(8) {
		w.user(ConnID(g+1), g).lock(w.nameIn(g, 1))
	}
	w.addNode(4)
	w.relink()
	w.run(Second)
	if w.nodes[4].node.birth == nil {
		t.Fatal("a node that nobody invited was taken in")
	}
	add := placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"}
	if err := w.change(2, add); err != nil {
		t.Fatal(err)
	}
	if err := w.change(1, add); !errors.Is(err, placement.ErrNoChange) {
		t.Errorf("a second invitation: got %v, want ErrNoChange", err)
	}
	w.settle("node 4 has its share", func() bool {
		return w.nodes[4].node.birth == nil && len(w.nodes[4].node.hosted) == 6 && w.atHome()
	})
	for g := range uint16(8) {
		w.user(ConnID(g+20), g).lock(w.nameIn(g, 2))
	}
	// It all holds after everybody has restarted.
	for id := range uint16(4) {
		w.kill(id + 1)
	}
	for id := range uint16(4) {
		w.nodes[id+1].start()
	}
	w.settle("all at home again", w.atHome)
}

// A node that is to keep a group, and does not accept for it yet, will not lead
// it: it says so at once, and names one who may know.
func TestNewcomerHoldsNoRequests(t *testing.T) {
	o := testOptions()
	o.Groups = 8
	w := newWorld(t, o)
	for g := range uint16(8) {
		w.user(ConnID(g+1), g).lock(w.nameIn(g, 1))
	}
	n := w.addNode(4)
	add := placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"}
	if err := w.change(2, add); err != nil {
		t.Fatal(err)
	}
	asked := make(map[uint16]bool)
	for range 3000 {
		w.relink()
		w.run(Millisecond)
		for _, g := range n.node.hosted {
			if g.replica.Leader() != paxos.NoNode || asked[uint16(g.id)] || g.leading ||
				slices.Contains(g.seats.Now.Acceptors, n.node.acceptor()) {
				continue
			}
			asked[uint16(g.id)] = true
			n.inbox.Request(99, acquireFrame(uint64(g.id)+1, w.nameIn(uint16(g.id), 2)))
			w.run(2 * Millisecond)
			if got := n.statuses(99)[uint64(g.id)+1]; got != wire.StatusNotLeader {
				t.Errorf("group %d: got %v, want not leader at once", g.id, got)
			}
			break
		}
	}
	if len(asked) == 0 {
		t.Error("node 4 always knew who leads: nothing was asked")
	}
}

// A node is removed: its groups move away, it is let go and stops.
func TestFM1NodeIsRemoved(t *testing.T) {
	w := newWorld(t, fiveNodes())
	w.settle("all at home", w.atHome)
	for g := range uint16(8) {
		w.user(ConnID(g+1), g).lock(w.nameIn(g, 1))
	}
	w.settle("nothing moves", func() bool { return w.nodes[1].node.moving() == 0 })
	if err := w.change(1, placement.Change{Kind: placement.Remove, Node: 5}); err != nil {
		t.Fatal(err)
	}
	w.nodes[5].wantStop = ErrRemoved
	w.settle("node 5 is let go", func() bool { return w.nodes[5].stopped != nil })
	w.settle("all at home", w.atHome)
	for g := range uint16(8) {
		w.user(ConnID(g+20), g).lock(w.nameIn(g, 2))
	}
}

// A node whose disk is lost comes back on a new one and gets its groups again.
func TestFM1NodeIsReplaced(t *testing.T) {
	w := newWorld(t, testOptions())
	for g := range uint16(4) {
		w.user(ConnID(g+1), g).lock(w.nameIn(g, 1))
	}
	w.settle("nothing moves", func() bool { return w.nodes[1].node.moving() == 0 })
	w.kill(3)
	old := w.nodes[3]
	delete(w.nodes, 3)
	w.opts.Nodes = w.opts.Nodes[:2]
	w.run(2 * Second)
	if err := w.change(1, placement.Change{Kind: placement.Replace, Node: 3}); err != nil {
		t.Fatal(err)
	}
	w.diskOf = map[uint16]paxos.DiskID{3: 4242}
	w.addNode(3)
	w.settle("node 3 is back", func() bool {
		return w.nodes[3].node.birth == nil && len(w.nodes[3].node.hosted) == 4 && w.atHome()
	})
	for g := range uint16(4) {
		w.user(ConnID(g+20), g).lock(w.nameIn(g, 2))
	}
	// The old disk stays out.
	w.kill(3)
	w.nodes[3] = old
	old.start()
	if got := w.refusals(old); len(got) != 2 {
		t.Errorf("refusals of the old disk: got %v, want two", got)
	}
}

// All nodes that keep a group joined after its birth, and stop before any has
// saved it. Whoever kept it before them is gone for good, so what of the log is
// chosen each of them must know by itself (F-M1).
func TestFM1WholeClusterExchangedThenRestarted(t *testing.T) {
	o := testOptions()
	o.Window = 4
	w := newWorld(t, o)
	for old := uint16(1); old <= 3; old++ {
		w.addNode(old + 3)
		add := placement.Change{Kind: placement.Add, Node: paxos.NodeID(old + 3),
			Peer: fmt.Sprint("p:", old), Client: fmt.Sprint("c:", old)}
		if err := w.change(old, add); err != nil {
			t.Fatal(err)
		}
		w.settle("the new node has its share", func() bool {
			return w.nodes[old+3].node.birth == nil && w.nodes[old+3].node.moving() == 0 && w.atHome()
		})
		remove := placement.Change{Kind: placement.Remove, Node: paxos.NodeID(old)}
		if err := w.change(old+3, remove); err != nil {
			t.Fatal(err)
		}
		w.nodes[old].wantStop = ErrRemoved
		w.settle("the old node is let go", func() bool {
			return w.nodes[old].stopped != nil && w.atHome()
		})
		w.nodes[old].node = nil
	}
	for id := uint16(4); id <= 6; id++ {
		if n := len(w.nodes[id].saved); n > 0 {
			t.Fatalf("node %d has saved %d groups: the test is about logs alone", id, n)
		}
		w.kill(id)
	}
	for id := uint16(4); id <= 6; id++ {
		w.nodes[id].start()
	}
	w.settle("all at home again", w.atHome)
	for g := range uint16(4) {
		w.user(ConnID(g+20), g).lock(w.nameIn(g, 2))
	}
}

// ballots returns the ballot that each group is led at.
func (w *world) ballots() []paxos.Ballot {
	var all []paxos.Ballot
	for g := range uint16(w.opts.Groups) {
		all = append(all, w.leaderOf(g).node.group(g).replica.Ballot())
	}
	return all
}

// A node that was removed while it did not run comes back, believes that it still
// keeps its groups, and talks: nobody listens, no leader is deposed, and the first
// who shakes hands with it tells it to stop (F-M2).
func TestFM2RemovedNodeIsHeardByNobody(t *testing.T) {
	w := newWorld(t, fiveNodes())
	w.settle("all at home", w.atHome)
	w.settle("nothing moves", func() bool { return w.nodes[1].node.moving() == 0 })
	gone := w.nodes[5]
	if len(gone.node.hosted) == 0 {
		t.Fatal("node 5 keeps no group")
	}
	w.kill(5)
	if err := w.change(1, placement.Change{Kind: placement.Remove, Node: 5}); err != nil {
		t.Fatal(err)
	}
	w.settle("node 5 is let go", func() bool {
		x := w.nodes[1].node.identity.Record.Node(5)
		return x != nil && x.State == placement.Gone && w.atHome()
	})
	w.run(5 * Second) // leaderships go where they belong
	before := w.ballots()
	gone.start()
	said, answered := 0, 0
	w.drop = func(f testFrame) bool {
		if f.from == gone.id {
			said++
		}
		kind, _, err := wire.ParsePeer(f.frame)
		if f.to == gone.id && (err != nil || kind == wire.PeerKindMessages) {
			answered++
		}
		return false
	}
	for id := range uint16(4) {
		h := w.nodes[id+1].node.PeerHello()
		h.From, h.To = id+1, 5
		gone.inbox.PeerUp(id+1, &h)
		h = gone.node.PeerHello()
		h.From, h.To = 5, id+1
		w.nodes[id+1].inbox.PeerUp(5, &h) // although CheckPeer refuses it
	}
	w.run(10 * Second)
	if said == 0 {
		t.Error("the removed node said nothing, want it to try")
	}
	if answered > 0 {
		t.Errorf("the removed node was answered %d times, want silence", answered)
	}
	if after := w.ballots(); !slices.Equal(before, after) {
		t.Errorf("ballots: got %v, want %v as before", after, before)
	}
	gone.wantStop = ErrRemoved
	w.settle("the removed node stops", func() bool { return gone.stopped != nil })
}

// A newcomer that cannot learn stays an observer for as long as that lasts, and
// the groups serve (F-M2), also while the log is so short that the newcomer is
// never far from its end.
func TestFM2ObserverIsNotPromotedEarly(t *testing.T) {
	for _, pairs := range []int{1, 2 * maxTransferGap} {
		t.Run(fmt.Sprint(pairs, " pairs"), func(t *testing.T) { observerStaysOne(t, pairs) })
	}
}

func observerStaysOne(t *testing.T, pairs int) {
	w := newWorld(t, testOptions())
	for g := range uint16(4) {
		u := w.user(ConnID(g+1), g)
		for range pairs {
			u.unlock(w.nameIn(g, 1), u.lock(w.nameIn(g, 1)).Token)
		}
	}
	w.addNode(4)
	w.drop = func(f testFrame) bool {
		kind, _, err := wire.ParsePeer(f.frame)
		return f.to == 4 && (err != nil || kind == wire.PeerKindMessages ||
			kind == wire.PeerKindSnapshot)
	}
	add := placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"}
	if err := w.change(1, add); err != nil {
		t.Fatal(err)
	}
	observes := func() (groups int) {
		for g := range uint16(4) {
			seats := w.leaderOf(g).node.group(g).seats.Now
			if slices.Contains(seats.Observers, 4) {
				groups++
			}
			if slices.ContainsFunc(seats.Acceptors, func(a paxos.Acceptor) bool { return a.Node == 4 }) {
				t.Fatalf("group %d has an acceptor that knows none of its slots", g)
			}
		}
		return groups
	}
	w.settle("node 4 observes", func() bool { return observes() > 0 })
	for range 50 {
		w.run(200 * Millisecond)
		observes()
	}
	w.user(20, 0).lock(w.nameIn(0, 2))
	w.drop = nil
	w.settle("all at home", w.atHome)
}

// Two nodes that lost their directories let each other in, since neither knows
// better, and stop all the same because the others refuse them (I7).
func TestFD7WipedNodesDoNotKeepEachOtherUp(t *testing.T) {
	w := newWorld(t, fiveNodes())
	w.settle("all at home", w.atHome)
	w.diskOf = map[uint16]paxos.DiskID{4: 7774, 5: 7775}
	for id := uint16(4); id <= 5; id++ {
		w.kill(id)
		w.nodes[id] = &testNode{w: w, id: id, sent: make(map[ConnID][]byte),
			saved: make(map[uint16]map[string][]byte), slots: make(map[uint16]uint64),
			wantStop: ErrWiped}
		w.nodes[id].start()
	}
	for id := uint16(4); id <= 5; id++ {
		w.settle("a wiped node stops", func() bool { return w.nodes[id].stopped != nil })
	}
}

// A node that lost its directory may have been let in by one that is new itself,
// and hears of its old disk from that one in the end. It stops in order (I7).
func TestFD7WipedNodeHearsOfItsOldDisk(t *testing.T) {
	w := newWorld(t, testOptions())
	w.settle("all at home", w.atHome)
	record := w.nodes[2].node.identity.Record.Append(make([]byte, 8))
	w.kill(1)
	w.diskOf = map[uint16]paxos.DiskID{1: 7771}
	n := &testNode{w: w, id: 1, sent: make(map[ConnID][]byte),
		saved: make(map[uint16]map[string][]byte), slots: make(map[uint16]uint64)}
	w.nodes[1] = n
	n.start()
	if err := n.node.Turn(w.now); err != nil {
		t.Fatal(err)
	}
	h := wire.PeerHello{From: 2, To: 1, Disk: 2222}
	n.inbox.PeerUp(2, &h)
	n.inbox.PeerFrame(2, uint8(wire.PeerKindRecord), record)
	w.now += Second // all clocks of a node come round
	if err := n.node.Turn(w.now); !errors.Is(err, ErrWiped) {
		t.Fatalf("the node goes on with %v, want ErrWiped", err)
	}
}

// A node may stop before its log says that it has taken a group in, and come back
// as one of those whom the group needs for a leader. It takes part as soon as it
// is asked, if the group is at home on it (G8).
func TestFM1NodeThatLostATakeInIsOfHelp(t *testing.T) {
	w := newWorld(t, testOptions())
	w.settle("all at home", w.atHome)
	n := w.nodes[3].node
	g := n.group(0)
	if g.leading {
		t.Fatal("node 3 leads group 0, want one that follows")
	}
	// As if it had never been there; it accepted nothing in this short log.
	n.retire(g, 0)
	leader := w.leaderOf(0)
	w.kill(leader.id)
	w.settle("the others lead", func() bool {
		for _, id := range []uint16{1, 2, 3} {
			x := w.nodes[id].node
			if x != nil && x.group(0) != nil && x.group(0).leading {
				return true
			}
		}
		return false
	})
}

// A node that is being taken in may be started with an old list of nodes. It lets
// in those who joined since, for one of them may be the leader that is to see its
// disk (F-M1).
func TestFM1InvitedNodeMeetsThoseWhoJoinedBefore(t *testing.T) {
	w := newWorld(t, testOptions())
	add := placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"}
	w.addNode(4)
	if err := w.change(1, add); err != nil {
		t.Fatal(err)
	}
	w.settle("node 4 has its share", func() bool { return w.nodes[4].node.birth == nil && w.atHome() })
	w.opts.Nodes = w.opts.Nodes[:3] // the list that node 5 is started with
	w.addNode(5)
	five, hello := w.nodes[5].node, w.nodes[4].node.PeerHello()
	hello.From, hello.To = 4, 5
	if five.CheckPeer(&hello) == nil {
		t.Fatal("a node that is in no list and no record was let in")
	}
	r := *w.nodes[1].node.identity.Record
	r.Nodes = append(slices.Clone(r.Nodes), placement.Node{ID: 5, State: placement.Member})
	b := binary.LittleEndian.AppendUint64(nil, w.nodes[1].node.identity.Version+1)
	five.onRecord(r.Append(b))
	if refused := five.CheckPeer(&hello); refused != nil {
		t.Errorf("got refusal %q of a node that the record lists, want none", refused.Text)
	}
	if five.peer(4) == nil || five.birth == nil {
		t.Errorf("got peer %v and birth %v, want a peer and a node that waits", five.peer(4), five.birth)
	}
}

// A node that is to keep group 0, and is not named by its seats yet, hears from nobody
// who leads it. It passes changes on to the leader that others tell of (F-M1).
func TestFM1ChangeAtAnUnnamedNodeFindsTheLeader(t *testing.T) {
	w := newWorld(t, testOptions())
	w.settle("all at home", w.atHome)
	n := w.nodes[3].node
	if n.group(0).leading {
		t.Fatal("node 3 leads group 0, want one that follows")
	}
	w.run(gossipEvery)
	n.retire(n.group(0), 0)
	w.settle("the checkpoint is gone", func() bool { return !n.dropping[0] })
	if n.group(0) == nil {
		n.takeIn(&paxos.Message{Kind: paxos.KindHeartbeat, Group: 0})
	}
	g := n.group(0)
	if g.names(n.acceptor()) || g.replica.Leader() != paxos.NoNode {
		t.Fatalf("got leader %d and seats %+v, want none and others", g.replica.Leader(), g.seats)
	}
	if got, want := n.groupZeroLeader(), paxos.NodeID(w.leaderOf(0).id); got != want {
		t.Errorf("got leader %d, want %d", got, want)
	}
}
