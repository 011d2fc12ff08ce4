package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"lockd/lockd/node"
	"lockd/paxos"
)

// newLogger makes the logger of a node.
func newLogger(w io.Writer, level, format string) *slog.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		least = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: least}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// eventLog writes what the engine observes. The engine only hands events over:
// a standard error that nobody reads must not stop it.
type eventLog struct {
	log     *slog.Logger
	events  chan node.Event // the engine sends; never closed
	stop    chan struct{}   // closed by end
	done    chan struct{}   // closed by the loop
	refused repeats
	// lost counts events that found the channel full; the engine writes it.
	lost atomic.Uint64
}

// eventQueue is how many events may wait for their line.
const eventQueue = 1024

func newEventLog(log *slog.Logger) *eventLog {
	return &eventLog{
		log:    log,
		events: make(chan node.Event, eventQueue),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
}

// observe takes an event on the engine's goroutine.
func (l *eventLog) observe(e node.Event) {
	select {
	case l.events <- e:
	default:
		l.lost.Add(1)
	}
}

// end writes what waits and stops the loop.
func (l *eventLog) end() {
	close(l.stop)
	<-l.done
}

// settleDelay is how long leaderships must stand before they are summed up in
// one line; a node that starts or dies moves many at once.
const settleDelay = 500 * time.Millisecond

// leaderTable sums up who leads the groups that this node keeps.
type leaderTable struct {
	leader map[paxos.GroupID]paxos.NodeID
	own    map[paxos.GroupID]struct{}
}

// note takes an event in and reports whether it changed the table.
func (t *leaderTable) note(e node.Event) bool {
	switch e.Kind {
	case node.EventLeader:
		t.leader[e.Group] = e.Node
		if e.Node == paxos.NoNode {
			delete(t.leader, e.Group)
		}
	case node.EventLeading:
		t.own[e.Group] = struct{}{}
	case node.EventDeposed:
		delete(t.own, e.Group)
	case node.EventRetired:
		delete(t.own, e.Group)
		delete(t.leader, e.Group)
	default:
		return false
	}
	return true
}

func (l *eventLog) writeLeaders(t *leaderTable) {
	l.log.Info("leaders settled", "leading", len(t.own), "known", len(t.leader))
	if n := l.lost.Swap(0); n > 0 {
		l.log.Warn("events dropped because the log is too slow", "events", n)
	}
}

// write writes one line.
func (l *eventLog) write(e node.Event) {
	level := levelOf(e.Kind)
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	if e.Kind == node.EventRefusedUs && !l.refused.news(uint16(e.Node), e.Text, time.Now()) {
		return
	}
	var args []any
	if hasGroup(e.Kind) {
		args = append(args, "group", e.Group)
	}
	if e.Node != paxos.NoNode {
		args = append(args, "peer", e.Node)
	}
	if e.Slot != 0 {
		args = append(args, "slot", e.Slot)
	}
	if e.Kind == node.EventPeerDown {
		args = append(args, "cause", causeText(e.Cause))
	}
	if f := e.Forced; f != nil {
		args = append(args, "name", f.Name, "token", f.Token, "mode", f.Mode,
			"held", time.Duration(f.Held).Round(time.Millisecond), "holder", f.Holder,
			"client", f.Client, "by", f.Who, "reason", f.Reason)
	}
	if e.Text != "" {
		args = append(args, "reason", e.Text)
	}
	l.log.Log(context.Background(), level, e.Kind.String(), args...)
}

// levelOf keeps lines that come once per group out of the normal log.
func levelOf(k node.EventKind) slog.Level {
	switch k {
	case node.EventLeader, node.EventLeading, node.EventDeposed, node.EventTransfer,
		node.EventCheckpoint:
		return slog.LevelDebug
	case node.EventRefusedUs, node.EventRosterConflict, node.EventCheckpointFailed,
		node.EventSnapshotFailed, node.EventDiskStalled, node.EventChangeFailed, node.EventForced,
		node.EventDisbelieved:
		return slog.LevelWarn
	case node.EventFailed, node.EventMalformed:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

func hasGroup(k node.EventKind) bool {
	switch k {
	case node.EventLeader, node.EventLeading, node.EventDeposed, node.EventTransfer,
		node.EventCheckpoint, node.EventCheckpointFailed, node.EventSnapshotSent,
		node.EventSnapshotResumed, node.EventSnapshotInstalled, node.EventSnapshotFailed,
		node.EventMalformed, node.EventSeats, node.EventOpened, node.EventRetired,
		node.EventForced:
		return true
	}
	return false
}

func causeText(c node.DownCause) string {
	switch c {
	case node.DownReset:
		return "reset"
	case node.DownTimeout:
		return "timeout"
	default:
		return "closed"
	}
}
