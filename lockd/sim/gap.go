package sim

import (
	"slices"

	"lockd/lockd/placement"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/paxos"
)

// gap is a slot before the first of new acceptors of a group. For a while those of them
// that are not needed to have it chosen do not hear of it, but of all that follows: then
// they are a quorum without it, and who leaves may be the last that has it.
type gap struct {
	group paxos.GroupID
	slot  paxos.Slot
	from  []paxos.NodeID // who does not hear of it
	until Time
}

// openGap draws, when a leader proposes seats in an entry, whether one opens.
func (p *process) openGap(g paxos.GroupID, e *paxos.Entry) {
	w := p.w
	if !w.faulty(FaultMember) || !w.dice.operator.permille(400) {
		return
	}
	window := w.opts.Node.Window
	slot := e.Slot + paxos.Slot(w.dice.operator.between(min(1, window-1), window-1))
	b, err := check.DecodeBatch(e.Value)
	if err != nil {
		return // Appended has judged it
	}
	for i := range b.Commands {
		if c := &b.Commands[i]; c.Op == lockfsm.OpWrite && string(c.Name) == registerSeats {
			s, err := placement.DecodeSeats(c.Value, e.Slot+paxos.Slot(window))
			if without := unneeded(&s, paxos.NodeID(p.site.id)); err == nil && len(without) > 0 {
				w.gap = gap{g, slot, without, w.agenda.Now() + w.dice.operator.length(2*second, 6*second)}
				w.covered["gap before new acceptors"]++
				w.say("group %d: nodes %v do not hear of slot %d", g, without, slot)
			}
		}
	}
}

// unneeded are the new acceptors of seats without whom a leader has a quorum of those
// before, which takes in those who leave first. There are none if nobody leaves.
func unneeded(s *placement.Seats, leader paxos.NodeID) (all []paxos.NodeID) {
	now := func(a paxos.Acceptor) bool { return slices.Contains(s.Now.Acceptors, a) }
	if !slices.ContainsFunc(s.Before.Acceptors, func(a paxos.Acceptor) bool { return !now(a) }) {
		return nil
	}
	chooses := map[paxos.Acceptor]bool{}
	for _, take := range []func(a paxos.Acceptor) bool{
		func(a paxos.Acceptor) bool { return a.Node == leader },
		func(a paxos.Acceptor) bool { return !now(a) },
		now,
	} {
		for _, a := range s.Before.Acceptors {
			if take(a) && len(chooses) <= len(s.Before.Acceptors)/2 {
				chooses[a] = true
			}
		}
	}
	for _, a := range s.Now.Acceptors {
		if !chooses[a] && a.Node != leader {
			all = append(all, a.Node)
		}
	}
	return all
}

// withhold returns what is left of a frame of messages for a site, without those with the
// slot that it does not hear of.
func (w *World) withhold(to *site, payload []byte) []byte {
	if w.gap.until <= w.agenda.Now() || w.healing ||
		!slices.Contains(w.gap.from, paxos.NodeID(to.id)) {
		return payload
	}
	const behind = 8 // the position
	left := slices.Clone(payload[:behind])
	for b := payload[behind:]; len(b) > 0; {
		m := &w.message
		rest, err := paxos.DecodeMessage(b, m)
		if err != nil {
			return payload // inspect has judged it
		}
		if m.Group != w.gap.group || !slices.ContainsFunc(m.Entries, func(e paxos.Entry) bool {
			return e.Slot == w.gap.slot
		}) {
			left = append(left, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return left
}

// shun has a node hear nothing of others for longer than an election takes, now and then,
// as it learns anew what it had forgotten of a group that has come back to it, and comes
// to a slot in which it was an acceptor.
func (p *process) shun(g paxos.GroupID, next paxos.Slot) {
	w := p.w
	if !w.faulty(FaultMember) || !p.site.disk.Forgot(g, next) ||
		!w.chosen.Written(g, next, p.site.number) || w.shunned > w.agenda.Now() ||
		!w.dice.operator.permille(300) {
		return
	}
	w.covered["nobody heard while learning anew"]++
	until := w.agenda.Now() + w.dice.operator.length(2*w.election(), 4*w.election())
	w.shunned = until + second
	for _, l := range w.links {
		if l.a == p.site || l.b == p.site {
			l.clog(l.side(p.site), until)
		}
	}
}
