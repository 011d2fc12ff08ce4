package node

import (
	"sync"
	"time"
)

// Loop runs the turns of a Node. They are run where news come from: an event
// loop that has read all that was ready, of clients and of peers, runs a turn and
// writes what it brought, on one thread from the first byte to the last. A
// goroutine of the Loop's own runs one each tick, and whatever nobody else will.
// Only one turn runs at a time: who finds one running leaves its news in the
// inbox, and the runner looks there again before it goes.
//
// The Loop's goroutine is started by Start, woken by a ticker and by news that no
// event loop will look at, bounded in each turn by what the inbox may hold, and
// stopped by Stop or by a failure of the node.
type Loop struct {
	node  *Node
	clock func() Nanos
	ask   func() bool
	stop  chan struct{} // closed by Stop
	fail  chan struct{} // capacity 1: a turn failed on another goroutine
	more  chan struct{} // capacity 1: there are news
	done  chan struct{} // closed by the goroutine at its end
	err   error         // set before done is closed

	// turn is held while a turn runs. The node belongs to its holder.
	turn struct {
		sync.Mutex
		err error // of the turn that failed; no turn runs after it
		off bool  // set by Stop
	}
}

// Start runs n until Stop is called or n fails. The clock must be monotonic and
// aware of suspends. ask has Run called soon by somebody who reads first what has
// come, and reports whether it will be; it may be called on any goroutine, must
// not block, and may be nil. From now on n belongs to the loop.
func Start(n *Node, clock func() Nanos, ask func() bool) *Loop {
	l := &Loop{
		node:  n,
		clock: clock,
		ask:   ask,
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
	l.Run()
	for {
		select {
		case <-ticker.C:
			l.turn.Lock()
			l.step()
			l.turn.Unlock()
			l.lookAgain()
		case <-l.more:
			if l.ask == nil || !l.ask() {
				l.Run()
			}
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

// Run runs a turn if there are news and nobody runs one.
func (l *Loop) Run() {
	if !l.node.inbox.hasNews() || !l.turn.TryLock() {
		return
	}
	l.step()
	l.turn.Unlock()
	l.lookAgain()
}

// lookAgain ends a turn. News that came while it ran, or that it has left, are for
// a later one: what was not read meanwhile is to be read first, so that no conn
// and no peer waits for another.
func (l *Loop) lookAgain() {
	if l.node.inbox.hasNews() {
		l.askMore()
	}
}

// wake has a turn run soon.
func (l *Loop) wake() {
	if l.ask == nil || !l.ask() {
		l.askMore()
	}
}

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

// Stop ends the loop after the turn it is in and waits for that. What comes into the
// inbox from now on asks nobody for a turn: who runs them ends next.
func (l *Loop) Stop() {
	l.node.inbox.runner.CompareAndSwap(l, nil)
	l.turn.Lock()
	l.turn.off = true
	l.turn.Unlock()
	close(l.stop)
	<-l.done
}
