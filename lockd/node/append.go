package node

import (
	"encoding/binary"

	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// ready carries out what a replica wants from the world: its records go to the
// WAL, messages that depend on nothing join their peer's frame, those that
// depend on a record wait for its sync, and what was chosen is applied.
func (n *Node) ready(g *group) {
	rd := g.replica.Ready()
	for i := range rd.Records {
		n.appendRecord(g, &rd.Records[i])
	}
	for i := range rd.Messages {
		n.send(&rd.Messages[i])
	}
	for i := range rd.AfterSync {
		m := &rd.AfterSync[i]
		switch {
		case n.durable < n.lastLSN && !plantedIs("answer-before-sync"):
			n.held.push(n.lastLSN, m)
		case m.To == n.identity.Node:
			n.self = append(n.self, *m)
		default:
			n.send(m)
		}
	}
	for i := range rd.Chosen {
		n.apply(g, &rd.Chosen[i])
		if n.failure != nil {
			return
		}
	}
	n.answerReads(g, rd.Confirmed)
	for _, s := range rd.Snapshots {
		n.startSnapshot(g, s)
	}
	for i := range n.self {
		n.self[i].Disk = n.identity.Disk
		g.replica.Step(&n.self[i])
	}
	clear(n.self)
	n.self = n.self[:0]
}

// appendRecord gives a record to the WAL, whose kinds say how long it lives.
func (n *Node) appendRecord(g *group, r *paxos.Record) {
	kind := wal.KindHint
	switch r.Kind {
	case paxos.RecordPromise:
		kind = wal.KindState
	case paxos.RecordAccept:
		kind = wal.KindEntry
	case paxos.RecordChosen:
	}
	n.lastLSN = n.deps.Log.Append(wal.Record{
		Group: uint16(g.id), Kind: kind, Slot: uint64(r.Slot), Data: r.Data,
	})
	n.spokenLSN = n.lastLSN
	n.walBytes += int64(len(r.Data))
	n.backlog.add(n.lastLSN, len(r.Data))
	n.flushWAL = true
}

// recordOf is the inverse of appendRecord, for replay.
func recordOf(r *wal.Record) paxos.Record {
	kind := paxos.RecordChosen
	switch r.Kind {
	case wal.KindState:
		kind = paxos.RecordPromise
	case wal.KindEntry:
		kind = paxos.RecordAccept
	case wal.KindHint:
	}
	return paxos.Record{Kind: kind, Slot: paxos.Slot(r.Slot), Data: r.Data}
}

// maxFrameBytes is the size at which a peer's frame is sent before the turn
// ends; it leaves room for one more message of the largest size.
const maxFrameBytes = 2 << 20

// send puts a message into its peer's frame.
func (n *Node) send(m *paxos.Message) {
	if n.stalled && !plantedIs("stalled-disk-leads") &&
		(m.Kind == paxos.KindHeartbeat || m.Kind == paxos.KindAccept) {
		return // either would keep a leader whose disk does not move (I30)
	}
	p := n.peer(uint16(m.To))
	if p == nil || !p.up {
		return
	}
	n.stats.MessagesOut++
	p.begin()
	before := len(p.out)
	p.out = paxos.AppendMessage(p.out, m)
	if m.Kind == paxos.KindLearned {
		p.lessons.given(m, len(p.out)-before, n.now)
	}
	if len(p.out) > maxFrameBytes {
		n.flushPeer(p)
	}
}

// messagesHeadBytes is what stands before the messages of a frame: the position
// up to which the sender's log is synced. All that a message depends on is at
// or below it.
const messagesHeadBytes = 8

// begin makes sure that a frame of messages is open.
func (p *peer) begin() {
	if len(p.out) == 0 {
		p.out = wire.BeginPeer(p.out, wire.PeerKindMessages)
		p.out = append(p.out, make([]byte, messagesHeadBytes)...)
	}
}

// sendEncoded is send for a message that was encoded when it was held.
func (n *Node) sendEncoded(p *peer, b []byte) {
	if !p.up {
		return
	}
	n.stats.MessagesOut++
	p.begin()
	p.out = append(p.out, b...)
	if len(p.out) > maxFrameBytes {
		n.flushPeer(p)
	}
}

// flushPeer sends the frame collected for a peer.
func (n *Node) flushPeer(p *peer) {
	if len(p.out) == 0 {
		return
	}
	binary.LittleEndian.PutUint64(p.out[wire.PeerHeaderBytes:], uint64(n.position()))
	p.out = wire.EndPeer(p.out, 0)
	n.deps.Peers.Send(uint16(p.id), p.out)
	p.out = p.out[:0]
	if cap(p.out) > 2*maxFrameBytes {
		p.out = nil
	}
}

// sendFrame sends a frame of another kind than messages.
func (n *Node) sendFrame(p *peer, kind wire.PeerKind, payload []byte) {
	if p.up {
		n.deps.Peers.Send(uint16(p.id), wire.AppendPeer(nil, kind, payload))
	}
}

// heldQueue keeps what may not leave before a record is synced, in the order of
// the records. Messages to peers are kept encoded, because what they borrow
// does not live that long; messages to this node itself carry no entries.
type heldQueue struct {
	items []heldMessage
	first int
	data  []byte
}

type heldMessage struct {
	lsn      wal.LSN
	to       paxos.NodeID
	from, at int // data[from:at]
}

func (q *heldQueue) push(lsn wal.LSN, m *paxos.Message) {
	from := len(q.data)
	q.data = paxos.AppendMessage(q.data, m)
	q.items = append(q.items, heldMessage{lsn, m.To, from, len(q.data)})
}

// release lets go of everything that waited for records up to lsn.
func (q *heldQueue) release(lsn wal.LSN, n *Node) {
	for q.first < len(q.items) && q.items[q.first].lsn <= lsn {
		h := q.items[q.first]
		q.first++
		b := q.data[h.from:h.at:h.at]
		if h.to != n.identity.Node {
			if p := n.peer(uint16(h.to)); p != nil {
				n.sendEncoded(p, b)
			}
			continue
		}
		n.stepSelf(b)
	}
	if q.first == len(q.items) {
		q.items, q.data, q.first = q.items[:0], q.data[:0], 0
		return
	}
	if q.first > 1024 && q.first > len(q.items)/2 {
		q.compact()
	}
}

// compact drops what has been released.
func (q *heldQueue) compact() {
	base := q.items[q.first].from
	q.data = append(q.data[:0], q.data[base:]...)
	q.items = append(q.items[:0], q.items[q.first:]...)
	q.first = 0
	for i := range q.items {
		q.items[i].from -= base
		q.items[i].at -= base
	}
}

// stepSelf hands a replica its own promise or accept, which counts only now
// that it is synced (I4).
func (n *Node) stepSelf(b []byte) {
	m := &n.message
	if _, err := paxos.DecodeMessage(b, m); err != nil {
		panic("node: own message does not decode: " + err.Error())
	}
	g := n.group(uint16(m.Group))
	if g == nil {
		return // it has left this node meanwhile
	}
	m.Disk = n.identity.Disk
	g.replica.Step(m)
	n.touch(g)
}
