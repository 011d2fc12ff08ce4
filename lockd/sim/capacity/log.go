package main

import (
	"lockd/lockd/node"
	"lockd/wal"
)

// siteLog is the log of a node: the Writer of production on a simulated disk,
// whose syncs cost what was measured. Like the Syncer it takes all that was
// appended while the last sync ran.
type siteLog struct {
	s      *site
	writer *wal.Writer
	// last is the newest record, target the newest one that the running sync
	// covers; started is when it began, zero if none runs.
	last, target wal.LSN
	started      node.Nanos
	again        bool // a flush was asked for while one runs
}

// Append implements node.Log.
func (l *siteLog) Append(r wal.Record) wal.LSN {
	l.last = l.writer.Append(r)
	l.s.work.records++
	l.s.work.bytes += uint64(len(r.Data))
	return l.last
}

// Reopen implements node.Log.
func (l *siteLog) Reopen(group uint16) { l.writer.Reopen(group) }

// Release implements node.Log.
func (l *siteLog) Release(group uint16, slot uint64) { l.writer.Release(group, slot) }

// Flush implements node.Log: the sync begins when the turn is over.
func (l *siteLog) Flush() { l.s.flush = true }

// SyncingSince implements node.Log.
func (l *siteLog) SyncingSince() node.Nanos { return l.started }

// Cramped implements node.Log by the rule of production.
func (l *siteLog) Cramped() bool {
	const enough = 4 << 20
	return l.writer.Room() < min(enough, segmentBytes/2)
}

// Full implements node.Log by the rule of production.
func (l *siteLog) Full() bool { return l.writer.Room() == 0 }

// flush begins a sync, or has one follow the one that runs.
func (l *siteLog) flush() {
	if l.started != 0 {
		l.again = true
		return
	}
	w := l.s.w
	l.started, l.target, l.again = l.s.clock(), l.last, false
	w.total.syncs++
	l.s.cores.run(func() Time { return w.opts.Costs.Sync }, func() {
		w.agenda.After(w.agenda.around(w.opts.Costs.SyncWait), l.finish)
	})
}

// finish makes the sync happen and tells the node.
func (l *siteLog) finish() {
	durable, err := l.writer.Flush()
	if err != nil {
		l.s.w.failf("node %d: sync: %v", l.s.id, err)
		return
	}
	l.started = 0
	l.prepare()
	l.s.inbox.Durable(min(durable, l.target))
	l.s.turn()
	if l.again {
		l.flush()
	}
}

// prepare makes spare segments; a loop of its own does that in production.
func (l *siteLog) prepare() {
	for l.writer.NeedsSpare() {
		if err := l.writer.Prepare(); err != nil {
			l.s.w.failf("node %d: spare segment: %v", l.s.id, err)
			return
		}
	}
}
