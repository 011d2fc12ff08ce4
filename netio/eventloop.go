package netio

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"lockd/netio/wire"
)

// eventLoop owns the conns of one gnet loop. All its fields but out and unsent
// belong to that loop's goroutine.
type eventLoop struct {
	server *Server
	index  int
	gnet   gnet.EventLoop
	out    outbox       // any goroutine
	unsent atomic.Int64 // bytes conns did not take yet; written by the loop

	// round is the task that ends a round, and asked is set while it is on its way.
	round roundEnd
	asked atomic.Bool
	// rounds have ended since the loop last read something; written by the loop.
	rounds atomic.Int32

	links    []*link // those it reads
	conns    map[ConnID]*conn
	order    []*conn // the same conns, for the sweep
	cursor   int     // where the sweep goes on in order
	tick     uint32  // sweeps so far: the clock of the timeouts
	buffered int     // bytes of half-read frames and unsent responses
	batch    outboxBatch
	dirty    []*conn // conns the batch has something for
	buffers  bufferList
	poll     int // epoll set of the loop, or noPoll; zero before the first conn

	// spent is what was read since the end of the last round, held are conns that
	// were read when it was too much, in order, and soon brings the loop back to
	// them.
	spent spending
	held  []*conn
	// silent are the conns that have said no hello yet.
	silent []*conn
	soon   *time.Timer

	helloTicks, frameTicks, idleTicks, unreadTicks uint32
}

func newEventLoop(s *Server, el gnet.EventLoop, index int) *eventLoop {
	l := &eventLoop{
		server:     s,
		index:      index,
		gnet:       el,
		out:        outbox{limitBytes: s.opts.MaxOutboxBytes},
		conns:      make(map[ConnID]*conn),
		helloTicks: ticks(s.opts.HelloTimeout),
		frameTicks: ticks(s.opts.FrameTimeout),
		idleTicks:  ticks(s.opts.IdleTimeout),

		unreadTicks: ticks(s.opts.UnreadTimeout),
	}
	l.round.loop = l
	l.soon = l.comeBack()
	return l
}

// roundEnd is the task that ends a round of a loop. gnet runs it when everything
// that was ready with it has been read.
type roundEnd struct{ loop *eventLoop }

// mostRounds is how many rounds of a loop Wake asks for while the loop reads
// nothing. What asks for a round within one, as the end of a sync does, gnet runs
// before it polls again; if that came in each, no conn and no link were read.
const mostRounds = 8

// read has the loop end the round in which it has read something.
func (l *eventLoop) read() {
	l.rounds.Store(0)
	l.askRound()
}

// askRound has the loop end a round with the handler's Flush. Any goroutine may
// call it. It reports whether the loop will.
func (l *eventLoop) askRound() bool {
	if l.asked.Swap(true) {
		return true
	}
	if err := l.gnet.Execute(context.Background(), &l.round); err != nil {
		l.asked.Store(false)
		return false
	}
	return true
}

// Run calls the handler and passes on what it has sent, in between.
func (r *roundEnd) Run(context.Context) error {
	l := r.loop
	l.asked.Store(false)
	l.rounds.Add(1)
	l.server.handler.Flush()
	if !l.out.idle() {
		l.visit()
	}
	l.server.handler.Sent()
	l.spent = spending{}
	if len(l.held) > 0 {
		l.soon.Reset(heldPause)
	}
	return nil
}

// ticks converts a timeout, rounded up, plus one for the tick that runs.
func ticks(d time.Duration) uint32 {
	return uint32(min((d+tickInterval-1)/tickInterval+1, 1<<31))
}

// open takes an accepted conn over.
func (l *eventLoop) open(g gnet.Conn) {
	c := &conn{
		id:    ConnID(l.server.nextID.Add(1)<<loopBits | uint64(l.index)),
		loop:  l,
		gnet:  g,
		slot:  len(l.order),
		mute:  len(l.silent),
		heard: l.tick,
		since: l.tick,
		took:  l.tick,
	}
	l.conns[c.id] = c
	l.order = append(l.order, c)
	l.silent = append(l.silent, c)
	g.SetContext(c)
	if l.poll == 0 {
		l.poll = findPoll(g.Fd())
	}
	setKeepAlive(g, l.server.opts.KeepAlive)
	_ = setUnsentLimit(g.Fd(), unreadBytes) // without it more is kept for who reads nothing
}

// spoke takes c off the list of those that have said no hello.
func (l *eventLoop) spoke(c *conn) {
	if c.mute >= len(l.silent) || l.silent[c.mute] != c {
		return
	}
	last := l.silent[len(l.silent)-1]
	l.silent[c.mute], last.mute = last, c.mute
	l.silent[len(l.silent)-1] = nil
	l.silent = l.silent[:len(l.silent)-1]
}

// giveWay closes a conn that has said no hello for one that comes, and reports whether
// there is one: a client says hello at once, and who does not would else keep all
// others out. Which one is drawn, as at the peer port.
func (l *eventLoop) giveWay() bool {
	if len(l.silent) == 0 {
		return false
	}
	c := l.silent[rand.IntN(len(l.silent))]
	l.write(c, refusal(wire.RefusedConns, "no hello, and others wait for a place"))
	l.close(c)
	return true
}

// forget drops a closed conn and tells the handler.
func (l *eventLoop) forget(c *conn, err error) {
	last := l.order[len(l.order)-1]
	l.order[c.slot], last.slot = last, c.slot
	l.order[len(l.order)-1] = nil
	l.order = l.order[:len(l.order)-1]
	delete(l.conns, c.id)
	l.spoke(c)
	l.account(c, 0, 0)
	c.drop()

	counters := &l.server.counters
	counters.open.Add(-1)
	if err != nil && !isEOF(err) {
		counters.resets.Add(1)
	}
	told := c.told
	c.state, c.told = stateClosed, false
	if told {
		l.server.handler.Closed(c.id)
	}
}

// wake makes the loop visit its outbox.
func (l *eventLoop) wake() {
	if l.out.wake(l.trigger) {
		l.server.counters.wakes.Add(1)
	}
}

func (l *eventLoop) trigger() error { return l.gnet.Execute(context.Background(), l) }

// Run is the task a wake puts on the loop.
func (l *eventLoop) Run(context.Context) error {
	l.visit()
	l.serveHeld()
	return nil
}

// visit empties the outbox: one write per conn, then what is to be closed.
func (l *eventLoop) visit() {
	l.batch = l.out.fetch(l.batch)
	defer l.out.finish()
	b := &l.batch
	for _, e := range b.entries {
		if c := l.conns[e.conn]; c != nil {
			l.gather(c, b.bytes[e.from:e.to:e.to])
		}
	}
	for i, c := range l.dirty {
		l.sendGathered(c)
		l.dirty[i] = nil
	}
	l.dirty = l.dirty[:0]
	for _, id := range b.overflow {
		l.closeOverflowed(l.conns[id])
	}
	if b.drowned {
		for len(l.order) > 0 {
			l.closeOverflowed(l.order[len(l.order)-1])
		}
	}
	for _, id := range b.resumes {
		l.resume(l.conns[id])
	}
	for _, id := range b.closes {
		l.close(l.conns[id])
	}
	switch {
	case b.sweep:
		l.sweep()
	case b.look:
		l.look()
	}
}

// gather adds bytes to what c will be sent in this visit. The first piece is
// borrowed from the batch; only a second one makes it copy.
func (l *eventLoop) gather(c *conn, bytes []byte) {
	switch {
	case c.first == nil:
		c.first = bytes
		l.dirty = append(l.dirty, c)
		return
	case c.out == nil:
		c.out = append(l.buffers.take(len(c.first)+len(bytes)), c.first...)
	}
	c.out = append(c.out, bytes...)
}

// sendGathered sends in one write what gather collected.
func (l *eventLoop) sendGathered(c *conn) {
	bytes := c.first
	if c.out != nil {
		bytes = c.out
	}
	if c.state == stateOpen {
		l.write(c, bytes)
	}
	if c.out != nil {
		l.buffers.give(c.out)
	}
	c.first, c.out = nil, nil
}

// closeOverflowed closes a conn that does not read what it asked for.
func (l *eventLoop) closeOverflowed(c *conn) {
	if c != nil && c.state != stateClosed {
		l.server.counters.overflows.Add(1)
		l.close(c)
	}
}

// close closes a conn from outside its own events; c may be nil.
func (l *eventLoop) close(c *conn) {
	if c != nil && c.state != stateClosed {
		_ = l.gnet.Close(c.gnet)
	}
}

// look notes what conns have taken since they were last written to.
func (l *eventLoop) look() {
	for _, c := range l.order {
		if c.unsentBytes > 0 {
			l.account(c, c.partBytes, c.gnet.OutboundBuffered())
		}
	}
}

// sweepConns is how many conns one sweep looks at, at least; with more conns it
// looks at an eighth of them, so that none waits for more than eight ticks.
const sweepConns = 256

// sweep closes conns whose time is up.
func (l *eventLoop) sweep() {
	l.tick++
	l.rounds.Store(0)
	for i := len(l.links) - 1; i >= 0; i-- { // one that ends here gives its place to the last
		l.links[i].sweep()
	}
	for n := min(len(l.order), max(sweepConns, len(l.order)/8+1)); n > 0; n-- {
		if l.cursor >= len(l.order) {
			l.cursor = 0
		}
		if len(l.order) == 0 {
			return
		}
		c := l.order[l.cursor]
		l.account(c, c.partBytes, c.gnet.OutboundBuffered())
		if taken := c.written - uint64(c.unsentBytes); c.unsentBytes == 0 || taken > c.taken {
			c.taken, c.took = taken, l.tick
		}
		if l.expired(c) {
			continue // its place in order holds another conn, or nothing
		}
		l.cursor++
	}
}

// expired closes c if its time is up and reports whether c is gone.
func (l *eventLoop) expired(c *conn) bool {
	counters := &l.server.counters
	waited, silent := l.tick-c.since, l.tick-c.heard
	switch {
	case l.tick-c.took > l.unreadTicks:
		l.closeOverflowed(c)
	case c.state == stateGreeting && waited > l.helloTicks && c.held == nil:
		counters.helloTimeouts.Add(1)
		l.refuse(c, wire.RefusedTimeout, "no hello in time")
	case c.paused || c.held != nil:
	case c.state == stateOpen && len(c.part) > 0 && waited > l.frameTicks:
		counters.frameTimeouts.Add(1)
		l.refuse(c, wire.RefusedTimeout, "no end of a frame in time")
	case c.state == stateOpen && silent > l.idleTicks:
		counters.idleTimeouts.Add(1)
		l.refuse(c, wire.RefusedTimeout, "idle for too long")
	case c.state == stateRefused && waited > l.frameTicks:
		l.close(c)
	}
	return c.state == stateClosed
}
