package proxy

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// pair is one connection through the Proxy: the one that came and the one to
// the target.
type pair struct {
	proxy  *Proxy
	number uint64
	ended  chan struct{} // closed by reset and laneOver
	late   atomic.Int64  // Unix nanoseconds before which nothing goes up; Orphan writes it

	dialer *net.TCPConn
	mu     struct {
		sync.Mutex
		target *net.TCPConn // nil until it stands
		closed bool
		over   int // lanes that have delivered all they will
	}
}

// reset ends both connections with a reset.
func (c *pair) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	c.mu.closed = true
	close(c.ended)
	abort(c.dialer)
	if c.mu.target != nil {
		abort(c.mu.target)
	}
}

// abort closes a connection so that its other end sees a reset.
func abort(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // both fail only on a connection that is over
	_ = conn.Close()
}

// connect gives the pair its second connection. It reports whether the pair
// still lives.
func (c *pair) connect(target *net.TCPConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		abort(target)
		return false
	}
	c.mu.target = target
	return true
}

// laneOver notes that a lane delivers no more. With both over the connections
// are closed in order.
func (c *pair) laneOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.over++
	if c.mu.over < directions || c.mu.closed {
		return
	}
	c.mu.closed = true
	close(c.ended)
	_ = c.dialer.Close()
	_ = c.mu.target.Close()
}

// lane is one direction of a pair: a reader that decides what becomes of each
// frame, a queue, and a writer.
type lane struct {
	pair     *pair
	dir      Direction
	src, dst *net.TCPConn
	draw     *rand.Rand    // the reader's
	due      time.Time     // of the last frame queued; the reader's
	swapped  []byte        // held back until the next frame; the reader's
	mute     bool          // an endless frame has begun; the reader's
	wake     chan struct{} // capacity 1: something was queued
	room     chan struct{} // capacity 1: something was taken

	mu struct {
		sync.Mutex
		queue []item
		bytes int
	}
}

// item is what a writer has to do.
type item struct {
	at   time.Time // not before
	data []byte
	then ending
}

// ending says what follows the bytes of an item.
type ending uint8

const (
	goOn   ending = iota
	finish        // tell the receiver that nothing more comes
	abrupt        // reset both ends
)

// What a lane holds: much while its writer only waits for a gate, little when
// it is slow, so that its sender feels it.
const (
	queueBytes     = 4 << 20
	slowQueueBytes = 8 << 10
)

func newLane(c *pair, d Direction, src, dst *net.TCPConn) *lane {
	return &lane{
		pair: c, dir: d, src: src, dst: dst,
		draw: rand.New(rand.NewPCG(c.proxy.opts.Seed, c.number*directions+uint64(d))),
		wake: make(chan struct{}, 1),
		room: make(chan struct{}, 1),
	}
}

// rules are those in force now.
func (l *lane) rules() *Rules { return &l.pair.proxy.state.Load().rules[l.dir] }

// frame decides what becomes of a frame.
func (l *lane) frame(frame []byte) {
	p, rules := l.pair.proxy, l.rules()
	p.counters.frames[l.dir].Add(1)
	p.counters.bytes[l.dir].Add(uint64(len(frame)))
	if rules.Gate == Swallow || l.mute {
		p.counters.swallowed.Add(1)
		return
	}
	harm, hit := l.harm(frame, rules)
	if !hit {
		l.pass(frame, goOn)
	} else {
		p.counters.done[harm].Add(1)
		l.harmed(frame, harm)
	}
	p.keep(l.dir, frame)
}

// harm draws what happens to a frame. Every frame draws once, so that the same
// frames of the same connection suffer the same.
func (l *lane) harm(frame []byte, rules *Rules) (Harm, bool) {
	ball := l.draw.IntN(1000)
	if h, armed := l.pair.proxy.struck(l.dir); armed {
		return h, true
	}
	if l.pair.proxy.opts.Protocol.greets(frame) {
		return 0, false
	}
	for h, odds := range rules.Odds {
		if ball < odds {
			return Harm(h), true
		}
		ball -= odds
	}
	return 0, false
}

// harmed does to a frame what was drawn.
func (l *lane) harmed(frame []byte, harm Harm) {
	switch harm {
	case Lose:
	case Repeat:
		l.pass(frame, goOn)
		l.pass(frame, goOn)
	case Swap:
		if l.swapped == nil {
			l.swapped = append([]byte(nil), frame...)
			return
		}
		l.pass(frame, goOn)
	case Replay:
		l.pass(frame, goOn)
		if old := l.pair.proxy.recall(l.dir, l.draw); old != nil {
			l.pass(old, goOn)
		}
	case Garble:
		l.pass(garbled(frame, l.draw), goOn)
	case Sever:
		l.pass(frame[:l.draw.IntN(len(frame))], abrupt)
	case HalfClose:
		l.pass(frame, finish)
		l.mute = true
	case Endless:
		l.pass(endless(frame, l.pair.proxy.opts.Protocol), goOn)
		l.mute = true
	default:
		panic("proxy: frame with " + harm.String())
	}
}

// pass queues a frame, and behind it the one that was held back.
func (l *lane) pass(frame []byte, then ending) {
	rules := l.rules()
	at := time.Now().Add(rules.Delay)
	if rules.Jitter > 0 {
		at = at.Add(time.Duration(l.draw.Int64N(int64(rules.Jitter))))
	}
	if at.After(l.due) {
		l.due = at
	}
	l.put(item{at: l.due, data: append([]byte(nil), frame...), then: then})
	if l.swapped != nil {
		l.put(item{at: l.due, data: l.swapped})
		l.swapped = nil
	}
}

// put appends to the queue. It waits while that is full, and gives up when the
// pair has ended.
func (l *lane) put(it item) {
	for {
		limit := queueBytes
		if l.rules().BytesPerSecond > 0 {
			limit = slowQueueBytes
		}
		l.mu.Lock()
		if l.mu.bytes == 0 || l.mu.bytes+len(it.data) <= limit {
			l.mu.queue = append(l.mu.queue, it)
			l.mu.bytes += len(it.data)
			l.mu.Unlock()
			signal(l.wake)
			return
		}
		l.mu.Unlock()
		select {
		case <-l.room:
		case <-l.pair.ended:
			return
		}
	}
}

// head returns the oldest item without taking it.
func (l *lane) head() (item, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.queue) == 0 {
		return item{}, false
	}
	return l.mu.queue[0], true
}

// notBefore is when an item may leave.
func (l *lane) notBefore(it *item) time.Time {
	late := l.pair.late.Load()
	if l.dir == Down || late == 0 {
		return it.at
	}
	return time.Unix(0, max(late, it.at.UnixNano()))
}

// drop takes the oldest item away.
func (l *lane) drop() {
	l.mu.Lock()
	l.mu.bytes -= len(l.mu.queue[0].data)
	l.mu.queue[0] = item{}
	l.mu.queue = l.mu.queue[1:]
	l.mu.Unlock()
	signal(l.room)
}

// signal leaves a token in a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
