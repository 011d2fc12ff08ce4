package node

import (
	"lockd/paxos"
	"lockd/wal"
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

// release forgets what the group's checkpoint covers, once a mark in the WAL says so
// durably: a store that comes back without that checkpoint would leave a hole in
// which accepts are forgotten, and the node must notice (I10, I12).
func (n *Node) release(g *group) {
	n.mark(g.id, mark{kind: markKept, saved: g.saved, forgotten: g.forgotten})
	g.replica.Release(n.heldBelow(g))
	n.releaseLog(g)
}

// releaseLog releases the log of a group up to its checkpoint, as soon as the records
// appended so far are synced: one of them, or an earlier one, is the mark that says so.
// A log that is asked sooner may be rid of the records before it has the mark.
func (n *Node) releaseLog(g *group) {
	n.releases = append(n.releases, pendingRelease{n.lastLSN, g.id, g.saved})
	n.releaseMarked()
}

// pendingRelease is what the log is to be told once a record is synced. There are as
// many as checkpoints were saved while the disk was waited for.
type pendingRelease struct {
	mark wal.LSN
	id   paxos.GroupID
	slot paxos.Slot
}

// releaseMarked releases the log up to checkpoints whose mark is synced.
func (n *Node) releaseMarked() {
	for len(n.releases) > 0 && n.releases[0].mark <= n.durable {
		n.deps.Log.Release(uint16(n.releases[0].id), uint64(n.releases[0].slot))
		n.releases = append(n.releases[:0], n.releases[1:]...)
	}
}
