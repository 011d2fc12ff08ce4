package sim

import (
	"errors"

	"lockd/lockd/node"
	"lockd/paxos"
	"lockd/wal"
	"lockd/wal/disk/simdisk"
)

// nodeLog is the WAL of one life of a node: a real Writer on the simulated
// disk, whose syncs take a drawn time. Like the Syncer of production it lets
// the node append while a sync runs, and tells it of the sync only afterwards.
type nodeLog struct {
	p      *process
	writer *wal.Writer
	// last is the newest record, target the newest one that the running sync
	// covers; started is when it began, zero if none runs.
	last, target wal.LSN
	started      node.Nanos
	again        bool // a flush was asked for while one runs
	failed       bool
	idle         int  // raised by each sync; an older wait for a seal is void
	stuck        bool // the running sync waits for the disk to move again
	preparing    bool // a spare segment is to be made
	// marks are the records that say that a group has left the node.
	marks map[uint16]wal.LSN
	// saved is by group the slot of the checkpoint on which the log says that it
	// relies.
	saved map[uint16]uint64
}

// leftMark is added to a group's number in the records by which a node marks,
// with some data, that the group has left it.
const leftMark = 1 << 10

// Append implements node.Log.
func (l *nodeLog) Append(r wal.Record) wal.LSN {
	l.last = l.writer.Append(r)
	l.marked(&r)
	if r.Group >= leftMark && r.Group < 2*leftMark && len(r.Data) > 0 {
		l.marks[r.Group-leftMark] = l.last
	}
	l.p.w.check(l.p.site.disk.Appended(l.last, &r))
	return l.last
}

// marked notes a record that names the newest checkpoint of a group.
func (l *nodeLog) marked(r *wal.Record) {
	if r.Group >= leftMark && r.Group < 2*leftMark {
		l.saved[r.Group-leftMark] = r.Slot
	}
}

// Reopen implements node.Log.
func (l *nodeLog) Reopen(group uint16) {
	l.writer.Reopen(group)
	l.p.site.disk.Reopened(paxos.GroupID(group))
}

// Flush implements node.Log.
func (l *nodeLog) Flush() {
	if !l.p.output() || l.failed {
		return
	}
	if l.started != 0 {
		l.again = true
		return
	}
	l.begin()
}

func (l *nodeLog) begin() {
	w := l.p.w
	l.started, l.target, l.again = l.p.site.clock.read(w.agenda.Now()), l.last, false
	took := w.opts.SyncTime/2 + w.dice.disk.around(w.opts.SyncTime/2)
	w.agenda.After(took, func() {
		if !l.p.alive {
			return
		}
		if l.stuck = l.p.site.stalledUntil > w.agenda.Now(); !l.stuck {
			l.finish()
		}
	})
}

// unstick completes a sync that a stalled disk kept waiting.
func (l *nodeLog) unstick() {
	if l.stuck && l.p.alive {
		l.stuck = false
		l.finish()
	}
}

// finish makes the sync happen and tells the node. Records that were appended
// while it ran are on the disk too, but the node hears of them only after the
// next one.
func (l *nodeLog) finish() {
	w := l.p.w
	durable, err := l.writer.Flush()
	l.started = 0
	if err != nil {
		l.failed = true
		w.note("sync failed", uint64(l.p.site.id))
		l.p.inbox.Failed(err)
		l.p.wake()
		return
	}
	if l.target < l.last {
		durable = l.target
	}
	w.check(l.p.site.disk.Synced(durable))
	w.note("synced", uint64(l.p.site.id), uint64(durable))
	if c := l.p.site.copied; c != nil && c.drive == nil && l.last == l.writer.Durable() {
		l.p.site.copied = l.p.site.duplicate()
	}
	l.p.inbox.Durable(durable)
	l.p.wake()
	l.prepare(l.p.w.opts.SyncTime)
	if l.again {
		l.begin()
		return
	}
	l.idle++
	idle := l.idle
	w.agenda.After(sealDelay, func() {
		if l.idle == idle && l.p.alive {
			l.seal()
		}
	})
}

// sealDelay is how long the log is left alone before it is sealed, as the
// Syncer does it.
const sealDelay = 200 * millisecond

// seal marks what is durable, unless something waits to be written.
func (l *nodeLog) seal() {
	if l.started != 0 || l.failed || l.last > l.writer.Durable() {
		return
	}
	if err := l.writer.Seal(); err != nil {
		l.failed = true
		l.p.inbox.Failed(err)
		l.p.wake()
	}
}

// Release implements node.Log.
func (l *nodeLog) Release(group uint16, slot uint64) {
	// A group that is kept no longer is released for good, once its mark is synced.
	if mark := l.marks[group]; slot == ^uint64(0) && mark > l.writer.Durable() {
		l.p.w.failf("I10: node %d releases all of group %d before record %d is synced",
			l.p.site.id, group, mark)
	}
	if have := l.p.site.store.slot(group); have < slot && slot != ^uint64(0) {
		l.p.w.failf("I12: node %d releases group %d up to slot %d, its checkpoint is at %d",
			l.p.site.id, group, slot, have)
	}
	if said := l.saved[group]; said < slot && slot != ^uint64(0) {
		l.p.w.failf("I12: node %d releases group %d up to slot %d, its log relies on a checkpoint at %d",
			l.p.site.id, group, slot, said)
	}
	l.writer.Release(group, slot)
	l.p.site.released(group, slot)
}

// prepare makes a spare segment after a while, as the Syncer's other loop does.
// A full disk stays full for a second at least.
func (l *nodeLog) prepare(wait Time) {
	if l.preparing || l.failed || !l.writer.NeedsSpare() {
		return
	}
	l.preparing = true
	if d := l.p.w.dice.disk; l.p.w.faulty(FaultStall|FaultFull) && d.permille(300) {
		wait += d.around(3 * second) // until then there may be no spare
	}
	l.p.w.agenda.After(wait, func() {
		l.preparing = false
		if !l.p.alive || l.failed {
			return
		}
		switch err := l.writer.Prepare(); {
		case errors.Is(err, simdisk.ErrCut):
			l.p.w.stopped(l.p, err)
		case err != nil:
			l.p.w.covered["spare segment not made"]++
			l.prepare(second)
		default:
			l.prepare(l.p.w.opts.SyncTime)
		}
	})
}

// Cramped implements node.Log by the rule of production.
func (l *nodeLog) Cramped() bool {
	const enough = 4 << 20
	cramped := l.writer.Room() < min(enough, l.p.w.opts.Log.SegmentBytes/2)
	if cramped {
		l.p.w.covered["log cramped"]++
	}
	return cramped
}

// SyncingSince implements node.Log.
func (l *nodeLog) SyncingSince() node.Nanos { return l.started }
