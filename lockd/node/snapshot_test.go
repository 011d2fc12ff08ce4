package node

import (
	"errors"
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

func TestSecondSnapshotOfAPeerEndsTheFirst(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[3]
	for _, g := range []paxos.GroupID{0, 1} {
		b := append(appendSnapshotHead(nil, g, 1_000_000, 0), 0, 1, 0, 'k', 'v')
		n.inbox.PeerFrame(1, uint8(wire.PeerKindSnapshot), b)
		w.run(2 * Millisecond)
	}
	for id, want := range []bool{false, true} {
		if got := n.node.installs(n.node.groups[id]); got != want {
			t.Errorf("group %d arrives: got %t, want %t", id, got, want)
		}
	}
}

func TestSnapshotThatStopsDoesNotBlockSaves(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[3]
	b := append(appendSnapshotHead(nil, 0, 1_000_000, 0), 0, 1, 0, 'k', 'v')
	n.inbox.PeerFrame(1, uint8(wire.PeerKindSnapshot), b)
	w.run(Second)
	if !n.node.installs(n.node.groups[0]) {
		t.Fatal("a fresh transfer was forgotten")
	}
	w.run(snapshotTimeout)
	if n.node.installs(n.node.groups[0]) {
		t.Error("a dead transfer still keeps the group from being saved")
	}
}

// After an install that failed at its end the store may hold either content.
func TestFailedInstallIsFollowedByAFullSave(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[3]
	n.inbox.Installed(InstallDone{Group: 0, Peer: 1, Slot: 9, Last: true,
		Err: errors.New("the checkpoint does not load")})
	w.run(2 * Millisecond)
	if !n.node.groups[0].replace {
		t.Error("the next save would build on a checkpoint nobody knows")
	}
}
