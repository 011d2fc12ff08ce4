package node

import (
	"context"
	"time"
)

// Loop is the goroutine that owns a Node. It is started by Start, woken by the
// inbox and by the protocol clock, bounded in each round by what the inbox may
// hold, and stopped by Stop or by a failure of the node.
type Loop struct {
	node  *Node
	clock func() Nanos
	stop  chan struct{} // closed by Stop
	done  chan struct{} // closed by the goroutine at its end
	err   error         // set before done is closed
}

// Start runs n until Stop is called or n fails. The clock must be monotonic and
// aware of suspends. From now on n belongs to the loop.
func Start(n *Node, clock func() Nanos) *Loop {
	l := &Loop{node: n, clock: clock, stop: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *Loop) run() {
	defer close(l.done)
	ticker := time.NewTicker(time.Duration(l.node.opts.Tick))
	defer ticker.Stop()
	for {
		if l.err = l.node.Turn(l.clock()); l.err != nil {
			return
		}
		select {
		case <-l.node.inbox.Woken():
		case <-ticker.C:
		case <-l.stop:
			return
		}
	}
}

// Done is closed when the loop has ended; Err then tells why.
func (l *Loop) Done() <-chan struct{} { return l.done }

// Err is the failure of the node, nil if Stop ended the loop. Requires: Done is
// closed.
func (l *Loop) Err() error { return l.err }

// Stop ends the loop after the turn it is in and waits for that.
func (l *Loop) Stop() {
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
		if s := l.node.Status(); s != nil && s.Draining && s.Leading() == 0 {
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
