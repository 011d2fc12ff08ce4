package paxos

import "slices"

// RecordKind says what a Record means. The numbers stand in the WAL: append
// only.
type RecordKind uint8

const (
	// RecordPromise is the promised ballot. The highest one counts, and it
	// must outlive every checkpoint: losing it breaks agreement.
	RecordPromise RecordKind = iota + 1
	// RecordAccept is the accepted entry of Slot. The one with the highest
	// ballot counts. Needed while Slot is above the durable checkpoint.
	RecordAccept
	// RecordChosen says that each slot ≤ Slot has its chosen value in the
	// records before this one. The newest one is needed while Slot is above the
	// durable checkpoint: acceptors that came later have nobody to ask (Settled).
	RecordChosen
)

// Record is something the WAL must keep. Data is borrowed until the next Ready.
type Record struct {
	Kind RecordKind
	Slot Slot
	Data []byte
}

// SnapshotRequest names a peer that needs slots which this replica no longer
// has. It is repeated while the peer asks, so the caller keeps at most one
// transfer per peer running.
type SnapshotRequest struct {
	To NodeID
	// Chosen is the peer's chosen watermark: any snapshot above it helps.
	Chosen Slot
}

// Ready is what must happen in the world. All of it is borrowed and valid until
// the next Ready call of any replica that shares Config.Outboxes; values are never
// overwritten, so a value, but not the slice that holds it, may be kept longer.
//
// The caller appends Records, in order, to its log; sends Messages whenever it
// likes; sends AfterSync, in order, once the Records of this and of all earlier
// Readies are synced, and hands those whose To is Self to Step; and applies
// Chosen, in order. It calls Configure for what Chosen decided before it calls
// any other method.
type Ready struct {
	Records  []Record
	Messages []Message
	// AfterSync depends on records: nothing in it may leave, and nothing of it
	// may reach Step, before they are synced (I4).
	AfterSync []Message
	// Chosen continues the slots of the Readies before without a gap. An empty
	// value is a no-op.
	Chosen []Entry
	// Confirmed is the highest confirmed sequence number of ConfirmRead. A read
	// may be answered from the state after all Chosen of this Ready is applied.
	Confirmed uint64
	Snapshots []SnapshotRequest
}

// outbox collects one Ready.
type outbox struct {
	ready   Ready
	entries []Entry
	bytes   []byte
	// accepted are the ranges to be answered with Accepted once synced.
	accepted []acceptedRange
}

// Outboxes is the memory of what replicas hand out. A replica has some from the
// moment it has something to say until it was read, so the replicas of a turn use
// the same few pieces again and again, and find them in the processor's cache. The
// zero value is empty. It belongs to the goroutine of its replicas.
type Outboxes struct {
	idle []*outbox
	// lent is what the last Ready handed out.
	lent *outbox
}

// take returns an empty outbox, the last that came back first.
func (o *Outboxes) take() *outbox {
	k := len(o.idle)
	if k == 0 {
		return &outbox{}
	}
	box := o.idle[k-1]
	o.idle = o.idle[:k-1]
	return box
}

// lend takes back what was lent before, and notes that box is read now.
func (o *Outboxes) lend(box *outbox) {
	if last := o.lent; last != nil {
		last.reset()
		o.idle = append(o.idle, last)
	}
	o.lent = box
}

// box is where this replica collects what it hands out.
func (r *Replica) box() *outbox {
	if r.out == nil {
		r.out = r.cfg.Outboxes.take()
	}
	return r.out
}

// reset empties the outbox and keeps its memory.
func (o *outbox) reset() {
	clear(o.ready.Messages)
	clear(o.ready.AfterSync)
	clear(o.ready.Chosen)
	clear(o.entries)
	o.ready = Ready{
		Records:   o.ready.Records[:0],
		Messages:  o.ready.Messages[:0],
		AfterSync: o.ready.AfterSync[:0],
		Chosen:    o.ready.Chosen[:0],
		Snapshots: o.ready.Snapshots[:0],
	}
	o.entries = o.entries[:0]
	o.bytes = o.bytes[:0]
	o.accepted = o.accepted[:0]
}

// isEmpty reports whether nothing stands in the outbox.
func (o *outbox) isEmpty() bool {
	r := &o.ready
	return len(r.Records)+len(r.Messages)+len(r.AfterSync)+len(r.Snapshots)+len(o.accepted) == 0
}

// hintEvery is how many slots a RecordChosen lags at most while records flow.
const hintEvery = 64

// hint records what is chosen, every now and then, and before this acceptor says
// for the first time that it holds all that was chosen before a configuration
// (Settled). Those who accepted then may be gone when it starts again, and
// nobody else could tell it what of its log is chosen.
func (r *Replica) hint() {
	if o := r.box(); len(o.ready.Records)+len(o.accepted) == 0 {
		return
	}
	if r.settles() && !plantedIs("settled-without-hint") || r.log.chosen >= r.hinted+hintEvery {
		r.hinted = r.log.chosen
		r.record(RecordChosen, Entry{Slot: r.hinted})
	}
}

// settles reports whether what is chosen passes the first slot of a configuration, and
// what was recorded of it does not. The configuration may be one that is not known
// here yet: a leader that knows it listens all the same.
func (r *Replica) settles() bool {
	if r.hinted < r.log.chosen && !r.knowsNext() {
		return true
	}
	return slices.ContainsFunc(r.configs, func(c config) bool {
		return r.hinted+1 < c.From && c.From <= r.log.chosen+1
	})
}

func (r *Replica) send(m Message) {
	m.Group, m.From = r.cfg.Group, r.cfg.Self
	if m.To == r.cfg.Self {
		m.Disk = r.cfg.Disk
	}
	o := r.box()
	o.ready.Messages = append(o.ready.Messages, m)
}

func (r *Replica) sendAfterSync(m Message) {
	m.Group, m.From = r.cfg.Group, r.cfg.Self
	if m.To == r.cfg.Self {
		m.Disk = r.cfg.Disk
	}
	o := r.box()
	o.ready.AfterSync = append(o.ready.AfterSync, m)
}

// HasReady reports whether Ready has something to hand out.
func (r *Replica) HasReady() bool {
	if r.out != nil && !r.out.isEmpty() || r.log.chosen > r.log.applied ||
		r.reads.confirmed > r.told || r.nextIsChosen(r.learn.word) {
		return true
	}
	if r.role != RoleLeading {
		return r.mayLead()
	}
	if r.lead.beatDue || r.reads.late && r.knowsNext() || r.fills() ||
		(r.lead.opened == 0 || r.lead.next <= r.seen()) && r.mayPropose() {
		return true
	}
	for i := range r.peers {
		if r.wantsAccepts(&r.peers[i]) {
			return true
		}
	}
	return false
}

// CatchUp hands out chosen entries as Ready does, one by one, for as long as take
// takes them; from the first that it does not they are left to Ready. Nothing
// else that a Ready holds is touched. Requires: no take changes configurations,
// which Configure would have to hear of first.
func (r *Replica) CatchUp(take func(e *Entry) bool) {
	for r.log.applied < r.log.chosen {
		e := r.log.entry(r.log.applied + 1)
		if !take(&e) {
			return
		}
		r.log.applied++
	}
}

// resume does what waited until the next slot's configuration was known.
func (r *Replica) resume() {
	r.advanceKnown()
	if r.reads.late && r.knowsNext() {
		r.reads.late = false
		r.confirm()
	}
}

// Ready hands out what must happen. It is called until HasReady says no.
func (r *Replica) Ready() Ready {
	r.resume()
	r.maybeLead()
	r.pump()
	if r.role == RoleLeading {
		for i := range r.peers {
			r.flushAccepts(&r.peers[i])
		}
		if r.lead.beatDue {
			r.flushHeartbeat()
		}
	}
	r.hint()
	r.flushAccepted()
	o := r.box()
	for r.log.applied < r.log.chosen {
		r.log.applied++
		o.ready.Chosen = append(o.ready.Chosen, r.log.entry(r.log.applied))
	}
	o.ready.Confirmed, r.told = r.reads.confirmed, r.reads.confirmed
	r.out, r.recorded = nil, r.promised
	r.cfg.Outboxes.lend(o)
	r.check()
	return o.ready
}
