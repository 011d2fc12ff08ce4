package node

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// The tests of this file each take one reason away for which a node does not do what it is
// asked, or takes what it hears for nothing.

// TestFN6PeerSpeaksForItself: what comes on a link in another's name is none of his.
func TestFN6PeerSpeaksForItself(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1].node
	b := binary.LittleEndian.AppendUint64(nil, 0)
	b = paxos.AppendMessage(b, &paxos.Message{Kind: paxos.KindPrepare, Group: 1, From: 3, To: 1,
		Ballot: paxos.Ballot{Round: 99, Node: 3}, Slot: 1})
	bad := n.stats.BadFrames
	n.onMessages(n.peer(2), b)
	if got := n.group(1).replica.Promised(); got.Round == 99 || n.stats.BadFrames != bad+1 {
		t.Errorf("got promise %v to node 3 over the link of node 2, %d bad frames, want none and one",
			got, n.stats.BadFrames-bad)
	}
	n.onMessages(n.peer(3), b)
	if got := n.group(1).replica.Promised(); got.Round != 99 {
		t.Errorf("got promise %v to node 3 over its link, want its ballot", got)
	}
}

// TestLateMessageTakesNothingIn: of a group that is not at home only a heartbeat says that
// it is to come. Then the log is told, or what is recorded from now on would be forgotten.
func TestLateMessageTakesNothingIn(t *testing.T) {
	w := nodesOf(t, 4, 8)
	for _, x := range w.nodes {
		for id := range paxos.GroupID(8) {
			n := x.node
			if n.atHome(id) || n.group(uint16(id)) != nil {
				continue
			}
			if !x.dead[uint16(id)] {
				t.Fatal("the log was not told that it needs nothing of the group")
			}
			if n.takeIn(&paxos.Message{Kind: paxos.KindAccept, Group: id, From: 1}) != nil {
				t.Fatalf("node %d takes group %d in for a late Accept", x.id, id)
			}
			if n.takeIn(&paxos.Message{Kind: paxos.KindHeartbeat, Group: id, From: 1}) == nil {
				t.Fatalf("node %d does not take group %d in for a heartbeat", x.id, id)
			}
			if x.dead[uint16(id)] {
				t.Error("the log was told that it needs nothing of a group that is kept")
			}
			at := slices.IndexFunc(x.records, func(r wal.Record) bool {
				return r.Group == savedMark|uint16(id)
			})
			if at < 0 {
				t.Fatal("no mark says that the group is kept")
			}
			if m, err := decodeMark(&x.records[at]); err != nil || m.kind != markKept {
				t.Errorf("got mark %+v (%v), want that the group is kept", m, err)
			}
			return
		}
	}
	t.Fatal("every node keeps every group")
}

// TestFM1OneStepAtATime: seats name those before them and no others, so a step waits until
// the last one is in force (I5).
func TestFM1OneStepAtATime(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(1).node
	g := n.group(1)
	g.seats.Now.Acceptors = g.seats.Now.Acceptors[:2:2] // so that a step is due
	now := paxos.Slot(g.machine.Applied()) + 1
	g.seats.Now.From = now + 1
	if n.reseat(g) {
		t.Errorf("a step at slot %d, and the last is in force from slot %d on", now, now+1)
	}
	g.seats.Now.From = now
	if !n.reseat(g) {
		t.Errorf("no step at slot %d, from which on the last is in force", now)
	}
}

// TestFM2ObserverOnAnotherDiskIsNotCurrent: what one disk has, another has not.
func TestFM2ObserverOnAnotherDiskIsNotCurrent(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(1).node
	g := n.group(1)
	for _, a := range g.seats.Now.Acceptors {
		if !n.isCurrent(g, a) {
			t.Errorf("%+v is not current, want it so", a)
		}
		if a.Disk++; n.isCurrent(g, a) {
			t.Errorf("%+v, another disk, is current", a)
		}
	}
}

// TestFM1ChangesOfTheClusterAreItsOwn: nobody asks for those that have conditions.
func TestFM1ChangesOfTheClusterAreItsOwn(t *testing.T) {
	w := nodesOf(t, 4, 8)
	w.mustChange(1, placement.Change{Kind: placement.Remove, Node: 4})
	w.nodes[4].wantStop = ErrRemoved
	for _, c := range []placement.Change{{Kind: placement.Release, Node: 4},
		{Kind: placement.Bind, Node: 3, Disk: 7}} {
		err := w.change(1, c)
		if !errors.Is(err, placement.ErrRefused) || !strings.Contains(err.Error(), "not an operator's") {
			t.Errorf("%v: got %v, want it refused as no operator's", c.Kind, err)
		}
	}
}

// TestFP3IdentityOfALaterVersionIsNotRead: it is whole, and not of this build.
func TestFP3IdentityOfALaterVersionIsNotRead(t *testing.T) {
	b := AppendIdentity(nil, &Identity{Cluster: "c", Node: 1, Disk: 2, Groups: 3})
	b[4]++
	end := len(b) - 4
	sum := crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(b[end:], sum)
	if _, err := DecodeIdentity(b); !errors.Is(err, ErrIdentity) ||
		!strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v, want ErrIdentity that names a newer version", err)
	}
}

// TestFM1RecordThatLetsThisNodeGo: who reads it stops, whoever told.
func TestFM1RecordThatLetsThisNodeGo(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[3].node
	r := n.identity.Record.Clone()
	r.Node(3).State = placement.Gone
	n.adoptRecord(&r, n.identity.Version+1)
	if !errors.Is(n.failure, ErrRemoved) {
		t.Errorf("got %v, want ErrRemoved", n.failure)
	}
}

// TestFD7AwaitedNodeComesWithoutARecord: one that has one is of another cluster.
func TestFD7AwaitedNodeComesWithoutARecord(t *testing.T) {
	w := newWorld(t, testOptions())
	w.mustChange(1, placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"})
	w.run(Second)
	n := w.leaderOf(0).node
	disk := func() paxos.DiskID {
		w.run(Second)
		return n.listed(4).Disk
	}
	p := n.peer(4)
	p.up, p.disk, p.record = true, 4444, 3
	if got := disk(); got != 0 {
		t.Errorf("got disk %d bound of a node that has a record, want none", got)
	}
	p.record = 0
	if got := disk(); got != 4444 {
		t.Errorf("got disk %d bound of a node that has none, want 4444", got)
	}
}

// TestFM1OlderSeatsAreNoNews: seats that were chosen stay chosen, so an older version that
// comes late says nothing, and nobody lets a group go for it.
func TestFM1OlderSeatsAreNoNews(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1].node
	seats := func(version uint64) []byte {
		b := binary.LittleEndian.AppendUint64(nil, n.identity.Version)
		b = binary.LittleEndian.AppendUint16(b, 1)
		b = binary.LittleEndian.AppendUint64(b, version)
		return binary.LittleEndian.AppendUint16(append(b, byte(standsHome), 1), 2)
	}
	n.onSeats(n.peer(2), seats(50))
	n.onSeats(n.peer(3), seats(40))
	if h := n.heard[1]; h.version != 50 || h.leader != 2 {
		t.Errorf("got version %d of node %d, want 50 of node 2", h.version, h.leader)
	}
	g := n.group(1)
	n.identity.Record.Homes[1] = []paxos.NodeID{2, 3}
	g.leading, g.seatsVersion = false, 51
	if n.retireIfLeft(1); n.group(1) == nil {
		t.Error("the group is let go by seats of 50, and those of 51 are known")
	}
	g.seatsVersion = 50
	if n.retireIfLeft(1); n.group(1) != nil {
		t.Error("the group is kept, and seats as new as those known do not name this node")
	}
}

// TestFC3JobOfAnotherArrivalIsNone: what the store was asked for before a link went.
func TestFC3JobOfAnotherArrivalIsNone(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1].node
	a := &arrival{group: 1, snapshot: Snapshot{Slot: 9}, jobs: 2}
	n.snapshots.in[2] = a
	for _, c := range []struct {
		group uint16
		slot  uint64
		want  *arrival
	}{{2, 9, nil}, {1, 8, nil}, {1, 9, a}} {
		if got := n.jobDone(2, c.group, c.slot); got != c.want {
			t.Errorf("group %d at slot %d: got %+v, want %+v", c.group, c.slot, got, c.want)
		}
	}
}

// TestFC3OneArrivalOfAGroup: a snapshot that comes is alone with the group's checkpoint, of
// which none is saved meanwhile.
func TestFC3OneArrivalOfAGroup(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1].node
	g, s := n.group(1), Snapshot{Slot: 999}
	offered := func(from uint16) bool {
		n.onOffer(n.peer(from), g, snapshotHead{kind: snapshotOffer, group: 1, slot: s.Slot}, s)
		return n.snapshots.in[paxos.NodeID(from)] != nil
	}
	if n.saving = 1; offered(2) {
		t.Error("a snapshot is taken while a checkpoint of its group is saved")
	}
	if n.saving = -1; !offered(2) {
		t.Fatal("a snapshot is refused, want it taken")
	}
	if offered(3) {
		t.Error("a second snapshot of a group is taken while the first comes")
	}
}

// TestFlightIsOfItsBallot: what another leader proposed in the slot is answered to nobody.
func TestFlightIsOfItsBallot(t *testing.T) {
	b := paxos.Ballot{Round: 3, Node: 1}
	g := &group{flights: []flight{{slot: 5, ballot: b}}}
	if _, ours := g.popFlight(5, paxos.Ballot{Round: 4, Node: 2}); ours {
		t.Error("a slot of another ballot passes for what this node proposed")
	}
	if _, ours := g.popFlight(6, b); ours {
		t.Error("another slot passes for what this node proposed")
	}
	if _, ours := g.popFlight(5, b); !ours {
		t.Error("what this node proposed passes for another's")
	}
}

// TestLogTimeIsNoFasterThanTheClock: no moment is counted twice (I20, I21).
func TestLogTimeIsNoFasterThanTheClock(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	u.lock(w.nameIn(0, 0))
	m := w.leaderOf(0).node.group(0).machine
	began, from := m.LogTime(), w.now
	for range 30 {
		w.run(100 * Millisecond)
		u.keepalive()
	}
	passed, most := m.LogTime()-began, (w.now-from+w.opts.LogTick)/Millisecond
	if int64(passed) > int64(most) || int64(passed) < int64(most)/2 {
		t.Errorf("got %d ms of log time in %d ms, want no more, and not much less", passed, most)
	}
}

// TestReadsWaitForWhatWasSentBefore: a try behind a release of its own conn is judged as the
// lock is after that, although the leader is confirmed before the release is chosen.
func TestReadsWaitForWhatWasSentBefore(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	name := w.nameIn(0, 0)
	token := u.lock(name).Token
	to := w.leaderOf(0)
	w.drop = func(f testFrame) bool { return f.to == to.id && hasAccepted(f.frame, 0) }
	u.release(name, token)
	w.run(5 * Millisecond)
	try := u.acquire(name, 0)
	w.run(100 * Millisecond)
	if r, ok := to.response(u.conn, try); ok {
		t.Errorf("got %v before the release is chosen, want no answer", r.Status)
	}
	w.drop = nil
	w.run(Second)
	if r, _ := to.response(u.conn, try); r.Status != wire.StatusOK {
		t.Errorf("got %v behind the release, want the lock", r.Status)
	}
}
