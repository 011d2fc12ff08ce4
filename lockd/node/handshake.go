package node

import (
	"fmt"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// The methods of this file answer handshakes. They may be called from any
// goroutine: they look only at what the engine has published.

// PeerHello is what this node says of itself to a peer.
func (n *Node) PeerHello() wire.PeerHello {
	id := n.admitted.Load()
	return wire.PeerHello{
		Cluster:  ClusterHash(id.Cluster),
		Settings: id.Settings,
		Disk:     uint64(id.Disk),
		Durable:  n.inbox.durable.Load(),
		Starts:   id.Starts,
		Start:    n.start,
		Roster:   RosterHash(id.Roster),
	}
}

// shown is what a hello says about the sender's disk.
func shown(h *wire.PeerHello) memory {
	return memory{
		disk: paxos.DiskID(h.Disk), starts: h.Starts, start: h.Start, position: wal.LSN(h.Durable),
	}
}

// CheckPeer says why a peer may not be linked, nil if it may. A node that has
// recorded the roster admits a disk only under the node it belongs to (I7).
func (n *Node) CheckPeer(h *wire.PeerHello) *wire.PeerRefused {
	id := n.admitted.Load()
	refuse := func(code wire.Refusal, format string, args ...any) *wire.PeerRefused {
		return &wire.PeerRefused{Code: code, Text: fmt.Appendf(nil, format, args...)}
	}
	switch {
	case h.Cluster != ClusterHash(id.Cluster):
		return refuse(wire.RefusedCluster,
			"node %d belongs to another cluster than %q; check the addresses and the cluster name",
			h.From, id.Cluster)
	case h.Settings != id.Settings:
		return refuse(wire.RefusedCluster,
			"node %d runs with other cluster settings than node %d; groups, nodes, limits and "+
				"log tick must be equal everywhere", h.From, id.Node)
	case n.peer(h.From) == nil:
		return refuse(wire.RefusedNode, "node %d is not a node of cluster %q", h.From, id.Cluster)
	}
	if lost := n.memories.forgets(paxos.NodeID(h.From), shown(h)); lost != "" {
		return refuse(wire.RefusedRollback,
			"node %d came back with disk %016x, but %s: its data directory was restored from a "+
				"copy, or its disk lost what it had synced. A node that forgot its promises must "+
				"not come back: lockd cluster replace %d gives it a new disk id", h.From, h.Disk,
			lost, h.From)
	}
	if len(id.Roster) == 0 {
		return nil
	}
	for _, a := range id.Roster {
		if a.Node != paxos.NodeID(h.From) || a.Disk == paxos.DiskID(h.Disk) ||
			plantedIs("wiped-node-admitted") {
			continue
		}
		return refuse(wire.RefusedDisk,
			"node %d came with disk %016x, but the cluster knows it with disk %016x: its data "+
				"directory was wiped, swapped or restored from elsewhere. A node that forgot its "+
				"promises must not come back: put the old directory back", h.From, h.Disk,
			uint64(a.Disk))
	}
	if h.Roster != 0 && h.Roster != RosterHash(id.Roster) {
		return refuse(wire.RefusedDisk,
			"node %d recorded other disks at the cluster's birth than node %d; the two "+
				"directories do not belong to one cluster", h.From, id.Node)
	}
	return nil
}

// Welcome answers a client's hello: who this node is, which other nodes there
// are, and who leads which group as far as it knows. version is the newest that
// the client and this package know; an older build knows less.
func (n *Node) Welcome(version uint16) wire.Welcome {
	if n.opts.format() < lockfsm.FormatKinds {
		version = min(version, wire.VersionKinds-1)
	}
	w := wire.Welcome{
		Version: version,
		Node:    n.opts.Self,
		Cluster: ClusterHash(n.opts.Cluster),
		Limits:  wire.DefaultLimits(),
		Leaders: make([]uint16, n.opts.Groups),
	}
	w.Limits.InFlight = uint32(n.opts.MaxInFlight)
	w.Limits.MinLeaseMillis = uint32(n.opts.Limits.LeaseMin)
	w.Limits.MaxLeaseMillis = uint32(n.opts.Limits.LeaseMax)
	w.Limits.NameBytes = uint16(n.opts.Limits.NameBytes)
	for _, p := range n.opts.Nodes {
		w.Nodes = append(w.Nodes, wire.Node{ID: p.ID, Address: []byte(p.ClientAddress)})
	}
	if s := n.status.Load(); s != nil {
		for i := range s.Groups {
			w.Leaders[s.Groups[i].Group] = uint16(s.Groups[i].Leader)
		}
	}
	return w
}

// onRefused hears that a peer does not admit this node. If it knows this node
// with another disk, this directory is the one that was wiped, and the node
// must not go on.
func (n *Node) onRefused(id uint16, code wire.Refusal, text string) {
	n.observe(Event{Kind: EventRefusedUs, Node: paxos.NodeID(id), Text: text})
	if code == wire.RefusedRollback {
		n.fail(fmt.Errorf("%w: node %d refuses this node: %s", ErrRolledBack, id, text))
	}
	if code == wire.RefusedDisk && n.birth != nil {
		n.fail(fmt.Errorf("%w: node %d refuses this node: %s", ErrWiped, id, text))
	}
}
