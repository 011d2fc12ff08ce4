package history

import (
	"errors"
	"time"

	"lockd/lockd/node"
)

const (
	// maxAsked bounds the questions that wait.
	maxAsked = 16
	// keepEvery is how much a process that is killed may lose of what the log does not say
	// once more: when it was. It is also how long after a write that failed the next is tried.
	keepEvery = time.Second
)

// ErrStopped is returned by Sync after Stop.
var ErrStopped = errors.New("history: stopped")

// Loop is a Store that works beside an engine. One goroutine writes: it is woken when a
// block is full, when a Sync is asked for, and each keepEvery, and writes what waits.
// Another answers questions, one at a time. Both are started by Start and ended by Stop.
type Loop struct {
	store  *Store
	report func(error)
	// answered takes the answers; it must not block.
	answered func(node.HistoryDone)
	asked    chan node.HistoryRequest // capacity maxAsked; never closed
	syncs    chan chan error          // capacity 0; never closed
	stop     chan struct{}            // closed by Stop
	written  chan struct{}            // closed by the goroutine that writes
	looked   chan struct{}            // closed by the one that looks
	err      error                    // of the end; set before written is closed
}

// Start runs s. Answers go to answered, on a goroutine of the loop; report is told of
// writes that failed.
func Start(s *Store, answered func(node.HistoryDone), report func(error)) *Loop {
	l := &Loop{store: s, report: report, answered: answered,
		asked: make(chan node.HistoryRequest, maxAsked), syncs: make(chan chan error),
		stop: make(chan struct{}), written: make(chan struct{}), looked: make(chan struct{})}
	go l.write()
	go l.look()
	return l
}

// Note and Ask make it a node.History.
func (l *Loop) Note(x *node.HistoryNote) { l.store.Note(x) }

// Ask puts a question, unless too many wait.
func (l *Loop) Ask(r node.HistoryRequest) bool {
	select {
	case <-l.stop:
		return false
	default:
	}
	select {
	case l.asked <- r:
		return true
	default:
		return false
	}
}

// Sync makes all durable that was noted before.
func (l *Loop) Sync() error {
	done := make(chan error, 1) // the loop never waits
	select {
	case l.syncs <- done:
		return <-done
	case <-l.written:
		return ErrStopped
	}
}

// Stop makes durable what was noted, and ends the loop and the Store.
func (l *Loop) Stop() error {
	close(l.stop)
	<-l.looked
	<-l.written
	return l.err
}

func (l *Loop) write() {
	defer close(l.written)
	beat := time.NewTicker(keepEvery)
	defer beat.Stop()
	for {
		select {
		case <-l.stop:
			l.err = l.store.Close()
			return
		case <-l.store.more:
			if err := l.store.Write(); err != nil {
				l.report(err)
			}
		case <-beat.C:
			if err := l.store.Keep(); err != nil {
				l.report(err)
			}
		case done := <-l.syncs:
			err := l.store.Sync()
			if err != nil {
				l.report(err)
			}
			done <- err
		}
	}
}

func (l *Loop) look() {
	defer close(l.looked)
	for {
		select {
		case <-l.stop:
			return
		case r := <-l.asked:
			l.answered(l.store.Answer(&r))
		}
	}
}
