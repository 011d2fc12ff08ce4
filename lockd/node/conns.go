package node

import (
	"cmp"
	"slices"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// conn is a client's conn as the engine sees it.
type conn struct {
	id ConnID
	// out holds this turn's answers, sent with one call at its end. Of its memory kept
	// bytes are counted by keptRoom, in whose list the conn has place keptAt; from one on.
	out          []byte
	dirty        bool
	kept, keptAt int
	// inFlight counts requests that have not been answered, those queued in a
	// machine included.
	inFlight int
	// renewing counts the renewals that have not been answered.
	renewing int
	// asked counts the questions that wait for an answer, and pending, by group, those
	// of them that may have to be found again; nil if there never was one.
	asked   int
	pending map[paxos.GroupID]pending
	// early counts the requests that groups hold of the conn until they have a
	// leader; nil if there never was one.
	early map[paxos.GroupID]int
	// waiting are whole frames of the conn that wait for a later turn.
	waiting []byte
	// behind is set while the inbox knows that enough of it waits.
	behind bool
	// closed is set when the conn is gone and has frames waiting, ended once it is
	// forgotten.
	closed, ended bool
	// paused is set while the conn is on the turnstile's list of those not read.
	paused bool
	// sessions are those whose events go out here.
	sessions map[boundSession]struct{}
	// watches are those asked for here, nil if there never was one; pushed counts what
	// they were told, seen what of it the client has said it has seen, and held are
	// those that wait for that.
	watches      map[*watch]*group
	moreWatches  int // names beside the first of those that are of several
	pushed, seen uint64
	held         []*watch
}

// pending counts what of a conn waits to be answered by one group.
type pending struct{ tries, watches int }

// count counts a question that waits, or with -1 waits no more.
func (c *conn) count(g paxos.GroupID, k wire.Kind, by int) {
	c.asked += by
	if !k.Acquires() && k != wire.KindWatch {
		return
	}
	x := c.pending[g]
	if k == wire.KindWatch {
		x.watches += by
	} else {
		x.tries += by
	}
	switch {
	case x == pending{}:
		delete(c.pending, g)
		return
	case c.pending == nil:
		c.pending = make(map[paxos.GroupID]pending)
	}
	c.pending[g] = x
}

// boundSession names a session of one group.
type boundSession struct {
	group   paxos.GroupID
	session lockfsm.SessionID
}

// connTable knows the conns that have spoken. One conn is looked up for every
// request, so the last one found is remembered: requests come in runs.
type connTable struct {
	conns map[ConnID]*conn
	last  *conn
	dirty []*conn
	room  keptRoom
}

func (t *connTable) init() { t.conns = make(map[ConnID]*conn) }

// find returns the conn, nil if it is gone.
func (t *connTable) find(id ConnID) *conn {
	if t.last != nil && t.last.id == id {
		return t.last
	}
	c := t.conns[id]
	if c != nil {
		t.last = c
	}
	return c
}

// open returns the conn, new if it has not spoken before.
func (t *connTable) open(id ConnID) *conn {
	if c := t.find(id); c != nil {
		return c
	}
	c := &conn{id: id, sessions: make(map[boundSession]struct{})}
	t.conns[id] = c
	t.last = c
	return c
}

// touch puts a conn on the list of those to be written to.
func (t *connTable) touch(c *conn) {
	if !c.dirty {
		c.dirty = true
		t.dirty = append(t.dirty, c)
	}
}

// bind makes c the conn of a session. A lower epoch than the one the session is
// bound with comes from a conn its client has left.
func (n *Node) bind(g *group, c *conn, s lockfsm.SessionID, e lockfsm.Epoch) {
	b, ok := g.bound[s]
	switch {
	case ok && b.conn == c.id:
		if e > b.epoch {
			b.epoch = e
			g.bound[s] = b
		}
		return
	case ok && e < b.epoch:
		return
	case !ok && len(c.sessions) >= maxStrangers && !g.knows(s):
		return
	case ok:
		n.unbind(g, s)
	}
	g.bound[s] = binding{conn: c.id, epoch: e}
	c.sessions[boundSession{g.id, s}] = struct{}{}
}

// follow makes c the conn of a session that it renews or opens, if it is newer than the
// one that the session has: its client has left that, which may not have ended for us
// yet, and is told on this one from now on.
func (n *Node) follow(g *group, c *conn, s lockfsm.SessionID) (binding, bool) {
	b, ok := g.bound[s]
	switch {
	case !ok:
		n.bind(g, c, s, 0)
		b, ok = g.bound[s]
	case c.id > b.conn && g.knows(s):
		b = n.rebind(g, c, s, b)
	}
	return b, ok
}

// rebind makes a newer conn that of a session, at the epoch it has. That it is to be
// let go was said of the other conn: who has it now may count on its lease.
func (n *Node) rebind(g *group, c *conn, s lockfsm.SessionID, b binding) binding {
	n.unbind(g, s)
	b.conn, b.letsGo = c.id, false
	g.bound[s] = b
	c.sessions[boundSession{g.id, s}] = struct{}{}
	return b
}

// maxStrangers is how many sessions may be bound to one conn before it may bind
// only those that the machine knows. Any number can be named in a request.
const maxStrangers = 256

// knows reports whether the machine has the session.
func (g *group) knows(s lockfsm.SessionID) bool {
	var x lockfsm.SessionInfo
	return g.machine.Session(s, &x)
}

// unbind forgets the conn of a session, if it has one.
func (n *Node) unbind(g *group, s lockfsm.SessionID) {
	b, ok := g.bound[s]
	if !ok {
		return
	}
	delete(g.bound, s)
	if old := n.conns.find(b.conn); old != nil {
		delete(old.sessions, boundSession{g.id, s})
	}
}

// onConnClosed parks the sessions whose conn is gone: what they wait for is not
// granted to nobody, and their place is kept for the session lease, or less if the
// client wants to be let go.
func (n *Node) onConnClosed(id ConnID) {
	c := n.conns.find(id)
	switch {
	case c == nil:
	case len(c.waiting) > 0:
		// It ends when those have been looked at.
		c.closed = true
	default:
		n.endConn(c)
	}
}

// endConn forgets a conn that is gone and has nothing waiting.
func (n *Node) endConn(c *conn) {
	for _, bs := range sortedSessions(c.sessions) {
		g := n.group(uint16(bs.group))
		b := g.bound[bs.session]
		n.unbind(g, bs.session)
		if g.leading && b.waited {
			n.park(g, bs.session, b.epoch)
		}
		if g.leading {
			n.letGo(g, bs.session, b)
		}
	}
	c.held = nil                  // or each watch would be looked for in it
	for w, g := range c.watches { // order: each by itself
		n.dropWatch(g, w)
	}
	n.conns.room.give(c)
	c.ended = true
	delete(n.conns.conns, c.id)
	if n.conns.last == c {
		n.conns.last = nil
	}
}

// park has the waits of a session set aside. Epoch zero stands for the one the
// machine knows.
func (n *Node) park(g *group, s lockfsm.SessionID, e lockfsm.Epoch) {
	if e == 0 {
		var x lockfsm.SessionInfo
		if !g.machine.Session(s, &x) {
			return
		}
		e = x.Epoch
	}
	g.parks = append(g.parks, parked{session: s, epoch: e, op: lockfsm.OpPark})
	n.touch(g)
}

// parked is a session whose conn is gone, and what is to become of it: OpPark or
// OpLetGo, after grace.
type parked struct {
	session lockfsm.SessionID
	epoch   lockfsm.Epoch
	grace   lockfsm.Millis
	op      lockfsm.Op
}

// keepParked is for how many of them a group keeps room.
const keepParked = 64

// batchParks puts sessions that are to be parked or let go into the batch, as many as
// it takes. What they asked for was admitted before, so that stands before them.
func (n *Node) batchParks(g *group) {
	k := 0
	for k < len(g.parks) && !n.batchFull(g) {
		p := &g.parks[k]
		n.command = lockfsm.Command{Op: p.op, Session: p.session, Epoch: p.epoch, Lease: p.grace}
		n.enqueue(g, &n.command, origin{})
		k++
	}
	g.parks = append(g.parks[:0], g.parks[k:]...)
	if len(g.parks) == 0 && cap(g.parks) > keepParked {
		g.parks = nil
	}
}

// sortedSessions returns the set in order, so that map order never reaches the
// log.
func sortedSessions(set map[boundSession]struct{}) []boundSession {
	all := make([]boundSession, 0, len(set))
	for bs := range set {
		all = append(all, bs)
	}
	slices.SortFunc(all, func(a, b boundSession) int {
		if c := cmp.Compare(a.group, b.group); c != 0 {
			return c
		}
		return cmp.Compare(a.session, b.session)
	})
	return all
}

// respond answers a request with nothing but a status.
func (n *Node) respond(c *conn, h wire.Header, s wire.Status) {
	n.answer(c, h, &wire.Response{Status: s})
}
