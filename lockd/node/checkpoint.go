package node

import (
	"lockd/paxos"
)

// checkpoint saves the groups one after the other once enough WAL has been
// written since the last round. A group's change set is collected a little in
// each turn; writing it is somebody else's work.
func (n *Node) checkpoint() {
	if n.saving >= 0 || len(n.hosted) == 0 {
		return
	}
	if n.saveLeft == 0 {
		due := n.opts.CheckpointBytes
		if n.cramped {
			due /= 16 // what is covered makes room
		}
		if n.walBytes-n.savedAt < due {
			return
		}
		n.savedAt = n.walBytes
		n.saveLeft = len(n.hosted)
	}
	n.saveSome()
}

// saveSome begins the next save of the round, passing over groups in which
// nothing was chosen since their last.
func (n *Node) saveSome() {
	for n.saveLeft > 0 && n.now >= n.saveAfter {
		g := n.hosted[n.saveNext%len(n.hosted)]
		if n.installs(g) || g.changes == nil && paxos.Slot(g.machine.Applied()) == g.saved {
			n.nextSave()
			continue
		}
		n.save(g)
		return
	}
}

func (n *Node) nextSave() {
	n.saveLeft--
	n.saveNext = (n.saveNext + 1) % len(n.hosted)
}

// save asks for a group's changes to be made durable. A change set that failed
// is asked for again before a newer one, because the machine has forgotten it.
func (n *Node) save(g *group) {
	n.saving = int(g.id)
	if g.changes == nil {
		n.collector.begin(g)
		return
	}
	n.deps.Checkpoints.Save(*g.changes)
}

// saveRetry is how long a failed save waits before it is tried again.
const saveRetry = Second

// onSaved forgets what a checkpoint covers: the replica's entries, except those
// kept for peers that lag, and the WAL's records.
func (n *Node) onSaved(d SaveDone) {
	n.saving = -1
	g := n.group(d.Request.Group)
	if g == nil {
		return
	}
	slot := paxos.Slot(d.Request.Slot)
	if d.Err != nil {
		n.saveAfter = n.now + saveRetry
		n.stats.SaveFailures++
		n.observe(Event{Kind: EventCheckpointFailed, Group: g.id, Slot: slot, Text: d.Err.Error()})
		return
	}
	g.changes = nil
	g.saved = max(g.saved, slot)
	n.stats.Saves++
	n.release(g)
	n.touch(g)
	n.observe(Event{Kind: EventCheckpoint, Group: g.id, Slot: slot})
	if n.saveLeft > 0 {
		n.nextSave()
		n.saveSome()
	}
}

// release forgets what the group's checkpoint covers. A mark in the WAL says so
// first: a store that comes back without that checkpoint would leave a hole in
// which accepts are forgotten, and the node must notice (I10, I12).
func (n *Node) release(g *group) {
	n.mark(g.id, mark{kind: markKept, saved: g.saved, forgotten: g.forgotten})
	g.replica.Release(n.heldBelow(g))
	n.deps.Log.Release(uint16(g.id), uint64(g.saved))
}
