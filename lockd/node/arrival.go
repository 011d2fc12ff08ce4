package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"lockd/lockfsm"
	"lockd/paxos"
)

// arrival is a snapshot that comes from a peer.
type arrival struct {
	group    paxos.GroupID
	snapshot Snapshot
	// open is set once the store has said what it has of it, next is the chunk
	// that comes next.
	open bool
	next uint32
	// jobs counts what the store was asked to do and has not done.
	jobs int
	// gone is set if the link went while there were jobs.
	gone bool
	// heard is when the peer last spoke of it, moved when more of it came: a peer whose
	// disk stands may offer it again and again.
	heard, moved Nanos
}

// installs reports whether a snapshot for g arrives, and forgets one that came
// to a stop. While one does, nothing else may change the group's checkpoint.
func (n *Node) installs(g *group) bool {
	return n.arrives(g, func(a *arrival) bool { return n.now-a.heard < snapshotTimeout })
}

// comes is installs for a snapshot of which more has come lately.
func (n *Node) comes(g *group) bool {
	return n.arrives(g, func(a *arrival) bool { return n.now-a.moved < snapshotSilence })
}

func (n *Node) arrives(g *group, goesOn func(*arrival) bool) bool {
	for id, a := range n.snapshots.in { // order: at most one matches
		if a.group != g.id {
			continue
		}
		if a.jobs > 0 || goesOn(a) {
			return true
		}
		delete(n.snapshots.in, id)
	}
	return false
}

// onSnapshot takes an offer or a chunk.
func (n *Node) onSnapshot(p *peer, b []byte) {
	h, body, ok := decodeSnapshotHead(b)
	g := n.group(h.group)
	if !ok || g == nil {
		n.stats.BadFrames++
		return
	}
	switch {
	case h.kind == snapshotOffer && len(body) == 16:
		n.onOffer(p, g, h, Snapshot{
			Slot:    h.slot,
			Records: binary.LittleEndian.Uint64(body),
			Hash:    binary.LittleEndian.Uint64(body[8:]),
		})
	case (h.kind == snapshotChunk || h.kind == snapshotLast) && len(body) >= 4:
		n.onSnapshotChunk(p, g, h, body)
	default:
		n.stats.BadFrames++
	}
}

// onOffer asks the store from where on a snapshot is wanted. One that would not
// take the group forward is refused (I13), and so is a second one for a group, unless
// nothing more comes of the first: the disk of who sends it may stand.
func (n *Node) onOffer(p *peer, g *group, h snapshotHead, s Snapshot) {
	a := n.snapshots.in[p.id]
	if a != nil && a.jobs > 0 {
		return // the peer offers again; by then it is known what became of them
	}
	busy := n.saving == int(g.id) || (a == nil || a.group != g.id) && n.comes(g)
	if busy || paxos.Slot(s.Slot) <= g.replica.Chosen() {
		h.kind = ackRefused
		n.sendSnapshotAck(p, h, 0, nil)
		return
	}
	moved := n.now
	if a != nil && a.group == g.id && a.snapshot == s {
		moved = a.moved
	}
	n.snapshots.in[p.id] = &arrival{group: g.id, snapshot: s, jobs: 1, heard: n.now, moved: moved}
	n.deps.Checkpoints.Begin(BeginRequest{Group: h.group, Peer: uint16(p.id), Snapshot: s})
}

// onBegun tells the peer what is wanted.
func (n *Node) onBegun(d BeginDone) {
	id := paxos.NodeID(d.Request.Peer)
	a := n.jobDone(id, d.Request.Group, d.Request.Snapshot.Slot)
	if a == nil {
		return
	}
	h := snapshotHead{kind: ackWanted, group: d.Request.Group, slot: a.snapshot.Slot}
	if d.Err != nil {
		h.kind = ackRefused
		n.failArrival(id, a, d.Err)
		delete(n.snapshots.in, id)
	}
	a.open, a.next = true, d.Next
	if p := n.peer(d.Request.Peer); p != nil {
		n.sendSnapshotAck(p, h, d.Next, d.After)
	}
}

// jobDone notes that the store has done a job for an arrival, and returns the
// arrival if it still goes on.
func (n *Node) jobDone(id paxos.NodeID, group uint16, slot uint64) *arrival {
	a := n.snapshots.in[id]
	if a == nil || uint16(a.group) != group || a.snapshot.Slot != slot {
		return nil
	}
	a.jobs--
	a.heard = n.now
	if a.gone && a.jobs == 0 {
		delete(n.snapshots.in, id)
		return nil
	}
	return a
}

func (n *Node) failArrival(id paxos.NodeID, a *arrival, why error) {
	n.observe(Event{Kind: EventSnapshotFailed, Group: a.group, Node: id, Text: why.Error()})
}

// onSnapshotChunk has a chunk stored, if it is the next one.
func (n *Node) onSnapshotChunk(p *peer, g *group, h snapshotHead, body []byte) {
	number, data := binary.LittleEndian.Uint32(body), body[4:]
	a := n.snapshots.in[p.id]
	known := a != nil && a.group == g.id && a.snapshot.Slot == h.slot && a.open
	last := h.kind == snapshotLast
	switch {
	case known && number < a.next:
		return // came twice
	case !known || number > a.next || a.jobs >= maxSnapshotChunks:
		h.kind = ackAgain
		if known {
			a.open = false
		}
		n.sendSnapshotAck(p, h, number, nil)
		return
	case paxos.Slot(h.slot) <= g.replica.Chosen():
		// The log was faster; what has arrived goes with the next save.
		h.kind = ackRefused
		a.open, a.gone = false, true
		if a.jobs == 0 {
			delete(n.snapshots.in, p.id)
		}
		n.sendSnapshotAck(p, h, number, nil)
		return
	}
	a.next, a.heard, a.moved = number+1, n.now, n.now
	a.jobs++
	n.deps.Checkpoints.Install(InstallRequest{
		Group: h.group, Peer: uint16(p.id), Slot: h.slot, Chunk: number,
		Data: append([]byte(nil), data...), Last: last,
	})
}

// onInstalled acknowledges a stored chunk; after the last one the group goes on
// with the machine of the snapshot.
func (n *Node) onInstalled(d InstallDone) {
	if d.Last && d.Err == nil {
		n.adopt(n.group(d.Group), d)
	}
	if errors.Is(d.Err, lockfsm.ErrTooNew) {
		// The cluster writes what this build cannot read, and there is no way
		// round it: this group could never catch up here (I27).
		n.fail(fmt.Errorf("node: installing a snapshot of group %d from node %d: %w",
			d.Group, d.Peer, d.Err))
		return
	}
	id := paxos.NodeID(d.Peer)
	a := n.jobDone(id, d.Group, d.Slot)
	if a == nil {
		return
	}
	h := snapshotHead{kind: ackStored, group: d.Group, slot: d.Slot}
	number := d.Chunk + 1
	switch {
	case d.Err != nil && !a.open:
		return // said already
	case d.Err != nil:
		n.failArrival(id, a, d.Err)
		a.open = false
		h.kind, number = ackAgain, d.Chunk
	case d.Last:
		delete(n.snapshots.in, id)
	case !a.open:
		return
	}
	if p := n.peer(d.Peer); p != nil {
		n.sendSnapshotAck(p, h, number, nil)
	}
}

// adopt goes on with the machine of a snapshot that is now the group's
// checkpoint. A replica that has come further by itself meanwhile takes the new
// machine as far as it was with the old one: the applied slot never goes back
// (I13), and what the next save writes is counted from the new checkpoint.
func (n *Node) adopt(g *group, d InstallDone) {
	if g == nil {
		return // the group is not kept here any more
	}
	slot := paxos.Slot(d.Slot)
	applied := paxos.Slot(g.machine.Applied())
	if d.Machine.Applied() != d.Slot {
		panic(fmt.Sprintf("node: snapshot of group %d: have slot %d, its machine is at %d",
			g.id, slot, d.Machine.Applied()))
	}
	g.machine, g.changes, g.saved = d.Machine, nil, slot
	g.forgetSearches() // they have looked at places of the old one
	if at := toldOf(g.machine); at.slot > g.told.slot {
		g.told = at // what ended between, nobody here saw
	}
	for s := slot + 1; s <= applied && !plantedIs("snapshot-goes-back"); s++ {
		n.applyAgain(g, s)
	}
	n.install(g, slot)
	n.probeAdopted(g)
	n.release(g)
	n.stats.Installs++
	n.observe(Event{
		Kind: EventSnapshotInstalled, Group: g.id, Node: paxos.NodeID(d.Peer), Slot: slot,
	})
	n.touch(g)
}

// applyAgain moves a new machine over a slot that the old one has applied. The
// replica still has its value: it keeps what lies above the last checkpoint,
// and the one that was installed is newer.
func (n *Node) applyAgain(g *group, s paxos.Slot) {
	value, ok := g.replica.Value(s)
	if !ok {
		panic(fmt.Sprintf("node: group %d: slot %d is applied, above the checkpoint, and gone",
			g.id, s))
	}
	err := g.machine.Apply(uint64(s), value, &n.outcome)
	if err != nil && !errors.Is(err, lockfsm.ErrMalformed) {
		n.fail(fmt.Errorf("node: applying slot %d of group %d again: %w", s, g.id, err))
	}
}
