package paxos

import "fmt"

// transfer is a planned hand-over of leadership (Ongaro, §3.10).
type transfer struct {
	// to is the node that takes over, NoNode for none.
	to NodeID
	// age is how long the hand-over has been under way.
	age Ticks
	// sent says that TakeOver left; it is sent again with each heartbeat.
	sent bool
	// told is the chosen watermark that a heartbeat was hurried for.
	told Slot
}

// TransferLead hands leadership to node: this leader takes no further values,
// waits until node has and knows everything chosen, and tells it to prepare at
// once. If that does not come about within an election timeout, or node says that it
// has no conns to a quorum, it serves on.
// The error is ErrNotLeader or ErrTarget.
func (r *Replica) TransferLead(to NodeID) error {
	if r.role != RoleLeading {
		return ErrNotLeader
	}
	p := r.peer(to)
	c := r.configOf(r.lead.next)
	switch {
	case p == nil || c.place(to, p.disk) < 0:
		return fmt.Errorf("%w: node %d is not another acceptor of slot %d, or was never heard",
			ErrTarget, to, r.lead.next)
	case p.down || !r.answers(p):
		return fmt.Errorf("%w: node %d does not answer", ErrTarget, to)
	case p.barred:
		return fmt.Errorf("%w: node %d has no conns to a quorum", ErrTarget, to)
	case r.transfer.to == to:
		return nil
	}
	r.transfer = transfer{to: to}
	r.lead.beatDue = true
	r.maybeHandOver()
	return nil
}

func (r *Replica) tickTransfer() {
	if r.transfer.to == NoNode {
		return
	}
	r.transfer.age++
	if r.transfer.age >= r.cfg.ElectionTicks {
		r.transfer = transfer{}
		return
	}
	if r.lead.beatDue {
		r.transfer.sent = false
	}
	r.maybeHandOver()
}

// maybeHandOver sends TakeOver once the target has caught up; until then it
// tells the target of the chosen watermark as soon as that stands still.
func (r *Replica) maybeHandOver() {
	if r.transfer.to == NoNode || r.transfer.sent {
		return
	}
	p := r.peer(r.transfer.to)
	if p == nil || r.log.chosen+1 != r.lead.next {
		return
	}
	if p.chosen < r.log.chosen {
		if r.transfer.told < r.log.chosen {
			r.transfer.told, r.lead.beatDue = r.log.chosen, true
		}
		return
	}
	r.transfer.sent = true
	r.send(Message{
		Kind: KindTakeOver, To: p.node, Ballot: r.ballot, Chosen: r.log.chosen,
	})
}

// maybeLeave ends the leadership of a replica that is no acceptor of the next
// slot, once all slots before that are chosen: it hands over to the first
// acceptor that answers, and steps down if that comes to nothing.
func (r *Replica) maybeLeave() {
	if r.role != RoleLeading || r.canLead() || r.log.chosen+1 != r.lead.next ||
		r.transfer.to != NoNode {
		return
	}
	if !r.lead.leaving {
		r.lead.leaving = true
		for _, a := range r.configOf(r.lead.next).Acceptors {
			if r.TransferLead(a.Node) == nil {
				return
			}
		}
	}
	r.stepDown()
}

// onTakeOver prepares at once, without asking: the leader itself wants it. Not without
// conns to a quorum: the group would lose its leader, and nothing come of it.
func (r *Replica) onTakeOver(m *Message) {
	if m.From != m.Ballot.Node || m.Ballot.Less(r.promised) || m.Ballot.Less(r.leaderBallot) ||
		r.role == RoleLeading || r.role == RolePreparing || !r.canLead() || !r.reaches() {
		return
	}
	r.advanceTo(m)
	r.prepare()
}
