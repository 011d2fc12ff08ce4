package node

import (
	"encoding/binary"
	"errors"

	"lockd/netio/wire"
	"lockd/paxos"
)

// courier sends snapshots to one peer: one at a time, group after group in the
// order in which the peer asked. It exists while it has something to do and the
// link stands.
type courier struct {
	queue []errand
	// The rest is about the one under way, if stage says that there is one.
	errand
	stage    courierStage
	snapshot Snapshot
	// try is the number of the last offer; a chunk that was read for an earlier
	// one is void. reading is the try for which one is being read, zero for none.
	try, reading uint32
	// opening is the number of the last request to the store to make a snapshot
	// ready: the answer to an earlier one says nothing of what is open now.
	opening uint32
	// offers counts those since the last progress.
	offers int
	// next is the chunk to be read next, acked the first that is not
	// acknowledged, ended is set once the last has been sent.
	next, acked uint32
	ended       bool
	seek        bool   // the next chunk does not follow the last one read
	after       []byte // where it begins then
	// flight are the chunks from acked on.
	flight []sentChunk
	window window
	// waiting is the moment since which an answer is awaited, zero if none is;
	// moved that of the last progress.
	waiting, moved Nanos
}

// errand is a group that a peer lacks a snapshot of, and what it has.
type errand struct {
	group paxos.GroupID
	above paxos.Slot
}

type courierStage uint8

const (
	courierIdle    courierStage = iota
	courierOpening              // the store makes the snapshot ready
	courierOffered              // the peer is to say what it wants of it
	courierSending
)

type sentChunk struct {
	bytes int
	at    Nanos
}

// maxOffers is how often a snapshot is offered without any progress.
const maxOffers = 8

var (
	errSnapshotSilence = errors.New("the peer does not answer")
	errSnapshotStuck   = errors.New("the peer cannot store the next chunk")
	errSnapshotGone    = errors.New("there is no checkpoint above what the peer has")
)

// startSnapshot puts a group on the list of those of which a peer needs a
// snapshot, because it asked for slots that are gone.
func (n *Node) startSnapshot(g *group, s paxos.SnapshotRequest) {
	p := n.peer(uint16(s.To))
	if p == nil || !p.up || g.saved <= s.Chosen {
		return
	}
	c := n.snapshots.out[s.To]
	if c == nil {
		c = &courier{}
		n.snapshots.out[s.To] = c
	}
	if c.stage != courierIdle && c.group == g.id {
		return
	}
	for i := range c.queue {
		if c.queue[i].group == g.id {
			c.queue[i].above = s.Chosen
			return
		}
	}
	c.queue = append(c.queue, errand{g.id, s.Chosen})
	n.nextErrand(p, c)
}

// nextErrand begins with the next group that waits, if none is under way.
func (n *Node) nextErrand(p *peer, c *courier) {
	for c.stage == courierIdle && len(c.queue) > 0 {
		e := c.queue[0]
		c.queue = append(c.queue[:0], c.queue[1:]...)
		g := n.group(uint16(e.group))
		if g == nil || g.saved <= e.above {
			continue
		}
		*c = courier{queue: c.queue, errand: e, stage: courierOpening, moved: n.now,
			window: newWindow()}
		// Nothing above the checkpoint that will be opened may go meanwhile.
		n.snapshots.hold(e.group, p.id, e.above, n.walBytes)
		n.open(p, c)
	}
	if c.stage == courierIdle {
		delete(n.snapshots.out, p.id)
	}
}

// open has the store make a snapshot ready.
func (n *Node) open(p *peer, c *courier) {
	n.snapshots.opens++
	c.opening = n.snapshots.opens
	n.deps.Checkpoints.Open(OpenRequest{Group: uint16(c.group), Peer: uint16(p.id),
		Above: uint64(c.above), Try: c.opening})
}

// onOpened offers the snapshot that the store has made ready.
func (n *Node) onOpened(d OpenDone) {
	p, c := n.courierTo(d.Request.Peer)
	if c == nil || c.stage != courierOpening || d.Request.Try != c.opening {
		return
	}
	err := d.Err
	if err == nil && d.Snapshot.Slot <= uint64(c.above) {
		err = errSnapshotGone
	}
	if err != nil {
		n.endErrand(p, c, err)
		return
	}
	c.snapshot = d.Snapshot
	n.snapshots.hold(c.group, p.id, paxos.Slot(d.Snapshot.Slot), n.walBytes)
	n.offer(p, c)
}

func (n *Node) courierTo(id uint16) (*peer, *courier) {
	p := n.peer(id)
	if p == nil {
		return nil, nil
	}
	return p, n.snapshots.out[p.id]
}

// offer asks the peer from where on it wants the snapshot.
func (n *Node) offer(p *peer, c *courier) {
	if c.offers++; c.offers > maxOffers {
		n.endErrand(p, c, errSnapshotStuck)
		return
	}
	c.stage, c.waiting = courierOffered, n.now
	n.snapshots.offers++
	c.try = n.snapshots.offers
	c.flight = c.flight[:0]
	b := appendSnapshotHead(nil, c.head(snapshotOffer))
	b = binary.LittleEndian.AppendUint64(b, c.snapshot.Records)
	b = binary.LittleEndian.AppendUint64(b, c.snapshot.Hash)
	n.sendFrame(p, wire.PeerKindSnapshot, b)
}

func (c *courier) head(kind uint8) snapshotHead {
	return snapshotHead{kind: kind, group: uint16(c.group), slot: c.snapshot.Slot}
}

// onSnapshotAck hears what the peer says to an offer or a chunk.
func (n *Node) onSnapshotAck(p *peer, b []byte) {
	h, b, ok := decodeSnapshotHead(b)
	if !ok || len(b) < 4 {
		n.stats.BadFrames++
		return
	}
	number, key := binary.LittleEndian.Uint32(b), b[4:]
	c := n.snapshots.out[p.id]
	if c == nil || c.stage < courierOffered || h != c.head(h.kind) {
		return // of a transfer that is over
	}
	switch h.kind {
	case ackWanted:
		n.onWanted(p, c, number, key)
	case ackStored:
		n.onStored(p, c, number)
	case ackAgain:
		if c.stage == courierSending {
			n.stats.SnapshotRetries++
			n.offer(p, c)
		}
	case ackRefused:
		n.endErrand(p, c, nil)
	default:
		n.stats.BadFrames++
	}
}

// onWanted goes on from where the peer stands.
func (n *Node) onWanted(p *peer, c *courier, number uint32, key []byte) {
	if c.stage != courierOffered || (number == 0) != (len(key) == 0) {
		return
	}
	g := n.group(uint16(c.group))
	if number == 0 && g != nil && uint64(g.saved) > c.snapshot.Slot {
		// There is a newer one, and nothing of this has arrived.
		c.stage, c.above = courierOpening, paxos.Slot(c.snapshot.Slot)
		n.open(p, c)
		return
	}
	if number > 0 && c.offers == 1 {
		n.stats.SnapshotsResumed++
		n.observe(Event{Kind: EventSnapshotResumed, Group: c.group, Node: p.id,
			Slot: paxos.Slot(c.snapshot.Slot)})
	}
	c.stage, c.waiting = courierSending, 0
	c.next, c.acked, c.ended = number, number, false
	c.seek, c.after = true, append([]byte(nil), key...)
	n.pump(p, c)
}

// onStored counts the chunks that the peer has stored.
func (n *Node) onStored(p *peer, c *courier, number uint32) {
	if c.stage != courierSending || number <= c.acked || number > c.next {
		return
	}
	k := int(number - c.acked)
	bytes := 0
	for _, s := range c.flight[:k] {
		bytes += s.bytes
	}
	c.window.heard(n.now-c.flight[k-1].at, bytes, n.heartbeat()/4)
	c.flight = append(c.flight[:0], c.flight[k:]...)
	c.acked, c.moved, c.waiting, c.offers = number, n.now, n.now, 0
	if len(c.flight) == 0 {
		c.waiting = 0
	}
	if c.ended && c.acked == c.next {
		n.stats.SnapshotsSent++
		n.observe(Event{Kind: EventSnapshotSent, Group: c.group, Node: p.id,
			Slot: paxos.Slot(c.snapshot.Slot)})
		n.endErrand(p, c, nil)
		return
	}
	n.pump(p, c)
}

func (n *Node) heartbeat() Nanos { return Nanos(n.opts.HeartbeatTicks) * n.opts.Tick }

// pump has the next chunk read, unless enough is on its way to the peer or from
// the node.
func (n *Node) pump(p *peer, c *courier) {
	if c.stage != courierSending || c.reading != 0 || c.ended || len(c.flight) == maxSnapshotChunks {
		return
	}
	room := c.window.bytes
	for _, s := range c.flight {
		room -= s.bytes
	}
	if room <= 0 || !n.snapshots.pace.open(n.now, n.opts.SnapshotBytesPerSecond) {
		return
	}
	c.reading = c.try
	n.deps.Checkpoints.Read(ChunkRequest{
		Group: uint16(c.group), Peer: uint16(p.id), Chunk: c.next, Seek: c.seek, After: c.after,
		Bytes: c.window.chunk(), Try: c.try,
	})
	c.seek, c.after = false, nil
}

// onChunk sends a chunk that has been read.
func (n *Node) onChunk(d ChunkDone) {
	p, c := n.courierTo(d.Request.Peer)
	if c == nil || d.Request.Try != c.reading {
		return
	}
	c.reading = 0
	switch {
	case d.Request.Try != c.try || c.stage != courierSending:
		n.pump(p, c)
		return
	case d.Err != nil:
		n.endErrand(p, c, d.Err)
		return
	}
	kind := uint8(snapshotChunk)
	if d.Last {
		kind = snapshotLast
	}
	b := appendSnapshotHead(make([]byte, 0, snapshotHeadBytes+4+len(d.Data)), c.head(kind))
	b = append(binary.LittleEndian.AppendUint32(b, c.next), d.Data...)
	n.sendFrame(p, wire.PeerKindSnapshot, b)
	n.snapshots.pace.spend(len(b))
	n.stats.SnapshotBytesOut += uint64(len(b))
	c.next++
	c.ended = d.Last
	c.flight = append(c.flight, sentChunk{len(b), n.now})
	if c.waiting == 0 {
		// Nobody was waited for while the rate kept the chunk back.
		c.waiting, c.moved = n.now, n.now
	}
	n.pump(p, c)
}

// tickCourier offers again what went unanswered, and gives up what stands still.
func (n *Node) tickCourier(p *peer, c *courier) {
	if c.stage >= courierOffered && c.waiting != 0 {
		switch {
		case n.now-c.moved > snapshotTimeout:
			n.endErrand(p, c, errSnapshotSilence)
			return
		case n.now-c.waiting > snapshotPatience:
			n.offer(p, c)
		}
	}
	n.pump(p, c)
}

// endErrand ends the transfer under way, for a reason if it failed, and begins
// with the next.
func (n *Node) endErrand(p *peer, c *courier, why error) {
	if why != nil {
		n.observe(Event{Kind: EventSnapshotFailed, Group: c.group, Node: p.id, Text: why.Error()})
	}
	n.snapshots.release(c.group, p.id, n.now+heldFor)
	c.stage = courierIdle
	n.nextErrand(p, c)
}

// window is how many bytes of a snapshot may be on their way. It grows while
// chunks come through about as fast as ever and shrinks when they begin to
// queue, wherever that is, so that other frames do not wait behind them: the
// idea is that of LEDBAT (RFC 6817).
type window struct {
	bytes int
	base  Nanos // the shortest round trip
	// held are the bytes still to be acknowledged before it shrinks again.
	held int
}

const (
	leastWindow = 8 << 10
	mostWindow  = 1 << 20
	// mostChunk bounds a chunk before compression.
	mostChunk = 128 << 10
)

func newWindow() window { return window{bytes: leastWindow} }

// chunk is how large the next chunk may be: a fraction of the window, so that a
// slow link carries small ones and a heartbeat never waits for long.
func (w *window) chunk() int { return min(w.bytes/4, mostChunk) }

// heard notes that so many bytes were acknowledged, the last after trip. queue
// is how much longer than the shortest a trip may be.
func (w *window) heard(trip Nanos, bytes int, queue Nanos) {
	if w.base == 0 || trip < w.base {
		w.base = max(trip, 1)
	}
	w.held -= bytes
	switch {
	case trip-w.base <= queue/2:
		w.bytes = min(w.bytes+bytes, mostWindow)
	case trip-w.base > queue && w.held <= 0:
		w.held = w.bytes
		w.bytes = max(w.bytes/2, leastWindow)
	}
}
