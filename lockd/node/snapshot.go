package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// A snapshot is a checkpoint on its way to a replica that is too far behind
// for the log. Its chunks go out one at a time: the next is read when the peer
// has stored the one before, so that a snapshot never fills a link or a memory,
// and heartbeats pass between chunks (I29). One snapshot runs per peer.
//
// Frames:
//
//	PeerSnapshot     group u16 | slot u64 | chunk u32 | last u8 | data
//	PeerSnapshotAck  group u16 | slot u64 | chunk u32 | verdict u8

const (
	snapshotHeaderBytes = 15
	snapshotTimeout     = 10 * Second

	ackStored  = 0
	ackRefused = 1 // not wanted, or failed: begin anew when asked again
)

// outgoing is a snapshot being sent to a peer.
type outgoing struct {
	group paxos.GroupID
	slot  paxos.Slot
	chunk uint32
	last  bool
	heard Nanos // moment of the last progress
}

// incoming is a snapshot being received.
type incoming struct {
	from  paxos.NodeID
	group paxos.GroupID
	slot  paxos.Slot
	chunk uint32 // the one being stored
	busy  bool
	// gone is set if the link went while the chunk was being stored.
	gone  bool
	heard Nanos
}

// snapshotTable keeps at most one transfer per peer in each direction.
type snapshotTable struct {
	out map[paxos.NodeID]*outgoing
	in  map[paxos.NodeID]*incoming
}

func (t *snapshotTable) init() {
	t.out = make(map[paxos.NodeID]*outgoing)
	t.in = make(map[paxos.NodeID]*incoming)
}

// forget drops the transfers with a peer whose link is gone.
func (t *snapshotTable) forget(id paxos.NodeID) {
	delete(t.out, id)
	if in := t.in[id]; in != nil && !in.busy {
		delete(t.in, id)
	} else if in != nil {
		in.gone = true
	}
}

// installs reports whether a snapshot for g arrives, and forgets one that came
// to a stop. While one does, nothing else may change the group's checkpoint.
func (n *Node) installs(g *group) bool {
	for id, t := range n.snapshots.in { // order: at most one matches
		if t.group != g.id {
			continue
		}
		if t.busy || n.now-t.heard < snapshotTimeout {
			return true
		}
		delete(n.snapshots.in, id)
	}
	return false
}

// startSnapshot begins a transfer to a peer that asked for slots which are
// gone, unless one is on its way.
func (n *Node) startSnapshot(g *group, s paxos.SnapshotRequest) {
	p := n.peer(uint16(s.To))
	if p == nil || !p.up || g.saved <= s.Chosen {
		return
	}
	if t := n.snapshots.out[s.To]; t != nil {
		if n.now-t.heard < snapshotTimeout {
			return
		}
	}
	n.snapshots.out[s.To] = &outgoing{group: g.id, heard: n.now}
	n.deps.Checkpoints.Read(ChunkRequest{Group: uint16(g.id), Peer: uint16(s.To)})
}

// onChunk sends a chunk that has been read.
func (n *Node) onChunk(d ChunkDone) {
	id := paxos.NodeID(d.Request.Peer)
	t := n.snapshots.out[id]
	p := n.peer(d.Request.Peer)
	if t == nil || p == nil || t.group != paxos.GroupID(d.Request.Group) ||
		t.chunk != d.Request.Chunk {
		return
	}
	if d.Err != nil {
		delete(n.snapshots.out, id)
		n.observe(Event{Kind: EventSnapshotFailed, Group: t.group, Node: id, Text: d.Err.Error()})
		return
	}
	t.slot, t.last, t.heard = paxos.Slot(d.Slot), d.Last, n.now
	b := appendSnapshotHead(nil, t.group, t.slot, t.chunk)
	last := byte(0)
	if d.Last {
		last = 1
	}
	b = append(append(b, last), d.Data...)
	n.sendFrame(p, wire.PeerKindSnapshot, b)
}

func appendSnapshotHead(dst []byte, g paxos.GroupID, s paxos.Slot, chunk uint32) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s))
	return binary.LittleEndian.AppendUint32(dst, chunk)
}

// onSnapshotAck goes on with the next chunk, or ends the transfer.
func (n *Node) onSnapshotAck(p *peer, b []byte) {
	if len(b) != snapshotHeaderBytes {
		n.stats.BadFrames++
		return
	}
	t := n.snapshots.out[p.id]
	if t == nil || uint16(t.group) != binary.LittleEndian.Uint16(b) ||
		uint64(t.slot) != binary.LittleEndian.Uint64(b[2:]) ||
		t.chunk != binary.LittleEndian.Uint32(b[10:]) {
		return
	}
	if b[14] != ackStored || t.last {
		delete(n.snapshots.out, p.id)
		if b[14] == ackStored {
			n.observe(Event{Kind: EventSnapshotSent, Group: t.group, Node: p.id, Slot: t.slot})
		}
		return
	}
	t.chunk++
	t.heard = n.now
	n.deps.Checkpoints.Read(ChunkRequest{
		Group: uint16(t.group), Peer: uint16(p.id), Chunk: t.chunk,
	})
}

// onSnapshot stores a chunk that has arrived. A snapshot that would not take
// the group forward is refused (I13).
func (n *Node) onSnapshot(p *peer, b []byte) {
	if len(b) < snapshotHeaderBytes {
		n.stats.BadFrames++
		return
	}
	g := n.group(binary.LittleEndian.Uint16(b))
	slot := paxos.Slot(binary.LittleEndian.Uint64(b[2:]))
	chunk := binary.LittleEndian.Uint32(b[10:])
	if g == nil {
		n.stats.BadFrames++
		return
	}
	t := n.snapshots.in[p.id]
	switch {
	case chunk == 0 && slot > g.replica.Chosen() && n.mayInstall(g, p.id):
		t = &incoming{from: p.id, group: g.id, slot: slot}
		n.snapshots.in[p.id] = t
	case t == nil || t.group != g.id || t.slot != slot || t.busy || chunk != t.chunk+1:
		n.ackSnapshot(p, g.id, slot, chunk, ackRefused)
		return
	}
	t.chunk, t.busy, t.heard = chunk, true, n.now
	n.deps.Checkpoints.Install(InstallRequest{
		Group: uint16(g.id), Peer: uint16(p.id), Slot: uint64(slot), Chunk: chunk,
		Data: append([]byte(nil), b[snapshotHeaderBytes:]...), Last: b[14] == 1,
	})
}

// mayInstall reports whether a new transfer for a group may begin: one at a
// time, unless the one that runs has died, and not while a save is running.
func (n *Node) mayInstall(g *group, from paxos.NodeID) bool {
	t := n.snapshots.in[from]
	if n.saving == int(g.id) || t != nil && t.busy {
		return false
	}
	return t != nil && t.group == g.id || !n.installs(g)
}

func (n *Node) ackSnapshot(p *peer, g paxos.GroupID, s paxos.Slot, chunk uint32, verdict byte) {
	b := appendSnapshotHead(nil, g, s, chunk)
	n.sendFrame(p, wire.PeerKindSnapshotAck, append(b, verdict))
}

// onInstalled acknowledges a stored chunk; after the last one the group goes on
// with the machine of the snapshot.
func (n *Node) onInstalled(d InstallDone) {
	g := n.groups[d.Group]
	from := paxos.NodeID(d.Peer)
	t := n.snapshots.in[from]
	known := t != nil && t.group == g.id && uint64(t.slot) == d.Slot && t.chunk == d.Chunk
	if known {
		t.busy, t.heard = false, n.now
	}
	if errors.Is(d.Err, lockfsm.ErrTooNew) {
		// The cluster writes what this build cannot read, and there is no way
		// round it: this group could never catch up here (I27).
		n.fail(fmt.Errorf("node: installing a snapshot of group %d from node %d: %w",
			d.Group, d.Peer, d.Err))
		return
	}
	verdict := byte(ackStored)
	if d.Err != nil {
		verdict = ackRefused
		n.observe(Event{Kind: EventSnapshotFailed, Group: g.id, Node: from, Text: d.Err.Error()})
	}
	if known && (d.Last || d.Err != nil || t.gone) {
		delete(n.snapshots.in, from)
	}
	if d.Last && d.Err == nil {
		n.adopt(g, d)
	}
	if p := n.peer(d.Peer); p != nil {
		n.ackSnapshot(p, g.id, paxos.Slot(d.Slot), d.Chunk, verdict)
	}
}

// adopt goes on with the machine of a snapshot that is now the group's
// checkpoint. A replica that has come further by itself meanwhile takes the new
// machine as far as it was with the old one: the applied slot never goes back
// (I13), and what the next save writes is counted from the new checkpoint.
func (n *Node) adopt(g *group, d InstallDone) {
	slot := paxos.Slot(d.Slot)
	applied := paxos.Slot(g.machine.Applied())
	g.machine, g.changes, g.saved = d.Machine, nil, slot
	for s := slot + 1; s <= applied; s++ {
		n.applyAgain(g, s)
	}
	g.replica.Install(slot, nil)
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
