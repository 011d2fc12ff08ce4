package node

import (
	"lockd/lockfsm"
	"lockd/paxos"
)

// Probe watches the machines of a node from inside. The simulator's checkers
// are one; a node in production has none and pays for a comparison with nil.
// Calls come within New, CatchUp or a turn, must not call back, and must not keep
// what they are shown.
type Probe interface {
	// Applied is called after a machine has moved over one chosen slot and
	// before anybody is answered. out is what the slot did.
	Applied(g paxos.GroupID, e *paxos.Entry, m *lockfsm.Machine, out *lockfsm.Outcome)
	// Adopted is called when a group goes on with another machine than the one
	// it had: at the start of the node and after a snapshot.
	Adopted(g paxos.GroupID, m *lockfsm.Machine)
}

func (n *Node) probeApplied(g *group, e *paxos.Entry) {
	if n.deps.Probe != nil {
		n.deps.Probe.Applied(g.id, e, g.machine, &n.outcome)
	}
}

func (n *Node) probeAdopted(g *group) {
	if n.deps.Probe != nil {
		n.deps.Probe.Adopted(g.id, g.machine)
	}
}

// GroupView is one group with the node at rest. What it points to is borrowed
// until the next Turn and must not be changed.
type GroupView struct {
	ID      paxos.GroupID
	Replica *paxos.Replica
	Machine *lockfsm.Machine
	// Leading is set while this node answers for the group.
	Leading bool
	// Saved is the slot of the durable checkpoint.
	Saved paxos.Slot
}

// ForEachGroup shows every group in order. Requires: called between two Turns,
// on their goroutine.
func (n *Node) ForEachGroup(fn func(GroupView)) {
	for _, g := range n.hosted {
		fn(GroupView{g.id, g.replica, g.machine, g.leading, g.saved})
	}
}
