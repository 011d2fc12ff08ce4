package main

import (
	"errors"
	"path/filepath"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/history"
)

// openHistory opens what the node keeps of holds that ended. Without it the node does all
// else: what cannot be opened is said, and left alone.
func (a *assembly) openHistory() {
	if a.cfg.HistoryBytes == 0 {
		return
	}
	path := filepath.Join(a.dir.path, historyName)
	files, err := history.Directory(path)
	if err == nil {
		a.record, err = history.Open(files, history.Options{Bytes: a.cfg.HistoryBytes,
			Wall: func() int64 { return time.Now().UnixMilli() },
			Damage: func(segment uint64, offset int64) {
				a.log.Warn("a part of the history is damaged and left out", "dir", path, "segment", segment,
					"offset", offset)
			}})
	}
	if err != nil {
		advice := "move the directory away to begin a new one"
		if errors.Is(err, history.ErrTooNew) {
			advice = "a later build wrote it, and can read it"
		}
		a.log.Error("the node keeps no history: it cannot be opened", "dir", path, "reason", err,
			"advice", advice)
		return
	}
	a.history = history.Start(a.record, a.inbox.Recalled, a.historyFailed)
	a.keeper.before = a.history.Sync
	a.onClose(a.history.Stop)
}

// historyFailed says that something of the history could not be written. It waits, and
// what finds no room meanwhile is not known later.
func (a *assembly) historyFailed(err error) {
	if a.historyTold.news(0, err.Error(), time.Now()) {
		a.log.Warn("the history cannot be written", "reason", err)
	}
}

// historySamples are the values of /metrics about the history.
func (a *assembly) historySamples() []admin.Sample {
	if a.record == nil {
		return nil
	}
	s := a.record.Stats()
	return []admin.Sample{
		counter("history_holds", "Holds that ended and were noted.", s.Holds),
		counter("history_dropped_holds", "Holds that ended and were not noted, for want of room.",
			s.Dropped),
		counter("history_damaged_blocks", "Blocks of the history that were passed over.", s.Damaged),
		counter("history_write_failures", "Writes of the history that failed.", s.Failed),
		counter("history_questions", "Questions to the history that were answered.", s.Asked),
		gauge("history_bytes", "Bytes that the history takes.", float64(s.Bytes)),
	}
}
