package paxos

import "lockd/paxos/quorum"

// reads is the state of read confirmation.
type reads struct {
	// seq is the round of the last heartbeat that left; rounds never repeat in
	// a replica's life, whatever the ballot.
	seq uint64
	// asked is the highest round ConfirmRead named, confirmed the highest one
	// that a quorum answered. Invariant: confirmed ≤ seq.
	asked, confirmed uint64
	// late says that a round was not looked at, because the next slot's
	// configuration was unknown.
	late bool
}

func (d *reads) pending() uint64 {
	if d.asked <= d.confirmed {
		return 0
	}
	return d.asked - d.confirmed
}

// ConfirmRead joins the heartbeat round that leaves with the next Ready and
// returns its number. Once Ready.Confirmed has reached it, this replica was the
// leader at a moment after the call, and a read answered from the state it then
// has applied is linearizable: Ongaro, §6.4, steps 1 to 4. A round that left
// before the call is never used again (I24). The error is ErrNotLeader. A
// replica that stops leading confirms nothing further: the caller watches Role.
func (r *Replica) ConfirmRead() (uint64, error) {
	if r.role != RoleLeading {
		return 0, ErrNotLeader
	}
	if plantedIs("confirmation-reused") && r.reads.seq > 0 {
		return r.reads.seq, nil
	}
	r.reads.asked = r.reads.seq + 1
	r.lead.beatDue = true
	return r.reads.asked, nil
}

// Doubt is for a caller that did not run for so long that another may lead by
// now, for example because its process was stopped. A leader takes no new value
// from then on until a quorum has answered a heartbeat that leaves with the next
// Ready. Nothing safe hangs on it: what a deposed leader proposes is not chosen.
// But who asks it is not kept waiting behind values that never will be.
func (r *Replica) Doubt() {
	if r.role == RoleLeading {
		r.lead.doubt = r.reads.seq + 1
		r.lead.beatDue = true
	}
}

// Outbid has this replica use no ballot of round or below from now on; a leader whose
// own is one asks for a higher one at once, and leads again when it has it. It is for
// a caller that orders leaderships by their ballots over changes of configuration: a
// group all of whose acceptors have been replaced since may be led in a ballot below
// those that its log was written in, because nobody is left who promised them.
func (r *Replica) Outbid(round uint64) {
	r.elect.round = max(r.elect.round, round)
	if r.role == RoleLeading && r.ballot.Round <= round && r.transfer.to == NoNode {
		r.prepare()
	}
}

// flushHeartbeat hands out the heartbeat that is due to all peers that take part
// in a slot not chosen yet, as acceptors or observers.
func (r *Replica) flushHeartbeat() {
	r.lead.beatDue = false
	r.reads.seq++
	for i := range r.peers {
		if !r.concerns(r.peers[i].node) {
			continue
		}
		r.send(Message{
			Kind: KindHeartbeat, To: r.peers[i].node, Ballot: r.ballot,
			Chosen: r.log.chosen, Seq: r.reads.seq,
		})
	}
	r.confirm()
}

// concerns reports whether node is to hear of the slots that are not chosen yet.
func (r *Replica) concerns(node NodeID) bool {
	live := r.live()
	for i := range live {
		if live[i].names(node) {
			return true
		}
	}
	return false
}

// onHeartbeat hears the leader and says that nothing above its ballot is
// promised here. That needs no sync: it promises nothing. Who only learns says
// too what of it is synced, by the last time that it asked itself. Who could not
// lead says that, which is a hint for hand-overs.
func (r *Replica) onHeartbeat(m *Message) {
	if m.Ballot.Node != m.From || r.isStranger(m) {
		return
	}
	r.hearLeader(m)
	r.advanceTo(m)
	if m.Ballot.Less(r.promised) {
		r.refuse(m)
		return
	}
	ack := Message{
		Kind: KindHeartbeatAck, To: m.From, Ballot: m.Ballot,
		Chosen: r.log.chosen, Seq: m.Seq,
	}
	if !r.reaches() {
		ack.Flags = FlagRefused
	}
	if r.configs[len(r.configs)-1].place(r.cfg.Self, r.cfg.Disk) < 0 {
		ack.Slot = r.synced + 1
		r.sendAfterSync(Message{Kind: KindHeartbeatAck, To: r.cfg.Self, Chosen: r.log.chosen})
	}
	r.send(ack)
}

func (r *Replica) onHeartbeatAck(m *Message) {
	p := r.peer(m.From)
	if p == nil || r.role != RoleLeading || m.Ballot != r.ballot || m.Seq > r.reads.seq {
		return
	}
	p.beat, p.refused, p.refusedFor = 0, false, 0
	if m.Seq >= p.seq {
		p.seq, p.barred = m.Seq, m.Flags.Has(FlagRefused)
	}
	p.answered = true
	if m.Slot > 0 {
		p.unsynced = m.Slot
	}
	r.confirm()
	if p.barred && r.transfer.to == p.node {
		r.transfer = transfer{}
	}
	r.maybeHandOver()
}

// confirm moves reads.confirmed to the last round that an accept quorum of each
// live configuration answered. A later leader needs a prepare quorum, which
// meets that one in an acceptor that had not promised it when it answered.
//
// That holds of leaders in higher ballots. Acceptors whom a configuration has brought
// in may know no ballot of those before, and one of them may have led in a lower one:
// until a prepare quorum of the next slot's has promised this ballot, and what they
// reported is chosen, an answer of theirs proves nothing. And which acceptors those
// are it knows only once all is handed out that may have named them.
func (r *Replica) confirm() {
	if r.role != RoleLeading || !r.ownChosen() && !plantedIs("read-before-own-slot") {
		return
	}
	if r.reads.late = !r.knowsNext(); r.reads.late {
		return
	}
	if !r.promisedTo(r.configOf(r.log.chosen+1)) || r.log.chosen < r.lead.reported {
		return
	}
	reached := r.reads.seq
	live := r.live()
	for i := range live {
		reached = min(reached, r.reached(&live[i]))
	}
	r.reads.confirmed = max(r.reads.confirmed, reached)
}

// reached returns the last heartbeat round that an accept quorum of c answered.
func (r *Replica) reached(c *config) uint64 {
	var rounds [quorum.MaxAcceptors]uint64
	for place, a := range c.Acceptors {
		if a.Node == r.cfg.Self {
			if a.Disk == r.cfg.Disk {
				rounds[place] = r.reads.seq
			}
		} else if p := r.peer(a.Node); p != nil && p.disk == a.Disk {
			rounds[place] = p.seq
		}
	}
	return c.quorums.Reached(rounds[:len(c.Acceptors)])
}

// tickLeading beats, sends again what went unanswered, and steps down without a
// quorum: a leader that a quorum does not hear blocks the others, who may still
// hear it (Ongaro, §6.2; Omni-Paxos, §2, on partial partitions).
func (r *Replica) tickLeading() {
	live := r.live()
	for i := range live {
		c := &live[i]
		if c.age >= r.cfg.ElectionTicks && !c.quorums.Accept(r.withSelf(c, r.answers)) &&
			!plantedIs("leads-without-quorum") {
			r.stepDown()
			return
		}
	}
	r.heard = 0
	if r.ticks%r.cfg.HeartbeatTicks == 0 {
		r.lead.beatDue = true
	}
	raise := false
	for i := range r.peers {
		p := &r.peers[i]
		if p.stalled >= 2*r.cfg.HeartbeatTicks {
			r.rewind(p)
		}
		raise = raise || p.refused && p.refusedFor >= r.cfg.ElectionTicks
	}
	if r.lead.beatDue && !r.promisedTo(r.configOf(r.lead.next)) {
		r.prepareRest()
	}
	r.tickTransfer()
	r.maybeLeave()
	if raise && r.role == RoleLeading && r.transfer.to == NoNode {
		r.prepare()
	}
}

// answers reports whether p answered this leader within an election timeout.
func (r *Replica) answers(p *peer) bool { return p.beat < r.cfg.ElectionTicks }
