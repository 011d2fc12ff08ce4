package node

import (
	"slices"
	"testing"

	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// F-D8: what a peer sends while the disk stands is left out once so much waits that it
// would cost more memory than it may, also before the disk counts as stalled. When the
// disk moves it is taken again (I22).
func TestFD8EntriesThatWaitAreBoundedInBytes(t *testing.T) {
	w := newWorld(t, testOptions())
	led := w.leaderOf(0)
	idle := w.nodes[1+led.id%3].node
	g := idle.groups[0]
	m := paxos.Message{Kind: paxos.KindAccept, From: paxos.NodeID(led.id), To: idle.identity.Node,
		Ballot: led.node.groups[0].replica.Ballot()}
	from, value := g.replica.Chosen()+1, make([]byte, MostBatchBytes)
	bring := func(slot paxos.Slot) {
		m.Entries = []paxos.Entry{{Slot: slot, Ballot: m.Ballot, Value: value}}
		idle.onMessages(idle.peer(led.id), paxos.AppendMessage(make([]byte, messagesHeadBytes), &m))
		idle.work(g)
	}
	for i := range paxos.Slot(idle.opts.Window) {
		bring(from + i)
	}
	waits := 0
	for _, r := range w.nodes[uint16(idle.identity.Node)].records[idle.durable:] {
		waits += len(r.Data)
	}
	if waits < mostBehind || waits > mostBehind+2*len(value) {
		t.Errorf("%d bytes wait for the disk, want %d and one value at most", waits, mostBehind)
	}
	if k := len(idle.backlog.steps); k > 2*mostBehind/behindStep {
		t.Errorf("got %d steps, want a bound", k)
	}
	idle.onDurable(idle.lastLSN)
	before := idle.lastLSN
	if bring(from + paxos.Slot(idle.opts.Window) - 1); idle.lastLSN == before {
		t.Error("the disk has moved, and the entry is left out")
	}
}

// F-D8: a leader whose own disk is so far behind proposes nothing either, in no group,
// and goes on as soon as the disk does.
func TestFD8LeaderWaitsForItsDisk(t *testing.T) {
	w := newWorld(t, testOptions())
	one, two := uint16(0), uint16(0)
	for g := range uint16(4) { // three nodes lead four groups
		for h := range g {
			if w.leaderOf(g) == w.leaderOf(h) {
				one, two = g, h
			}
		}
	}
	u, v := w.user(1, one), w.user(2, two)
	led := w.leaderOf(one)
	led.syncing = w.now
	u.acquire(w.nameIn(one, 1), wire.FlagWait)
	w.run(2 * Millisecond)
	n := led.node
	if n.durable == n.lastLSN {
		t.Fatal("nothing waits for the disk")
	}
	n.backlog.add(n.lastLSN, mostBehind)
	before := n.lastLSN
	request := v.acquire(w.nameIn(two, 1), wire.FlagWait)
	w.run(5 * Millisecond)
	if n.lastLSN != before {
		t.Errorf("got %d records more of a leader whose disk is behind", n.lastLSN-before)
	}
	led.syncing = 0
	if r := v.wait(request, 20*Millisecond); r.Status != wire.StatusOK {
		t.Errorf("the disk has moved: got %v, want the lock", r.Status)
	}
}

// F-D8: groups that waited for the disk propose in the order in which they came, before
// those that have something to do anyway: there may be room for a few of them only.
func TestFD8GroupsWaitInOrder(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1].node
	n.dirty = n.dirty[:0]
	n.backlog.given += mostBehind
	for _, id := range []int{2, 1, 2} {
		n.propose(n.groups[id])
	}
	for _, id := range []int{0, 1} {
		n.touch(n.groups[id])
	}
	n.backlog.synced = n.backlog.given
	n.diskMoved()
	var got []paxos.GroupID
	for _, g := range n.dirty {
		got = append(got, g.id)
	}
	if want := []paxos.GroupID{2, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("got groups %v, want %v", got, want)
	}
}

// What waits is counted by position: what became durable is taken off, and not more.
func TestBacklogCounts(t *testing.T) {
	var b backlog
	size := behindStep/2 - recordRoom // two fill a step
	for lsn := wal.LSN(1); lsn <= 9; lsn++ {
		b.add(lsn, size)
	}
	all := b.given
	for _, x := range []struct {
		lsn    wal.LSN
		synced int64
	}{{1, 0}, {2, 2}, {3, 2}, {8, 8}, {9, 9}} {
		b.sync(x.lsn)
		if want := x.synced * behindStep / 2; b.synced != want {
			t.Errorf("durable up to %d: got %d bytes taken off, want %d", x.lsn, b.synced, want)
		}
	}
	if b.synced != all || len(b.steps) != 0 {
		t.Errorf("all is durable: got %d of %d bytes, %d steps", b.synced, all, len(b.steps))
	}
}
