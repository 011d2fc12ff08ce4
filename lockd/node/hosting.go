package node

import (
	"fmt"
	"slices"

	"lockd/lockfsm"
	"lockd/paxos"
	"lockd/wal"
)

// A node keeps the groups that are at home on it, and those that are on the way
// in or out. It takes a group in when the group's leader speaks to it, and lets
// it go when the seats name it no more. What it promised for the group it keeps
// for ever.

// startGroups opens the groups of a cluster that has just been born, or of a
// node that was just taken in.
func (n *Node) startGroups() {
	n.followRecord()
	if err := n.openGroups(); err != nil {
		n.fail(err)
	}
}

// openGroups builds the groups of this node from their checkpoints and records.
func (n *Node) openGroups() error {
	for g := range n.opts.Groups {
		id := paxos.GroupID(g)
		if n.recovery.left(uint16(id)) ||
			!n.atHome(id) && !n.recovery.has(uint16(id)) && !n.bornWith(id) {
			n.departed[id] = n.recovery.departure(uint16(id))
			n.deps.Log.Release(uint16(id), ^uint64(0))
			if n.recovery.stored(uint16(id)) {
				n.dropCheckpoint(id) // the node died before it was removed
			}
			continue
		}
		if err := n.reopenGroup(id); err != nil {
			return fmt.Errorf("node: opening group %d: %w", g, err)
		}
	}
	n.recovery = nil
	return nil
}

// bornWith reports whether this disk is one of a group's first acceptors and has
// never let the group go. It keeps the group then, though it may have nothing of
// it and be at home elsewhere by now: as long as no leader has moved the group
// there, it is one of those whom the first leader needs.
func (n *Node) bornWith(id paxos.GroupID) bool {
	if n.identity.Birth == nil || n.recovery.departure(uint16(id)).forgotten != 0 {
		return false
	}
	home, _ := n.identity.Birth.Home(id)
	return slices.Contains(home, n.acceptor())
}

// reopenGroup builds one group from what was recovered, and releases what its
// checkpoint covers. The node may have died between the checkpoint and the mark
// that says so; then the mark comes first and is waited for, as in release.
func (n *Node) reopenGroup(id paxos.GroupID) error {
	forgotten, marked := n.recovery.departure(uint16(id)).forgotten, n.recovery.marked(uint16(id))
	machine, recovered, err := n.recovery.group(uint16(id))
	if err != nil {
		return err
	}
	g, err := n.openGroup(id, machine, recovered, forgotten)
	if err != nil {
		return err
	}
	if g.saved > marked && !plantedIs("released-before-marked") {
		n.mark(g.id, mark{kind: markKept, saved: g.saved, forgotten: g.forgotten})
	}
	n.releaseLog(g)
	return nil
}

// openGroup builds one group; forgotten is that of its last departure.
func (n *Node) openGroup(id paxos.GroupID, machine *lockfsm.Machine, recovered *paxos.Recovered,
	forgotten paxos.Slot) (*group, error) {
	seats, version, err := n.seatsOf(id, machine, forgotten)
	if err != nil {
		return nil, err
	}
	replica, err := paxos.New(paxos.Config{
		Group:          id,
		Self:           n.identity.Node,
		Disk:           n.identity.Disk,
		Configurations: seats.Configurations(),
		Forgotten:      forgotten,
		Successors:     n.succession(id),
		ElectionTicks:  paxos.Ticks(n.opts.ElectionTicks),
		HeartbeatTicks: paxos.Ticks(n.opts.HeartbeatTicks),
		RankDelayTicks: paxos.Ticks(n.opts.RankDelayTicks),
		Window:         n.opts.Window,
		MaxValueBytes:  maxSlotBytes,

		MaxMessageBytes: n.opts.MaxMessageBytes,

		RetainSlots: paxos.Slot(n.opts.RetainSlots),
		RetainBytes: int(n.opts.RetainBytes / int64(n.opts.Groups)),
		Seed:        fnvUint(fnvUint(n.opts.Seed, uint64(id)), uint64(n.identity.Node)),
		Outboxes:    &n.outboxes,
	}, recovered)
	if err != nil {
		return nil, err
	}
	g := newGroup(id, replica, machine)
	n.noteStart(g)
	g.seats, g.seatsVersion, g.forgotten = seats, version, forgotten
	n.tellCut(g)
	n.groups[id] = g
	at, _ := slices.BinarySearchFunc(n.hosted, id, func(g *group, id paxos.GroupID) int {
		return int(g.id) - int(id)
	})
	n.hosted = slices.Insert(n.hosted, at, g)
	n.probeAdopted(g)
	n.touch(g)
	return g, nil
}

// tellCut tells the replica of a group which acceptors are not linked: it may know them
// from now on only.
func (n *Node) tellCut(g *group) {
	for _, a := range g.seats.Now.Acceptors {
		if p := n.peer(uint16(a.Node)); p == nil || !p.up {
			g.replica.PeerCut(a.Node)
		}
	}
}

// takeIn begins to keep a group whose leader has spoken to this node. Anything
// but a heartbeat may be late, from a time before the group left; of a group that
// is at home here it counts all the same, because a node that stopped before its
// log said that it keeps the group may be one of those whom a leader needs.
func (n *Node) takeIn(m *paxos.Message) *group {
	if n.birth != nil || n.recovery != nil || n.dropping[m.Group] ||
		m.Kind != paxos.KindHeartbeat && !n.atHome(m.Group) {
		return nil
	}
	machine, err := lockfsm.New(n.opts.machineLimits())
	if err != nil {
		n.fail(err)
		return nil
	}
	var recovered paxos.Recovered
	left := n.departed[m.Group]
	if !plantedIs("group-comes-back-without-promise") {
		recovered.Promise(left.promised)
	}
	g, err := n.openGroup(m.Group, machine, &recovered, left.forgotten)
	if err != nil {
		n.fail(fmt.Errorf("node: taking in group %d: %w", m.Group, err))
		return nil
	}
	delete(n.departed, m.Group)
	// It supersedes the mark with which the group left, so that records from
	// now on are read back.
	n.mark(g.id, mark{kind: markKept, forgotten: g.forgotten})
	n.deps.Log.Reopen(uint16(g.id))
	n.observe(Event{Kind: EventOpened, Group: g.id})
	return g
}

// departure is what binds the disk after a group has left it. Its promise counts
// for ever, unless it was of the last turn and has no record. What it accepted in
// slots below forgotten it no longer knows: should the group come back, it accepts
// from there on only.
type departure struct {
	promised  paxos.Ballot
	forgotten paxos.Slot
}

// retire stops keeping a group, whose seats do not name this node from slot
// forgotten on. A mark in the WAL has its records forgotten, but for the promise.
// It covers all that was applied here: records copied behind it may speak of that,
// and seats that name this node again begin later.
func (n *Node) retire(g *group, forgotten paxos.Slot) {
	forgotten = max(forgotten, g.forgotten, paxos.Slot(g.machine.Applied())+1)
	n.departed[g.id] = departure{g.replica.Recorded(), forgotten}
	n.refuseHeld(g)
	n.groups[g.id] = nil
	n.hosted = slices.DeleteFunc(n.hosted, func(h *group) bool { return h == g })
	n.saveLeft = min(n.saveLeft, len(n.hosted))
	if n.collector.g == g {
		// Saved after the checkpoint was dropped, it would come back.
		n.collector, n.saving = collector{}, -1
	}
	// The mark that it has left supersedes those that name a checkpoint.
	n.releases = slices.DeleteFunc(n.releases, func(p pendingRelease) bool { return p.id == g.id })
	n.mark(g.id, mark{kind: markLeft, forgotten: forgotten})
	if plantedIs("left-released-before-marked") {
		n.deps.Log.Release(uint16(g.id), ^uint64(0))
	}
	n.dropCheckpoint(g.id)
	n.observe(Event{Kind: EventRetired, Group: g.id})
}

// dropCheckpoint removes what log and store have of a group that this node does not
// keep, as soon as the mark that says so is synced: a log that relied on the
// checkpoint would keep the node from starting (I12), and one that had lost what was
// accepted, but not gained the mark, would have the node speak for slots of which it
// knows nothing (I10). Until the checkpoint is removed the group is not taken in again.
func (n *Node) dropCheckpoint(id paxos.GroupID) {
	n.dropping[id] = true
	n.drops = append(n.drops, pendingDrop{n.lastLSN, id})
	n.dropMarked()
}

// pendingDrop is a checkpoint to be removed once a record is synced.
type pendingDrop struct {
	mark wal.LSN
	id   paxos.GroupID
}

// dropMarked removes what there is of groups whose mark is synced.
func (n *Node) dropMarked() {
	for len(n.drops) > 0 && (n.drops[0].mark <= n.durable || plantedIs("dropped-before-marked")) {
		n.deps.Checkpoints.Drop(uint16(n.drops[0].id))
		n.deps.Log.Release(uint16(n.drops[0].id), ^uint64(0))
		n.drops = append(n.drops[:0], n.drops[1:]...)
	}
}

// onDropped hears that a checkpoint is gone, or tries again.
func (n *Node) onDropped(d DropDone) {
	id := paxos.GroupID(d.Group)
	if d.Err == nil {
		delete(n.dropping, id)
		return
	}
	n.observe(Event{Kind: EventCheckpointFailed, Group: id, Text: d.Err.Error()})
	n.dropAgain = append(n.dropAgain, id)
}

// retryDrops asks again for what could not be removed.
func (n *Node) retryDrops() {
	if len(n.dropAgain) == 0 || n.now < n.saveAfter {
		return
	}
	n.saveAfter = n.now + saveRetry
	again := n.dropAgain
	n.dropAgain = nil
	for _, id := range again {
		n.dropCheckpoint(id)
	}
}

// install has a replica go on with the machine of a snapshot.
func (n *Node) install(g *group, slot paxos.Slot) {
	seats, version, err := n.seatsOf(g.id, g.machine, g.forgotten)
	if err != nil {
		n.fail(fmt.Errorf("node: seats of group %d in a snapshot: %w", g.id, err))
		return
	}
	g.seats, g.seatsVersion = seats, version
	g.replica.Install(slot, seats.Configurations())
	n.tellCut(g)
	if g.id != 0 {
		return
	}
	if r, at, err := n.machineRecord(g); err == nil && at > 0 {
		n.adoptRecord(r, at)
	}
}
