package node

import (
	"errors"
	"slices"
	"testing"

	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/paxos"
	"lockd/wal"
)

// checkpointAt returns a machine that is at a slot.
func checkpointAt(t *testing.T, o Options, slot uint64) *lockfsm.Machine {
	t.Helper()
	m, err := lockfsm.New(o.machineLimits())
	if err != nil {
		t.Fatal(err)
	}
	var out lockfsm.Outcome
	for s := uint64(1); s <= slot; s++ {
		if err := m.Apply(s, nil, &out); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// savedAt and leftMark are the marks of a checkpoint and of a group that left.
func savedAt(slot uint64) wal.Record {
	return wal.Record{Group: savedMark, Kind: wal.KindState, Slot: slot}
}

func leftMark() wal.Record {
	return wal.Record{Group: savedMark, Kind: wal.KindState,
		Data: []byte{1, 9, 0, 0, 0, 0, 0, 0, 0}}
}

// A log may still hold the mark with which a group once left the node. The
// checkpoint is that of the group as it came back (I12, F-M1).
func TestRecoveryOfAGroupThatCameBack(t *testing.T) {
	o := testOptions()
	for _, c := range []struct {
		name  string
		marks []wal.Record
		has   bool
		slot  uint64
		err   error
	}{
		{"never left", []wal.Record{savedAt(7), savedAt(26)}, true, 26, nil},
		{"came back", []wal.Record{savedAt(40), leftMark(), savedAt(0), savedAt(26)}, true, 26, nil},
		{"left", []wal.Record{savedAt(26), leftMark()}, false, 0, nil},
		{"checkpoint lost", []wal.Record{leftMark(), savedAt(0), savedAt(27)}, true, 0,
			ErrLostCheckpoint},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := NewRecovery(Identity{}, o)
			r.Checkpoint(0, checkpointAt(t, o, 26))
			for i, mark := range c.marks {
				if err := r.Replay(wal.LSN(i+1), mark); err != nil {
					t.Fatal(err)
				}
			}
			if got := r.has(0); got != c.has {
				t.Errorf("has: got %t, want %t", got, c.has)
			}
			m, _, err := r.group(0)
			if !errors.Is(err, c.err) {
				t.Fatalf("got error %v, want %v", err, c.err)
			}
			if err == nil && m.Applied() != c.slot {
				t.Errorf("got a machine at slot %d, want %d", m.Applied(), c.slot)
			}
		})
	}
}

// What the log copied between the mark with which a group left and the one with which it
// came back is of the time before: an entry of then was not recorded in the new stay, and
// what was chosen by then is not what the new stay has (I8).
func TestRecoveryOfWhatWasCopiedWhileAGroupWasAway(t *testing.T) {
	accept := func(slot uint64, round byte) wal.Record {
		return wal.Record{Kind: wal.KindEntry, Slot: slot,
			Data: []byte{1, round, 0, 0, 0, 0, 0, 0, 0, 2, 0, 'v'}}
	}
	r := NewRecovery(Identity{}, testOptions())
	for i, rec := range []wal.Record{accept(30, 3), leftMark(), accept(30, 3),
		{Kind: wal.KindHint, Slot: 30, Data: []byte{1}}, savedAt(0), accept(1, 1), accept(2, 1)} {
		if err := r.Replay(wal.LSN(i+1), rec); err != nil {
			t.Fatal(err)
		}
	}
	_, log, err := r.group(0)
	if err != nil {
		t.Fatal(err)
	}
	if log.Slots() != 2 || log.Promised() != (paxos.Ballot{Round: 3, Node: 2}) {
		t.Errorf("got %d slots, promised %v, want the 2 of the new stay and the promise of the old",
			log.Slots(), log.Promised())
	}
	seats := []paxos.Configuration{{From: 1, Acceptors: []paxos.Acceptor{{Node: 1, Disk: 7}}}}
	cfg := paxos.Config{Self: 1, Disk: 7, Forgotten: 31, Configurations: seats}
	if _, err := paxos.New(cfg, log); err != nil {
		t.Errorf("the group cannot be opened: %v", err)
	}
}

// A group may be moved to other nodes before it ever had a leader. A node that
// starts again meanwhile, and has nothing of the group, still keeps it: nobody has
// taken its place, and a group of which another is lost needs it (G6, F-M1).
func TestFM1GroupThatWasNeverLedIsKept(t *testing.T) {
	for _, c := range []struct {
		name  string
		marks []wal.Record
		keeps bool
	}{
		{"never led", nil, true},
		{"left", []wal.Record{leftMark()}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, testOptions())
			n := w.nodes[2]
			id := n.node.identity
			moved := id.Record.Clone()
			moved.Homes[0] = slices.DeleteFunc(moved.Homes[0], func(of paxos.NodeID) bool {
				return of == 2
			})
			id.Record = &moved
			w.kill(2)
			n.stored = AppendIdentity(nil, &id)
			n.records, n.saved = c.marks, nil
			n.start()
			if got := n.node.group(0) != nil; got != c.keeps {
				t.Errorf("keeps the group: got %t, want %t", got, c.keeps)
			}
		})
	}
}

// A group comes back to a node that has forgotten what it accepted in it. Even if
// nobody else is there, and it alone kept the group at the birth, it leads nothing
// and accepts nothing until it knows what the others chose meanwhile (I1, I5).
func TestFM1GroupThatCameBackBindsNobodyEarlier(t *testing.T) {
	o := testOptions()
	o.Nodes, o.Replicas, o.Groups, o.Window = o.Nodes[:1], 1, 2, 4
	w := newWorld(t, o)
	w.addNode(2)
	add := placement.Change{Kind: placement.Add, Node: 2, Peer: "h:1", Client: "h:2"}
	if err := w.change(1, add); err != nil {
		t.Fatal(err)
	}
	n := w.nodes[1]
	w.settle("node 2 has its share", func() bool {
		return w.nodes[2].node.birth == nil && w.atHome() && len(n.node.hosted) == 1
	})
	gone := paxos.GroupID(1 - n.node.hosted[0].id)
	w.kill(2)
	back := func() {
		t.Helper()
		w.run(5 * Second)
		g := n.node.group(uint16(gone))
		if g == nil {
			t.Fatal("the group has not been taken in")
		}
		if g.replica.Role() != paxos.RolePassive || g.replica.Chosen() != 0 {
			t.Fatalf("got %v with slot %d chosen, want passive with none", g.replica.Role(),
				g.replica.Chosen())
		}
	}
	n.node.takeIn(&paxos.Message{Kind: paxos.KindHeartbeat, Group: gone})
	back()
	w.kill(1)
	n.start()
	n.node.takeIn(&paxos.Message{Kind: paxos.KindHeartbeat, Group: gone})
	back()
}

// The checkpoint of a group that leaves goes after the mark that says so is
// synced: a log that still relies on it would keep the node from starting.
func TestCheckpointIsDroppedAfterItsMark(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[3]
	before := n.drops
	n.node.retire(n.node.groups[0], 9)
	if got := n.drops - before; got != 0 {
		t.Fatalf("got %d drops before the mark is synced, want none", got)
	}
	w.run(Second)
	if got := n.drops - before; got != 1 {
		t.Errorf("got %d drops after it is, want one", got)
	}
}

// The log is rid of what a checkpoint covers after the mark that says so is synced, also
// after a start that found no mark: it may drop the records of the one before it has the
// other (I10, I12).
func TestLogIsReleasedAfterItsMark(t *testing.T) {
	w := worldWithCheckpoints(t)
	n := w.nodes[2]
	after := func(what string, before int) {
		t.Helper()
		if got := n.freed - before; got != 0 {
			t.Errorf("%s: got %d releases before the mark is synced, want none", what, got)
		}
		w.run(Second)
		if n.freed == before {
			t.Errorf("%s: the log is not released", what)
		}
	}
	before := n.freed
	n.node.release(n.node.groups[0])
	after("saved", before)
	w.kill(2)
	n.records = slices.DeleteFunc(n.records, func(r wal.Record) bool { return r.Group == savedMark })
	before = n.freed
	n.start()
	after("started", before)
}

// A checkpoint of a group that leaves before its mark is synced releases nothing any more:
// the log says by then that the group has left.
func TestGroupThatLeftReleasesNoCheckpoint(t *testing.T) {
	w := worldWithCheckpoints(t)
	n := w.nodes[2]
	n.node.release(n.node.groups[0])
	n.node.retire(n.node.groups[0], 9)
	w.run(Second) // the world judges what is released
}

// A group that was touched and leaves in the same turn is not worked on any more:
// what it would send, apply or accept then, nobody would remember (I4).
func TestGroupThatLeftDoesNothingMore(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0).node
	g := n.group(0)
	for range n.opts.HeartbeatTicks {
		g.replica.Tick()
	}
	if !g.replica.HasReady() {
		t.Fatal("the leader has nothing to say, want a heartbeat")
	}
	n.touch(g)
	n.retire(g, 0)
	if err := n.Turn(w.now); err != nil {
		t.Fatal(err)
	}
	if !g.replica.HasReady() {
		t.Error("the group that left has spoken")
	}
}

// What a group promises in the very turn in which it leaves is not in the log, so
// it must not count as promised when the group comes back: an answer to the same
// ballot would then wait for no record (I4).
func TestFM1PromiseOfTheLastTurnIsVoid(t *testing.T) {
	w := newWorld(t, testOptions())
	w.run(5 * Second)
	n := w.nodes[3].node
	g := n.groups[0]
	recorded := g.replica.Promised()
	above := paxos.Ballot{Round: recorded.Round + 1, Node: 1}
	g.replica.Step(&paxos.Message{Kind: paxos.KindPrepare, From: 1, To: 3, Group: 0,
		Ballot: above, Slot: 1})
	if got := g.replica.Promised(); got != above {
		t.Fatalf("promised %v, want %v", got, above)
	}
	n.retire(g, 1)
	if got := n.departed[0].promised; got != recorded {
		t.Errorf("the group has left with promise %v, want the recorded %v", got, recorded)
	}
}

// A group that leaves is forgotten with all that it had applied here. A hint that
// was copied behind the mark may speak of any of that, and what a node does not
// know of slots below it must not keep it from starting.
func TestFM1DepartureCoversWhatWasApplied(t *testing.T) {
	w := newWorld(t, testOptions())
	w.run(5 * Second)
	n := w.nodes[3]
	g := n.node.groups[0]
	applied := paxos.Slot(g.machine.Applied())
	if applied == 0 {
		t.Fatal("nothing is applied")
	}
	n.node.retire(g, 1)
	if got := n.node.departed[0].forgotten; got != applied+1 {
		t.Errorf("forgotten below slot %d, want %d", got, applied+1)
	}
	w.run(Second) // its leader has it taken in again
	if back := n.node.groups[0]; back == nil || back.forgotten != applied+1 {
		t.Errorf("the group is not back, or does not know what it forgot: %+v", back)
	}
}
