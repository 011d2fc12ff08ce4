package client

import (
	"slices"

	"lockd/netio/wire"
)

// endpoint is one address of a node and the conn to it.
type endpoint struct {
	address  string
	learned  bool   // from a node; else the client was told to dial it
	node     uint16 // that answers there, or is said to; zero is unknown
	version  uint16 // of the protocol on the conn, once it is up
	conn     ConnID
	state    connState
	out      []byte  // to be written
	failures int     // since the last Welcome
	dialAt   Instant // before which it is not dialed again
	greetBy  Instant // when a conn that is not up is given up
	heard    Instant // when bytes last came
	pingedAt Instant // zero if no ping is out
	renewAt  Instant // when the next keepalive is due; never if no session
	renewals [8]renewal
	renewed  int // keepalives sent
	// pushes counts those that came on the conn, seen those the node was told of, in
	// seenRequest, which is to be sent again at seenAt.
	pushes, seen uint64
	seenRequest  uint64
	seenAt       Instant // never if not
	err          error
}

// renewal remembers when a keepalive was sent: leases count from there.
type renewal struct {
	request uint64
	sent    Instant
}

// learnedMost bounds the addresses that a client has from nodes: two of each.
const learnedMost = 2 * wire.MaxNodes

// addEndpoint adds an address, or learns whose it is. Node is zero for one that the
// client was told to dial.
func (c *Core) addEndpoint(address string, node uint16) {
	learned := 0
	var stale *endpoint
	for _, e := range c.endpoints {
		if e.address == address {
			if e.node == 0 {
				e.node = node
			}
			return
		}
		if !e.learned {
			continue
		}
		learned++
		if e.node == node && e.state == connNone {
			stale = e
		}
	}
	if learned >= learnedMost && stale == nil {
		stale = c.stalest()
	}
	e := &endpoint{address: address, node: node, learned: node != 0, renewAt: never, seenAt: never}
	switch {
	case stale != nil:
		e.dialAt = stale.dialAt // who contradict each other have nobody dial without end
		*stale = *e             // no group is attached to it, nor is to be
	case learned < learnedMost:
		c.endpoints = append(c.endpoints, e)
	}
}

// stalest returns what has failed most often of the addresses learned that have no conn,
// nil if there is none.
func (c *Core) stalest() *endpoint {
	var stale *endpoint
	for _, e := range c.endpoints {
		if e.learned && e.state == connNone && (stale == nil || e.failures > stale.failures) {
			stale = e
		}
	}
	return stale
}

// endpointOf returns the best endpoint of a node, or -1: one that is up, then
// one that may be.
func (c *Core) endpointOf(node uint16) int {
	best := -1
	for i, e := range c.endpoints {
		if e.node != node || (e.state == connNone && e.dialAt > c.now) {
			continue
		}
		if best < 0 || c.before(e, c.endpoints[best]) {
			best = i
		}
	}
	return best
}

// before reports whether an endpoint is to be taken rather than another of its node.
func (c *Core) before(e, other *endpoint) bool {
	if a, b := c.rank(e), c.rank(other); a != b {
		return a > b
	}
	return e.failures < other.failures
}

// rank is how near an endpoint is to being up. One that is being dialed for longer than
// a group waits for it is behind one that is not: an address may swallow all.
func (c *Core) rank(e *endpoint) int {
	switch {
	case e.state == connUp:
		return 3
	case e.state == connNone:
		return 1
	case c.now < e.greetBy.Add(patience-c.cfg.DialTimeout):
		return 2
	default:
		return 0
	}
}

// hearOf learns the address of a node from another: of one that may have joined since
// the Welcome, or moved. It takes the place of one that was learned before.
func (c *Core) hearOf(node uint16, address []byte) {
	if node != 0 && !c.reaches(node) && len(address) > 0 && len(address) <= wire.MaxAddressBytes {
		c.addEndpoint(string(address), node)
	}
}

// reaches reports whether a node has an address that was not tried in vain since it was
// up; that a conn ended is no more than the first failure. While it has, what others say
// of it is of no use: it may be old, or not meant for who comes by a tunnel.
func (c *Core) reaches(node uint16) bool {
	return slices.ContainsFunc(c.endpoints, func(e *endpoint) bool {
		return e.node == node && e.failures < 2
	})
}

// byConn returns the index of the endpoint of a conn, or -1 if it has ended.
func (c *Core) byConn(conn ConnID) int {
	for i, e := range c.endpoints {
		if e.conn == conn && conn != 0 {
			return i
		}
	}
	return -1
}
