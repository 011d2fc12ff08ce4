package node

import (
	"testing"

	"lockd/netio/wire"
	"lockd/paxos"
)

// lanes are links of a bandwidth, each direction by itself.
type lanes struct {
	perMilli int
	queues   map[[2]uint16]*lane
	order    [][2]uint16
	// slowest is the longest time a frame of messages took.
	slowest Nanos
}

type lane struct {
	frames []testFrame
	since  []Nanos
	credit int
}

func newLanes(perSecond int) *lanes {
	return &lanes{perMilli: perSecond / 1000, queues: make(map[[2]uint16]*lane)}
}

// carry takes frames in and returns those that arrive in this millisecond.
func (l *lanes) carry(frames []testFrame, now Nanos) (out []testFrame) {
	for _, f := range frames {
		key := [2]uint16{f.from, f.to}
		if l.queues[key] == nil {
			l.queues[key] = &lane{}
			l.order = append(l.order, key)
		}
		q := l.queues[key]
		q.frames, q.since = append(q.frames, f), append(q.since, now)
	}
	for _, key := range l.order {
		q := l.queues[key]
		q.credit = min(q.credit, 0) + l.perMilli
		for len(q.frames) > 0 && q.credit > 0 {
			f := q.frames[0]
			q.credit -= len(f.frame)
			if kind, _, err := wire.ParsePeer(f.frame); err == nil && kind == wire.PeerKindMessages {
				l.slowest = max(l.slowest, now-q.since[0])
			}
			out = append(out, f)
			q.frames, q.since = q.frames[1:], q.since[1:]
		}
	}
	return out
}

// away returns a world in which node 3 lacks some locks in each of the first
// groups, and its peers have dropped the slots. Node 3 has started again and is
// not linked.
func away(t *testing.T, o Options, groups, locks int) *world {
	t.Helper()
	o.CheckpointBytes, o.RetainSlots = 2048, 4
	w := newWorld(t, o)
	var has []paxos.Slot
	for _, g := range w.nodes[3].node.groups {
		has = append(has, g.replica.Chosen())
	}
	w.kill(3)
	w.run(500 * Millisecond)
	for g := range uint16(groups) {
		u := w.lasting(ConnID(g+1), g, 600_000)
		var waits []uint64
		for i := range locks {
			waits = append(waits, u.acquire(w.nameIn(g, i), wire.FlagWait))
		}
		for _, id := range waits {
			u.wait(id, 5*Second)
		}
		for i := 0; !w.dropped(g, has[g]+1); i++ {
			u.lock(w.nameIn(g, 1_000_000+i))
		}
	}
	w.nodes[3].start()
	return w
}

// dropped reports whether nobody has a slot any more.
func (w *world) dropped(g uint16, s paxos.Slot) bool {
	for _, n := range w.nodes {
		if n.node != nil && n.node.groups[g].replica.Status().Lowest <= s {
			return false
		}
	}
	return true
}

// back links node 3 and waits until it has all its groups.
func (w *world) back(within Nanos) (took Nanos) {
	w.t.Helper()
	began := w.now
	w.link(3)
	for ; w.now-began < within; w.run(Millisecond) {
		level := true
		for g := range w.nodes[3].node.groups {
			level = level && w.level(uint16(g))
		}
		if level {
			return w.now - began
		}
	}
	w.t.Fatalf("node 3 is not back after %d ms", within/Millisecond)
	return 0
}

// level reports whether node 3 has applied what node 1 has.
func (w *world) level(g uint16) bool {
	return w.nodes[3].node.groups[g].machine.Applied() >= w.nodes[1].node.groups[g].machine.Applied()
}

// sum adds up a count over the nodes that run.
func (w *world) sum(of func(*Stats) uint64) (n uint64) {
	for _, x := range w.nodes {
		if x.node != nil {
			n += of(&x.node.stats)
		}
	}
	return n
}

func snapshotFrame(f testFrame) bool {
	kind, _, err := wire.ParsePeer(f.frame)
	return err == nil && kind == wire.PeerKindSnapshot
}

// Groups that wait for a snapshot follow each other at once.
func TestSnapshotsOfManyGroupsFollowEachOther(t *testing.T) {
	o := testOptions()
	o.Groups = 12
	w := away(t, o, 12, 40)
	took := w.back(Second)
	if got := w.nodes[3].node.stats.Installs; got != 12 {
		t.Errorf("snapshots installed: got %d, want one for each of 12 groups", got)
	}
	t.Logf("12 groups were back after %d ms", took/Millisecond)
	w.converged()
}

// Whatever happens to the frames of a snapshot, it arrives whole (F-C3).
func TestFC3SnapshotOverABadLink(t *testing.T) {
	harm := map[string]func(w *world, f testFrame, count int) bool{
		"lost": func(_ *world, _ testFrame, count int) bool { return count%5 == 4 },
		"twice": func(w *world, f testFrame, _ int) bool {
			kind, payload, _ := wire.ParsePeer(f.frame)
			w.nodes[f.to].inbox.PeerFrame(f.from, uint8(kind), payload)
			return false
		},
		"wrong": func(w *world, f testFrame, count int) bool {
			kind, payload, _ := wire.ParsePeer(f.frame)
			if kind != wire.PeerKindSnapshot || payload[0] == snapshotOffer || count%5 != 4 {
				return false
			}
			// A length beyond the chunk, as the store's own checksum would find it.
			bad := append([]byte(nil), payload...)
			bad[snapshotHeadBytes+4+1] ^= 0x40
			w.nodes[f.to].inbox.PeerFrame(f.from, uint8(kind), bad)
			return true
		},
	}
	for name, do := range harm {
		t.Run(name, func(t *testing.T) {
			w := away(t, testOptions(), 2, 600)
			count := 0
			w.drop = func(f testFrame) bool {
				kind, _, err := wire.ParsePeer(f.frame)
				if err != nil || kind != wire.PeerKindSnapshot && kind != wire.PeerKindSnapshotAck {
					return false
				}
				count++
				return do(w, f, count)
			}
			w.back(30 * Second)
			if count < 20 {
				t.Errorf("frames of snapshots: got %d, want at least 20", count)
			}
			w.drop = nil
			w.run(100 * Millisecond)
			w.converged()
		})
	}
}

// A snapshot that a lost link or a restart of the receiver cuts goes on where it
// was.
func TestFC3SnapshotThatIsCutGoesOn(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := away(t, testOptions(), 1, 1200)
		chunks, whole := 0, false
		w.drop = func(f testFrame) bool {
			if snapshotFrame(f) && f.frame[wire.PeerHeaderBytes] != snapshotOffer {
				chunks++
				whole = whole || f.frame[wire.PeerHeaderBytes] == snapshotLast
			}
			return false
		}
		w.link(3)
		w.until("half of the snapshot", func() bool { return chunks >= 5 })
		if whole {
			t.Fatalf("the snapshot has %d chunks, want more", chunks)
		}
		if restart {
			w.kill(3)
			w.run(100 * Millisecond)
			w.nodes[3].start()
		} else {
			for _, id := range []uint16{1, 2} {
				w.nodes[id].inbox.PeerDown(3, DownTimeout)
				w.nodes[3].inbox.PeerDown(id, DownTimeout)
			}
			w.run(100 * Millisecond)
		}
		w.back(5 * Second)
		if got := w.sum(func(s *Stats) uint64 { return s.SnapshotsResumed }); got == 0 {
			t.Errorf("restart %t: no snapshot went on, %d chunks were sent", restart, chunks)
		}
		w.drop = nil
		w.run(100 * Millisecond)
		w.converged()
	}
}

// The answer to an opening that the end of a link made void is not taken for that
// to the next one, after which the store has another snapshot open (I12).
func TestOpeningOfALostLinkIsVoid(t *testing.T) {
	w := away(t, testOptions(), 1, 40)
	from := w.leaderOf(0)
	from.slow = true
	asked := func(n int) func() bool { return func() bool { return len(from.jobs) == n } }
	w.link(3)
	w.until("a snapshot is asked for", asked(1))
	from.inbox.PeerDown(3, DownTimeout)
	w.nodes[3].inbox.PeerDown(from.id, DownTimeout)
	w.run(100 * Millisecond)
	w.link(3)
	w.until("it is asked for again", asked(2))
	from.jobs[0]()
	w.run(20 * Millisecond) // enough for an offer and its answer
	u := w.user(40, 0)
	for i, saved := 0, from.slots[0]; from.slots[0] == saved; i++ {
		u.lock(w.nameIn(0, 2_000_000+i))
	}
	delete(from.shelf.open, 3) // it was not used for long
	from.jobs = from.jobs[1:]
	from.finish()
	from.slow = false
	w.back(5 * Second)
	if got := w.nodes[3].count(EventSnapshotFailed) + from.count(EventSnapshotFailed); got != 0 {
		t.Errorf("snapshots that failed: got %d, want 0", got)
	}
	if got := from.node.stats.SnapshotRetries; got != 0 {
		t.Errorf("snapshots that were offered again: got %d, want 0", got)
	}
	w.converged()
}

// On a slow link no message waits for a heartbeat's time behind a snapshot, and
// nobody is deposed (F-C3, I29).
func TestFC3SnapshotStarvesNoHeartbeat(t *testing.T) {
	w := away(t, testOptions(), 4, 900)
	leaders := make(map[uint16]uint16)
	for g := range uint16(4) {
		leaders[g] = w.leaderOf(g).id
	}
	w.lanes = newLanes(128 << 10)
	took := w.back(60 * Second)
	sent := w.sum(func(s *Stats) uint64 { return s.SnapshotBytesOut })
	t.Logf("%d KiB of snapshots in %d ms at 128 KiB/s, the slowest message took %d ms",
		sent>>10, took/Millisecond, w.lanes.slowest/Millisecond)
	if most := w.nodes[1].node.heartbeat(); w.lanes.slowest > most {
		t.Errorf("the slowest message took %d ms, want at most %d", w.lanes.slowest/Millisecond,
			most/Millisecond)
	}
	for g, id := range leaders {
		if got := w.leaderOf(g).id; got != id {
			t.Errorf("group %d: node %d leads, want node %d as before", g, got, id)
		}
	}
}

// All snapshots of a node together keep the rate.
func TestSnapshotsKeepTheirRate(t *testing.T) {
	o := testOptions()
	o.SnapshotBytesPerSecond = 64 << 10
	w := away(t, o, 1, 2500)
	took := w.back(60 * Second)
	sent := int64(w.sum(func(s *Stats) uint64 { return s.SnapshotBytesOut }))
	least := Nanos(sent) * Second / Nanos(o.SnapshotBytesPerSecond)
	t.Logf("%d KiB in %d ms, want about %d", sent>>10, took/Millisecond, least/Millisecond)
	if sent < 64<<10 || took < least*8/10 || took > least*2+Second {
		t.Errorf("%d bytes took %d ms, want %d to %d", sent, took/Millisecond,
			least*8/10/Millisecond, (least*2+Second)/Millisecond)
	}
}

// The log above a snapshot is there when the snapshot has arrived, however long
// that took: no second one is needed.
func TestLogIsHeldWhileASnapshotIsOnItsWay(t *testing.T) {
	o := testOptions()
	o.SnapshotBytesPerSecond = 64 << 10
	w := away(t, o, 1, 2500)
	w.link(3)
	u := w.lasting(50, 0, 600_000)
	// Under load the node is always a few slots behind.
	const few = 8
	lacks := func() uint64 {
		return w.nodes[1].node.groups[0].machine.Applied() - w.nodes[3].node.groups[0].machine.Applied()
	}
	for i := 0; w.nodes[3].node.stats.Installs == 0 || lacks() > few; i++ {
		if i > 3000 {
			t.Fatalf("node 3 is not back: it has %d snapshots and lacks %d slots",
				w.nodes[3].node.stats.Installs, lacks())
		}
		name := w.nameIn(0, 2_000_000+i%50)
		u.unlock(name, u.lock(name).Token)
	}
	if got := w.nodes[3].node.stats.Installs; got != 1 {
		t.Errorf("snapshots installed: got %d, want 1", got)
	}
	if got := w.nodes[1].node.stats.Saves + w.nodes[2].node.stats.Saves; got < 4 {
		t.Errorf("checkpoints: got %d, want some while the snapshot was on its way", got)
	}
	held := len(w.nodes[1].node.snapshots.held) + len(w.nodes[2].node.snapshots.held)
	w.run(heldFor)
	for range 20 {
		name := w.nameIn(0, 3_000_000)
		u.unlock(name, u.lock(name).Token)
	}
	w.run(Second)
	if left := len(w.nodes[1].node.snapshots.held) + len(w.nodes[2].node.snapshots.held); left > 0 {
		t.Errorf("logs held: got %d and %d at last, want none", held, left)
	}
}

// The window grows on a fast link and shrinks when chunks begin to queue.
func TestWindowFollowsTheLink(t *testing.T) {
	w := newWindow()
	for range 200 {
		w.heard(2*Millisecond, w.chunk(), 25*Millisecond)
	}
	if w.bytes != mostWindow || w.chunk() != mostChunk {
		t.Errorf("fast link: got %d and chunks of %d, want %d and %d", w.bytes, w.chunk(), mostWindow,
			mostChunk)
	}
	for range 200 {
		w.heard(60*Millisecond, w.chunk(), 25*Millisecond)
	}
	if w.bytes != leastWindow {
		t.Errorf("slow link: got %d, want %d", w.bytes, leastWindow)
	}
}

// A node that was away for a short while learns what it lacks from the log, all
// groups in turn, and no message waits for a heartbeat's time behind that.
func TestLessonsShareTheLink(t *testing.T) {
	o := testOptions()
	o.Groups, o.RetainSlots = 12, 1<<16
	w := newWorld(t, o)
	w.kill(3)
	w.run(500 * Millisecond)
	for g := range uint16(o.Groups) {
		u := w.lasting(ConnID(g+1), g, 600_000)
		var waits []uint64
		for i := range 1500 {
			if waits = append(waits, u.acquire(w.nameIn(g, i), wire.FlagWait)); i%20 == 19 {
				w.run(Millisecond)
			}
		}
		for _, id := range waits {
			u.wait(id, 5*Second)
		}
	}
	w.nodes[3].start()
	w.lanes = newLanes(1 << 20)
	took := w.back(10 * Second)
	t.Logf("12 groups were back after %d ms, the slowest message took %d ms", took/Millisecond,
		w.lanes.slowest/Millisecond)
	if got := w.nodes[3].node.stats.Installs; got != 0 {
		t.Errorf("snapshots installed: got %d, want none", got)
	}
	if most := w.nodes[1].node.heartbeat(); w.lanes.slowest > most {
		t.Errorf("the slowest message took %d ms, want at most %d", w.lanes.slowest/Millisecond,
			most/Millisecond)
	}
	w.run(100 * Millisecond)
	w.converged()
}
