package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
	"lockd/wal/disk/simdisk"
)

// site is a node of production on its machine: what the node touches, it
// touches through here. A turn runs in no time when its core is free, and what
// it sends leaves when the time it costs is over.
type site struct {
	w     *World
	id    uint16
	cores *cores
	node  *node.Node
	inbox *node.Inbox
	log   *siteLog
	store *store
	// running says that a turn takes its time, waiting that one is in line,
	// again that one more is wanted after the one that runs.
	running, waiting, again bool
	// work is what has come for the next turn, and what the one that runs did.
	work  work
	stats node.Stats // at the end of the last turn
	out   []outFrame // of the turn that runs
	flush bool       // it asked for a sync
	conns map[node.ConnID]*conn
	// card is when the network card has sent all it was given.
	card Time
}

// outFrame is bytes for a peer or for a conn.
type outFrame struct {
	peer uint16
	conn node.ConnID
	b    []byte
}

// open makes the node of an empty directory.
func (s *site) open() error {
	o := s.w.opts.node(s.id)
	o.Seed = s.w.opts.Seed*1000 + uint64(s.id)
	id := node.Identity{
		Cluster: o.Cluster, Node: paxos.NodeID(s.id), Groups: uint16(o.Groups),
		Disk: paxos.DiskID(1000 + uint64(s.id)), Settings: o.Digest(),
	}
	dice := s.w.agenda.dice
	dir, err := simdisk.New(dice.IntN).Mount()
	if err != nil {
		return err
	}
	rec := node.NewRecovery(id, o)
	writer, err := wal.Open(dir, wal.Options{Stamp: uint64(id.Disk), SegmentBytes: segmentBytes,
		MaxBatchBytes: segmentBytes / 2},
		func(wal.LSN, wal.Record) error { return errors.New("an empty log has a record") })
	if err != nil {
		return err
	}
	rec.Opened(writer.Durable())
	s.log = &siteLog{s: s, writer: writer, last: writer.Durable()}
	s.store = &store{s: s, limits: rec.Limits(), groups: make(map[uint16]*stored),
		sending: make(map[uint16]*sending), stages: make(map[uint16]*staged)}
	s.conns = make(map[node.ConnID]*conn)
	s.inbox = node.NewInbox(o.MaxInboxBytes)
	s.node, err = node.New(o, node.Deps{Log: s.log, Peers: peers{s}, Clients: clients{s},
		Checkpoints: s.store, Superblock: superblock{}, Observe: s.observe, Probe: probe{s}},
		s.inbox, rec)
	return err
}

// segmentBytes is small, so that many logs fit into the memory of one process.
const segmentBytes = 8 << 20

// clock is what the node takes for the time. It never shows zero.
func (s *site) clock() node.Nanos { return node.Nanos(s.w.agenda.Now() + second) }

// start begins the life of the node.
func (s *site) start() {
	if err := s.open(); err != nil {
		s.w.failf("node %d does not start: %v", s.id, err)
		return
	}
	s.log.prepare()
	s.beat()
}

// beat gives the node turns without a reason, as the timer of its loop does.
func (s *site) beat() {
	s.turn()
	s.w.agenda.After(Time(s.w.opts.node(s.id).Tick), s.beat)
}

// turn lets the node deal with what has happened, as soon as it can.
func (s *site) turn() {
	switch {
	case s.waiting:
	case s.running:
		s.again = true
	default:
		s.waiting = true
		s.cores.run(s.begin, s.end)
	}
}

// begin runs a turn and says what it takes.
func (s *site) begin() Time {
	s.waiting, s.running = false, true
	if err := s.node.Turn(s.clock()); err != nil {
		s.w.failf("node %d stops: %v", s.id, err)
	}
	now := s.node.Stats()
	s.work.messages = now.MessagesIn + now.MessagesOut - s.stats.MessagesIn - s.stats.MessagesOut
	s.stats = now
	s.w.total.add(&s.work)
	took := s.w.opts.Costs.of(&s.work)
	s.work = work{}
	return took
}

// end lets go of what the turn produced: peers first, then answers, then the
// log.
func (s *site) end() {
	s.running = false
	for i := range s.out {
		o := &s.out[i]
		s.card = max(s.card, s.w.agenda.Now()) + s.w.opts.Costs.wire(len(o.b))
		if o.peer != 0 {
			s.w.carry(s, o.peer, o.b)
		} else if c := s.conns[o.conn]; c != nil {
			c.answer(s.card, o.b)
		}
	}
	s.out = s.out[:0]
	if s.flush {
		s.flush = false
		s.log.flush()
	}
	if s.again {
		s.again = false
		s.turn()
	}
}

// peers is the node's door to its peers.
type peers struct{ *site }

// Send implements node.Peers.
func (p peers) Send(to uint16, frame []byte) {
	p.work.writes++
	p.work.bytes += uint64(len(frame))
	p.out = append(p.out, outFrame{peer: to, b: slices.Clone(frame)})
}

// Meet implements node.Peers: every pair of sites is dialed.
func (p peers) Meet(uint16, string) {}

// Part implements node.Peers. Nobody leaves here.
func (p peers) Part(id uint16) { p.w.failf("node %d parts from node %d", p.id, id) }

// clients is the node's door to its clients.
type clients struct{ *site }

// Send implements node.Clients.
func (c clients) Send(id node.ConnID, frames []byte) {
	c.work.writes++
	c.work.bytes += uint64(len(frames))
	c.out = append(c.out, outFrame{conn: id, b: slices.Clone(frames)})
}

// Flush implements node.Clients: what was sent leaves with the turn.
func (c clients) Flush() {}

// Resume implements node.Clients: conns of this world are always read.
func (clients) Resume(node.ConnID) {}

// CloseConn implements node.Clients.
func (c clients) CloseConn(id node.ConnID) { c.w.failf("node %d closes conn %d", c.id, id) }

// superblock takes the identity, which nobody reads again.
type superblock struct{}

// Store implements node.Superblock.
func (superblock) Store([]byte) error { return nil }

// probe counts commands.
type probe struct{ *site }

// Applied implements node.Probe.
func (p probe) Applied(_ paxos.GroupID, _ *paxos.Entry, _ *lockfsm.Machine, out *lockfsm.Outcome) {
	p.work.commands += uint64(len(out.Results))
	p.w.total.slots++
}

// Adopted implements node.Probe.
func (p probe) Adopted(paxos.GroupID, *lockfsm.Machine) {}

// observe counts the moves of groups.
func (s *site) observe(e node.Event) {
	switch e.Kind {
	case node.EventSeats:
		s.w.seatChanges++
	case node.EventDeposed:
		s.w.deposed++
	case node.EventFailed:
		s.w.failf("node %d: %s", s.id, e.Text)
	}
	if s.w.opts.Log != nil {
		fmt.Fprintf(s.w.opts.Log, "%8.3f node %d: %v group %d node %d slot %d %s\n",
			s.w.agenda.Now().Seconds(), s.id, e.Kind, e.Group, e.Node, e.Slot, e.Text)
	}
}

// read notes that a packet came on what was last read in a turn: what comes
// between two turns is read at once.
func (s *site) read(last *uint64, bytes int) {
	turn := s.stats.Turns + 1
	if *last == turn {
		s.work.packets++
	} else {
		s.work.reads++
	}
	*last = turn
	s.work.bytes += uint64(bytes)
}

// hear takes a frame of a peer.
func (s *site) hear(from uint16, l *link, end int, frame []byte) {
	kind, payload, err := wire.ParsePeer(frame)
	if err != nil {
		s.w.failf("node %d sends a frame that does not parse: %v", from, err)
		return
	}
	s.read(&l.read[end], len(frame))
	s.inbox.PeerFrame(from, uint8(kind), payload)
	s.turn()
}

// request takes what a client wrote: whole frames.
func (s *site) request(c *conn, b []byte) {
	s.read(&c.read, len(b))
	for len(b) > 0 {
		n := int(binary.LittleEndian.Uint32(b)) + 4
		s.work.requests++
		if h, _, _ := wire.Parse(b[:n]); h.Kind == wire.KindHello {
			c.greet()
		} else if !s.inbox.Request(c.id, b[:n]) {
			s.w.failf("the inbox of node %d is full", s.id)
		}
		b = b[n:]
	}
	s.turn()
}
