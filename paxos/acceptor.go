package paxos

// acceptedRange is a range of slots accepted at ballot, to be told to node.
type acceptedRange struct {
	node        NodeID
	ballot      Ballot
	first, last Slot
}

// promise raises the promised ballot and records it. Requires: b is above it.
func (r *Replica) promise(b Ballot) {
	if (r.role == RolePreparing || r.role == RoleLeading) && r.ballot.Less(b) {
		r.stepDown()
	}
	r.promised = b
	r.record(RecordPromise, Entry{Ballot: b})
}

// record hands a record out and notes what it says.
func (r *Replica) record(kind RecordKind, e Entry) {
	o := r.box()
	start := len(o.bytes)
	o.bytes = appendRecordData(o.bytes, kind, &e)
	data := o.bytes[start:len(o.bytes):len(o.bytes)]
	o.ready.Records = append(o.ready.Records, Record{Kind: kind, Slot: e.Slot, Data: data})
}

// onPrepare is phase 1b of "Paxos Made Simple", §2.2: "If an acceptor receives
// a prepare request with number n greater than that of any prepare request to
// which it has already responded, then it responds to the request with a
// promise not to accept any more proposals numbered less than n and with the
// highest-numbered proposal (if any) that it has accepted." One promise covers
// all slots of the group.
func (r *Replica) onPrepare(m *Message) {
	if m.Ballot.Node != m.From || m.Slot == 0 || !r.takesPart(m.From) {
		return
	}
	if m.Ballot.Less(r.promised) {
		r.refuse(m)
		return
	}
	if r.promised.Less(m.Ballot) {
		r.promise(m.Ballot)
		r.passive()
		if r.leader != m.From {
			r.leader = NoNode
		}
		r.elect.wait = r.electionWait()
	}
	answer := r.promiseFrom(r.open(m.Slot))
	answer.To, answer.Ballot = m.From, m.Ballot
	if plantedIs("promise-unsynced") {
		r.send(answer)
		return
	}
	r.sendAfterSync(answer)
}

// promiseFrom returns a promise with the entries from slot from on, as many as
// a message holds. The rest, if any, is asked for by another Prepare.
func (r *Replica) promiseFrom(from Slot) Message {
	entries, through := r.take(from, r.log.last, r.cfg.MaxMessageBytes)
	m := Message{
		Kind: KindPromise, Slot: from, Last: max(r.log.last, from-1),
		Chosen: r.log.chosen, Promised: r.promised, Entries: entries,
	}
	if through < r.log.last {
		m.Last, m.Flags = through, FlagMore
		if plantedIs("promise-answer-cut") {
			m.Flags = 0
		}
	}
	return m
}

// take returns the accepted entries of [from, last], as many as a number of
// bytes holds and at least one, and the last slot it looked at.
func (r *Replica) take(from, last Slot, bytes int) (entries []Entry, through Slot) {
	o := r.box()
	start, taken := len(o.entries), 0
	through = last
	for s := from; s <= last; s++ {
		e := r.log.entry(s)
		if e.Ballot.IsZero() {
			continue
		}
		size := entryBytes + len(e.Value)
		if taken > 0 && taken+size > bytes {
			through = s - 1
			break
		}
		taken += size
		o.entries = append(o.entries, e)
	}
	end := len(o.entries)
	return o.entries[start:end:end], through
}

// onAccept is phase 2b of "Paxos Made Simple", §2.2: "If an acceptor receives
// an accept request for a proposal numbered n, it accepts the proposal unless
// it has already responded to a prepare request having a number greater than n."
// Slots come in any order inside the window.
func (r *Replica) onAccept(m *Message) {
	if m.Ballot.Node != m.From || r.isStranger(m) {
		return
	}
	if m.Ballot.Less(r.promised) && !plantedIs("accept-below-promise") {
		r.refuse(m)
		r.advanceTo(m)
		return
	}
	if r.promised.Less(m.Ballot) {
		r.promise(m.Ballot)
	}
	r.hearLeader(m)
	// What m calls chosen makes room for what it proposes above that.
	r.advanceTo(m)
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Slot < r.open(e.Slot) || e.Slot > r.log.chosen+r.cfg.ahead() ||
			e.Ballot != m.Ballot || len(e.Value) > r.cfg.MaxValueBytes {
			continue
		}
		if r.log.ballot(e.Slot) != m.Ballot {
			r.accept(Entry{Slot: e.Slot, Ballot: e.Ballot, Value: r.log.values.keep(e.Value)})
		}
		r.answerAccepted(m.From, m.Ballot, e.Slot)
	}
	r.advanceKnown()
}

// accept puts e in the window, which keeps its value, and records it. A chosen
// value can only be accepted again at a higher ballot, never another (I1).
func (r *Replica) accept(e Entry) {
	if c := r.log.at(e.Slot); e.Slot <= r.log.chosen || c != nil && c.chosen {
		r.mustAgree(e)
	}
	r.log.put(e)
	r.record(RecordAccept, e)
}

// answerAccepted notes that slot is accepted at ballot and to be told to node.
func (r *Replica) answerAccepted(node NodeID, ballot Ballot, slot Slot) {
	o := r.box()
	if n := len(o.accepted); n > 0 {
		a := &o.accepted[n-1]
		if a.node == node && a.ballot == ballot && slot >= a.first && slot <= a.last+1 {
			a.last = max(a.last, slot)
			return
		}
	}
	o.accepted = append(o.accepted,
		acceptedRange{node: node, ballot: ballot, first: slot, last: slot})
}

// flushAccepted hands out the Accepted of this turn. They leave after the
// records they speak of are synced, the one to this replica itself included
// (I4): a leader that counted its own accept at once could lose a chosen value.
func (r *Replica) flushAccepted() {
	o := r.box()
	for _, a := range o.accepted {
		m := Message{
			Kind: KindAccepted, To: a.node, Ballot: a.ballot,
			Slot: a.first, Last: a.last, Chosen: r.log.chosen,
		}
		if a.node == r.cfg.Self && plantedIs("own-accept-early") || plantedIs("accept-unsynced") {
			r.send(m)
			continue
		}
		r.sendAfterSync(m)
	}
	o.accepted = o.accepted[:0]
}

// refuse tells m's sender of the higher promise. The promise may not be synced
// yet, so the answer waits for it.
func (r *Replica) refuse(m *Message) {
	r.sendAfterSync(Message{
		Kind: KindRefuse, To: m.From, Ballot: m.Ballot,
		Promised: r.promised, Chosen: r.log.chosen,
	})
}
