package check

import (
	"encoding/binary"
	"fmt"

	"lockd/paxos"
	"lockd/wal"
)

// Disk follows the records of one node: what it appended, what of that is
// synced, and what a later start finds. It judges what the node says by it.
type Disk struct {
	node   int
	number int // of the disk
	chosen *Chosen
	// waiting are the records appended and not synced, in order.
	waiting []waitingRecord
	durable wal.LSN
	groups  []diskGroup
}

type waitingRecord struct {
	lsn   wal.LSN
	stay  int // of the group on this node, at which it was appended
	group paxos.GroupID
	kind  wal.Kind
	entry paxos.Entry
}

// diskGroup is what a node must remember of one group.
type diskGroup struct {
	// appended is the highest promise handed to the log, promised the highest
	// one synced.
	appended, promised paxos.Ballot
	accepted           map[paxos.Slot]paxos.Entry
	// released is covered by a durable checkpoint.
	released paxos.Slot
	// hinted is up to where the log says that all is chosen.
	hinted paxos.Slot
	// gone says that the newest mark in the log has the group gone from the node. A later
	// mark has it back: until that one, back, is synced, a start finds nothing of the group,
	// whatever else is durable.
	gone bool
	back wal.LSN
	// stay counts how often the group has left the node. What it said before may
	// still wait for its sync when it leaves, and is judged by what was accepted
	// then, which need not be remembered any longer.
	stay int
	left stay
}

// stay is what a group that has left had accepted and released on the node.
type stay struct {
	accepted map[paxos.Slot]paxos.Entry
	released paxos.Slot
}

// keep adds an entry, unless a newer one is there.
func (s *stay) keep(e paxos.Entry) {
	if have, ok := s.accepted[e.Slot]; !ok || have.Ballot.Less(e.Ballot) {
		s.accepted[e.Slot] = e
	}
}

// NewDisk makes the checker of one node's disk, which has a number among all
// there ever are.
func NewDisk(node uint16, number, groups int, c *Chosen) *Disk {
	d := &Disk{node: int(node), number: number, chosen: c, groups: make([]diskGroup, groups)}
	for g := range d.groups {
		d.groups[g].accepted = make(map[paxos.Slot]paxos.Entry)
		d.groups[g].left.accepted = make(map[paxos.Slot]paxos.Entry)
	}
	return d
}

// DecodeRecord reads the data of a promise or accept record.
func DecodeRecord(r *wal.Record) (paxos.Entry, error) {
	e := paxos.Entry{Slot: paxos.Slot(r.Slot)}
	if r.Kind == wal.KindHint {
		return e, nil
	}
	if len(r.Data) < 11 || r.Data[0] != 1 {
		return e, fmt.Errorf("check: record of group %d with %d bytes", r.Group, len(r.Data))
	}
	e.Ballot = paxos.Ballot{
		Round: binary.LittleEndian.Uint64(r.Data[1:]),
		Node:  paxos.NodeID(binary.LittleEndian.Uint16(r.Data[9:])),
	}
	e.Value = r.Data[11:]
	return e, nil
}

// Marks of a group stand in the log under its number and this. One with data says whether
// the node keeps the group, and begins with goneMark if not.
const (
	marks    = 1 << 10
	goneMark = 1
)

// marked returns the group of a mark, and whether it says that the group has gone.
func marked(r *wal.Record, groups int) (group int, gone, ok bool) {
	group = int(r.Group) - marks
	return group, len(r.Data) > 0 && r.Data[0] == goneMark, group >= 0 && group < groups
}

// Appended notes a record handed to the log.
func (d *Disk) Appended(lsn wal.LSN, r *wal.Record) error {
	if i, gone, ok := marked(r, len(d.groups)); ok {
		if d.groups[i].gone && !gone {
			d.groups[i].back = lsn
		}
		d.groups[i].gone = gone
	}
	if int(r.Group) >= len(d.groups) {
		return nil // what the node notes of itself
	}
	e, err := DecodeRecord(r)
	if err != nil {
		return err
	}
	e.Value = append([]byte(nil), e.Value...)
	g := &d.groups[r.Group]
	w := waitingRecord{lsn: lsn, stay: g.stay, group: paxos.GroupID(r.Group), kind: r.Kind, entry: e}
	d.waiting = append(d.waiting, w)
	switch r.Kind {
	case wal.KindState:
		if e.Ballot.Less(g.appended) {
			return fmt.Errorf("I3: node %d group %d records promise %v after %v",
				d.node, r.Group, e.Ballot, g.appended)
		}
		g.appended = e.Ballot
	case wal.KindEntry:
		if err := d.chosen.Offered(w.group, &e); err != nil {
			return err
		}
		if e.Ballot.Less(g.appended) && !d.chosen.ByQuorum(w.group, &e) {
			return fmt.Errorf("I3: node %d group %d slot %d accepts at %v having promised %v",
				d.node, r.Group, e.Slot, e.Ballot, g.appended)
		}
	case wal.KindHint:
	}
	return nil
}

// Synced notes that all records up to lsn are durable.
func (d *Disk) Synced(lsn wal.LSN) error {
	d.durable = lsn
	n := 0
	for n < len(d.waiting) && d.waiting[n].lsn <= lsn {
		if err := d.keep(&d.waiting[n]); err != nil {
			return err
		}
		n++
	}
	d.waiting = append(d.waiting[:0], d.waiting[n:]...)
	return nil
}

func (d *Disk) keep(w *waitingRecord) error {
	g := &d.groups[w.group]
	switch w.kind {
	case wal.KindState:
		if g.promised.Less(w.entry.Ballot) {
			g.promised = w.entry.Ballot
		}
	case wal.KindEntry:
		if w.stay < g.stay {
			g.left.keep(w.entry)
			return d.chosen.Synced(d.number, w.group, &w.entry)
		}
		have, ok := g.accepted[w.entry.Slot]
		if w.entry.Slot > g.released && (!ok || have.Ballot.Less(w.entry.Ballot)) {
			g.accepted[w.entry.Slot] = w.entry
		}
		return d.chosen.Synced(d.number, w.group, &w.entry)
	case wal.KindHint:
		if w.stay == g.stay {
			g.hinted = max(g.hinted, w.entry.Slot)
		}
	}
	return nil
}

// dropped is what a node releases a group up to that it keeps no longer.
const dropped = ^paxos.Slot(0)

// Released notes that a durable checkpoint covers a group up to slot, or that the
// node keeps the group no longer. Of one that it does keep nothing may be dropped (I10).
func (d *Disk) Released(group paxos.GroupID, slot paxos.Slot) error {
	g := &d.groups[group]
	if slot == dropped && !g.gone && (g.released > 0 && g.released != dropped || len(g.accepted) > 0) {
		return fmt.Errorf("I10: node %d releases all of group %d, which its log says it keeps", d.node,
			group)
	}
	if slot == dropped && g.released != dropped {
		g.stay++
		for _, e := range g.accepted { // order: the newest of each slot is kept
			g.left.keep(e)
		}
		g.left.released = max(g.left.released, g.released)
		g.hinted = 0
	}
	for s := range g.accepted { // order: a set shrinks
		if s <= slot {
			delete(g.accepted, s)
		}
	}
	g.released = max(g.released, slot)
	return nil
}

// Reopened notes that the node keeps a group anew, from its first slot.
func (d *Disk) Reopened(group paxos.GroupID) { d.groups[group].released = 0 }

// Forgot reports whether a group was here before and had come to a slot, of which nothing
// is here now.
func (d *Disk) Forgot(group paxos.GroupID, slot paxos.Slot) bool {
	g := &d.groups[group]
	if g.stay == 0 {
		return false
	}
	_, left := g.left.accepted[slot]
	_, have := g.accepted[slot]
	return (left || g.left.released >= slot) && !have && g.released < slot
}

// Bound judges the promise with which a node takes a group up again: it is all
// that was synced (I3), and nothing that is not in the log (I4).
func (d *Disk) Bound(group paxos.GroupID, promised paxos.Ballot) error {
	if have := d.groups[group].promised; promised.Less(have) {
		return fmt.Errorf("I3: node %d takes group %d up with promise %v, and %v was synced", d.node,
			group, promised, have)
	}
	if made := d.groups[group].appended; made.Less(promised) {
		return fmt.Errorf("I4: node %d takes group %d up with promise %v, and %v was the highest "+
			"recorded", d.node, group, promised, made)
	}
	return nil
}

// Holds reports whether every slot of a group up to one is durable here, in the
// log or in the checkpoint.
func (d *Disk) Holds(group paxos.GroupID, last paxos.Slot) bool {
	g := &d.groups[group]
	return g.keeps(d.durable) && d.HoldsTo(group) >= last
}

// HoldsTo is the last slot of a group that is durable here with all before it; 0 if the
// group is not kept.
func (d *Disk) HoldsTo(group paxos.GroupID) (last paxos.Slot) {
	g := &d.groups[group]
	if !g.keeps(d.durable) {
		return 0
	}
	for last = g.released; ; last++ {
		if _, ok := g.accepted[last+1]; !ok {
			return last
		}
	}
}

// keeps reports whether a start would find the group, if the log is durable up to lsn.
func (g *diskGroup) keeps(lsn wal.LSN) bool {
	return g.released != dropped && !g.gone && g.back <= lsn
}

// Found is what a start of the node read back from the log.
type Found struct {
	groups []diskGroup
}

// NewFound begins a replay.
func NewFound(groups int) *Found {
	f := &Found{groups: make([]diskGroup, groups)}
	for g := range f.groups {
		f.groups[g].accepted = make(map[paxos.Slot]paxos.Entry)
	}
	return f
}

// Add notes one record of the replay.
func (f *Found) Add(r *wal.Record) error {
	if i, gone, ok := marked(r, len(f.groups)); ok {
		g := &f.groups[i]
		if gone || g.gone { // what stands before is of an earlier stay
			clear(g.accepted)
			g.hinted = 0
		}
		g.gone = gone
	}
	if int(r.Group) >= len(f.groups) {
		return nil
	}
	e, err := DecodeRecord(r)
	if err != nil {
		return err
	}
	g := &f.groups[r.Group]
	switch r.Kind {
	case wal.KindState:
		if g.promised.Less(e.Ballot) {
			g.promised = e.Ballot
		}
	case wal.KindEntry:
		if have, ok := g.accepted[e.Slot]; !ok || have.Ballot.Less(e.Ballot) {
			e.Value = append([]byte(nil), e.Value...)
			g.accepted[e.Slot] = e
		}
	case wal.KindHint:
		g.hinted = max(g.hinted, e.Slot)
	}
	return nil
}

// Restarted compares what a start found with what had been synced (I8, I10):
// all of that must be there, and what is there beyond must have been appended.
// What was found is durable from here on.
func (d *Disk) Restarted(f *Found) error {
	for i := range d.groups {
		g, have := &d.groups[i], &f.groups[i]
		if have.promised.Less(g.promised) {
			return fmt.Errorf("I10: node %d group %d: promise %v found, %v was synced",
				d.node, i, have.promised, g.promised)
		}
		if g.appended.Less(have.promised) {
			return fmt.Errorf("I8: node %d group %d: promise %v found, %v was the highest made",
				d.node, i, have.promised, g.appended)
		}
		if g.gone && have.gone {
			continue // its mark is found, be it synced or not
		}
		if g.stay == 0 && g.hinted > g.released && have.hinted < g.hinted {
			return fmt.Errorf("I10: node %d group %d: found to be chosen up to slot %d, %d was synced",
				d.node, i, have.hinted, g.hinted)
		}
		for slot, e := range g.accepted { // order: the first of several is enough
			found, ok := have.accepted[slot]
			if !ok || found.Ballot.Less(e.Ballot) {
				return fmt.Errorf("I10: node %d group %d slot %d: accept at %v found, %v was synced",
					d.node, i, slot, found.Ballot, e.Ballot)
			}
		}
	}
	d.waiting = d.waiting[:0]
	for i := range d.groups {
		g, have := &d.groups[i], &f.groups[i]
		clear(g.left.accepted)
		g.left.released = 0
		if g.released == dropped {
			g.released = 0 // if it really is the mark says
		}
		g.gone, g.back = have.gone, 0
		g.promised, g.appended, g.hinted = have.promised, have.promised, have.hinted
		if g.gone {
			g.hinted = 0
			clear(g.accepted)
		}
		for slot, e := range have.accepted { // order: each stands alone
			if slot <= g.released {
				continue
			}
			if !g.gone { // else the log may drop it at any time
				g.accepted[slot] = e
			}
			if err := d.chosen.Synced(d.number, paxos.GroupID(i), &e); err != nil {
				return err
			}
		}
	}
	return nil
}

// synced reports whether an accept at a ballot, or a later one, is durable or
// covered by a durable checkpoint, now or when the group was last on the node.
func (g *diskGroup) synced(s paxos.Slot, b paxos.Ballot) (have paxos.Entry, ok bool) {
	if s <= g.left.released || g.released != dropped && s <= g.released {
		return have, true
	}
	have, ok = g.accepted[s]
	if ok && !have.Ballot.Less(b) {
		return have, true
	}
	before, ok := g.left.accepted[s]
	return have, ok && !before.Ballot.Less(b)
}

// Sent judges a message that leaves the node (I4).
func (d *Disk) Sent(m *paxos.Message) error {
	g := &d.groups[m.Group]
	switch m.Kind {
	case paxos.KindPromise, paxos.KindPrepare:
		if g.promised.Less(m.Ballot) {
			return fmt.Errorf("I4: node %d group %d sends %v %v, synced is only %v",
				d.node, m.Group, m.Kind, m.Ballot, g.promised)
		}
	case paxos.KindAccepted:
		for s := m.Slot; s <= m.Last; s++ {
			if e, ok := g.synced(s, m.Ballot); !ok {
				return fmt.Errorf("I4: node %d group %d says it accepted slot %d at %v, synced is %v",
					d.node, m.Group, s, m.Ballot, e.Ballot)
			}
		}
	case paxos.KindAccept:
		if g.promised.Less(m.Ballot) {
			return fmt.Errorf("I4: node %d group %d proposes at %v, synced is only promise %v",
				d.node, m.Group, m.Ballot, g.promised)
		}
	case paxos.KindHeartbeatAck:
		for s := g.released + 1; g.released != dropped && s < m.Slot; s++ {
			if _, ok := g.synced(s, paxos.Ballot{}); !ok {
				return fmt.Errorf("I4: node %d group %d says that it has synced slots up to %d, and %d is not",
					d.node, m.Group, m.Slot-1, s)
			}
		}
		return nil
	default:
		return nil
	}
	for i := range m.Entries {
		if err := d.chosen.Offered(m.Group, &m.Entries[i]); err != nil {
			return err
		}
	}
	return nil
}
