package node

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// decodeForce turns a Force into a command, as decodeKinds does with others.
func decodeForce(cmd *lockfsm.Command, body []byte) wire.Status {
	x, err := wire.DecodeForce(body)
	if err != nil {
		return wire.StatusBadRequest
	}
	cmd.Op, cmd.Token, cmd.Name = lockfsm.OpForce, lockfsm.Token(x.Token), x.Name
	cmd.Who, cmd.Value = x.Client, x.Reason
	return wire.StatusOK
}

// tellForced tells the holder that it is none any more, before anybody else is told
// that he is. The owner of a detached hold has no conn: it hears when it renews.
func (n *Node) tellForced(g *group, e *lockfsm.Event) {
	if plantedIs("forced-holder-not-told") {
		return
	}
	n.tellLost(g, e, wire.ReasonForced)
}

// audit accounts for what a slot of this node ended by force. Only the node that
// proposed the slot does, so each is one line; if it dies before, the log of the
// group still says who and why.
func (n *Node) audit(g *group, slot paxos.Slot) {
	for i := range n.outcome.Forced {
		f := &n.outcome.Forced[i]
		n.stats.Forced++
		n.observe(Event{Kind: EventForced, Group: g.id, Slot: slot, Forced: &Forced{
			Name: string(f.Name), Token: uint64(f.Token), Mode: f.Mode.String(),
			Held: Nanos(f.Held) * Millisecond, Holder: uint64(f.Session), Client: string(f.Client),
			Who: string(f.Who), Reason: string(f.Reason)}})
	}
}
