package node

import (
	"cmp"
	"fmt"
	"slices"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// answer appends a response to what the conn is sent at the end of the turn.
func (n *Node) answer(c *conn, h wire.Header, x *wire.Response) {
	c.out = wire.AppendResponse(c.out, wire.Header{Group: h.Group, Request: h.Request}, x)
	n.conns.touch(c)
}

// reply answers a request that was in flight.
func (n *Node) reply(g *group, conn ConnID, request uint64, x *wire.Response) {
	c := n.conns.find(conn)
	if c == nil {
		return
	}
	c.inFlight--
	n.answer(c, wire.Header{Group: uint16(g.id), Request: request}, x)
}

// flushResponses hands every conn's answers over, one call per conn.
func (n *Node) flushResponses() {
	n.acks.flush(n)
	if len(n.conns.dirty) == 0 && !n.turnstile.resumed {
		return
	}
	n.turnstile.resumed = false
	for _, c := range n.conns.dirty {
		c.dirty = false
		n.deps.Clients.Send(c.id, c.out)
		if !c.ended {
			n.conns.room.keep(c)
		}
	}
	n.conns.dirty = n.conns.dirty[:0]
	n.deps.Clients.Flush()
}

// keepaliveAcks collects the answers to keepalives, so that those of one turn
// travel together.
type keepaliveAcks struct {
	items []ackItem
	batch []wire.Renewal
}

type ackItem struct {
	conn    ConnID
	request uint64
	renewal wire.Renewal
}

func (a *keepaliveAcks) add(c ConnID, request uint64, group uint16, s uint64, code wire.Code) {
	r := wire.Renewal{Session: s, Group: group, Code: code}
	a.items = append(a.items, ackItem{c, request, r})
}

// flush appends one KeepaliveAck per conn and keepalive.
func (a *keepaliveAcks) flush(n *Node) {
	slices.SortStableFunc(a.items, func(x, y ackItem) int {
		if c := cmp.Compare(x.conn, y.conn); c != 0 {
			return c
		}
		return cmp.Compare(x.request, y.request)
	})
	for i := 0; i < len(a.items); {
		first := a.items[i]
		a.batch = a.batch[:0]
		for i < len(a.items) && a.items[i].conn == first.conn &&
			a.items[i].request == first.request && len(a.batch) < wire.MaxGroups {
			a.batch = append(a.batch, a.items[i].renewal)
			i++
		}
		if c := n.conns.find(first.conn); c != nil {
			c.out = wire.AppendKeepaliveAck(c.out, wire.Header{Request: first.request}, a.batch)
			n.conns.touch(c)
		}
	}
	a.items = a.items[:0]
}

// statusOf translates the outcome of a command. The two sets of numbers are
// append-only and live apart, because one stands in logs and the other on
// wires.
func statusOf(code lockfsm.Code) wire.Status {
	switch code {
	case lockfsm.CodeOK:
		return wire.StatusOK
	case lockfsm.CodeQueued:
		return wire.StatusQueued
	case lockfsm.CodeCancelled:
		return wire.StatusCancelled
	case lockfsm.CodeAlreadyGranted:
		return wire.StatusAlreadyGranted
	case lockfsm.CodeHeld:
		return wire.StatusHeld
	case lockfsm.CodeNotHolder:
		return wire.StatusNotHolder
	case lockfsm.CodeStaleEpoch:
		return wire.StatusStaleEpoch
	case lockfsm.CodeSessionUnknown:
		return wire.StatusSessionUnknown
	case lockfsm.CodeSessionEnded:
		return wire.StatusSessionEnded
	case lockfsm.CodeBadRequest, lockfsm.CodeBadMode, lockfsm.CodeBadLease,
		lockfsm.CodeRequestReused:
		return wire.StatusBadRequest
	case lockfsm.CodeOtherKind:
		return wire.StatusOtherKind
	case lockfsm.CodeOtherMode:
		return wire.StatusOtherMode
	case lockfsm.CodeDeadlock:
		return wire.StatusDeadlock
	case lockfsm.CodeNotWriter:
		return wire.StatusNotWriter
	case lockfsm.CodeAlreadySet:
		return wire.StatusAlreadySet
	case lockfsm.CodeBroken:
		return wire.StatusBroken
	case lockfsm.CodeBadName, lockfsm.CodeNameTooLong:
		return wire.StatusNameTooLong
	case lockfsm.CodeTooManySessions:
		return wire.StatusTooManySessions
	case lockfsm.CodeTooManyLocks, lockfsm.CodeTooManyClaims, lockfsm.CodeTooManySessionClaims,
		lockfsm.CodeTooManyDetached:
		return wire.StatusTooManyHolds
	case lockfsm.CodeTooMuchData:
		return wire.StatusTooMuchData
	case lockfsm.CodeTooManyWaiters:
		return wire.StatusTooManyWaiters
	default:
		panic(fmt.Sprintf("node: code without a status: %s", code))
	}
}

// reasonOf translates why a session ended.
func reasonOf(r lockfsm.Reason) wire.Reason {
	if r == lockfsm.ReasonClosed {
		return wire.ReasonClosed
	}
	return wire.ReasonExpired
}
