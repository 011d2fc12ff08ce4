package sim

import (
	"encoding/binary"

	"lockd/lockd/node"
	"lockd/netio/wire"
)

// caller is what stands at the client's end of a conn.
type caller interface {
	// reaches reports whether a conn to a site can be made.
	reaches(s *site) bool
	// awayUntil is the moment until which it hears nothing.
	awayUntil() Time
	// hear takes whole frames of a conn, and lost the end of one.
	hear(c *conn, frames []byte)
	lost(c *conn)
}

// conn is one conn between a client and a life of a node. Both directions keep
// their order; when it breaks each side loses a suffix of what was on its way
// to it.
type conn struct {
	w      *World
	id     node.ConnID
	caller caller
	p      *process
	// nodeOpen and clientOpen say whether each side still uses it.
	nodeOpen, clientOpen bool
	toNode, toClient     stream
	// owed is how many answers may come to a request: an answer does not say
	// which send of it is meant.
	owed map[uint64]int
	// versions are those in which a Core asks here to be answered, by request. A Core
	// speaks one version on a conn, and another where it asks again.
	versions map[uint64]uint16
}

// stream is one direction: chunks on their way, oldest first.
type stream struct {
	chunks [][]byte
	latest Time
	// clog is until when nothing that is sent from now on arrives.
	clog Time
	// plan is raised when arrivals are planned anew; older plans are void.
	plan int
}

// push plans the arrival of a chunk.
func (c *conn) push(s *stream, b []byte, extra Time, arrive func()) {
	s.chunks = append(s.chunks, append([]byte(nil), b...))
	d := c.w.dice.network
	s.latest = max(s.latest, s.clog,
		c.w.agenda.Now()+extra+c.w.opts.Latency/4+d.around(c.w.opts.Latency))
	plan := s.plan
	c.w.agenda.At(s.latest, func() {
		if s.plan == plan {
			arrive()
		}
	})
}

func (s *stream) pop() []byte {
	b := s.chunks[0]
	s.chunks = s.chunks[1:]
	return b
}

// openConn makes a conn from a client to what runs at a site; nil if nothing
// does, or none can be made.
func (w *World) openConn(from caller, s *site) *conn {
	p := s.proc
	if p == nil || s.pausedUntil > w.agenda.Now() || !from.reaches(s) {
		return nil
	}
	w.nextConn++
	c := &conn{w: w, id: w.nextConn, caller: from, p: p, nodeOpen: true, clientOpen: true,
		owed: make(map[uint64]int), versions: make(map[uint64]uint16)}
	p.conns = append(p.conns, c)
	return c
}

// greet sends what the node says to a hello.
func (c *conn) greet() {
	if c.nodeOpen && c.p.alive {
		x := c.p.node.Welcome(wire.Version)
		c.push(&c.toClient, wire.AppendWelcome(nil, wire.Header{}, &x), 0, c.arriveClient)
	}
}

// request sends one frame of the client.
func (c *conn) request(frame []byte) {
	c.push(&c.toNode, frame, 0, c.arriveNode)
}

func (c *conn) arriveNode() {
	if len(c.toNode.chunks) == 0 {
		return // the conn broke
	}
	frame := c.toNode.pop()
	if !c.nodeOpen || !c.p.alive {
		return
	}
	h, _, _ := wire.Parse(frame)
	c.w.note("request", uint64(c.id), uint64(h.Kind), h.Request)
	if !c.p.inbox.Request(c.id, frame) {
		c.w.covered["inbox full"]++
		c.answer(wire.AppendResponse(nil, wire.Header{Group: h.Group, Request: h.Request},
			&wire.Response{Status: wire.StatusBusy, RetryMillis: 20}))
		return
	}
	c.p.wake()
}

// answer sends frames of the node.
func (c *conn) answer(frames []byte) {
	if c.nodeOpen {
		c.push(&c.toClient, frames, 0, c.arriveClient)
	}
}

func (c *conn) arriveClient() {
	if len(c.toClient.chunks) == 0 {
		return
	}
	if until := c.caller.awayUntil(); until > c.w.agenda.Now() {
		c.w.agenda.At(until, c.arriveClient)
		return
	}
	if b := c.toClient.pop(); c.clientOpen {
		c.caller.hear(c, b)
	}
}

// eachFrame cuts what a node sent into frames, for as long as the conn is open.
func (c *conn) eachFrame(b []byte, do func(h wire.Header, body []byte)) {
	for len(b) > 0 && c.clientOpen {
		n := int(binary.LittleEndian.Uint32(b)) + 4
		h, body, err := wire.Parse(b[:n])
		if err != nil {
			c.w.failf("conn %d: node %d sends a frame that does not parse: %v", c.id,
				c.p.site.id, err)
			return
		}
		do(h, body)
		b = b[n:]
	}
}

// reset breaks the conn from outside: both directions lose a suffix.
func (c *conn) reset() {
	c.lose(&c.toNode)
	c.lose(&c.toClient)
	c.w.agenda.After(c.w.dice.network.around(5*c.w.opts.Latency), c.closeNode)
	c.w.agenda.After(c.w.dice.network.around(5*c.w.opts.Latency), c.closeClient)
}

// breakUnheard breaks the conn once what was sent has arrived, but before the client hears
// anything more.
func (c *conn) breakUnheard() {
	round := c.w.round()
	c.toClient.clog = c.w.agenda.Now() + 2*round
	c.w.covered["conn broke before the answer"]++
	c.w.agenda.After(c.w.dice.faults.length(round/4, round), c.reset)
}

// lose drops a drawn suffix of what is on its way; the planned arrivals find
// nothing any more.
func (c *conn) lose(s *stream) {
	s.chunks = s.chunks[:c.w.dice.network.IntN(len(s.chunks)+1)]
}

// giveUp is the client closing the conn. What it sent may still arrive, much
// later than what it sends elsewhere.
func (c *conn) giveUp() {
	if !c.clientOpen {
		return
	}
	c.clientOpen = false
	at := c.toNode.latest
	if c.w.faulty(FaultStale) && len(c.toNode.chunks) > 0 {
		c.w.covered["stale frames"]++
		c.again(&c.toNode, c.w.dice.network.length(0, 4*second), c.arriveNode)
		at = c.toNode.latest
	}
	c.w.agenda.At(at+c.w.opts.Latency, c.closeNode)
}

// again plans the arrival of all that is on its way anew.
func (c *conn) again(s *stream, extra Time, arrive func()) {
	frames := s.chunks
	s.chunks = nil
	s.plan++
	for _, f := range frames {
		c.push(s, f, extra, arrive)
	}
}

// clog has nothing arrive for a while that is sent from now on, each way for a
// time of its own.
func (c *conn) clog() {
	d, lease := c.w.dice.faults, Time(c.w.opts.Lease)*millisecond
	c.toNode.clog = c.w.agenda.Now() + d.length(0, 2*lease)
	c.toClient.clog = c.w.agenda.Now() + d.length(0, lease)
	c.w.covered["conn clogged"]++
}

// unclog lets both directions flow, and has what is late arrive.
func (c *conn) unclog() {
	c.hurry(&c.toNode, c.arriveNode)
	c.hurry(&c.toClient, c.arriveClient)
}

func (c *conn) hurry(s *stream, arrive func()) {
	now := c.w.agenda.Now()
	if s.clog > now || s.latest > now+c.w.slowest() {
		s.clog, s.latest = 0, now
		c.again(s, 0, arrive)
	}
}

// closeNode is the node hearing that the conn is gone.
func (c *conn) closeNode() {
	if !c.nodeOpen || !c.p.alive {
		return
	}
	c.nodeOpen = false
	c.toNode.chunks = nil
	c.p.forget(c)
	c.p.inbox.ConnClosed(c.id)
	c.p.wake()
}

func (p *process) forget(c *conn) {
	for i, other := range p.conns {
		if other == c {
			p.conns = append(p.conns[:i], p.conns[i+1:]...)
			return
		}
	}
}

// closeClient is the client hearing that the conn is gone.
func (c *conn) closeClient() {
	if until := c.caller.awayUntil(); until > c.w.agenda.Now() {
		c.w.agenda.At(until, c.closeClient)
		return
	}
	if c.clientOpen {
		c.clientOpen = false
		c.caller.lost(c)
	}
}

// died is the end of the conn with its process.
func (c *conn) died() {
	c.nodeOpen = false
	c.lose(&c.toClient)
	c.w.agenda.After(c.w.dice.network.around(5*c.w.opts.Latency), c.closeClient)
}
