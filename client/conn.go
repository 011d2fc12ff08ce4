package client

import (
	"errors"
	"fmt"
	"time"

	"lockd/netio/wire"
)

// ConnID names a conn of a Core. Ids are never reused in a Core; zero is none.
type ConnID uint64

// connState is how far a conn has come.
type connState uint8

const (
	connNone     connState = iota
	connDialing            // asked for in Ready.Dials
	connGreeting           // connected, Hello sent
	connUp                 // Welcome received
)

var errSilent = errors.New("client: node is silent")

// dial asks for a conn.
func (c *Core) dial(e *endpoint) {
	c.lastConn++
	e.conn, e.state = c.lastConn, connDialing
	e.greetBy = c.now.Add(c.cfg.DialTimeout)
	e.pushes, e.seen, e.seenRequest, e.seenAt = 0, 0, 0, never
	c.schedule(e.greetBy)
	c.ready.Dials = append(c.ready.Dials, NewConn{Conn: e.conn, Address: e.address})
}

// Reach dials every endpoint that has no conn, now or when its time comes. It
// is how a client begins.
func (c *Core) Reach(now Instant) {
	c.now = now
	for _, e := range c.endpoints {
		switch {
		case e.state != connNone:
		case e.dialAt <= now:
			c.dial(e)
		default:
			c.schedule(e.dialAt)
		}
	}
}

// Connected says that a dial succeeded. The Hello is the first output.
func (c *Core) Connected(now Instant, conn ConnID) {
	c.now = now
	e := c.outlet(conn)
	if e == nil {
		return
	}
	e.state, e.heard, e.pingedAt = connGreeting, now, 0
	e.out = wire.AppendHello(e.out, wire.Header{}, &wire.Hello{
		Version:    wire.Version,
		MinVersion: wire.MinVersion,
		Nonce:      c.cfg.Nonce,
		Name:       []byte(c.cfg.Name),
	})
	c.wrote(e)
}

// Disconnected says that a dial failed or a conn ended. An id whose end the
// Core asked for, or was told of, is ignored.
func (c *Core) Disconnected(now Instant, conn ConnID, err error) {
	c.now = now
	if i := c.byConn(conn); i >= 0 {
		c.drop(i, err)
	} else if c.scout.is(conn) {
		c.endScout()
	}
}

// unlink forgets a conn.
func (c *Core) unlink(i int, err error) {
	e := c.endpoints[i]
	for j := range c.groups {
		c.groups[j].forgive(e.conn)
	}
	e.conn, e.state, e.out, e.err = 0, connNone, e.out[:0], err
	e.renewAt = never
}

// drop forgets a conn and routes the groups attached to it anew.
func (c *Core) drop(i int, err error) {
	e := c.endpoints[i]
	conn := e.conn
	c.unlink(i, err)
	e.dialAt = c.now.Add(c.backoff(redialLeast, redialMost, e.failures))
	e.failures++
	c.unanswered(conn, e, err)
	c.schedule(e.dialAt)
	for j := range c.groups {
		if c.groups[j].via == i {
			c.detach(&c.groups[j], 0)
		}
	}
}

// shut drops a conn and has it closed.
func (c *Core) shut(i int, err error) {
	c.ready.Closes = append(c.ready.Closes, c.endpoints[i].conn)
	c.drop(i, err)
}

// outlet returns what a conn is of: an endpoint, or the scout, or nil if it has ended.
func (c *Core) outlet(conn ConnID) *endpoint {
	if i := c.byConn(conn); i >= 0 {
		return c.endpoints[i]
	}
	if c.scout.is(conn) {
		return &c.scout.endpoint
	}
	return nil
}

// wrote tells that a conn has output.
func (c *Core) wrote(e *endpoint) {
	if n := len(c.ready.Writes); n > 0 && c.ready.Writes[n-1] == e.conn {
		return
	}
	c.ready.Writes = append(c.ready.Writes, e.conn)
}

// Output swaps the bytes to be written to a conn for the buffer given, which is
// emptied. Nil if the conn has ended.
func (c *Core) Output(conn ConnID, buffer []byte) []byte {
	e := c.outlet(conn)
	if e == nil {
		return nil
	}
	out := e.out
	e.out = buffer[:0]
	return out
}

// pending returns the number of bytes that Output would yield.
func (c *Core) pending(conn ConnID) int {
	if e := c.outlet(conn); e != nil {
		return len(e.out)
	}
	return 0
}

// tickEndpoint gives up a conn that does not come up or is silent, and sends
// keepalives.
func (c *Core) tickEndpoint(i int) {
	e := c.endpoints[i]
	switch e.state {
	case connNone:
		if len(c.groups) == 0 && !c.closed {
			c.Reach(c.now)
		}
	case connDialing, connGreeting:
		if e.greetBy <= c.now {
			c.shut(i, fmt.Errorf("no welcome within %s", c.cfg.DialTimeout))
			return
		}
		c.schedule(e.greetBy)
	case connUp:
		if e.renewAt <= c.now {
			c.keepalive(i)
		}
		if e.seenAt <= c.now {
			c.sendSeen(e)
		}
		c.schedule(min(e.renewAt, e.seenAt))
		c.checkSilence(i)
	}
}

// checkSilence pings a node that owes answers, and gives it up.
func (c *Core) checkSilence(i int) {
	e := c.endpoints[i]
	if e.pingedAt != 0 && e.heard >= e.pingedAt {
		e.pingedAt = 0
	}
	switch {
	case e.pingedAt != 0:
		if e.pingedAt.Add(pingTimeout) <= c.now {
			c.shut(i, fmt.Errorf("%w for %s", errSilent, c.now.Sub(e.heard).Round(time.Millisecond)))
			return
		}
		c.schedule(e.pingedAt.Add(pingTimeout))
	case !c.owes(i):
	case e.heard.Add(pingAfter) <= c.now:
		c.ping(e)
		e.pingedAt = c.now
		c.schedule(c.now.Add(pingTimeout))
	default:
		c.schedule(e.heard.Add(pingAfter))
	}
}

// ping asks for an empty acknowledgement.
func (c *Core) ping(e *endpoint) {
	h := wire.Header{Request: c.calls.newID()}
	e.out = wire.AppendKeepalive(e.out, h, nil)
	c.wrote(e)
}

// forgivePings restarts the wait for signs of life after this process itself
// has been away.
func (c *Core) forgivePings() {
	for _, e := range c.endpoints {
		if e.pingedAt != 0 {
			e.pingedAt = c.now
		}
	}
}

// owes reports whether calls wait for answers of an endpoint.
func (c *Core) owes(i int) bool {
	for j := range c.groups {
		g := &c.groups[j]
		if g.live && g.via == i && g.calls.head != nil {
			return true
		}
	}
	for x := c.direct.head; x != nil; x = x.next {
		if x.conn == c.endpoints[i].conn {
			return true
		}
	}
	return false
}
