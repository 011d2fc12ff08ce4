package node

import (
	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// A node that meets a batch of a format newer than it knows must stop. So that an
// upgrade, node by node, stops nobody, the cluster's record says which format may
// be used. It is raised only if every node shows on the link that stands that it
// knows it: to what keeps leases from ending early as soon as that is so, and
// beyond when a client asks for what needs a newer one.

// activeFormat is the newest format that all nodes of the cluster know. A node
// proposes nothing newer (I27).
func (n *Node) activeFormat() uint8 {
	r := n.identity.Record
	if r == nil {
		return lockfsm.FormatFirst
	}
	return uint8(min(uint16(n.opts.format()), max(r.Format, lockfsm.FormatFirst)))
}

// knownFormat is the newest format that this node and all others that are linked
// know, the first if one is not linked.
func (n *Node) knownFormat() uint8 {
	known := n.opts.format()
	r := n.identity.Record
	if r == nil {
		return lockfsm.FormatFirst
	}
	for i := range r.Nodes {
		x := &r.Nodes[i]
		if x.State == placement.Gone || x.ID == n.identity.Node {
			continue
		}
		p := n.peer(uint16(x.ID))
		if p == nil || !p.up {
			return lockfsm.FormatFirst
		}
		known = min(known, max(p.format, lockfsm.FormatFirst))
	}
	return known
}

// wantFormat refuses a request that needs a newer format than the active one: for
// good, or for the moment in which the format is raised.
func (n *Node) wantFormat(c *conn, h wire.Header, format uint8) {
	if n.knownFormat() < format {
		n.respond(c, h, wire.StatusUnsupported)
		return
	}
	n.raiseFormat(format)
	n.busy(c, h)
}

// raiseFormat asks for a newer format to become active, unless that was just done.
func (n *Node) raiseFormat(format uint8) {
	if n.now < n.nextRaise {
		return
	}
	n.nextRaise = n.now + raiseAgain
	n.onChange(changeRequest{
		change: placement.Change{Kind: placement.Raise, Format: uint16(format)},
		done:   func(error) {}, // it is asked for again
	})
}

// leastFormat is wanted by the cluster itself: from it on steps of log time name
// their clock, without which a lease may end early after two changes of leader (I21).
const leastFormat = lockfsm.FormatWhole

// wantLeastFormat has the leader of group 0 raise the format to leastFormat.
func (n *Node) wantLeastFormat() {
	g := n.group(0)
	if g != nil && g.leading && n.activeFormat() < leastFormat && n.knownFormat() >= leastFormat {
		n.raiseFormat(leastFormat)
	}
}

// raiseAgain is how long raising the format may take before it is asked for anew.
const raiseAgain = Second
