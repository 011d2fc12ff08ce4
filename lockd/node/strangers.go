package node

import (
	"fmt"
	"slices"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// A node may miss so many changes of the cluster that none of those whom its record
// names is left to tell it. So a node that its record does not name is let in if it
// shows a newer one, as a stranger: it may tell its record, and nothing else of what
// it says is heard. The record is believed if it proves that it is of this cluster
// and that the stranger is who it says. Then the stranger is a peer as any other.

// stranger is a node that is linked and that the record does not name.
type stranger struct {
	id   uint16
	seen memory // what it showed at the link
	// doubted is set once its record was not believed, which is noted once a link.
	doubted bool
}

// maxTellers is how many are heard at a time: as many as a configuration may name and
// the links let in besides. A link to a node of the configuration does not come again.
const maxTellers = placement.MaxKeepers + 2

// onStrangerUp hears that a link to a node stands that is no peer.
func (n *Node) onStrangerUp(id uint16, seen memory) {
	n.onStrangerDown(id)
	if n.birth == nil && n.listed(paxos.NodeID(id)) == nil && len(n.strangers) < maxTellers {
		n.strangers = append(n.strangers, stranger{id: id, seen: seen})
	}
}

func (n *Node) onStrangerDown(id uint16) {
	n.strangers = slices.DeleteFunc(n.strangers, func(s stranger) bool { return s.id == id })
}

// onStrangerFrame takes the record from a stranger. Whatever else it says is for the
// peer that it takes this node for.
func (n *Node) onStrangerFrame(id uint16, kind wire.PeerKind, b []byte) {
	at := slices.IndexFunc(n.strangers, func(s stranger) bool { return s.id == id })
	if at < 0 || kind != wire.PeerKindRecord {
		return
	}
	r, version := n.readRecord(b)
	if r == nil {
		return
	}
	s := &n.strangers[at]
	if doubt := n.doubts(s, r, version); doubt != "" {
		n.stats.Disbelieved++
		if !s.doubted {
			s.doubted = true
			n.observe(Event{Kind: EventDisbelieved, Node: paxos.NodeID(id), Text: doubt})
		}
		return
	}
	n.observe(Event{Kind: EventTold, Node: paxos.NodeID(id), Slot: paxos.Slot(version)})
	n.adoptRecord(r, version)
}

// doubts says why a stranger's record is not believed, empty if it is. That it names
// this disk, whose id is random, shows that it is of this cluster; that it names the
// stranger with the disk it showed, that the stranger is one of the nodes. What
// failed here must not stop this node: it may be the stranger's fault.
func (n *Node) doubts(s *stranger, r *placement.Record, version uint64) string {
	self, teller := r.Node(n.identity.Node), r.Node(paxos.NodeID(s.id))
	switch {
	case version <= n.identity.Version:
		return fmt.Sprintf("it is of version %d, and ours of %d", version, n.identity.Version)
	case plantedIs("stranger-believed"):
		return ""
	case self == nil || self.State == placement.Gone || self.Disk != n.identity.Disk:
		return fmt.Sprintf("it does not name this node with disk %016x", uint64(n.identity.Disk))
	case teller == nil || teller.State == placement.Gone || teller.Disk == 0 ||
		teller.Disk != s.seen.disk:
		return fmt.Sprintf("it does not name its teller with disk %016x", uint64(s.seen.disk))
	default:
		return ""
	}
}

// meetStrangers makes peers of the strangers that the record names by now. Their
// links stand, where the configuration had named them; where they do not last, the
// next ones come up as those of peers.
func (n *Node) meetStrangers() {
	for i := len(n.strangers) - 1; i >= 0; i-- {
		s := n.strangers[i]
		x := n.listed(paxos.NodeID(s.id))
		if x == nil {
			continue
		}
		n.strangers = slices.Delete(n.strangers, i, i+1)
		known := x.Disk == s.seen.disk || x.Disk == 0 && !slices.Contains(x.Retired, s.seen.disk)
		if p := n.peer(s.id); p != nil && !p.up && known {
			n.onPeerUp(s.id, s.seen)
		}
	}
}
