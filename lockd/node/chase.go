package node

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// chaseCost is what it costs to look for the waits of so many owners in so many groups.
func chaseCost(flows, groups int) int { return 1 + flows*groups/64 }

// asksNode reports whether a Chase asks the node and not a group.
func asksNode(body []byte) bool { return len(body) > 0 && body[0] == byte(wire.ChaseNode) }

// onChase answers a Chase for all groups that this node leads, from the machines as they
// are. That is the past as far as there may be a newer leader, which is good enough for
// who asks: what it finds it asks about again.
func (n *Node) onChase(c *conn, h wire.Header, body []byte) {
	x, err := wire.DecodeChase(body)
	if err != nil {
		n.respond(c, h, wire.StatusBadRequest)
		return
	}
	if len(c.out) > maxAnswerBytes {
		n.busy(c, h)
		return
	}
	n.turnstile.spent += chaseCost(len(x.Flows), len(n.groups))
	var led []*group
	for _, g := range n.groups {
		if g != nil && g.leading {
			led = append(led, g)
		}
	}
	payload := n.chased(&x, led...)
	n.turnstile.spent += answerUnits(len(payload))
	n.answer(c, h, &wire.Response{Status: wire.StatusOK, Payload: payload})
}

// chased encodes what owners wait for in groups, group by group and owner by owner, from
// where the question goes on, as much as there is room for. It is valid until the next
// answer.
func (n *Node) chased(x *wire.Chase, groups ...*group) []byte {
	var y wire.Chased
	var found []lockfsm.FlowWait
	var walk lockfsm.FlowWalk
	passed, looked := 0, 0
	for i := 0; i < len(groups)*len(x.Flows) && !walk.More; i++ {
		g, f := groups[i/len(x.Flows)], x.Flows[i%len(x.Flows)]
		found, walk = g.machine.FlowWaits(found[:0],
			lockfsm.Flow{Client: lockfsm.ClientID(f.Client), Owner: lockfsm.Owner(f.Owner)},
			lockfsm.FlowSpan{Skip: max(0, int(x.After)-passed), Most: wire.MaxChased - len(y.Waits)})
		for j := range found {
			y.Waits = append(y.Waits, chasedWait(g, f, &found[j]))
		}
		passed += walk.Passed
		looked += walk.Looked
	}
	if walk.More {
		y.Next = uint32(passed)
	}
	n.turnstile.spent += looked / 32
	n.scratch = wire.AppendChased(n.scratch[:0], &y)
	return n.scratch
}

func chasedWait(g *group, f wire.Flow, w *lockfsm.FlowWait) wire.ChasedWait {
	x := wire.ChasedWait{Flow: f, Session: uint64(w.Session), Request: uint64(w.Request),
		Group: uint16(g.id), Weight: w.Weight, Client: w.Client, Name: w.Name, Near: uint8(w.Near)}
	for _, b := range w.Blockers {
		x.Blockers = append(x.Blockers, wire.Blocker{
			Flow:    wire.Flow{Client: uint64(b.Flow.Client), Owner: uint64(b.Flow.Owner)},
			Session: uint64(b.Session), Request: uint64(b.Request), Token: uint64(b.Token)})
	}
	return x
}

// The two sides bound what is listed alike.
var _ [wire.MaxBlockers]struct{} = [lockfsm.MaxBlockers]struct{}{}
