package sim

import (
	"encoding/binary"

	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// noteRecord keeps each record of the cluster as it was chosen.
func (w *World) noteRecord(
	g paxos.GroupID, slot paxos.Slot, c *lockfsm.Command, r *lockfsm.Result,
) {
	if g == 0 && c.Op == lockfsm.OpWrite && r.Code == lockfsm.CodeOK && string(c.Name) == "cluster" {
		w.records[uint64(slot)] = string(c.Value)
		w.noteGone(c.Value)
	}
}

// recorded checks of the record that a directory has that it was chosen, whoever told
// of it.
func (w *World) recorded(s *site) {
	id, err := node.DecodeIdentity(s.drive.Content(identityName))
	if err != nil || id.Record == nil {
		w.failf("node %d heard of a record, and its directory has none: %v", s.id, err)
		return
	}
	if id.Version > 0 && w.records[id.Version] != string(id.Record.Append(nil)) {
		w.failf("F-N6: node %d believes a record of version %d that nobody chose", s.id, id.Version)
	}
}

// mislead has a node be told a record that nobody chose, by a stranger that shows a
// newer one and is of another cluster of this name, or not who it says (F-N6).
func (l *link) mislead(p *process, h wire.PeerHello) {
	w, d := l.w, l.w.dice.stranger
	id, err := node.DecodeIdentity(p.site.drive.Content(identityName))
	if err != nil || !id.Born || !d.permille(100) {
		return
	}
	r := id.Record.Clone()
	self := r.Node(paxos.NodeID(p.site.id))
	teller := placement.Node{ID: paxos.NodeID(h.From), State: placement.Member,
		Disk: paxos.DiskID(h.Disk)}
	version := id.Version + 1 + uint64(d.IntN(1000))
	h.Record = version + 1
	named := true
	switch d.IntN(4) {
	case 0:
		self.Disk++
	case 1:
		teller.Disk++
	case 2:
		named = false
	default:
		version = id.Version
	}
	if named {
		r.Nodes = append(r.Nodes, teller)
	}
	w.covered["stranger misleads"]++
	if p.node.CheckPeer(&h) != nil {
		return // its settings are others
	}
	p.inbox.PeerUp(h.From, &h)
	b := binary.LittleEndian.AppendUint64(nil, version)
	p.inbox.PeerFrame(h.From, uint8(wire.PeerKindRecord), r.Append(b))
	p.inbox.PeerDown(h.From, node.DownReset)
	p.wake()
}
