package sim

import (
	"lockd/lockd/sim/check"
	"lockd/netio/wire"
	"lockd/paxos"
)

// applying notes up to where a life of a node has applied a group, at most: one that has
// left it and come back begins anew.
func (p *process) applying(g paxos.GroupID, s paxos.Slot) {
	if p.reached == nil {
		p.reached = make([]paxos.Slot, p.w.opts.Groups)
	}
	p.reached[g] = max(p.reached[g], s)
}

// reachedNow is up to where it has applied all groups.
func (p *process) reachedNow() []paxos.Slot {
	return append([]paxos.Slot(nil), p.reached...)
}

// statusTold holds what a node says of itself against the log, and against what it had done
// when it was asked and has done by now.
func (w *World) statusTold(p *process, since []paxos.Slot, payload []byte) {
	x, err := wire.DecodeNodeStatus3(payload)
	if err != nil {
		w.failf("status does not decode: %v", err)
		return
	}
	w.covered["status told"]++
	if x.Node != p.site.id || x.Durable > uint64(p.log.writer.Durable()) {
		w.failf("status: node %d calls itself %d and says that record %d is synced, %d is", p.site.id,
			x.Node, x.Durable, p.log.writer.Durable())
	}
	for i := range x.Groups {
		g := &x.Groups[i]
		w.check(w.models[g.Group].Counted(g))
		if int(g.Group) < len(p.reached) && g.Applied > uint64(p.reached[g.Group]) {
			w.failf("status: node %d says that it applied slot %d of group %d, and is at %d", p.site.id,
				g.Applied, g.Group, p.reached[g.Group])
		}
		if int(g.Group) < len(since) && g.Applied < uint64(since[g.Group]) &&
			w.opts.Faults&FaultMember == 0 {
			w.failf("status: node %d says that it applied slot %d of group %d, and had applied %d when it "+
				"was asked", p.site.id, g.Applied, g.Group, since[g.Group])
		}
		// Who leads and does not serve yet names nobody.
		if g.Role == wire.RoleLeader && (g.BallotNode != x.Node || g.Leader != x.Node && g.Leader != 0) {
			w.failf("status: node %d leads group %d in a ballot of node %d, and names node %d", x.Node,
				g.Group, g.BallotNode, g.Leader)
		}
	}
}

// topTold holds which locks a node says are wanted most against the log.
func (w *World) topTold(payload []byte) {
	x, err := wire.DecodeTopPage(payload)
	if err != nil {
		w.failf("top does not decode: %v", err)
		return
	}
	if len(x.Entries) > 1 {
		w.covered["top told"]++
	}
	w.check(check.Contended(&x, func(name []byte) *check.Model {
		return w.models[w.groupOf(string(name))]
	}))
}
