package node

import (
	"encoding/binary"

	"lockd/netio/wire"
	"lockd/paxos"
)

// A snapshot is a checkpoint on its way to a replica that is too far behind for
// the log. courier.go sends them, arrival.go takes them. Frames, all numbers
// little-endian:
//
//	PeerSnapshot     kind u8 | group u16 | slot u64 | body
//	                 1 offer  records u64 | hash u64
//	                 2 chunk  number u32 | data
//	                 3 last   number u32 | data
//	PeerSnapshotAck  verdict u8 | group u16 | slot u64 | number u32 | key
//	                 1 wanted   from chunk number on, after the record of key
//	                 2 stored   all chunks below number
//	                 3 again    something is missing or wrong: offer again
//	                 4 refused  not wanted now
//
// The sender offers a snapshot by its name. The receiver says from where on it
// wants it: it keeps what has arrived, over a lost link and a restart of either
// side, as long as what is offered has the same name. Then come the chunks, as
// many on their way as the link carries without a queue, and each is
// acknowledged when it is stored. Whatever goes wrong, a chunk that is lost,
// damaged or cannot be stored, is set right by another offer.
const (
	snapshotOffer = 1
	snapshotChunk = 2
	snapshotLast  = 3

	ackWanted  = 1
	ackStored  = 2
	ackAgain   = 3
	ackRefused = 4

	snapshotHeadBytes = 11
)

const (
	// snapshotPatience is how long an answer may take before the snapshot is
	// offered again, and snapshotTimeout how long one may stand still before it
	// is given up. After snapshotSilence another peer may send one in its place.
	snapshotPatience = Second
	snapshotSilence  = 2 * Second
	snapshotTimeout  = 10 * Second
	// maxSnapshotChunks is how many chunks of a snapshot are on their way at
	// most.
	maxSnapshotChunks = 16
)

// snapshotHead is what all frames of snapshots begin with.
type snapshotHead struct {
	kind  uint8 // or verdict
	group uint16
	slot  uint64
}

func appendSnapshotHead(dst []byte, h snapshotHead) []byte {
	dst = binary.LittleEndian.AppendUint16(append(dst, h.kind), h.group)
	return binary.LittleEndian.AppendUint64(dst, h.slot)
}

func decodeSnapshotHead(b []byte) (h snapshotHead, rest []byte, ok bool) {
	if len(b) < snapshotHeadBytes {
		return h, nil, false
	}
	le := binary.LittleEndian
	h = snapshotHead{kind: b[0], group: le.Uint16(b[1:]), slot: le.Uint64(b[3:])}
	return h, b[snapshotHeadBytes:], true
}

// snapshotTable keeps the transfers: per peer one in each direction, and those
// that wait for the one that runs.
type snapshotTable struct {
	out  map[paxos.NodeID]*courier
	in   map[paxos.NodeID]*arrival
	pace pace
	held []heldLog
	// offers numbers the offers that were made, opens the requests to the store to
	// make a snapshot ready.
	offers, opens uint32
}

func (t *snapshotTable) init() {
	t.out = make(map[paxos.NodeID]*courier)
	t.in = make(map[paxos.NodeID]*arrival)
}

// forget drops the transfers with a peer whose link is gone. What has arrived is
// not lost by that, and the store keeps what was being sent for a while.
func (t *snapshotTable) forget(id paxos.NodeID, now Nanos) {
	if c := t.out[id]; c != nil {
		t.release(c.group, id, now+heldFor)
		delete(t.out, id)
	}
	if in := t.in[id]; in != nil && in.jobs == 0 {
		delete(t.in, id)
	} else if in != nil {
		in.gone = true
	}
}

// pace is a token bucket: it bounds the bytes of snapshots that leave the node
// in a second, to all peers together.
type pace struct {
	tokens int64
	at     Nanos
}

// paceSlack is how much time's worth of bytes may leave at once: turns without
// a reason come a tick apart.
const paceSlack = 50 * Millisecond

// open refills the bucket and reports whether something may leave.
func (p *pace) open(now Nanos, perSecond int64) bool {
	if now > p.at {
		most := perSecond * int64(paceSlack) / int64(Second)
		since := min(now-p.at, paceSlack)
		p.tokens = min(most, p.tokens+perSecond*int64(since)/int64(Second))
		p.at = now
	}
	return p.tokens > 0
}

// spend takes what has left out of the bucket. A chunk that was more than there
// was is paid for by the wait of the next.
func (p *pace) spend(bytes int) { p.tokens -= int64(bytes) }

// heldLog keeps the log of a group above the slot of a snapshot that is on its
// way, until the peer had the time to ask for what follows it: a snapshot that
// takes longer than the log is kept would end where it began.
type heldLog struct {
	group paxos.GroupID
	peer  paxos.NodeID
	slot  paxos.Slot
	// written is how much the node had written when the hold began.
	written int64
	until   Nanos // zero while the transfer runs
}

const (
	// heldFor is how long the log is held after a snapshot was sent.
	heldFor = 5 * Second
	// maxHeldBytes is how much may be written while the log is held: it bounds
	// the memory. A peer for which that is too little takes another snapshot.
	maxHeldBytes = 256 << 20
)

// hold keeps the log of a group above slot for a peer.
func (t *snapshotTable) hold(g paxos.GroupID, peer paxos.NodeID, slot paxos.Slot, written int64) {
	for i := range t.held {
		if h := &t.held[i]; h.group == g && h.peer == peer {
			if h.until != 0 {
				h.written = written
			}
			h.slot, h.until = slot, 0
			return
		}
	}
	t.held = append(t.held, heldLog{group: g, peer: peer, slot: slot, written: written})
}

// release ends a hold at a moment.
func (t *snapshotTable) release(g paxos.GroupID, peer paxos.NodeID, until Nanos) {
	for i := range t.held {
		if h := &t.held[i]; h.group == g && h.peer == peer {
			h.until = until
		}
	}
}

// heldBelow returns the slot up to which the log of g may be dropped, as far as
// peers are concerned to which its snapshots are on their way.
func (n *Node) heldBelow(g *group) paxos.Slot {
	slot := g.saved
	kept := n.snapshots.held[:0]
	for _, h := range n.snapshots.held {
		if h.until != 0 && h.until <= n.now || n.walBytes-h.written > maxHeldBytes {
			continue
		}
		kept = append(kept, h)
		if h.group == g.id {
			slot = min(slot, h.slot)
		}
	}
	n.snapshots.held = kept
	return slot
}

// tickSnapshots goes on with what waits for time to pass.
func (n *Node) tickSnapshots() {
	for _, p := range n.peers {
		n.teach(p)
		if c := n.snapshots.out[p.id]; c != nil {
			n.tickCourier(p, c)
		}
	}
}

// sendSnapshotAck answers a frame of a snapshot.
func (n *Node) sendSnapshotAck(p *peer, h snapshotHead, number uint32, key []byte) {
	b := appendSnapshotHead(make([]byte, 0, snapshotHeadBytes+4+len(key)), h)
	b = append(binary.LittleEndian.AppendUint32(b, number), key...)
	n.sendFrame(p, wire.PeerKindSnapshotAck, b)
}
