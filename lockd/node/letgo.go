package node

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// onLetGo remembers that a session is to end soon if this conn does. It is memory of
// the leader, with the conn: the next leader knows nothing of it before it is told,
// and then a session lives for its lease, as always.
func (n *Node) onLetGo(g *group, c *conn, h wire.Header, body []byte) {
	x, err := wire.DecodeLetGo(body)
	if err != nil {
		n.respond(c, h, wire.StatusBadRequest)
		return
	}
	if n.activeFormat() < lockfsm.OpLetGo.Format() {
		n.wantFormat(c, h, lockfsm.OpLetGo.Format())
		return
	}
	s := lockfsm.SessionID(x.Session)
	// That there is no such session only the log can say for certain, so one that the
	// machine does not know is not refused: it binds nothing, since whoever names
	// numbers would fill the memory with them.
	if g.knows(s) {
		n.bind(g, c, s, lockfsm.Epoch(x.Epoch))
	}
	// One that comes late, of a conn that the client has left, binds nothing.
	if b, ok := g.bound[s]; ok && b.conn == c.id {
		b.letsGo, b.grace = true, lockfsm.Millis(x.GraceMillis)
		g.bound[s] = b
	}
	n.respond(c, h, wire.StatusOK)
}

// letGo has a session whose conn is gone end soon, if its client wants that. What it
// says from another conn before the log has this makes it void, and what renews it
// afterwards, too.
func (n *Node) letGo(g *group, s lockfsm.SessionID, b binding) {
	if !b.letsGo {
		return
	}
	var x lockfsm.SessionInfo
	if !g.machine.Session(s, &x) {
		return
	}
	e := b.epoch
	if e == 0 {
		e = x.Epoch
	}
	if plantedIs("let-go-too-soon") {
		b.grace /= 2
	}
	g.parks = append(g.parks, parked{session: s, epoch: e, grace: b.grace,
		op: lockfsm.OpLetGo})
	n.touch(g)
}
