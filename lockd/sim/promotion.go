package sim

import (
	"bytes"
	"slices"

	"lockd/lockd/node"
	"lockd/lockd/sim/check"
	"lockd/paxos"
	"lockd/wal"
)

// registerSeats is the register that says who accepts for a group.
const registerSeats = "replicas"

// stepKey is a value that was proposed to change who accepts. A later leader may propose
// it again, and goes by what the first one knew.
type stepKey struct {
	group paxos.GroupID
	slot  paxos.Slot
	value uint64
}

// step is how far each disk had come, and was synced, when such a value was first
// proposed, in the life with which the leader had a conn. One with which it had none is
// absent. What became of a node until the value was chosen no leader can know.
type step map[int]paxos.Slot

// noteStep notes how far the others have come when a leader records that it proposes
// other seats.
func (p *process) noteStep(r *wal.Record) {
	if int(r.Group) >= p.w.opts.Groups || r.Kind != wal.KindEntry ||
		!bytes.Contains(r.Data, []byte(registerSeats)) {
		return
	}
	e, err := check.DecodeRecord(r)
	if err != nil || e.Ballot.Node != paxos.NodeID(p.site.id) {
		return // Appended has judged it, or this is no proposal of its own
	}
	g := paxos.GroupID(r.Group)
	key := stepKey{g, e.Slot, check.Hash(e.Value)}
	if _, again := p.w.steps[key]; again {
		return
	}
	come := make(step)
	for _, s := range p.w.sites {
		if q := p.meets(s); q != nil {
			come[s.number] = min(q.cameTo(g), s.disk.HoldsTo(g))
		}
	}
	p.w.steps[key] = come
	p.openGap(g, &e)
	p.w.say("node %d proposes seats of group %d in slot %d; disks have come to %v", p.site.id, g,
		e.Slot, come)
}

// meets is the life at a site with which a process has a conn, as far as it knows: the
// other may have died and the news be on its way.
func (p *process) meets(s *site) *process {
	if s == p.site {
		return p
	}
	l := p.w.link(p.site.id, s.id)
	side := l.side(s)
	if l.ends[1-side] != p {
		return nil
	}
	return l.joined[side]
}

// cameTo is the last slot of a group that a life knows, or knew when it ended, to be
// chosen with all before it. It is 0 if it does not keep the group.
func (p *process) cameTo(g paxos.GroupID) (last paxos.Slot) {
	p.node.ForEachGroup(func(v node.GroupView) {
		if v.ID == g {
			last = v.Replica.Chosen()
		}
	})
	return last
}

// caughtUp checks of a node that is made an acceptor by e, in place of the seats that
// were written in slot before, that it had synced all but the newest of what was
// chosen when that was proposed, or all that was chosen a while earlier, and knew of the seats that
// made it an observer (F-M2).
func (w *World) caughtUp(g paxos.GroupID, e *paxos.Entry, a paxos.Acceptor, before paxos.Slot) {
	const nearly = 64
	window := paxos.Slot(w.opts.Node.Window)
	least := min(e.Slot-min(e.Slot, nearly+window), w.chosenBefore(g, e.Slot-min(e.Slot, window)))
	if before > 0 {
		least = max(least, before+window-1)
	}
	come, noted := w.steps[stepKey{g, e.Slot, check.Hash(e.Value)}]
	if !noted {
		w.failf("sim: group %d slot %d: nobody was seen to propose these seats", g, e.Slot)
		return
	}
	last, met := come[w.number(a.Disk)]
	w.covered["observer made an acceptor"]++
	switch {
	case !met:
		w.failf("F-M2: group %d slot %d: node %d is made an acceptor by one who has no conn with it",
			g, e.Slot, a.Node)
	case last < least:
		w.failf("F-M2: group %d slot %d: node %d is made an acceptor having come to slot %d, not %d",
			g, e.Slot, a.Node, last, least)
	}
	if s := w.sites[a.Node-1]; s.proc == nil || s.proc.cameTo(g) == 0 {
		w.covered["new acceptor without the group"]++
	}
}

// chosenBefore is the last slot that was applied somewhere when a leader that proposed
// as soon as a slot was chosen had looked last but one what it had chosen: that is two
// election timeouts earlier, and as long more as it may have been paused.
func (w *World) chosenBefore(g paxos.GroupID, slot paxos.Slot) paxos.Slot {
	then := w.firstApplied[g][slot] - 8*w.election()
	at, _ := slices.BinarySearch(w.firstApplied[g], then)
	return paxos.Slot(max(at, 1) - 1)
}
