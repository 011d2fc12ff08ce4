package sim

import (
	"encoding/binary"

	"lockd/lockd/node"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// link is what joins two sites: one conn at a time, with a lane each way.
type link struct {
	w    *World
	a, b *site
	// ends are the processes that the conn joins. A conn that broke is noticed
	// by each end in its own time; up says that neither has yet.
	ends [2]*process
	// joined are those of the newest conn, whether it stands or not.
	joined [2]*process
	up     bool
	conn   uint64 // number of the conn; frames of an older one never arrive
	lanes  [2]lane
	// slow is added to the time of every frame.
	slow  Time
	flaps Time // until when it breaks again and again
}

// lane is one direction of a link.
type lane struct {
	// cut lanes carry nothing and no handshake; what is sent waits.
	cut bool
	// latest is when the last frame arrives, so that frames keep their order.
	latest Time
	bytes  int
	held   []heldFrame // while cut or clogged
	clog   Time        // end of the clog
}

type heldFrame struct {
	kind    wire.PeerKind
	payload []byte
}

// side is 0 for frames that a site of the link receives from b, 1 from a.
func (l *link) side(to *site) int {
	if to == l.b {
		return 1
	}
	return 0
}

func (l *link) site(side int) *site {
	if side == 1 {
		return l.b
	}
	return l.a
}

// redial tries to make a conn, again and again, for the whole run.
func (l *link) redial() {
	l.w.agenda.After(l.w.dice.network.length(20*millisecond, 200*millisecond), func() {
		l.dial()
		l.redial()
	})
}

func (l *link) dial() {
	a, b := l.a.proc, l.b.proc
	now := l.w.agenda.Now()
	switch {
	case l.up, l.ends[0] != nil, l.ends[1] != nil, a == nil, b == nil:
		return
	case !a.met[l.b.id] && !b.met[l.a.id]:
		return // neither knows where the other is
	case l.lanes[0].cut, l.lanes[1].cut, l.a.pausedUntil > now, l.b.pausedUntil > now:
		return
	}
	fromA, fromB := a.node.PeerHello(), b.node.PeerHello()
	fromA.From, fromA.To, fromB.From, fromB.To = l.a.id, l.b.id, l.b.id, l.a.id
	l.pretend(b, fromA)
	refusedA, refusedB := b.node.CheckPeer(&fromA), a.node.CheckPeer(&fromB)
	if refusedA != nil {
		l.refuse(a, l.b.id, refusedA)
	}
	if refusedB != nil {
		l.refuse(b, l.a.id, refusedB)
	}
	if refusedA != nil || refusedB != nil {
		return
	}
	if l.a.lost != l.b.lost && (l.a.bound(l.b) || l.b.bound(l.a)) {
		l.w.failf("I7: link between nodes %d and %d, although one has lost its directory", l.a.id, l.b.id)
		return
	}
	l.up = true
	l.conn++
	l.ends = [2]*process{a, b}
	l.joined = l.ends
	l.lanes = [2]lane{}
	l.w.note("link", uint64(l.a.id), uint64(l.b.id), l.conn)
	a.inbox.PeerUp(l.b.id, &fromB)
	b.inbox.PeerUp(l.a.id, &fromA)
	a.wake()
	b.wake()
}

// bound reports whether a sound site knows which disk another has. One that has
// not heard yet lets any disk in, and then no quorum counts it (I5).
func (s *site) bound(other *site) bool {
	if s.lost || s.proc == nil || s.renewed && !s.born() {
		return false // it knows nothing, or not yet
	}
	id, err := node.DecodeIdentity(s.drive.Content(identityName))
	if err != nil || id.Record == nil {
		return true
	}
	n := id.Record.Node(paxos.NodeID(other.id))
	return n != nil && n.Disk != 0
}

// pretend lets somebody dial who is not the peer: a node of another cluster, one
// that nobody has invited, or the peer under the id of a third node. None of them
// may be let in (I7, F-N6).
func (l *link) pretend(p *process, h wire.PeerHello) {
	w := l.w
	third := w.sites[w.dice.stranger.IntN(len(w.sites))]
	switch w.dice.stranger.IntN(3) {
	case 0:
		h.Cluster++
	case 1:
		h.From = uint16(len(w.sites) + 1)
		h.Record = min(h.Record, p.node.PeerHello().Record)
		l.mislead(p, h)
	default:
		// Before its birth a node has nothing to hold against a disk, where disks
		// are replaced it may not know the newest yet, and who shows a newer record
		// is let in to tell of it.
		if third == l.a || third == l.b || !p.site.born() || w.opts.Faults&FaultMember != 0 ||
			h.Record > p.node.PeerHello().Record {
			return
		}
		h.From = third.id
	}
	w.covered["stranger refused"]++
	if p.node.CheckPeer(&h) == nil {
		w.failf("I7: node %d lets in a stranger that calls itself node %d", p.site.id, h.From)
	}
}

func (l *link) refuse(p *process, by uint16, r *wire.PeerRefused) {
	l.w.note("refused", uint64(p.site.id), uint64(by), uint64(r.Code))
	l.w.covered["peer refused"]++
	p.inbox.Refused(by, uint8(r.Code), string(r.Text))
	p.wake()
}

// send takes a frame of a process to the other end.
func (l *link) send(p *process, kind wire.PeerKind, payload []byte) {
	to := l.b
	if p.site == l.b {
		to = l.a
	}
	side := l.side(to)
	if !l.up || l.ends[1-side] != p {
		return
	}
	ln := &l.lanes[side]
	if kind == wire.PeerKindMessages {
		payload = l.w.withhold(to, payload)
	}
	f := heldFrame{kind, append([]byte(nil), payload...)}
	ln.bytes += len(payload)
	if ln.bytes > l.w.opts.QueueBytes && ln.bytes > len(payload) {
		l.w.covered["link overflow"]++
		l.breakOff(node.DownReset)
		return
	}
	if ln.cut || ln.clog > l.w.agenda.Now() {
		ln.held = append(ln.held, f)
		return
	}
	l.carry(side, f)
}

// carry brings a frame on its way. Messages of replicas may be lost, doubled
// and overtaken, which is more than TCP would do; other frames may not.
func (l *link) carry(side int, f heldFrame) {
	w := l.w
	copies, ordered := 1, true
	if f.kind == wire.PeerKindMessages && w.faulty(FaultLossy) {
		switch n := w.dice.network.IntN(100); {
		case n < 3:
			copies = 0
		case n < 5:
			copies = 2
		case n < 10:
			ordered = false
		}
	}
	ln := &l.lanes[side]
	if copies == 0 {
		ln.bytes -= len(f.payload)
		return
	}
	for i := range copies {
		at := w.agenda.Now() + l.slow + w.opts.Latency/4 + w.dice.network.around(w.opts.Latency)
		switch {
		case !ordered || i > 0:
			at += w.dice.network.around(20 * w.opts.Latency)
		default:
			ln.latest = max(ln.latest, at)
			at = ln.latest
		}
		number, freed := l.conn, 0
		if i == copies-1 {
			freed = len(f.payload)
		}
		w.agenda.At(at, func() { l.arrive(side, number, f, freed) })
	}
}

// arrive hands a frame to the process at the end of its lane, which has so many
// bytes less on their way then.
func (l *link) arrive(side int, number uint64, f heldFrame, freed int) {
	if !l.up || l.conn != number {
		return
	}
	l.lanes[side].bytes -= freed
	p := l.ends[side]
	l.w.note("frame", uint64(l.site(1-side).id), uint64(p.site.id), uint64(f.kind),
		uint64(len(f.payload)))
	if f.kind == wire.PeerKindMessages {
		from := l.site(1 - side)
		position := wal.LSN(binary.LittleEndian.Uint64(f.payload))
		from.heard[p.site.id-1] = max(from.heard[p.site.id-1], position)
	}
	p.inbox.PeerFrame(l.site(1-side).id, uint8(f.kind), f.payload)
	p.wake()
}

// clog lets a lane stand still until a moment.
func (l *link) clog(side int, until Time) {
	l.lanes[side].clog = until
	l.w.agenda.At(until, func() { l.release(side) })
}

// release lets go of what a lane held, if nothing holds it any more.
func (l *link) release(side int) {
	ln := &l.lanes[side]
	if ln.cut || ln.clog > l.w.agenda.Now() {
		return
	}
	held := ln.held
	ln.held = nil
	for _, f := range held {
		l.carry(side, f)
	}
}

// breakOff ends the conn. Frames on their way are lost; each end notices in
// its own time.
func (l *link) breakOff(why node.DownCause) {
	if !l.up {
		return
	}
	l.w.note("break", uint64(l.a.id), uint64(l.b.id), uint64(why))
	l.up = false
	for side := range l.ends {
		l.lanes[side].held, l.lanes[side].bytes = nil, 0
		p := l.ends[side]
		l.w.agenda.After(l.w.dice.network.around(5*l.w.opts.Latency), func() {
			if l.ends[side] != p {
				return
			}
			l.ends[side] = nil
			if p.alive {
				p.inbox.PeerDown(l.site(1-side).id, why)
				p.wake()
			}
		})
	}
}

// died breaks the conn because one end died.
func (l *link) died(p *process) {
	if l.ends[0] == p || l.ends[1] == p {
		l.breakOff(node.DownReset)
	}
}
