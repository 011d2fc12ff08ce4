package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Loop runs the turns of a Node. While there is little to do, a turn is run by
// whoever brings news: the event loop that read requests, the reader of a link,
// the syncer after a sync. That spares every request two or three hand-overs
// between goroutines, each of which costs more than the turn. When there is
// more, a goroutine of the Loop's own takes all that has come, turn after turn.
// Only one turn runs at a time: who finds one running leaves its news in the
// inbox, and the runner looks there again before it goes.
//
// The Loop's goroutine is started by Start, woken by a ticker and by those who
// bring more than a little, bounded in each turn by what the inbox may hold, and
// stopped by Stop or by a failure of the node.
type Loop struct {
	node  *Node
	clock func() Nanos
	stop  chan struct{} // closed by Stop
	fail  chan struct{} // capacity 1: a turn failed on another goroutine
	more  chan struct{} // capacity 1: somebody ran its share of turns
	done  chan struct{} // closed by the goroutine at its end
	err   error         // set before done is closed

	// busy is set while the Loop's own goroutine runs turns; it writes it.
	busy atomic.Bool

	// turn is held while a turn runs. The node belongs to its holder.
	turn struct {
		sync.Mutex
		err error // of the turn that failed; no turn runs after it
		off bool  // set by Stop
	}
}

// Start runs n until Stop is called or n fails. The clock must be monotonic and
// aware of suspends. From now on n belongs to the loop.
func Start(n *Node, clock func() Nanos) *Loop {
	l := &Loop{
		node:  n,
		clock: clock,
		stop:  make(chan struct{}),
		fail:  make(chan struct{}, 1),
		more:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	n.inbox.runner.Store(l)
	go l.run()
	return l
}

func (l *Loop) run() {
	defer close(l.done)
	ticker := time.NewTicker(time.Duration(l.node.opts.Tick))
	defer ticker.Stop()
	for {
		l.own()
		select {
		case <-ticker.C:
		case <-l.more:
		case <-l.fail:
			l.turn.Lock()
			l.err = l.turn.err
			l.turn.Unlock()
			return
		case <-l.stop:
			return
		}
	}
}

// own runs turns on the Loop's goroutine until the inbox is empty. Meanwhile
// those who bring news leave them there: under load every reader reads, and one
// goroutine takes all that has come while the last sync ran.
func (l *Loop) own() {
	l.busy.Store(true)
	for ok := true; ok; ok = l.node.inbox.hasNews() {
		l.turn.Lock()
		l.step()
		l.turn.Unlock()
	}
	l.busy.Store(false)
	if l.node.inbox.hasNews() {
		l.askMore()
	}
}

// Run deals with news on the goroutine that brought them, if they are light:
// one turn for them and one for what came meanwhile. Anything more is for the
// Loop's own goroutine. A reader that runs turns does not read, and what it has
// not read is missing from the next batch.
func (l *Loop) Run() {
	in := l.node.inbox
	for range share {
		if l.busy.Load() || !in.hasNews() {
			return
		}
		if !in.light() {
			break
		}
		if !l.turn.TryLock() {
			return
		}
		l.step()
		l.turn.Unlock()
	}
	if in.hasNews() {
		l.askMore()
	}
}

// share is how many turns run where the news come from.
const share = 2

// askMore wakes the Loop's own goroutine.
func (l *Loop) askMore() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// step runs one turn. Requires: turn is held.
func (l *Loop) step() {
	if l.turn.err != nil || l.turn.off {
		l.node.inbox.ignore()
		return
	}
	l.node.Take()
	if l.turn.err = l.node.Turn(l.clock()); l.turn.err != nil {
		l.fail <- struct{}{}
	}
}

// Done is closed when the loop has ended; Err then tells why.
func (l *Loop) Done() <-chan struct{} { return l.done }

// Err is the failure of the node, nil if Stop ended the loop. Requires: Done is
// closed.
func (l *Loop) Err() error { return l.err }

// Stop ends the loop after the turn it is in and waits for that.
func (l *Loop) Stop() {
	l.turn.Lock()
	l.turn.off = true
	l.turn.Unlock()
	close(l.stop)
	<-l.done
}

// Drain asks the node to give its leaderships away and waits until it has, or
// until ctx ends.
func (l *Loop) Drain(ctx context.Context) error {
	l.node.inbox.Drain()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if s := l.node.Status(); s != nil && s.Drained {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done:
			return l.err
		case <-poll.C:
		}
	}
}
