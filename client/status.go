package client

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"lockd/netio/wire"
)

// Role is what a node is in a group.
type Role uint8

// The roles. Later versions may know more.
const (
	RoleReplica   Role = iota + 1 // it accepts, and does not lead
	RolePreparing                 // it tries to become leader
	RoleLeader                    // it leads
	RoleNone                      // it keeps no replica of the group
)

// String returns the role in one word: replica, preparing, leader or none.
func (r Role) String() string { return wire.Role(r).String() }

// GroupStatus is one group as one node sees it.
type GroupStatus struct {
	Group    uint16
	Role     Role
	Leader   uint16 // the node that leads, as far as this one knows; zero if it does not
	Chosen   uint64 // slot up to which it knows what was chosen
	Applied  uint64 // slot up to which it has applied that
	Sessions int
	Locks    int // names in use
	Waiters  int
	// Round and BallotNode are of the ballot that it has promised last.
	Round      uint64
	BallotNode uint16
}

// NodeStatus is the state of a node, or why there is none.
type NodeStatus struct {
	Node    uint16
	Address string // host:port, for clients
	Err     error  // nil if the rest is known
	Cluster uint64 // the id of the cluster
	Uptime  time.Duration
	Durable uint64 // position in its log up to which all is synced
	Build   string // version of its binary
	// Draining says that it gives its leaderships away and takes none.
	Draining bool
	Groups   []GroupStatus
}

// Status asks every node the client knows how it is. A node that does not
// answer is in the result with the reason.
func (c *Client) Status(ctx context.Context) ([]NodeStatus, error) {
	c.mu.Lock()
	all := c.mu.core.nodes()
	c.mu.Unlock()
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: no node has answered yet", ErrUnavailable)
	}
	calls := make([]*Call, len(all))
	for i := range all {
		calls[i] = &Call{
			Kind: wire.KindStatus, Node: all[i].Node, Timeout: c.opts.RequestTimeout,
		}
		c.begin(calls[i])
	}
	for i, x := range calls {
		c.wait(ctx, x)
		all[i].fill(x)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.mu.core.nodes() { // some may have moved
		i := slices.IndexFunc(all, func(x NodeStatus) bool { return x.Node == n.Node })
		if i >= 0 {
			all[i].Address = n.Address
		}
	}
	return all, nil
}

func (n *NodeStatus) fill(x *Call) {
	if x.Err != nil {
		n.Err = x.Err
		return
	}
	s, err := wire.DecodeNodeStatus3(x.Response.Payload)
	if err != nil {
		n.Err = fmt.Errorf("%w: %w", ErrProtocol, err)
		return
	}
	n.Cluster, n.Uptime, n.Durable = s.Cluster, millis(s.UptimeMillis), s.Durable
	n.Draining = s.Flags&wire.NodeDraining != 0
	n.Build, n.Groups = string(s.Build), make([]GroupStatus, len(s.Groups))
	for i := range s.Groups {
		g := &s.Groups[i]
		n.Groups[i] = GroupStatus{
			Group: g.Group, Role: Role(g.Role), Leader: g.Leader, Chosen: g.Chosen,
			Applied: g.Applied, Sessions: int(g.Sessions), Locks: int(g.Locks),
			Waiters: int(g.Waiters), Round: g.Round, BallotNode: g.BallotNode,
		}
	}
}

// nodes returns the nodes that are known by their ids, in order.
func (c *Core) nodes() []NodeStatus {
	var all []NodeStatus
	for _, e := range c.endpoints {
		known := slices.IndexFunc(all, func(n NodeStatus) bool { return n.Node == e.node })
		switch {
		case e.node == 0:
		case known < 0:
			all = append(all, NodeStatus{Node: e.node, Address: e.address})
		case e.state == connUp: // it may have moved there
			all[known].Address = e.address
		}
	}
	slices.SortFunc(all, func(a, b NodeStatus) int { return cmp.Compare(a.Node, b.Node) })
	return all
}
