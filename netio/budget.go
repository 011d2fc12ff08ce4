package netio

import "time"

// A round reads all that is ready before the turn that follows it, and before
// anything of peers that comes meanwhile: a thousand conns with 16 KiB each would keep
// a leader from its heartbeats for half a second. So a round has a budget. What was
// read of a conn beyond it is kept, the conn is not read until it was handed over, and
// the rounds that follow begin with those that wait. Who sends little at a time is
// served at once all the same: it would wait for the floods of others.

const (
	// roundBytes and roundFrames are what a round hands over of conns before the
	// others are held. Larger, and peers wait for longer; smaller, and a node
	// under load runs more turns for the same requests.
	roundBytes  = 256 << 10
	roundFrames = 8192
	// smallRead is what counts as little, and smallBytes what a round hands over of
	// such reads besides.
	smallRead  = 1 << 10
	smallBytes = 64 << 10
	// heldPause is how long a loop looks at what else is ready before it serves who
	// is held. A task that it gave itself would be run before that.
	heldPause = 20 * time.Microsecond
)

// spending is what a round has handed over.
type spending struct {
	bytes, frames int
	small         int // bytes of little reads when there was no room for others
}

// affords reports whether n bytes of c may be handed over in this round.
func (l *eventLoop) affords(c *conn, n int) bool {
	switch {
	case c.held != nil:
		return false // what it sent before comes first
	case l.poll == noPoll:
		return true // it would be read all the same
	case len(l.held) == 0 && l.roomy():
		return true
	case n <= smallRead && l.spent.small+n <= smallBytes:
		l.spent.small += n
		return true
	}
	return false
}

// roomy reports whether the round has something left.
func (l *eventLoop) roomy() bool {
	return l.spent.bytes < roundBytes && l.spent.frames < roundFrames
}

// hold keeps what was read of c for a later round, and has c not read until then.
func (l *eventLoop) hold(c *conn, buf []byte) {
	if c.held == nil {
		c.held = l.buffers.take(len(buf))
		l.held = append(l.held, c)
		l.server.counters.held.Add(1)
	}
	c.held = append(c.held, buf...)
	l.account(c, cap(c.part)+cap(c.held), c.unsentBytes)
	l.watch(c)
	l.relieve()
	l.askRound()
}

// serveHeld hands over what conns have waiting, as far as the round has room.
func (l *eventLoop) serveHeld() {
	served := 0
	for _, c := range l.held {
		if !l.roomy() {
			break
		}
		l.held[served] = nil
		served++
		buf := c.held
		if c.state > stateOpen || buf == nil {
			continue
		}
		c.held = nil
		c.heard, c.since = l.tick, l.tick
		l.feed(c, buf)
		l.buffers.give(buf)
		l.watch(c)
	}
	if served > 0 {
		l.held = append(l.held[:0], l.held[served:]...)
		clear(l.held[len(l.held):cap(l.held)])
		l.askRound()
	}
}
