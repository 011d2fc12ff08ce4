package node

import (
	"errors"
	"slices"
	"testing"

	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// nodesOf makes a world of so many nodes whose groups are all at home.
func nodesOf(t *testing.T, nodes uint16, groups int) *world {
	t.Helper()
	o := testOptions()
	o.Groups = groups
	for id := uint16(4); id <= nodes; id++ {
		o.Nodes = append(o.Nodes, Peer{ID: id, ClientAddress: "x:1"})
	}
	w := newWorld(t, o)
	w.settle("all at home", w.atHome)
	for g := range uint16(groups) {
		w.user(ConnID(g+1), g).lock(w.nameIn(g, 1))
	}
	w.settle("nothing moves", func() bool { return w.nodes[1].node.moving() == 0 })
	return w
}

// mustChange asks for a change until it is made, as an operator would who is told
// that the cluster is busy.
func (w *world) mustChange(at uint16, c placement.Change) {
	w.t.Helper()
	var err error
	for range 40 {
		if err = w.change(at, c); !errors.Is(err, placement.ErrBusy) && !errors.Is(err, ErrNoLeader) {
			break
		}
		w.run(Second / 2)
	}
	if err != nil {
		w.t.Fatalf("%v node %d: %v", c.Kind, c.Node, err)
	}
}

// lose ends a node whose directory never comes back.
func (w *world) lose(id uint16) {
	w.kill(id)
	w.opts.Nodes = slices.DeleteFunc(slices.Clone(w.opts.Nodes),
		func(p Peer) bool { return p.ID == id })
	delete(w.nodes, id)
	w.run(3 * Second)
}

// state is what the record says of a node.
func (w *world) state(id paxos.NodeID) placement.State {
	n := w.nodes[w.opts.Nodes[0].ID].node
	for _, p := range w.opts.Nodes {
		if x := w.nodes[p.ID].node; x != nil && x.identity.Version > n.identity.Version {
			n = x
		}
	}
	return n.identity.Record.Node(id).State
}

// served takes another lock in every group.
func (w *world) served(i int) {
	w.t.Helper()
	for g := range uint16(8) {
		w.user(ConnID(int(g)+20*i), g).lock(w.nameIn(g, i))
	}
}

// halfRemoved has node 4 of four leave, and loses node 3, to which its groups are to
// move.
func halfRemoved(t *testing.T) *world {
	w := nodesOf(t, 4, 8)
	if err := w.change(1, placement.Change{Kind: placement.Remove, Node: 4}); err != nil {
		t.Fatal(err)
	}
	w.nodes[4].wantStop = ErrRemoved
	w.lose(3)
	w.served(2)
	if got := w.state(4); got != placement.Leaving {
		t.Fatalf("node 4 is %v, want it to be leaving", got)
	}
	return w
}

// A node to which groups move is lost: it is given a new disk while they do (F-M1).
func TestFM1HomeLostMeanwhileIsReplaced(t *testing.T) {
	w := halfRemoved(t)
	w.mustChange(1, placement.Change{Kind: placement.Replace, Node: 3})
	err := w.change(1, placement.Change{Kind: placement.Replace, Node: 2})
	if !errors.Is(err, placement.ErrBusy) {
		t.Errorf("a second disk given up: got %v, want ErrBusy", err)
	}
	w.diskOf = map[uint16]paxos.DiskID{3: 4242}
	w.addNode(3)
	w.settle("node 4 is let go", func() bool { return w.state(4) == placement.Gone })
	w.settle("all at home", w.atHome)
	w.served(3)
}

// A node that is removed because it is lost counts until its groups have moved: until
// then no other disk is given up of those that accept with it (F-M1).
func TestFM1LostLeaverCounts(t *testing.T) {
	w := nodesOf(t, 5, 8)
	w.lose(5)
	if err := w.change(1, placement.Change{Kind: placement.Remove, Node: 5}); err != nil {
		t.Fatal(err)
	}
	n := w.leaderOf(0).node
	if x := n.identity.Record.Node(5); x.State != placement.Leaving {
		t.Fatalf("node 5 is %v, want it to be leaving", x.State)
	}
	for g := range n.heard {
		n.heard[g].record, n.heard[g].standing = n.identity.Version, standsHome
	}
	tell := func(nodes ...paxos.NodeID) {
		n.heard[3] = heardSeats{leader: 1, record: n.identity.Version, standing: standsWhole,
			nodes: nodes}
	}
	expect := func(what string, id paxos.NodeID, want int) {
		t.Helper()
		if got := n.short(id); got != want {
			t.Errorf("%s: %d groups cannot do without node %d, want %d", what, got, id, want)
		}
	}
	tell(4, 5, 1)
	expect("both accept", 4, 1)
	expect("it is itself", 5, 0)
	expect("another", 2, 0)
	tell(5, 1, 2, 4)
	expect("one observes", 4, 0)
	tell(4, 1, 2, 5)
	expect("the other does", 4, 0)
	tell(4, 5, 1)
	n.peer(5).up = true
	expect("the leaver is linked", 4, 0)
	n.peer(5).up = false
}

// The removal is taken back, and the node that was lost is removed instead (F-M1).
func TestFM1RemovalIsTakenBack(t *testing.T) {
	w := halfRemoved(t)
	if err := w.change(1, placement.Change{Kind: placement.Remove, Node: 3}); !errors.Is(err,
		placement.ErrRefused) {
		t.Errorf("removing one more than can be: got %v, want ErrRefused", err)
	}
	w.mustChange(2, placement.Change{Kind: placement.Keep, Node: 4})
	w.mustChange(1, placement.Change{Kind: placement.Remove, Node: 3})
	w.settle("node 3 is let go", func() bool { return w.state(3) == placement.Gone })
	w.settle("all at home", w.atHome)
	if got := w.state(4); got != placement.Member {
		t.Errorf("node 4 is %v, want a member", got)
	}
	w.served(3)
}

// With nodes enough the one that was lost is removed too, and groups find other
// homes (F-M1).
func TestFM1HomeLostMeanwhileIsRemoved(t *testing.T) {
	w := nodesOf(t, 5, 8)
	if err := w.change(1, placement.Change{Kind: placement.Remove, Node: 5}); err != nil {
		t.Fatal(err)
	}
	w.nodes[5].wantStop = ErrRemoved
	w.lose(4)
	w.mustChange(1, placement.Change{Kind: placement.Remove, Node: 4})
	w.settle("both are let go", func() bool {
		return w.state(4) == placement.Gone && w.state(5) == placement.Gone
	})
	w.settle("all at home", w.atHome)
	w.served(2)
}

// A node that joined is lost before it has learned its groups: it is given another
// disk, loses that too, and is let go in the end (F-M1).
func TestFM1NewcomerIsLostWhileItLearns(t *testing.T) {
	w := nodesOf(t, 3, 8)
	learns := func(disk paxos.DiskID) {
		w.diskOf = map[uint16]paxos.DiskID{4: disk}
		w.addNode(4)
		w.settle("node 4 has come", func() bool {
			x := w.nodes[1].node.identity.Record.Node(4)
			return x != nil && x.Disk == disk
		})
		w.lose(4)
	}
	if err := w.change(1, placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1",
		Client: "h:2"}); err != nil {
		t.Fatal(err)
	}
	learns(4001)
	w.mustChange(1, placement.Change{Kind: placement.Replace, Node: 4})
	learns(4002)
	w.mustChange(1, placement.Change{Kind: placement.Replace, Node: 4})
	w.mustChange(1, placement.Change{Kind: placement.Remove, Node: 4})
	w.settle("node 4 is let go", func() bool { return w.state(4) == placement.Gone })
	w.settle("all at home", w.atHome)
	w.served(2)
}

// A disk that was given up may still count in a group: then no other node's is
// given up, and only its own node's again.
func TestSecondDiskIsNotGivenUpTooEarly(t *testing.T) {
	w := nodesOf(t, 3, 8)
	w.lose(3)
	w.mustChange(1, placement.Change{Kind: placement.Replace, Node: 3})
	w.diskOf = map[uint16]paxos.DiskID{3: 4242}
	w.addNode(3)
	w.settle("node 3 has come", func() bool { return w.nodes[3].node.birth == nil })
	w.lose(3) // before it accepts for all groups
	replace2 := placement.Change{Kind: placement.Replace, Node: 2}
	for _, at := range []uint16{1, 2} { // one of them passes it on
		if err := w.change(at, replace2); !errors.Is(err, placement.ErrSoon) {
			t.Errorf("disk of node 2, while those of node 3 count: got %v, want ErrSoon", err)
		}
	}
	w.mustChange(1, placement.Change{Kind: placement.Replace, Node: 3})
	w.diskOf = map[uint16]paxos.DiskID{3: 4243}
	w.addNode(3)
	w.settle("all at home", w.atHome)
	w.settle("nothing moves", func() bool { return w.nodes[1].node.moving() == 0 })
	w.nodes[2].wantStop = ErrWiped
	w.mustChange(1, replace2)
}

// A disk that was given up counts in the slots below the newest seats until these can
// do without: until then a leader does not say that its group is at home, and another
// disk could be one too many (F-M1).
func TestFM1DiskCountsUntilSeatsAreSettled(t *testing.T) {
	w := nodesOf(t, 3, 8)
	w.lose(3)
	w.mustChange(1, placement.Change{Kind: placement.Replace, Node: 3})
	w.diskOf = map[uint16]paxos.DiskID{3: 4242}
	w.addNode(3)
	home := func(id uint16) (home bool) {
		for _, p := range w.opts.Nodes {
			n := w.nodes[p.ID].node
			g := n.group(id)
			if g == nil || !g.leading {
				continue
			}
			s, _ := n.standingOf(g)
			lost := slices.ContainsFunc(g.seats.Before.Acceptors, func(a paxos.Acceptor) bool {
				return a.Node == 3 && a.Disk != 4242
			})
			if s != standsShort && lost && !g.replica.Settled() {
				t.Fatalf("group %d: standing %d, while its seats of slot %d need those before", id, s,
					g.seats.Now.From)
			}
			home = home || s == standsHome
		}
		return home
	}
	for i := range 20_000 {
		if i%50 == 0 {
			w.relink()
		}
		w.run(Millisecond)
		all := true
		for id := range uint16(8) {
			all = home(id) && all
		}
		if all {
			return
		}
	}
	t.Error("groups do not come home")
}

// A group may be at home on a node, and have it neither as acceptor nor as observer
// yet: it waits for its turn to move, or for another newcomer. Others lead it, which is
// why the node is ready.
func TestNodeIsReadyWhereGroupsStandElsewhere(t *testing.T) {
	w := nodesOf(t, 5, 8)
	n := w.nodes[1].node
	away := slices.Index(n.groups, nil)
	// As after a restart between the change of the record and the move.
	n.identity.Record.Homes[away][2] = 1
	w.nodes[1].Reopen(uint16(away))
	m, err := lockfsm.New(n.opts.machineLimits())
	if err != nil {
		t.Fatal(err)
	}
	g, err := n.openGroup(paxos.GroupID(away), m, &paxos.Recovered{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.run(2 * Second)
	leader := w.leaderOf(uint16(away))
	if g.leader != paxos.NoNode || leader.id == 1 {
		t.Fatalf("node 1 hears of leader %d, node %d leads; want one that it does not hear", g.leader,
			leader.id)
	}
	if s := n.Status(); !s.Ready() || s.Leaders[away] != paxos.NodeID(leader.id) {
		t.Errorf("got ready %t and leader %d, want ready and %d", s.Ready(), s.Leaders[away], leader.id)
	}
	w.kill(leader.id)
	w.run(300 * Millisecond)
	if s := n.Status(); s.Ready() {
		t.Error("ready, though who led the group is gone")
	}
}

// Groups whose newcomer is down do not keep others from moving.
func TestDeadNewcomerHoldsUpNobody(t *testing.T) {
	w := nodesOf(t, 5, 32)
	w.lose(4)
	// All groups of node 5 are to move, some of them to node 4.
	if err := w.change(1, placement.Change{Kind: placement.Remove, Node: 5}); err != nil {
		t.Fatal(err)
	}
	w.nodes[5].wantStop = ErrRemoved
	w.settle("all but those of node 4 are at home", func() bool {
		r := w.nodes[1].node.identity.Record
		for g := range uint16(32) {
			if slices.Contains(r.Homes[g], 4) {
				continue
			}
			home, _ := r.Home(paxos.GroupID(g))
			if !sameAcceptors(w.leaderOf(g).node.group(g).seats.Now.Acceptors, home) {
				return false
			}
		}
		return r.Node(5).State == placement.Leaving
	})
}

// hasAccepted reports whether a frame says that somebody accepted in a group.
func hasAccepted(frame []byte, g paxos.GroupID) bool {
	kind, b, err := wire.ParsePeer(frame)
	if err != nil || kind != wire.PeerKindMessages {
		return false
	}
	var m paxos.Message
	for b = b[messagesHeadBytes:]; len(b) > 0; {
		if b, err = paxos.DecodeMessage(b, &m); err != nil {
			return false
		}
		if m.Kind == paxos.KindAccepted && m.Group == g {
			return true
		}
	}
	return false
}

// What a leader says of a group while a step of its seats is under way is not what
// will be true: nobody is to count on it who knows a record that the step did not
// know (F-M1). Where nothing is given up, the log need not see the record.
func TestFM1StepUnderWayIsNotSpokenOf(t *testing.T) {
	t.Run("a node is removed", func(t *testing.T) {
		w := nodesOf(t, 4, 8)
		w.mustChange(1, placement.Change{Kind: placement.Remove, Node: 4})
		w.nodes[4].wantStop = ErrRemoved
		w.stepIsNotSpokenOf()
	})
	t.Run("a node is added", func(t *testing.T) {
		w := nodesOf(t, 3, 8)
		w.addNode(4)
		w.relink()
		w.mustChange(1, placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"})
		w.settle("node 4 is taken in", func() bool { return w.nodes[4].node.birth == nil })
		w.stepIsNotSpokenOf()
	})
}

// stepIsNotSpokenOf waits for a step that makes an observer accept, has it take long, and
// listens while the record changes.
func (w *world) stepIsNotSpokenOf() {
	w.t.Helper()
	var led *group
	w.until("an observer is to accept", func() bool {
		for _, n := range w.nodes {
			for _, g := range n.node.hosted {
				if g.stepping > 0 && len(g.seats.Now.Observers) > 0 && n != w.leaderOf(0) {
					led = g // whose frames are none that group 0 waits for
				}
			}
		}
		return led != nil
	})
	w.drop = func(f testFrame) bool { return hasAccepted(f.frame, led.id) }
	home := w.leaderOf(uint16(led.id)).node.home(0)
	w.mustChange(1, placement.Change{Kind: placement.Move, Node: home[1]})
	newest := w.leaderOf(0).node.identity.Version
	for range 20 {
		w.run(100 * Millisecond)
		for id, other := range w.nodes {
			if h := other.node.heard[led.id]; h.record >= newest {
				w.t.Fatalf("node %d counts on what is said of group %d: %+v", id, led.id, h)
			}
		}
	}
	if !led.leading || led.stepping == 0 {
		w.t.Fatal("no step is under way any more")
	}
	w.drop = nil
	w.settle("all at home", w.atHome)
}

// A step that takes long is proposed again, and what became of the first, or of the one
// too many, does not say that none is under way.
func TestFM1StepIsUnderWayUntilTheLastIsApplied(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(1).node
	g := n.group(1)
	g.stepping = 2 // as after two proposals
	for _, code := range []lockfsm.Code{lockfsm.CodeOK, lockfsm.CodeConflict} {
		if n.knowsSeats(g) {
			t.Errorf("%d steps are under way, and the seats pass for known", g.stepping)
		}
		n.onResult(g, 0, &origin{name: registerSeats}, &lockfsm.Result{Code: code})
	}
	if !n.knowsSeats(g) {
		t.Error("no step is under way, and the seats do not pass for known")
	}
}
