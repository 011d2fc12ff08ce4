package node

import (
	"fmt"
	"slices"

	"lockd/lockd/placement"
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
		Features: uint64(n.opts.format()),
		Cluster:  clusterHash(id.Cluster),
		Settings: id.Settings,
		Disk:     uint64(id.Disk),
		Durable:  n.inbox.durable.Load(),
		Starts:   id.Starts,
		Start:    n.start,
		Roster:   birthHash(id.Birth),
		Record:   recordShown(id),
	}
}

// shown is what a hello says about the sender's disk.
func shown(h *wire.PeerHello) memory {
	return memory{
		disk: paxos.DiskID(h.Disk), starts: h.Starts, start: h.Start, position: wal.LSN(h.Durable),
		record: h.Record, format: uint8(h.Features),
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
	case h.Cluster != clusterHash(id.Cluster):
		return refuse(wire.RefusedCluster,
			"node %d belongs to another cluster than %q; check the addresses and the cluster name",
			h.From, id.Cluster)
	case h.Settings != id.Settings:
		return refuse(wire.RefusedCluster,
			"node %d runs with other cluster settings than node %d; groups, replicas, window, "+
				"limits and log tick must be equal everywhere", h.From, id.Node)
	}
	if lost := n.memories.forgets(paxos.NodeID(h.From), shown(h)); lost != "" {
		return refuse(wire.RefusedRollback,
			"node %d came back with disk %016x, but %s: its data directory was restored from a "+
				"copy, or its disk lost what it had synced. A node that forgot its promises must "+
				"not come back: lockd cluster replace %d gives it a new disk id", h.From, h.Disk,
			lost, h.From)
	}
	if id.Born {
		return checkListed(id, h, refuse)
	}
	return n.checkUnborn(id, h, refuse)
}

// recordShown is what a hello says of the record: its version plus one, zero
// before the node is born.
func recordShown(id *Identity) uint64 {
	if !id.Born {
		return 0
	}
	return id.Version + 1
}

type refuser func(code wire.Refusal, format string, args ...any) *wire.PeerRefused

// checkUnborn judges a peer while the cluster is being born, or while this node
// waits to be taken in.
func (n *Node) checkUnborn(id *Identity, h *wire.PeerHello, refuse refuser) *wire.PeerRefused {
	known := false
	for _, p := range n.opts.Nodes {
		known = known || p.ID == h.From
	}
	if r := n.invited.Load(); r != nil {
		known = known || r.Node(paxos.NodeID(h.From)) != nil
	}
	if !known {
		return refuse(wire.RefusedNode, "node %d is not a node of cluster %q", h.From, id.Cluster)
	}
	if id.Birth == nil || h.Record > 0 {
		return nil
	}
	if a := id.Birth.Node(paxos.NodeID(h.From)); a == nil || a.Disk != paxos.DiskID(h.Disk) {
		return refuseDisk(a, h, refuse)
	}
	if h.Roster != 0 && h.Roster != birthHash(id.Birth) {
		return refuse(wire.RefusedDisk,
			"node %d recorded other disks at the cluster's birth than node %d; the two "+
				"directories do not belong to one cluster", h.From, id.Node)
	}
	return nil
}

// checkListed judges a peer by the record. One that knows a newer record is let
// in to tell of it, whether ours names it or not; what its promises are worth, each
// group's seats say, and what a stranger's record is worth, strangers.go.
func checkListed(id *Identity, h *wire.PeerHello, refuse refuser) *wire.PeerRefused {
	a := id.Record.Node(paxos.NodeID(h.From))
	newer := h.Record > id.Version+1
	switch {
	case a == nil && newer:
		return nil
	case a == nil:
		return refuse(wire.RefusedNode, "node %d is not a node of cluster %q; invite it with: "+
			"lockd cluster add %d", h.From, id.Cluster, h.From)
	case a.State == placement.Gone:
		return refuse(wire.RefusedRemoved, "node %d was removed from cluster %q; a new node needs a "+
			"new id", h.From, id.Cluster)
	case a.Disk == 0 && h.Roster == 0 && !slices.Contains(a.Retired, paxos.DiskID(h.Disk)), newer,
		plantedIs("wiped-node-admitted"):
		return nil // an awaited node has no roster: it comes on an empty directory
	case a.Disk == paxos.DiskID(h.Disk):
	default:
		return refuseDisk(a, h, refuse)
	}
	if h.Roster != 0 && id.Birth != nil && h.Roster != birthHash(id.Birth) {
		return refuse(wire.RefusedDisk,
			"node %d recorded other disks at the cluster's birth than node %d; the two "+
				"directories do not belong to one cluster", h.From, id.Node)
	}
	return nil
}

// CheckStranger says why a node with which no link is kept up may not be heard, nil
// if it may: the record must not name it, and it must show a newer one (strangers.go).
func (n *Node) CheckStranger(h *wire.PeerHello) *wire.PeerRefused {
	if r := n.CheckPeer(h); r != nil {
		return r
	}
	id := n.admitted.Load()
	if id.Born && id.Record.Node(paxos.NodeID(h.From)) == nil {
		return nil
	}
	return &wire.PeerRefused{Code: wire.RefusedNode, Text: fmt.Appendf(nil, "node %d knows node %d "+
		"and does not link it; that ends by itself within seconds, or node %d has no address of it: "+
		"then write node %d into cluster.nodes of node %d, and start that again", id.Node, h.From,
		id.Node, h.From, id.Node)}
}

func refuseDisk(a *placement.Node, h *wire.PeerHello, refuse refuser) *wire.PeerRefused {
	var have paxos.DiskID
	if a != nil {
		have = a.Disk
	}
	if a != nil && slices.Contains(a.Retired, paxos.DiskID(h.Disk)) {
		return refuse(wire.RefusedDisk,
			"node %d came with disk %016x, which was given up when it was replaced: start it on "+
				"an empty data directory", h.From, h.Disk)
	}
	if have == 0 && h.Roster != 0 {
		return refuse(wire.RefusedDisk,
			"node %d is awaited on an empty data directory, and came with one that took part in "+
				"the birth of another cluster: start it on an empty one", h.From)
	}
	return refuse(wire.RefusedDisk,
		"node %d came with disk %016x, but the cluster knows it with disk %016x: its data "+
			"directory was wiped, swapped or restored from elsewhere. A node that forgot its "+
			"promises must not come back: put the old directory back, or give the node a new disk "+
			"id with: lockd cluster replace %d", h.From, h.Disk, uint64(have), h.From)
}

// Welcome answers a client's hello: who this node is, which other nodes there
// are, and who leads which group as far as it knows. version is the newest that
// the client and this package know; an older build knows less.
func (n *Node) Welcome(version uint16) wire.Welcome {
	switch n.opts.format() {
	case lockfsm.FormatFirst:
		version = min(version, wire.VersionKinds-1)
	case lockfsm.FormatKinds:
		version = min(version, wire.VersionWhole-1)
	}
	w := wire.Welcome{
		Version: version,
		Node:    n.opts.Self,
		Cluster: clusterHash(n.opts.Cluster),
		Limits:  wire.DefaultLimits(),
		Leaders: make([]uint16, n.opts.Groups),
	}
	w.Limits.InFlight = uint32(n.opts.MaxInFlight)
	w.Limits.MinLeaseMillis = uint32(n.opts.Limits.LeaseMin)
	w.Limits.MaxLeaseMillis = uint32(n.opts.Limits.LeaseMax)
	w.Limits.NameBytes = uint16(n.opts.Limits.NameBytes)
	w.Limits.MinHoldMillis = uint32(n.opts.Limits.HoldMin)
	w.Limits.MaxHoldMillis = uint32(n.opts.Limits.HoldMax)
	w.Limits.DataBytes = n.opts.Limits.DataBytes
	w.Nodes = n.clientAddresses()
	if s := n.status.Load(); s != nil {
		for g, id := range s.Leaders {
			w.Leaders[g] = uint16(id)
		}
	}
	return w
}

// clientAddresses are the nodes with the addresses that clients dial.
func (n *Node) clientAddresses() []wire.Node {
	var nodes []wire.Node
	add := func(id uint16, address string) {
		if address != "" {
			nodes = append(nodes, wire.Node{ID: id, Address: []byte(address)})
		}
	}
	r := n.admitted.Load().Record
	if r == nil {
		for _, p := range n.opts.Nodes {
			add(p.ID, p.ClientAddress)
		}
		return nodes
	}
	for i := range r.Nodes {
		if x := &r.Nodes[i]; x.State != placement.Gone {
			add(uint16(x.ID), n.clientAddress(x))
		}
	}
	return nodes
}

// clientAddress is where clients dial a node of the record, empty if that is not known: where
// this node's configuration says, unless the cluster was told of another address since this
// node has started, and where the record says if the configuration does not name it.
func (n *Node) clientAddress(x *placement.Node) string {
	if first := n.first.Load(); first != nil && x.Client != "" {
		if was := first.Node(x.ID); was != nil && was.Client != x.Client {
			return x.Client
		}
	}
	for i := range n.opts.Nodes {
		if p := &n.opts.Nodes[i]; p.ID == uint16(x.ID) {
			return p.ClientAddress
		}
	}
	return x.Client
}

// onRefused hears that a peer does not admit this node. If it knows this node
// with another disk, this directory is the one that was wiped, and the node
// must not go on.
func (n *Node) onRefused(id uint16, code wire.Refusal, text string) {
	n.observe(Event{Kind: EventRefusedUs, Node: paxos.NodeID(id), Text: text})
	if code == wire.RefusedRemoved {
		n.fail(fmt.Errorf("%w: node %d says: %s", ErrRemoved, id, text))
	}
	if code == wire.RefusedRollback {
		n.fail(fmt.Errorf("%w: node %d refuses this node: %s", ErrRolledBack, id, text))
	}
	if code == wire.RefusedDisk && n.birth != nil && n.notOurs == nil {
		n.notOurs = fmt.Errorf("%w: node %d refuses this node: %s", ErrWiped, id, text)
		n.notOursAt = n.now
	}
}

// wipedAfter is how long somebody may take to admit a directory that another
// node refused: that one may not have heard yet that the node was replaced.
const wipedAfter = Second

// judgeRefusals stops a node whose directory is refused and admitted by nobody. Who
// waits to be born is no help: it may have lost its directory too.
func (n *Node) judgeRefusals() {
	if n.notOurs == nil || n.birth == nil || n.now-n.notOursAt < wipedAfter {
		return
	}
	for _, p := range n.peers {
		if p.up && p.record > 0 {
			n.notOurs = nil
			return
		}
	}
	n.fail(n.notOurs)
}
