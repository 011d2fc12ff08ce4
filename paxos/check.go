package paxos

import "fmt"

// check panics if an invariant of this replica is broken. It does nothing
// unless built with the invariants tag; it then looks at every slot held that
// was not applied when it last looked: those below do not change any more, and
// the promised ballot only rises.
func (r *Replica) check() {
	if !invariantsOn {
		return
	}
	w := &r.log
	if w.released > w.applied || w.applied > w.chosen || w.released > w.last {
		r.broken("watermarks released %d, applied %d, chosen %d, last %d",
			w.released, w.applied, w.chosen, w.last)
	}
	if r.promised.Less(r.floor) {
		r.broken("I3: promised %v after %v", r.promised, r.floor)
	}
	r.floor = r.promised
	for s := max(w.released, r.checked) + 1; s <= max(w.last, w.chosen); s++ {
		switch have := w.ballot(s); {
		case have.IsZero() && s <= w.chosen:
			r.broken("I6: chosen slot %d holds nothing", s)
		case r.promised.Less(have):
			r.broken("I3: slot %d accepted in %v, promised %v", s, have, r.promised)
		}
	}
	r.checked = w.applied
	if r.reads.confirmed > r.reads.seq {
		r.broken("I24: round %d confirmed, %d begun", r.reads.confirmed, r.reads.seq)
	}
	r.checkRole()
}

func (r *Replica) checkRole() {
	switch r.role {
	case RolePassive, RoleAsking:
		if r.leader == r.cfg.Self {
			r.broken("%v, yet its own leader", r.role)
		}
	case RolePreparing, RoleLeading:
		if r.ballot != r.promised || r.ballot.Node != r.cfg.Self {
			r.broken("%v in ballot %v, promised %v", r.role, r.ballot, r.promised)
		}
	}
	if r.role == RoleLeading {
		r.checkLeading()
	}
}

func (r *Replica) checkLeading() {
	if r.leader != r.cfg.Self || r.lead.next <= r.log.chosen {
		r.broken("leads, names leader %d, proposes in slot %d, chosen up to %d",
			r.leader, r.lead.next, r.log.chosen)
	}
	for s := r.log.chosen + 1; s < r.lead.next; s++ {
		if have := r.log.ballot(s); have != r.ballot {
			r.broken("I6: slot %d proposed in %v holds ballot %v", s, r.ballot, have)
		}
	}
	for i := range r.peers {
		if p := &r.peers[i]; p.match > p.sent || p.inflight < 0 {
			r.broken("peer %d: match %d, sent %d, %d bytes in flight",
				p.node, p.match, p.sent, p.inflight)
		}
	}
}

func (r *Replica) broken(format string, args ...any) {
	panic(fmt.Sprintf("paxos: group %d node %d: ", r.cfg.Group, r.cfg.Self) +
		fmt.Sprintf(format, args...))
}
