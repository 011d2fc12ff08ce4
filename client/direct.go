package client

import (
	"fmt"

	"lockd/netio/wire"
)

// startDirect sends the new questions to one node, which must be known.
func (c *Core) startDirect() {
	for x := c.direct.head; x != nil; {
		next := x.next
		if x.conn == 0 {
			c.askNode(x)
		}
		x = next
	}
}

func (c *Core) askNode(x *Call) {
	i := c.endpointOf(x.Node)
	if i < 0 {
		if c.askOthers(x) || x.scouted && c.awaitsDial(x.Node) {
			return
		}
		c.end(x, fmt.Errorf("%w: node %d: %w", ErrUnavailable, x.Node, c.troubleOf(x.Node)))
		return
	}
	e := c.endpoints[i]
	if e.state == connNone {
		c.dial(e)
	}
	x.conn = e.conn
	if e.state == connUp {
		c.sendDirect(e, x)
	}
}

func (c *Core) sendDirect(e *endpoint, x *Call) {
	c.calls.put(x)
	x.sends++
	h := wire.Header{Request: x.request}
	switch {
	case x.Kind == wire.KindStatus:
		if e.version >= wire.VersionWhole {
			h.Flags = wire.FlagVersion3
		}
		e.out = wire.AppendStatus(e.out, h)
	case e.version >= x.needsVersion() && x.Kind == wire.KindChase:
		e.out = wire.AppendChase(e.out, h, &wire.Chase{Scope: wire.ChaseNode, After: x.Skip,
			Flows: x.Flows})
	case e.version >= x.needsVersion() && x.Kind == wire.KindHistory:
		e.out = wire.AppendHistory(e.out, h, x.Past)
	case e.version >= x.needsVersion():
		e.out = wire.AppendTop(e.out, h, &wire.Top{Limit: x.Limit})
	default:
		c.end(x, fmt.Errorf("%w: node %d speaks version %d of the protocol, %s is in version %d",
			ErrUnsupported, e.node, e.version, x.Kind, x.needsVersion()))
		return
	}
	c.wrote(e)
}

// unanswered ends the questions to a node whose conn has ended, but for those that wait
// until others have said where the node is now.
func (c *Core) unanswered(conn ConnID, e *endpoint, err error) {
	for x := c.direct.head; x != nil; {
		next := x.next
		if x.conn == conn && !c.askOthers(x) {
			c.end(x, fmt.Errorf("%w: %s of node %d at %s: %w", ErrUnavailable, x.Kind,
				e.node, e.address, err))
		}
		x = next
	}
}

// awaitsDial reports whether an address of a node that nobody has tried yet is to be dialed
// later, and has the Core look then.
func (c *Core) awaitsDial(node uint16) bool {
	for _, e := range c.endpoints {
		if e.node == node && e.failures == 0 && e.state == connNone {
			c.schedule(e.dialAt)
			return true
		}
	}
	return false
}
