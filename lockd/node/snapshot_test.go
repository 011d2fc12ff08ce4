package node

import (
	"bytes"
	"testing"

	"lockd/netio/wire"
	"lockd/paxos"
)

// lagging returns a world in which node 3 needs a snapshot of group 0, and the
// node that sends it one.
func lagging(t *testing.T) (w *world, to *testNode) {
	t.Helper()
	o := testOptions()
	o.CheckpointBytes = 2048
	o.RetainSlots = 4
	w = newWorld(t, o)
	w.kill(3)
	w.run(500 * Millisecond)
	u := w.user(1, 0)
	for i := range 100 {
		u.lock(w.nameIn(0, i))
		if i%20 == 0 {
			u.keepalive()
		}
	}
	to = w.nodes[3]
	to.start()
	return w, to
}

// until runs until a condition holds.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for range 5000 {
		if ok() {
			return
		}
		w.run(Millisecond)
	}
	w.t.Fatalf("never came: %s", what)
}

// A chunk that is being stored when its link goes must be waited for: a save
// beside it would mix two checkpoints.
func TestLinkLossLeavesTheRunningInstallAlone(t *testing.T) {
	w, to := lagging(t)
	to.slow = true
	w.link(3)
	w.until("an install", func() bool { return len(to.jobs) > 0 })
	g := to.node.groups[0]
	to.inbox.PeerDown(uint16(w.leaderOf(0).id), DownTimeout)
	w.run(2 * Millisecond)
	if !to.node.installs(g) {
		t.Fatal("the install that runs was forgotten with the link")
	}
	to.slow = false
	to.finish()
	w.run(2 * Millisecond)
	if to.node.installs(g) {
		t.Error("the transfer outlived its link and its last job")
	}
}

// offer lets node 1 offer node 3 a snapshot that no node has.
func (w *world) offer(g paxos.GroupID, slot uint64) { w.offerOf(1, g, slot) }

// offerOf lets a node offer node 3 one.
func (w *world) offerOf(from uint16, g paxos.GroupID, slot uint64) {
	b := appendSnapshotHead(nil, snapshotHead{snapshotOffer, uint16(g), slot})
	w.nodes[3].inbox.PeerFrame(from, uint8(wire.PeerKindSnapshot), append(b, make([]byte, 16)...))
	w.run(2 * Millisecond)
}

func TestSecondSnapshotOfAPeerEndsTheFirst(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[3]
	w.offer(0, 1_000_000)
	w.offer(1, 1_000_000)
	for id, want := range []bool{false, true} {
		if got := n.node.installs(n.node.groups[id]); got != want {
			t.Errorf("group %d arrives: got %t, want %t", id, got, want)
		}
	}
}

// F-D8: a snapshot of which nothing more comes, as of a peer whose disk stands, keeps no
// other peer from sending one: the group may need this node for a quorum.
func TestFD8SnapshotThatStopsDoesNotBlockAnother(t *testing.T) {
	w := newWorld(t, testOptions())
	in := w.nodes[3].node.snapshots.in
	w.offerOf(1, 0, 1_000_000)
	w.offerOf(2, 0, 1_000_000)
	if in[1] == nil || in[2] != nil {
		t.Fatal("a second snapshot of the group is taken beside one that has just begun")
	}
	for range 4 {
		w.run(snapshotSilence / 4)
		w.offerOf(1, 0, 1_000_000) // again and again
	}
	w.offerOf(2, 0, 1_000_000)
	if in[1] != nil || in[2] == nil {
		t.Error("a snapshot of which nothing comes keeps another out")
	}
}

func TestSnapshotThatStopsDoesNotBlockSaves(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[3]
	w.offer(0, 1_000_000)
	w.run(Second)
	if !n.node.installs(n.node.groups[0]) {
		t.Fatal("a fresh transfer was forgotten")
	}
	w.run(snapshotTimeout)
	if n.node.installs(n.node.groups[0]) {
		t.Error("a dead transfer still keeps the group from being saved")
	}
}

// A snapshot that would take the group back is refused (I13), and so is one for
// a group that is being saved.
func TestSnapshotOlderThanTheStateIsRefused(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[3]
	u := w.user(1, 0)
	u.lock(w.nameIn(0, 0))
	w.run(100 * Millisecond)
	w.offer(0, uint64(n.node.groups[0].replica.Chosen()))
	if n.node.installs(n.node.groups[0]) {
		t.Error("a snapshot at the slot of the state was taken")
	}
	n.node.saving = 0
	w.offer(0, 1_000_000)
	if n.node.installs(n.node.groups[0]) {
		t.Error("a snapshot was taken beside a save")
	}
}

// A snapshot may be outrun while it is made the checkpoint: the node goes on
// where it was, and its next save fits what the store holds now.
func TestSnapshotThatWasOutrunTakesNothingBack(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	n := w.nodes[3]
	g := n.node.groups[0]
	var tokens []uint64
	for i := range 20 {
		tokens = append(tokens, u.lock(w.nameIn(0, i)).Token)
	}
	w.run(200 * Millisecond)
	slot, then := g.machine.Applied(), make(map[string][]byte)
	g.machine.All(func(key, value []byte) { then[string(key)] = bytes.Clone(value) })
	// What the old checkpoint lacks, the new one has, and is gone by now.
	for i := range 20 {
		u.unlock(w.nameIn(0, i), tokens[i])
	}
	w.run(200 * Millisecond)
	applied, want := g.machine.Applied(), g.machine.Digest()

	n.saved[0], n.slots[0] = then, slot
	n.inbox.Installed(InstallDone{Group: 0, Peer: 1, Slot: slot, Last: true,
		Machine: n.load(then)})
	w.step()
	if got := g.machine.Applied(); got < applied {
		t.Fatalf("applied slot: got %d, want %d or more", got, applied)
	}
	if got := g.machine.Digest(); g.machine.Applied() == applied && got != want {
		t.Errorf("machine: got digest %x, want %x", got, want)
	}
	n.node.save(g)
	w.until("a save", func() bool { return n.slots[0] >= applied })
	if got, want := n.load(n.saved[0]).Digest(), g.machine.Digest(); got != want {
		t.Errorf("checkpoint: got digest %x, want %x", got, want)
	}
}

// A node that leads a group by the time a snapshot of it is installed goes on with another
// machine: a list that was looking through the old one begins again (I24).
func TestListOverAnInstalledSnapshot(t *testing.T) {
	o := testOptions()
	o.SearchStep = 1
	w := newWorld(t, o)
	u := w.user(1, 0)
	n := w.leaderOf(0)
	g := n.node.groups[0]
	var tokens []uint64
	for i := range 25 {
		tokens = append(tokens, u.lock(w.nameIn(0, i)).Token)
	}
	for i := range 20 { // what stays is at the end of the old machine, alone in the new one
		u.unlock(w.nameIn(0, i), tokens[i])
	}
	w.run(200 * Millisecond)
	for range 10 {
		if _, ready, _ := n.node.namesBehind(g, nil, nil, 9); ready {
			t.Fatal("all names were found too soon")
		}
	}
	then := make(map[string][]byte)
	g.machine.All(func(key, value []byte) { then[string(key)] = bytes.Clone(value) })
	n.saved[0], n.slots[0] = then, g.machine.Applied()
	n.inbox.Installed(InstallDone{Group: 0, Peer: 2, Slot: g.machine.Applied(), Last: true,
		Machine: n.load(then)})
	w.step()
	for ready := false; !ready; {
		_, ready, _ = n.node.namesBehind(g, nil, nil, 9)
	}
	if got := len(n.node.names); got != 5 {
		t.Errorf("names found: got %d, want 5", got)
	}
}

// What is kept for peers that lag has a bound in bytes, too (I22).
func TestLogKeptForPeersIsBoundInBytes(t *testing.T) {
	o := testOptions()
	o.CheckpointBytes, o.RetainSlots, o.RetainBytes = 2048, 1<<16, int64(o.Groups)*1000
	w := newWorld(t, o)
	u := w.lasting(1, 0, 600_000)
	for i := range 100 {
		u.lock(w.nameIn(0, i))
	}
	g := w.leaderOf(0).node.groups[0]
	if kept := g.saved - g.replica.Status().Lowest; kept < 3 || kept > 40 {
		t.Errorf("slots kept below the checkpoint: got %d, want some, and of 1000 bytes", kept)
	}
}
