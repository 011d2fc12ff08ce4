package netio

import (
	"math/bits"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"

	"lockd/netio/wire"
)

// tickInterval is how often timeouts are looked at, and their resolution while
// a loop has few conns.
const tickInterval = 100 * time.Millisecond

// events is the server as gnet sees it.
type events Server

// OnBoot keeps the engine, which Stop needs.
func (e *events) OnBoot(engine gnet.Engine) gnet.Action {
	e.engine = engine
	return gnet.None
}

// OnShutdown runs before gnet closes the descriptors of its loops.
func (e *events) OnShutdown(gnet.Engine) {
	s := (*Server)(e)
	s.registry.seal(s)
}

// OnTick runs on a goroutine of its own, so it only wakes the loops.
func (e *events) OnTick() (time.Duration, gnet.Action) {
	s := (*Server)(e)
	s.registry.started(s)
	s.wakeAll()
	return tickInterval, gnet.None
}

// OnOpen admits a conn or says why not; if all places are taken, one that has said no
// hello gives way to it. The limit is checked here, on the loop that accepts, so that no
// further accept comes before the close.
func (e *events) OnOpen(g gnet.Conn) ([]byte, gnet.Action) {
	s := (*Server)(e)
	if l, ok := g.Context().(*link); ok {
		return nil, l.opened(s.registry.loop(s, g.EventLoop()), g)
	}
	if s.stopping.Load() {
		return refusal(wire.RefusedStopping, "the node is stopping"), gnet.Close
	}
	l := s.registry.loop(s, g.EventLoop())
	if open := s.counters.open.Add(1); open > int64(s.opts.MaxConns) {
		s.counters.overLimit.Add(1)
		if !l.giveWay() {
			s.counters.open.Add(-1)
			return refusal(wire.RefusedConns, "the node takes no more conns"), gnet.Close
		}
	}
	s.counters.accepted.Add(1)
	l.open(g)
	return nil, gnet.None
}

// OnTraffic handles what one read returned.
func (e *events) OnTraffic(g gnet.Conn) gnet.Action {
	switch c := g.Context().(type) {
	case *conn:
		return c.loop.traffic(c)
	case *link:
		c.traffic(g)
	default:
		_, _ = g.Discard(-1)
	}
	return gnet.None
}

// OnClose forgets a conn.
func (e *events) OnClose(g gnet.Conn, err error) gnet.Action {
	switch c := g.Context().(type) {
	case *conn:
		c.loop.forget(c, err)
	case *link:
		c.closed(err)
	}
	return gnet.None
}

// registry knows which eventLoop stands for which loop of gnet, which has no
// list of them. A loop is known from its first conn on.
type registry struct {
	mu struct {
		sync.Mutex
		byLoop map[gnet.EventLoop]*eventLoop
		ready  bool
		sealed bool
	}
}

// loop returns the eventLoop of el, made on first sight.
func (r *registry) loop(s *Server, el gnet.EventLoop) *eventLoop {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.mu.byLoop[el]; l != nil {
		return l
	}
	if r.mu.byLoop == nil {
		r.mu.byLoop = make(map[gnet.EventLoop]*eventLoop, s.opts.Loops)
	}
	l := newEventLoop(s, el, len(r.mu.byLoop))
	if r.mu.sealed {
		l.out.seal()
	}
	r.mu.byLoop[el] = l
	s.loops[l.index].Store(l)
	return l
}

// started lets Listen return, once.
func (r *registry) started(s *Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.mu.ready {
		r.mu.ready = true
		close(s.ready)
	}
}

// seal ends every outbox, also of loops yet to be seen.
func (r *registry) seal(s *Server) {
	r.mu.Lock()
	r.mu.sealed = true
	r.mu.Unlock()
	for i := range s.loops {
		if l := s.loops[i].Load(); l != nil {
			l.out.seal()
		}
	}
}

// refusal encodes a Refused frame.
func refusal(code wire.Refusal, text string) []byte {
	if len(text) > wire.MaxTextBytes {
		text = text[:wire.MaxTextBytes]
	}
	return wire.AppendRefused(nil, wire.Header{}, &wire.Refused{Code: code, Text: []byte(text)})
}

// lowestBit returns the index of the lowest set bit of m. Requires: m != 0.
func lowestBit(m uint64) int { return bits.TrailingZeros64(m) }

// setKeepAlive makes the kernel notice that the client's machine is gone. An
// error means that the conn died already, which its loop will see for itself.
func setKeepAlive(g gnet.Conn, idle time.Duration) {
	_ = g.SetKeepAlive(true, max(idle, time.Second), max(idle/5, time.Second), 5)
}
