package node

import (
	"encoding/binary"
	"fmt"

	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// Take takes in what has happened since the last turn, for the Turn that must
// follow. It comes before the clock is read, so that a pause between the two
// makes news seem late, not early: a renewal that came in the pause would
// else be counted from before it was sent (I21).
func (n *Node) Take() {
	n.box, n.taken = n.inbox.take(n.box), true
}

// Turn deals with everything that has happened since the last one: it hands
// each item to its group, lets every group that was touched propose, record,
// apply and answer once, and then sends one frame per peer, asks for one sync,
// and writes once per conn. It returns an error once, when the node must stop;
// nothing that depended on the failure has left.
func (n *Node) Turn(now Nanos) error {
	if n.failure != nil {
		return n.failure
	}
	n.now = now
	n.doubtAfterGap()
	n.stats.Turns++
	if !n.taken {
		n.Take()
	}
	n.taken = false
	if n.heedLog(); n.failure != nil {
		return n.failure
	}
	n.turnstile.spent, n.turnstile.passed = 0, 0
	n.serveEarly()
	for i := range n.box.items {
		n.dispatch(&n.box.items[i])
	}
	if n.failure != nil {
		return n.failure // what it was in the middle of may be half done
	}
	n.serveWaiting()
	n.answerLate()
	n.resumeConns()
	n.onDurable(wal.LSN(n.inbox.durable.Load()))
	n.onClock()
	for len(n.dirty) > 0 && n.failure == nil {
		work := n.dirty
		n.dirty = n.dirtySpare[:0]
		for _, g := range work {
			g.dirty = false
			if n.groups[g.id] == g { // it may have left meanwhile
				n.work(g)
			}
		}
		n.dirtySpare = work[:0]
	}
	if n.failure != nil {
		return n.failure
	}
	n.collect()
	if n.heedLog(); n.failure == nil {
		n.finish()
	}
	return n.failure
}

// heedLog stops the node if its log has failed. Syncs run beside turns, so one that
// fails within a turn is looked for again before what the turn produced leaves (I11).
func (n *Node) heedLog() {
	if err := n.inbox.failed.Load(); err != nil {
		n.fail(fmt.Errorf("node: the WAL failed: %w", *err))
	}
}

// doubtAfterGap compares the turn with the one before, on a clock that counts
// suspends. A node that did not run for half an election timeout may have been
// replaced without having heard of it: it leads nothing in earnest until a quorum
// has answered it.
func (n *Node) doubtAfterGap() {
	last := n.turnAt
	n.turnAt = n.now
	if last == 0 || n.now-last <= n.halfElection() {
		return
	}
	n.stats.Gaps++
	for _, g := range n.hosted {
		g.replica.Doubt()
		n.touch(g)
	}
}

// halfElection is half an election timeout.
func (n *Node) halfElection() Nanos { return Nanos(n.opts.ElectionTicks/2) * n.opts.Tick }

// finish sends what the turn produced: peers first, so that they sync while we
// do, then the answers, then the WAL.
func (n *Node) finish() {
	n.tellWatches()
	for _, p := range n.peers {
		n.flushPeer(p)
	}
	n.flushResponses()
	n.rememberPeers()
	if n.flushWAL {
		n.flushWAL = false
		n.deps.Log.Flush()
	}
}

func (n *Node) dispatch(it *item) {
	b := n.box.data[it.from:it.to:it.to]
	switch it.kind {
	case itemRequest:
		n.arrive(it.conn, b)
	case itemConnClosed:
		n.onConnClosed(it.conn)
	case itemPeerFrame:
		n.onPeerFrame(it.node, wire.PeerKind(it.sub), b)
	case itemPeerUp:
		n.onPeerUp(it.node, it.done.(memory))
	case itemPeerDown:
		n.onPeerDown(it.node, DownCause(it.sub))
	case itemSaved:
		n.onSaved(it.done.(SaveDone))
	case itemOpened:
		n.onOpened(it.done.(OpenDone))
	case itemBegun:
		n.onBegun(it.done.(BeginDone))
	case itemChunk:
		n.onChunk(it.done.(ChunkDone))
	case itemInstalled:
		n.onInstalled(it.done.(InstallDone))
	case itemRefused:
		n.onRefused(it.node, wire.Refusal(it.sub), it.done.(string))
	case itemDrain:
		n.onDrain(it.done.(drainRequest))
	case itemDropped:
		n.onDropped(it.done.(DropDone))
	case itemRecalled:
		n.onRecalled(it.done.(HistoryDone))
	case itemChange:
		n.onChange(it.done.(changeRequest))
	default:
		panic(fmt.Sprintf("node: item of unknown kind %d", it.kind))
	}
}

// onDurable releases what waited for records up to lsn. The WAL gives positions
// to records it copies forward too, so lsn may be above the last one appended
// here.
func (n *Node) onDurable(lsn wal.LSN) {
	if lsn > n.durable {
		n.durable = lsn
		n.diskMoved()
		n.held.release(lsn, n)
		n.releaseMarked()
		n.dropMarked()
	}
}

// onPeerUp hears that a link stands. What the peer showed was checked at the
// handshake; it is checked again here, because another process on a copy of the
// same directory may have come in between.
func (n *Node) onPeerUp(id uint16, seen memory) {
	p := n.peer(id)
	if p == nil {
		n.onStrangerUp(id, seen)
		return
	}
	if n.memories.forgets(p.id, seen) != "" {
		return
	}
	n.memories.meet(p.id, seen)
	disk, left := seen.disk, p.leaving
	p.up, p.disk, p.upSince, p.heardAt, p.leaving = true, disk, n.now, n.now, false
	if left {
		n.rankSuccessors()
	}
	n.drainOver(p)
	p.out = p.out[:0]
	n.observe(Event{Kind: EventPeerUp, Node: p.id})
	if n.birth != nil && seen.record == 0 {
		n.birth.meet(p.id, disk)
		n.advanceBirth()
	}
	n.announceRosterTo(p)
	p.record, p.format = seen.record, seen.format
	if p.record <= n.identity.Version {
		n.tellRecord(p)
	}
	for _, g := range n.hosted {
		g.replica.PeerUp(p.id)
		n.touch(g)
	}
}

func (n *Node) onPeerDown(id uint16, why DownCause) {
	n.onStrangerDown(id)
	p := n.peer(id)
	if p == nil || !p.up {
		return
	}
	p.up = false
	p.out = p.out[:0]
	p.lessons = lessons{}
	n.snapshots.forget(p.id, n.now)
	n.observe(Event{Kind: EventPeerDown, Node: p.id, Cause: why})
	for _, g := range n.hosted {
		if why != DownReset {
			g.replica.PeerCut(p.id)
			continue
		}
		g.replica.PeerDown(p.id)
		n.touch(g)
	}
}

// onPeerFrame reads one frame of a linked peer. What does not decode is a
// defect of the peer's version, not of this node: it is counted and dropped.
func (n *Node) onPeerFrame(id uint16, kind wire.PeerKind, b []byte) {
	p := n.peer(id)
	if p == nil {
		n.onStrangerFrame(id, kind, b)
		return
	}
	if !p.up {
		return
	}
	p.heardAt = n.now
	switch kind {
	case wire.PeerKindMessages:
		n.onMessages(p, b)
	case wire.PeerKindRoster:
		n.onRoster(p, b)
	case wire.PeerKindSnapshot:
		n.onSnapshot(p, b)
	case wire.PeerKindSnapshotAck:
		n.onSnapshotAck(p, b)
	case wire.PeerKindRecord:
		n.onRecord(b)
	case wire.PeerKindSeats:
		n.onSeats(p, b)
	case wire.PeerKindChange:
		n.onPeerChange(p, b)
	case wire.PeerKindChanged:
		n.onPeerChanged(b)
	default:
		n.stats.BadFrames++
	}
}

// brings says that messages of a kind bring entries, each of which costs a record.
func brings(k paxos.Kind) bool {
	return k == paxos.KindAccept || k == paxos.KindLearned
}

func (n *Node) onMessages(p *peer, b []byte) {
	if len(b) < messagesHeadBytes {
		n.stats.BadFrames++
		return
	}
	n.memories.hear(p.id, p.disk, wal.LSN(binary.LittleEndian.Uint64(b)))
	b = b[messagesHeadBytes:]
	m := &n.message
	for len(b) > 0 {
		rest, err := paxos.DecodeMessage(b, m)
		if err != nil {
			n.stats.BadFrames++
			return
		}
		b = rest
		if m.From != p.id || m.To != n.identity.Node || int(m.Group) >= n.opts.Groups {
			n.stats.BadFrames++
			continue
		}
		g := n.group(uint16(m.Group))
		if g == nil {
			if g = n.takeIn(m); g == nil {
				continue
			}
		}
		m.Disk = p.disk
		n.stats.MessagesIn++
		if brings(m.Kind) && (n.behind() || n.stalled && n.deps.Log.Full()) {
			continue // it comes again; until the disk moves it had to be kept in memory
		}
		if m.Kind == paxos.KindLearn {
			n.onLearn(p, g, m)
			continue
		}
		g.replica.Step(m)
		n.touch(g)
	}
}
