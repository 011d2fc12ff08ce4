package sim

import (
	"errors"

	"lockd/lockd/history"
	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal/disk"
)

// process is one life of a node: from a start to a crash. It is what the node
// touches: peers, clients, its superblock and its probe.
type process struct {
	w    *World
	site *site
	life uint64
	// alive ends with the crash. In the same moment everything that was meant
	// for this life becomes void.
	alive  bool
	node   *node.Node
	inbox  *node.Inbox
	log    *nodeLog
	store  *checkpoints
	past   *history.Store
	notes  int // that past was given
	dir    disk.Dir
	conns  []*conn
	waking bool
	// doomed is the number of outputs of the next turn that still happen
	// before the process dies in it, -1 if it is not to die.
	doomed int
	// cut says that the process has died in the turn that runs.
	cut bool
	// stopping says that it was told to give everything away to stop, aside that an
	// operator had it drain.
	stopping, aside bool
	// met are the nodes to which it keeps up links: those of its configuration, and
	// those that the node was told to meet and not to part from.
	met map[uint16]bool
	// dark says that the power went while it used the disk.
	dark bool
	// handing are the groups that the node is giving away, with until when.
	handing map[paxos.GroupID]Time
	// reached is up to where it has applied each group, nil if none.
	reached []paxos.Slot
}

// output reports whether something that the running turn does still happens.
func (p *process) output() bool {
	if p.cut || !p.alive {
		return false
	}
	if p.doomed == 0 {
		p.cut = true
		return false
	}
	if p.doomed > 0 {
		p.doomed--
	}
	return true
}

// wake plans a turn, unless one is planned.
func (p *process) wake() {
	if p.waking || !p.alive {
		return
	}
	p.waking = true
	p.w.agenda.After(p.w.dice.schedule.around(p.w.opts.TurnDelay), func() {
		p.waking = false
		p.round()
	})
}

// round gives the node a turn on an event loop, which then sees to it that what was
// appended is synced. It comes after a sync for which the loop waits.
func (p *process) round() {
	if p.log.here {
		p.log.late = true
		return
	}
	p.log.rounds.Begin()
	p.turn()
	if p.alive {
		p.log.rounds.Sent()
	}
}

// beat gives the node turns without a reason, as the timer of its loop does.
func (p *process) beat() {
	p.w.agenda.After(Time(p.w.opts.Node.Tick), func() {
		if p.alive {
			p.turn()
			p.beat()
		}
	})
}

// turn lets the node deal with what has happened.
func (p *process) turn() {
	if !p.alive || p.w.failure != nil {
		return
	}
	if p.site.pausedUntil > p.w.agenda.Now() {
		if !p.waking {
			p.waking = true
			p.w.agenda.At(p.site.pausedUntil, func() {
				p.waking = false
				p.round()
			})
		}
		return
	}
	p.w.note("turn", uint64(p.site.id))
	err := p.node.Turn(p.site.clock.read(p.w.agenda.Now()))
	switch {
	case p.cut || p.doomed >= 0:
		p.site.crash("in a turn")
	case err != nil:
		p.w.stopped(p, err)
	}
}

// peers is the node's door to its peers.
type peers struct{ *process }

// Send implements node.Peers.
func (p peers) Send(to uint16, frame []byte) {
	if !p.output() || !p.met[to] {
		return
	}
	if len(frame) > wire.MaxPeerFrameBytes {
		p.w.failf("I22: node %d sends a frame of %d bytes, which no node reads", p.site.id, len(frame))
	}
	kind, payload, err := wire.ParsePeer(frame)
	if err != nil {
		p.w.failf("node %d sends a frame that does not parse: %v", p.site.id, err)
		return
	}
	if kind == wire.PeerKindMessages {
		p.inspect(payload[8:]) // behind the position
	}
	p.w.link(p.site.id, to).send(p.process, kind, payload)
}

// Meet implements node.Peers. A link on which the node was heard as a stranger ends,
// and another one is made.
func (p peers) Meet(id uint16, _ string) {
	if p.met[id] || id == p.site.id {
		return
	}
	p.met[id] = true
	if l := p.w.link(p.site.id, id); l != nil && (l.ends[0] == p.process || l.ends[1] == p.process) {
		l.breakOff(node.DownClosed)
	}
}

// Part implements node.Peers. A later handshake is refused.
func (p peers) Part(id uint16) {
	delete(p.met, id)
	if l := p.w.link(p.site.id, id); l != nil {
		l.breakOff(node.DownClosed)
	}
}

// inspect judges the messages of a frame at the network door.
func (p peers) inspect(b []byte) {
	m := &p.w.message
	for len(b) > 0 {
		rest, err := paxos.DecodeMessage(b, m)
		if err != nil {
			p.w.failf("node %d sends a message that does not decode: %v", p.site.id, err)
			return
		}
		b = rest
		p.w.messages[m.Kind]++
		p.w.check(p.site.disk.Sent(m))
		p.w.sized(m)
	}
}

// clients is the node's door to its clients.
type clients struct{ *process }

// Send implements node.Clients.
func (p clients) Send(id node.ConnID, frames []byte) {
	if !p.output() {
		return
	}
	if c := p.conn(id); c != nil {
		c.answer(frames)
	}
}

// Flush implements node.Clients.
func (p clients) Flush() { p.output() }

// Resume implements node.Clients: conns of this world are always read.
func (p clients) Resume(node.ConnID) {}

// CloseConn implements node.Clients.
func (p clients) CloseConn(id node.ConnID) {
	if c := p.conn(id); c != nil && p.output() {
		c.reset()
	}
}

func (p *process) conn(id node.ConnID) *conn {
	for _, c := range p.conns {
		if c.id == id {
			return c
		}
	}
	return nil
}

// superblock keeps the identity on the simulated disk.
type superblock struct{ *process }

const identityName = "IDENTITY"

var errDied = errors.New("sim: the process died")

// Store implements node.Superblock.
func (p superblock) Store(b []byte) error {
	if !p.output() {
		return errDied
	}
	return disk.WriteFileAtomic(p.dir, identityName, b)
}

// probe watches what the machines of the node do.
type probe struct{ *process }

// Applied implements node.Probe.
func (p probe) Applied(g paxos.GroupID, e *paxos.Entry, m *lockfsm.Machine, out *lockfsm.Outcome) {
	p.applying(g, e.Slot)
	p.w.applied(p.process, g, e, m, out)
}

// Adopted implements node.Probe.
func (p probe) Adopted(g paxos.GroupID, m *lockfsm.Machine) {
	p.applying(g, paxos.Slot(m.Applied()))
	p.w.check(p.w.chosen.Adopted(int(p.site.id), g, paxos.Slot(m.Applied()), m.Digest()))
}

// observe hears of the node's events.
func (p *process) observe(e node.Event) {
	p.w.say("node %d: %v group %d node %d slot %d %s", p.site.id, e.Kind, e.Group, e.Node, e.Slot,
		e.Text)
	p.w.events[e.Kind]++
	p.noteLeadership(e)
	switch e.Kind {
	case node.EventOpened:
		p.bound(e.Group)
	case node.EventRecord:
		p.w.recorded(p.site)
	case node.EventTold:
		p.w.covered["record of a stranger believed"]++
	case node.EventRetired:
		p.w.leftBehind(p.site, e.Group)
		p.site.cutOnLeaving()
		p.w.operator.keepAfterAll(p.site)
	}
	if e.Kind == node.EventMalformed {
		p.w.failf("node %d applied a value that is no batch: group %d slot %d: %s",
			p.site.id, e.Group, e.Slot, e.Text)
	}
}
