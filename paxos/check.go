package paxos

import "fmt"

// check panics if an invariant of this replica is broken. It does nothing
// unless built with the invariants tag; it then looks at every slot held.
func (r *Replica) check() {
	if !invariantsOn {
		return
	}
	w := &r.log
	r.must(w.released <= w.applied && w.applied <= w.chosen && w.released <= w.last,
		"watermarks released %d, applied %d, chosen %d, last %d",
		w.released, w.applied, w.chosen, w.last)
	r.must(!r.promised.Less(r.floor), "I3: promised %v after %v", r.promised, r.floor)
	r.floor = r.promised
	for s := w.released + 1; s <= max(w.last, w.chosen); s++ {
		have := w.ballot(s)
		r.must(!have.IsZero() || s > w.chosen, "I6: chosen slot %d holds nothing", s)
		r.must(!r.promised.Less(have), "I3: slot %d accepted in %v, promised %v",
			s, have, r.promised)
	}
	r.must(r.reads.confirmed <= r.reads.seq, "round %d confirmed, %d begun",
		r.reads.confirmed, r.reads.seq)
	switch r.role {
	case RolePreparing, RoleLeading:
		r.must(r.ballot == r.promised && r.ballot.Node == r.cfg.Self,
			"%v in ballot %v, promised %v", r.role, r.ballot, r.promised)
	case RolePassive, RoleAsking:
		r.must(r.leader != r.cfg.Self, "%v, yet its own leader", r.role)
	}
	if r.role == RoleLeading {
		r.checkLeading()
	}
}

func (r *Replica) checkLeading() {
	r.must(r.leader == r.cfg.Self, "leads, but names %d", r.leader)
	r.must(r.lead.next > r.log.chosen, "proposes in slot %d, chosen up to %d",
		r.lead.next, r.log.chosen)
	for s := r.log.chosen + 1; s < r.lead.next; s++ {
		have := r.log.ballot(s)
		r.must(have == r.ballot, "I6: slot %d proposed in %v holds ballot %v", s, r.ballot, have)
	}
	for i := range r.peers {
		p := &r.peers[i]
		r.must(p.match <= p.sent && p.inflight >= 0,
			"peer %d: match %d, sent %d, %d bytes in flight", p.node, p.match, p.sent, p.inflight)
	}
}

func (r *Replica) must(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf("paxos: group %d node %d: ", r.cfg.Group, r.cfg.Self) +
			fmt.Sprintf(format, args...))
	}
}
