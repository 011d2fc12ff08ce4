package client

import (
	"errors"

	"lockd/netio/wire"
)

// debt is what a conn that stayed up owed a group when the group left it: the
// answers to these requests. A response does not say which send of its request
// it answers, so the group must not send on that conn again before they came.
type debt struct {
	conn     ConnID
	requests map[uint64]struct{}
}

var errDebt = errors.New("client: conn replaced: it owed answers to earlier sends")

// leave is detach from a conn that stays up and may yet answer what it was asked.
// Requires: the group is live, and a call whose own answer is the reason has
// its sentEpoch at zero.
func (c *Core) leave(g *group, hint uint16) {
	conn := c.endpoints[g.via].conn
	var unanswered map[uint64]struct{}
	for x := g.calls.head; x != nil; x = x.next {
		if x.conn != conn || x.sentEpoch != g.epoch || x.Kind == wire.KindWatch {
			continue // a Watch put again takes the place of the first, whichever is answered
		}
		if unanswered == nil {
			unanswered = make(map[uint64]struct{})
		}
		unanswered[x.request] = struct{}{}
	}
	if unanswered != nil {
		g.debts = append(g.debts, debt{conn, unanswered})
	}
	c.detach(g, hint)
}

// debtOf returns the index of what a conn owes the group, or -1.
func (g *group) debtOf(conn ConnID) int {
	for i := range g.debts {
		if g.debts[i].conn == conn {
			return i
		}
	}
	return -1
}

// paid notes that a conn has answered a request.
func (g *group) paid(conn ConnID, request uint64) {
	if i := g.debtOf(conn); i >= 0 {
		delete(g.debts[i].requests, request)
	}
}

// forgive forgets what a conn owes: it has ended, or will not answer.
func (g *group) forgive(conn ConnID) {
	i := g.debtOf(conn)
	if i < 0 {
		return
	}
	last := len(g.debts) - 1
	g.debts[i] = g.debts[last]
	g.debts[last] = debt{}
	g.debts = g.debts[:last]
}

// indebted reports whether a conn owes the group an answer that could be taken
// for one to a later send. What it owes to calls that have ended does not count:
// their ids are not used again.
func (c *Core) indebted(g *group, conn ConnID) bool {
	i := g.debtOf(conn)
	if i < 0 {
		return false
	}
	for request := range g.debts[i].requests { // order: any one decides
		if c.calls.get(request) != nil {
			return true
		}
	}
	return false
}

// replace closes a conn and dials its address anew. The groups attached to it
// wait for the new conn, as long as for any other. It is no failure of the node,
// so nothing is routed elsewhere and nothing backs off.
func (c *Core) replace(i int) {
	e := c.endpoints[i]
	old := e.conn
	c.ready.Closes = append(c.ready.Closes, old)
	c.unlink(i, errDebt)
	for j := range c.groups {
		if g := &c.groups[j]; g.via == i {
			g.live = false
			g.retryAt = c.now.Add(patience)
			c.schedule(g.retryAt)
		}
	}
	c.dial(e)
	for x := c.direct.head; x != nil; x = x.next {
		if x.conn == old {
			c.calls.drop(x)
			x.conn = e.conn
		}
	}
}
