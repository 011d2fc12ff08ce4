package client

// pick returns the endpoint to ask for the group, or -1 if none may be dialed
// yet: the leader's, or the next in turn, every other time among those that are
// up. Each of the two has a turn of its own: a few that are up and know nothing
// would else be asked for ever. The one just left is asked again only if there is
// no other.
func (c *Core) pick(g *group) int {
	if g.leader != 0 {
		if i := c.endpointOf(g.leader); i >= 0 {
			return i
		}
		g.leader = 0
	}
	if g.tries%2 == 0 {
		if i := c.nextFrom(&g.upTurn, connUp, g.left); i >= 0 {
			return i
		}
	}
	if i := c.nextFrom(&g.turn, connNone, g.left); i >= 0 {
		return i
	}
	return c.nextFrom(&g.turn, connNone, -1)
}

// nextFrom returns the next endpoint in turn that has come at least so far and
// may be dialed if it must be, but not the one to avoid, or -1.
func (c *Core) nextFrom(turn *int, least connState, avoid int) int {
	for k := range c.endpoints {
		i := (*turn + k) % len(c.endpoints)
		e := c.endpoints[i]
		if i != avoid && e.state >= least && (e.state != connNone || e.dialAt <= c.now) {
			*turn = i + 1
			return i
		}
	}
	return -1
}

// route attaches the group, or dials whom it is to be attached to.
func (c *Core) route(g *group) {
	i := c.pick(g)
	if i < 0 {
		g.retryAt = never
		for _, e := range c.endpoints {
			g.retryAt = min(g.retryAt, e.dialAt)
		}
		c.schedule(g.retryAt)
		return
	}
	g.via = i
	g.retryAt = c.now.Add(patience)
	c.schedule(g.retryAt)
	switch c.endpoints[i].state {
	case connUp:
		c.attach(g)
	case connNone:
		c.dial(c.endpoints[i])
	}
}

// attach raises the epoch and sends all open calls of the group, in order. A
// conn that still owes the group answers is replaced first.
func (c *Core) attach(g *group) {
	e := c.endpoints[g.via]
	if c.indebted(g, e.conn) {
		c.replace(g.via)
		return
	}
	g.forgive(e.conn)
	g.live, g.heard = true, false
	g.epoch++
	if g.session.state == sessionOpen {
		e.renewAt = min(e.renewAt, g.session.renewedAt.Add(c.beat))
		if g.session.askedAt != 0 || c.cfg.Grace > 0 {
			g.session.askedAt = 0
			e.renewAt = c.now
		}
		c.schedule(e.renewAt)
		c.tellGrace(g)
	}
	c.startRecheck(g)
	c.sendAll(g)
}

// detach leaves the present conn. The group is routed anew at once, or after a
// while if that has been in vain for a whole round. The hint is a node, or zero;
// after two rounds every other one is passed over, because nodes that are cut off
// may name each other.
func (c *Core) detach(g *group, hint uint16) {
	g.live, g.left, g.via, g.leader = false, g.via, -1, hint
	g.tries++
	free := len(c.endpoints)
	if hint != 0 {
		free *= 2
		if g.tries > free && g.tries%2 == 1 {
			g.leader = 0
		}
	}
	g.retryAt = c.now
	if g.tries > free {
		g.retryAt = c.now.Add(c.backoff(backoffLeast, backoffMost, g.tries-free-1))
	}
	if !c.wanted(g) {
		return
	}
	if g.retryAt <= c.now {
		c.route(g)
		return
	}
	c.schedule(g.retryAt)
}
