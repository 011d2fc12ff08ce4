package paxos

import (
	"bytes"
	"fmt"
)

// learnDelay is how long a known gap may stand before it is asked about: what
// is missing is mostly on its way.
const learnDelay Ticks = 1

// learning is what is known to be chosen elsewhere and not here.
type learning struct {
	// known is the highest chosen watermark heard of, and from who named it.
	known Slot
	from  NodeID
	// stranger is the last node to name one above ours that no configuration
	// known here does, zero for none: those who accept now may be unknown to a
	// replica that is far behind.
	stranger NodeID
	// word is the last one of a leader.
	word word
	// before is the chosen watermark at the last tick.
	before Slot
	// wait counts down to the next Learn.
	wait Ticks
	// tries counts Learns since the last progress; they go round the peers.
	tries int
}

// word is what a leader says of the log: all slots up to said are chosen. It led
// in ballot when it said so, on disk.
type word struct {
	said   Slot
	ballot Ballot
	disk   DiskID
}

// noteChosen hears that all slots up to chosen are chosen.
func (r *Replica) noteChosen(from NodeID, chosen Slot) {
	if r.peer(from) == nil {
		r.learn.stranger = from
	}
	if chosen > r.learn.known {
		if r.learn.known <= r.log.chosen {
			r.learn.wait, r.learn.tries = learnDelay, 0
		}
		r.learn.known, r.learn.from = chosen, from
	}
}

// advanceTo hears the word of a leader. One is kept, for entries that come later:
// that of the highest ballot, or of the leader that is followed.
func (r *Replica) advanceTo(m *Message) {
	w := word{said: m.Chosen, ballot: m.Ballot, disk: m.Disk}
	if !w.ballot.Less(r.learn.word.ballot) || w.ballot == r.leaderBallot {
		r.learn.word = w
	}
	r.advanceBy(w)
}

// advanceKnown moves the chosen watermark as far as what is known carries it.
func (r *Replica) advanceKnown() { r.advanceBy(r.learn.word) }

func (r *Replica) advanceBy(w word) {
	moved := false
	for r.nextIsChosen(w) {
		r.log.chosen++
		moved = true
	}
	if moved {
		r.chosenMoved()
	}
}

// nextIsChosen reports whether the slot above the chosen watermark holds what was
// chosen in it, because a quorum accepted it here or because w says so.
func (r *Replica) nextIsChosen(w word) bool {
	next := r.log.chosen + 1
	c := r.log.at(next)
	if c == nil || c.ballot.IsZero() {
		return false
	}
	return c.chosen || next <= w.said && r.vouches(w, c)
}

// vouches reports whether w's leader proposed c, the entry of the next slot: an entry
// of another ballot may be another value. So may one that the same node proposed in
// the same ballot on another disk, for a new disk knows nothing of the ballots that
// the node led on its old one, nor of what it proposed in them. In a slot a node
// proposes on the disk on which it is an acceptor of it, and on no other.
func (r *Replica) vouches(w word, c *cell) bool {
	if plantedIs("chosen-ignores-ballot") {
		return true
	}
	return c.ballot == w.ballot && r.knowsNext() &&
		r.configOf(r.log.chosen+1).place(w.ballot.Node, w.disk) >= 0
}

// chosenMoved does what waits for the chosen watermark.
func (r *Replica) chosenMoved() {
	if r.role != RoleLeading {
		return
	}
	r.lead.next = max(r.lead.next, r.log.chosen+1)
	r.confirm()
	r.maybeHandOver()
}

// tickLearn asks for what is missing, if nothing came since the last tick. One
// that hears no leader and cannot become one asks round now and then: it may
// know what the only acceptors that can lead do not, or be one that has lost
// what it was promoted for, with nobody to say so.
func (r *Replica) tickLearn() {
	moved := r.log.chosen != r.learn.before
	r.learn.before = r.log.chosen
	behind := r.learn.known > r.log.chosen
	if !behind && (r.leader != NoNode || r.canLead()) {
		r.learn.tries = 0
		return
	}
	if moved {
		r.learn.wait, r.learn.tries = max(r.learn.wait, learnDelay), 0
		return
	}
	if r.learn.wait > 0 {
		r.learn.wait--
		return
	}
	r.askLearn(r.teacher())
	if !behind {
		r.learn.wait = r.cfg.ElectionTicks
	}
}

// teacher is whom to ask next: the leader, then who named the watermark, then
// the others in turn, strangers too, for a leader may be unreachable from here
// alone.
func (r *Replica) teacher() NodeID {
	try := r.learn.tries
	r.learn.tries++
	if try == 0 && r.leader != NoNode && r.leader != r.cfg.Self {
		return r.leader
	}
	if try <= 1 && r.learn.from != NoNode {
		return r.learn.from
	}
	if next := try % (len(r.peers) + 1); next < len(r.peers) {
		return r.peers[next].node
	}
	return r.learn.stranger
}

// askLearn asks node for the entries above the chosen watermark.
func (r *Replica) askLearn(node NodeID) {
	r.learn.wait = r.cfg.HeartbeatTicks
	if node == NoNode {
		return
	}
	r.send(Message{
		Kind: KindLearn, To: node, Slot: r.log.chosen + 1, Chosen: r.log.chosen,
	})
}

// onLearn answers with chosen entries, whoever leads. Slots that are no longer
// held need a snapshot, which is the caller's to send.
func (r *Replica) onLearn(m *Message) {
	if m.Slot == 0 || m.Slot > r.log.chosen {
		return
	}
	answer := Message{Kind: KindLearned, To: m.From, Slot: m.Slot, Chosen: r.log.chosen}
	if m.Slot <= r.log.released {
		o := r.box()
		o.ready.Snapshots = append(o.ready.Snapshots,
			SnapshotRequest{To: m.From, Chosen: m.Slot - 1})
		answer.Slot, answer.Flags = r.log.released+1, FlagReleased
		r.send(answer)
		return
	}
	answer.Entries, answer.Last = r.take(m.Slot, r.log.chosen, r.cfg.MaxLearnedBytes)
	r.send(answer)
}

// onLearned takes chosen entries from any peer.
func (r *Replica) onLearned(m *Message) {
	if m.Flags.Has(FlagReleased) {
		r.learn.wait = r.cfg.ElectionTicks
		return
	}
	before := r.log.chosen
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Slot == r.log.chosen+1 && !e.Ballot.IsZero() && e.Slot <= m.Chosen {
			r.learned(e)
		}
	}
	if r.log.chosen == before {
		return
	}
	r.advanceKnown()
	r.learnProgress(m.From)
	r.maybeLead()
}

// learnProgress asks on at once while more is known to be chosen.
func (r *Replica) learnProgress(from NodeID) {
	r.learn.tries = 0
	if r.role == RolePreparing {
		r.elect.wait = r.cfg.ElectionTicks
	}
	if r.learn.known > r.log.chosen && from != NoNode {
		r.askLearn(from)
	}
}

// learned takes one chosen entry, the one above the chosen watermark. It is
// recorded like an accepted entry before it counts; the acceptor never says
// Accepted for it, and any later ballot can only carry the same value.
//
// A learned entry's ballot is at or above one its value was chosen in. If it is
// above the promised ballot, a later leader exists: the promise is raised, as
// it is by an accept, and a replica that led or prepared a lower ballot stops,
// because what it proposed in the slot need not be what was chosen.
func (r *Replica) learned(e *Entry) {
	if r.promised.Less(e.Ballot) {
		r.promise(e.Ballot)
	}
	if have := r.log.ballot(e.Slot); have.Less(e.Ballot) {
		r.accept(Entry{Slot: e.Slot, Ballot: e.Ballot, Value: r.log.values.keep(e.Value)})
	} else {
		r.mustAgree(*e)
	}
	r.log.chosen++
	r.chosenMoved()
}

// mustAgree panics if e's value is not the one held in its slot: two values
// would be chosen in one slot (I1), and no state here can be trusted.
func (r *Replica) mustAgree(e Entry) {
	c := r.log.at(e.Slot)
	if c != nil && !bytes.Equal(c.value, e.Value) {
		panic(fmt.Sprintf("paxos: group %d slot %d: have value %.40q at ballot %v, "+
			"got chosen value %.40q at ballot %v",
			r.cfg.Group, e.Slot, c.value, c.ballot, e.Value, e.Ballot))
	}
}
