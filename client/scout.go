package client

import "lockd/netio/wire"

// scout is a conn on which nothing is asked. A node says in its Welcome where the others
// are, and elsewhere only where the leader is: so who has a question for a node that leads
// nothing, and has moved, hears of its new address by a further conn to another node. The
// group calls need none. It is one at a time, which is closed when the Welcome has come, and
// none follows before redialMost is over: a node that is down is asked for often.
type scout struct {
	endpoint
	next  Instant // when there may be another
	tried int     // scouts so far: each goes to another node
}

// is reports whether a conn is that of the scout.
func (s *scout) is(conn ConnID) bool { return conn != 0 && s.conn == conn }

// askOthers has a question to a node wait until another node has said where that is. It
// reports false if the question is to end: an address of the node is good as far as is
// known, the others were asked already, or just now, or there is none. A Chase does not
// wait, for its next round comes soon.
func (c *Core) askOthers(x *Call) bool {
	if x.scouted || c.closed || c.reaches(x.Node) || c.scout.conn == 0 && !c.sendScout(x.Node) ||
		x.Kind == wire.KindChase {
		return false
	}
	c.calls.drop(x)
	x.scouted, x.conn = true, c.scout.conn
	return true
}

// sendScout dials a node to hear from it where another one is, and reports whether it does.
func (c *Core) sendScout(about uint16) bool {
	if c.now < c.scout.next {
		return false
	}
	best := -1
	for k := range c.endpoints {
		i := (c.scout.tried + k) % len(c.endpoints)
		if e := c.endpoints[i]; e.node != about && (best < 0 || c.before(e, c.endpoints[best])) {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	c.lastConn++
	s := &c.scout
	s.tried = best + 1
	s.endpoint = endpoint{address: c.endpoints[best].address, conn: c.lastConn,
		state: connDialing, greetBy: c.now.Add(c.cfg.DialTimeout)}
	s.next = c.now.Add(redialMost)
	c.schedule(s.greetBy)
	c.ready.Dials = append(c.ready.Dials, NewConn{Conn: s.conn, Address: s.address})
	return true
}

// scouted takes bytes of the scout, and returns how many it used up. With the first frame
// it ends, whatever that is.
func (c *Core) scouted(data []byte) int {
	n, err := wire.FrameBytes(data, wire.MaxFrameBytes)
	if err == nil && (n == 0 || n > len(data)) {
		return 0
	}
	if err == nil {
		c.hearOfAll(data[:n])
	}
	c.ready.Closes = append(c.ready.Closes, c.scout.conn)
	c.endScout()
	return len(data)
}

// hearOfAll learns from the Welcome of a node of the same cluster where the others are.
func (c *Core) hearOfAll(frame []byte) {
	h, body, err := wire.Parse(frame)
	if err != nil || h.Kind != wire.KindWelcome {
		return
	}
	w, err := wire.DecodeWelcome(body)
	if err != nil || w.Cluster != c.cluster || len(w.Leaders) != len(c.groups) {
		return
	}
	for _, n := range w.Nodes {
		c.hearOf(n.ID, n.Address)
	}
}

// endScout forgets the scout. Who has waited for it asks where the node is said to be now.
func (c *Core) endScout() {
	conn := c.scout.conn
	c.scout.endpoint = endpoint{}
	for x := c.direct.head; x != nil; x = x.next {
		if x.conn == conn {
			x.conn = 0
		}
	}
	c.schedule(c.now)
}

// tickScout gives up a scout that hears nothing.
func (c *Core) tickScout() {
	switch {
	case c.scout.conn == 0:
	case c.scout.greetBy <= c.now:
		c.ready.Closes = append(c.ready.Closes, c.scout.conn)
		c.endScout()
	default:
		c.schedule(c.scout.greetBy)
	}
}
