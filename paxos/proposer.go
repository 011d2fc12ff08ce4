package paxos

import (
	"bytes"
	"fmt"
)

// leadership is the state of preparing and leading one ballot.
type leadership struct {
	// next is the next slot to propose in. Invariant: next > chosen.
	next Slot
	// opened is the last slot of the takeover: once it is chosen, everything
	// earlier leaders may have had chosen is known here, and new values are
	// taken. Zero while the takeover is not proposed in full.
	opened Slot
	// first and last are the first and the last slot proposed in at this ballot;
	// zero for none. Slots before next that turned out to be chosen were not.
	first, last Slot
	// reports are the entries of highest ballot that promises reported for
	// slots ≥ next, and reported the highest slot of them.
	reports  map[Slot]Entry
	reported Slot
	// leaving says that this replica is no acceptor of the next slot and has
	// tried to hand over.
	leaving bool
	// beatDue says that a heartbeat is to leave in the next Ready.
	beatDue bool
	// doubt is the heartbeat round that a quorum must answer before this leader
	// goes on; zero if it never had a doubt.
	doubt uint64
}

func (l *leadership) report(e *Entry) {
	if have, ok := l.reports[e.Slot]; ok && !have.Ballot.Less(e.Ballot) {
		return
	}
	if l.reports == nil {
		l.reports = make(map[Slot]Entry)
	}
	l.reports[e.Slot] = Entry{Slot: e.Slot, Ballot: e.Ballot, Value: bytes.Clone(e.Value)}
	l.reported = max(l.reported, e.Slot)
}

// startLeading begins phase 2. Everything above the chosen watermark is
// proposed again in this ballot, in order.
func (r *Replica) startLeading() {
	r.role = RoleLeading
	r.leader, r.leaderBallot, r.heard = r.cfg.Self, r.ballot, 0
	r.lead.next = r.log.chosen + 1
	r.lead.beatDue = true
	for i := range r.peers {
		p := &r.peers[i]
		p.match, p.sent, p.inflight, p.stalled = r.log.chosen, r.log.chosen, 0, 0
		p.beat = 0
	}
	r.pump()
}

// serving reports whether the takeover is chosen, and nothing speaks against
// this leader.
func (r *Replica) serving() bool {
	return r.role == RoleLeading && r.ownChosen() && r.transfer.to == NoNode &&
		r.reads.confirmed >= r.lead.doubt
}

// ownChosen reports whether a slot proposed after phase 1 is chosen, and with
// it all slots that phase 1 saw (I6, I24).
func (r *Replica) ownChosen() bool {
	return r.lead.opened != 0 && r.log.chosen >= r.lead.opened
}

// seen is the highest slot in which an entry of an earlier ballot is known.
func (r *Replica) seen() Slot { return max(r.log.last, r.lead.reported) }

// mayPropose reports whether the next slot is inside the window, and this
// replica is an acceptor of it whose ballot a prepare quorum promised.
func (r *Replica) mayPropose() bool {
	c := r.configOf(r.lead.next)
	return r.lead.next <= r.log.applied+Slot(r.cfg.Window) &&
		c.place(r.cfg.Self, r.cfg.Disk) >= 0 && r.promisedTo(c)
}

// pump proposes what was taken over: "Paxos Made Simple", §3: the new leader
// finishes the instances of which it learned a proposal, fills the gaps with
// no-ops, and only then handles new commands.
func (r *Replica) pump() {
	if r.role != RoleLeading {
		return
	}
	for r.lead.next <= r.seen() && r.mayPropose() {
		s := r.lead.next
		e := r.log.entry(s)
		if reported, ok := r.lead.reports[s]; ok {
			if e.Ballot.Less(reported.Ballot) && !plantedIs("own-entry-preferred") ||
				e.Ballot.IsZero() {
				e = reported
			}
			delete(r.lead.reports, s)
		}
		if e.Ballot.IsZero() && plantedIs("gap-unfilled") {
			r.lead.next++
			continue
		}
		r.propose(e.Value)
	}
	if r.lead.next <= r.seen() {
		return
	}
	if r.lead.opened != 0 {
		for r.fills() {
			r.propose(nil)
		}
		return
	}
	// Until a prepare quorum of the next slot has promised, that slot may have been
	// chosen, and answered for, in a configuration that phase 1 did not ask.
	if !r.mayPropose() {
		return
	}
	if r.lead.first == 0 || r.lead.next-1 < r.lead.first {
		r.propose(nil)
	}
	r.lead.opened = r.lead.next - 1
}

// fills reports whether the next slot takes a no-op to bring a decided
// configuration into effect: an idle log would never reach it.
func (r *Replica) fills() bool {
	return r.serving() && r.lead.next < r.configs[len(r.configs)-1].From && r.mayPropose()
}

// propose puts value in the next slot at the leader's ballot (phase 2a). The
// leader's own acceptor takes it like any other, and answers after its sync.
func (r *Replica) propose(value []byte) {
	s := r.lead.next
	if have := r.log.ballot(s); !have.Less(r.ballot) {
		panic(fmt.Sprintf("paxos: slot %d proposed in ballot %v, accepted in %v",
			s, r.ballot, have))
	}
	r.lead.next++
	if r.lead.first == 0 {
		r.lead.first = s
	}
	r.lead.last = s
	r.accept(Entry{Slot: s, Ballot: r.ballot, Value: value})
	r.answerAccepted(r.cfg.Self, r.ballot, s)
}

// CanPropose reports whether Propose would take a value.
func (r *Replica) CanPropose() bool {
	return r.serving() && r.lead.next > r.seen() && r.mayPropose() && !r.fills()
}

// Propose puts a copy of value in a slot and returns the slot. Whether value is
// chosen there shows in Ready.Chosen: the slot's entry has this ballot or another
// value. The error is ErrNotLeader, ErrWindowFull or ErrValueSize, and nothing was
// proposed.
func (r *Replica) Propose(value []byte) (Slot, error) {
	if len(value) == 0 || len(value) > r.cfg.MaxValueBytes {
		return 0, fmt.Errorf("%w: %d bytes, want 1 to %d",
			ErrValueSize, len(value), r.cfg.MaxValueBytes)
	}
	if !r.serving() {
		return 0, ErrNotLeader
	}
	r.pump()
	switch {
	case r.configOf(r.lead.next).place(r.cfg.Self, r.cfg.Disk) < 0:
		return 0, ErrNotLeader
	case r.lead.next <= r.seen() || !r.mayPropose():
		return 0, ErrWindowFull
	}
	r.propose(r.log.values.keep(value))
	r.check()
	return r.lead.next - 1, nil
}

// onAccepted counts what an acceptor accepted; p is nil for this replica. The
// (node, disk) is looked up in each slot's own configuration (I5).
func (r *Replica) onAccepted(m *Message, p *peer) {
	if r.role != RoleLeading || m.Ballot != r.ballot {
		return
	}
	node, disk := r.cfg.Self, r.cfg.Disk
	if p != nil {
		node, disk = p.node, p.disk
		p.refused, p.refusedFor = false, 0
		p.durable = max(p.durable, m.Chosen)
	} else if m.From != r.cfg.Self {
		return
	} else {
		r.durable = max(r.durable, m.Chosen)
	}
	first, last := max(m.Slot, r.log.released+1), min(m.Last, r.lead.next-1)
	for s := first; s <= last; s++ {
		cfg, c := r.configOf(s), r.log.at(s)
		place := cfg.place(node, disk)
		for plantedIs("accept-of-removed-node") && c != nil && p != nil &&
			(place < 0 || c.accepted.Has(place)) {
			place++
		}
		if c == nil || place < 0 || c.ballot != r.ballot {
			continue
		}
		c.accepted = c.accepted.Add(place)
		if s > r.log.chosen && cfg.quorums.Accept(c.accepted) {
			c.chosen = true
		}
	}
	if p != nil {
		r.matched(p)
	}
	r.advanceKnown()
}

// matched moves p.match over what p needs no Accept for.
func (r *Replica) matched(p *peer) {
	for p.match < p.sent && !r.owes(p, p.match+1) {
		p.match++
		p.inflight -= r.weight(p.match)
		p.stalled = 0
	}
	if p.match == p.sent {
		p.inflight = 0
	}
}

// weight is what slot s counts in peer.inflight.
func (r *Replica) weight(s Slot) int {
	c := r.log.at(s)
	if c == nil {
		return entryBytes
	}
	return entryBytes + len(c.value)
}

// owes reports whether p, as an acceptor of slot s, has yet to accept it.
func (r *Replica) owes(p *peer, s Slot) bool {
	place := r.configOf(s).place(p.node, p.disk)
	c := r.log.at(s)
	return place >= 0 && c != nil && c.ballot == r.ballot && !c.accepted.Has(place)
}

// flushAccepts hands out what p has not been sent, as far as its bound on bytes
// in flight allows. A slow or silent peer waits; a quorum does not wait for it.
func (r *Replica) flushAccepts(p *peer) {
	if p.down || p.heard >= r.cfg.ElectionTicks {
		return
	}
	if p.match < r.log.released {
		p.match, p.sent = r.log.released, max(p.sent, r.log.released)
		p.inflight = 0
		for s := p.match + 1; s <= p.sent; s++ {
			p.inflight += r.weight(s)
		}
	}
	for p.sent+1 < r.lead.next && p.inflight < r.cfg.MaxInflightBytes {
		o := r.box()
		start, taken := len(o.entries), 0
		for p.sent+1 < r.lead.next && p.inflight < r.cfg.MaxInflightBytes {
			size := r.weight(p.sent + 1)
			if taken > 0 && taken+size > r.cfg.MaxMessageBytes {
				break
			}
			p.sent++
			p.inflight += size
			if r.owes(p, p.sent) {
				taken += size
				o.entries = append(o.entries, r.log.entry(p.sent))
			}
		}
		if end := len(o.entries); end > start {
			r.send(Message{
				Kind: KindAccept, To: p.node, Ballot: r.ballot, Chosen: r.log.chosen,
				Entries: o.entries[start:end:end],
			})
		}
	}
	r.matched(p)
}

// wantsAccepts reports whether flushAccepts has something for p.
func (r *Replica) wantsAccepts(p *peer) bool {
	return !p.down && p.heard < r.cfg.ElectionTicks && p.sent+1 < r.lead.next &&
		p.inflight < r.cfg.MaxInflightBytes
}
