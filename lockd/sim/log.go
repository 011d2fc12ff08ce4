package sim

import (
	"errors"

	"lockd/lockd/node"
	"lockd/paxos"
	"lockd/wal"
	"lockd/wal/disk/simdisk"
)

// nodeLog is the WAL of one life of a node: a real Writer on the simulated disk.
// Like the Syncer of production it lets the node append, release and die between
// any two operations of a flush, and tells it of a sync as soon as that is done. Who
// syncs after a turn is decided by what decides it in production.
type nodeLog struct {
	p      *process
	writer *wal.Writer
	rounds *wal.Rounds
	flush  flush
	// last is the newest record, told the newest one that the node was told is
	// durable.
	last, told wal.LSN
	again      bool // a flush was asked for while one runs
	here, late bool // the event loop waits for the flush that runs, and has a turn to run
	failed     bool
	// quiet is when the last flush ended; sealing says that somebody looks later
	// whether that is long ago.
	quiet     Time
	sealing   bool
	sealed    bool // the flush that runs is a seal
	preparing bool // a spare segment is to be made
	// marks are the records that say that a group has left the node.
	marks map[uint16]wal.LSN
	// saved are by group the checkpoints on which the log says that it relies: the
	// newest of which it says so durably, and those after it.
	saved map[uint16][]savedAt
}

// savedAt is the slot of a checkpoint, and the record that names it.
type savedAt struct {
	lsn  wal.LSN
	slot uint64
}

// leftMark is added to a group's number in the records by which a node marks,
// with some data, that the group has left it.
const leftMark = 1 << 10

// Append implements node.Log.
func (l *nodeLog) Append(r wal.Record) wal.LSN {
	l.last = l.writer.Append(r)
	l.marked(l.last, &r)
	if r.Group >= leftMark && r.Group < 2*leftMark && len(r.Data) > 0 {
		l.marks[r.Group-leftMark] = l.last
	}
	l.p.w.check(l.p.site.disk.Appended(l.last, &r))
	l.p.noteStep(&r)
	return l.last
}

// marked notes a record that names the newest checkpoint of a group; those that the
// log had when it was opened are of position zero.
func (l *nodeLog) marked(lsn wal.LSN, r *wal.Record) {
	if r.Group >= leftMark && r.Group < 2*leftMark {
		group := r.Group - leftMark
		l.durablySaved(group)
		l.saved[group] = append(l.saved[group], savedAt{lsn, r.Slot})
	}
}

// durablySaved returns the slot of the newest checkpoint that the log names durably.
func (l *nodeLog) durablySaved(group uint16) uint64 {
	durable := wal.LSN(0)
	if l.writer != nil {
		durable = l.writer.Durable()
	}
	all := l.saved[group]
	for len(all) > 1 && all[1].lsn <= durable {
		all = all[1:]
	}
	l.saved[group] = all
	if len(all) == 0 || all[0].lsn > durable {
		return 0
	}
	return all[0].slot
}

// Reopen implements node.Log.
func (l *nodeLog) Reopen(group uint16) {
	l.writer.Reopen(group)
	l.p.site.disk.Reopened(paxos.GroupID(group))
}

// Flush implements node.Log.
func (l *nodeLog) Flush() {
	if l.p.output() {
		l.rounds.Ask()
	}
}

// Submit implements wal.Syncing.
func (l *nodeLog) Submit() { l.wake() }

// FlushHere implements wal.Syncing: the event loop that ran a turn waits for the disk, if
// that was quick of late. What the other loop's turns append meanwhile is synced too.
func (l *nodeLog) FlushHere() bool {
	w := l.p.w
	if !w.opts.SyncsHere || l.failed || l.flush.planned || !w.dice.disk.permille(700) ||
		!l.writer.Plain() {
		w.covered["sync left to another loop"]++
		return false
	}
	w.covered["synced by the loop of a turn"]++
	l.here = true
	l.begin(func() (wal.LSN, error) {
		if lsn, done, err := l.writer.FlushPlain(); done || err != nil {
			return lsn, err
		}
		return l.writer.Flush()
	})
	return true
}

// wake has what was appended made durable, now or once the flush that runs has ended.
func (l *nodeLog) wake() {
	switch {
	case l.failed:
	case l.flush.planned:
		l.again = true
	default:
		l.begin(l.writer.Flush)
	}
}

// synced tells the node what has become durable since it was last told.
func (l *nodeLog) synced() {
	w, durable := l.p.w, l.writer.Durable()
	if durable == l.told {
		return
	}
	l.told = durable
	w.check(l.p.site.disk.Synced(durable))
	w.note("synced", uint64(l.p.site.id), uint64(durable))
	if c := l.p.site.copied; c != nil && c.drive == nil && l.last == durable {
		l.p.site.copied = l.p.site.duplicate()
	}
	l.p.inbox.Durable(durable)
	l.p.wake()
}

// ended goes on after a flush, or after the seal that comes when nothing does.
func (l *nodeLog) ended(err error) {
	w, sealed := l.p.w, l.sealed
	l.sealed, l.here = false, false
	if l.late {
		l.late = false
		l.p.wake()
	}
	switch {
	case errors.Is(err, simdisk.ErrCut):
		w.covered["power cut inside a flush"]++
		w.stopped(l.p, err)
		return
	case err != nil:
		l.failed = true
		w.note("sync failed", uint64(l.p.site.id))
		l.p.inbox.Failed(err)
		l.p.wake()
		return
	}
	l.prepare(w.opts.SyncTime)
	l.quiet = w.agenda.Now()
	switch {
	case l.again:
		l.again = false
		l.begin(l.writer.Flush)
	case !sealed:
		l.sealLater(sealDelay)
	}
}

// sealDelay is how long the log is left alone before it is sealed, as the
// Syncer does it.
const sealDelay = 200 * millisecond

// sealLater seals the log in a while, unless something is written until then.
func (l *nodeLog) sealLater(wait Time) {
	if l.sealing {
		return
	}
	l.sealing = true
	l.p.w.agenda.After(wait, func() {
		l.sealing = false
		if !l.p.alive || l.failed || l.flush.planned {
			return
		}
		if rest := l.quiet + sealDelay - l.p.w.agenda.Now(); rest > 0 {
			l.sealLater(rest)
			return
		}
		l.sealed = true
		l.begin(func() (wal.LSN, error) { return 0, l.writer.Seal() })
	})
}

// seal has the log freed at once of what nobody needs, unless a flush runs or
// something waits to be written.
func (l *nodeLog) seal() {
	if l.flush.planned || l.failed || l.last > l.writer.Durable() {
		return
	}
	if err := l.writer.Seal(); err != nil {
		l.ended(err)
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
	if said := l.durablySaved(group); said < slot && slot != ^uint64(0) {
		l.p.w.failf("I12: node %d releases group %d up to slot %d, its log durably relies on a "+
			"checkpoint at %d", l.p.site.id, group, slot, said)
	}
	l.writer.Release(group, slot)
	l.p.site.released(group, slot)
	l.wake()
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

// Full implements node.Log by the rule of production.
func (l *nodeLog) Full() bool {
	full := l.writer.Room() == 0
	if full {
		l.p.w.covered["log full on a stalled disk"]++
	}
	return full
}

// SyncingSince implements node.Log.
func (l *nodeLog) SyncingSince() node.Nanos { return node.Nanos(l.writer.SyncStarted()) }
