package sim

import (
	"slices"

	"lockd/lockd/placement"
	"lockd/paxos"
)

// leavers is what the checks know of nodes that the cluster lets go.
type leavers struct {
	// named are the nodes that each group's newest seats name, in whatever role.
	named map[paxos.GroupID][]paxos.NodeID
	gone  map[paxos.NodeID]bool // by the newest record
}

// noteNamed notes whom a group's newest seats name.
func (w *World) noteNamed(g paxos.GroupID, c *paxos.Configuration) {
	ids := slices.Clone(c.Observers)
	for _, a := range c.Acceptors {
		ids = append(ids, a.Node)
	}
	w.leavers.named[g] = ids
	w.countsOnNoneGone(g)
}

// noteGone notes who has gone by a record that was chosen.
func (w *World) noteGone(value []byte) {
	r, err := placement.DecodeRecord(value)
	if err != nil {
		w.failf("record of the cluster: %v", err)
		return
	}
	for i := range r.Nodes {
		if id := r.Nodes[i].ID; r.Nodes[i].State == placement.Gone && !w.leavers.gone[id] {
			w.leavers.gone[id] = true
			w.covered["node has gone"]++
		}
	}
	for g := range w.opts.Groups {
		w.countsOnNoneGone(paxos.GroupID(g))
	}
}

// countsOnNoneGone judges that no group counts on a node that the cluster has let go:
// what was promised there is given up (F-M1).
func (w *World) countsOnNoneGone(g paxos.GroupID) {
	for _, id := range w.leavers.named[g] {
		if w.leavers.gone[id] {
			w.failf("F-M1: the seats of group %d name node %d, which has gone", g, id)
		}
	}
}
