package netio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"lockd/netio/wire"
)

// ConnID names a conn of a client. It is never reused in a process, and zero is
// never given out.
type ConnID uint64

// loop returns the index of the event loop that owns the conn.
func (c ConnID) loop() int { return int(c & (maxLoops - 1)) }

// ErrStopped means that the server or the links were closed by their owner.
var ErrStopped = errors.New("netio: stopped")

// Handler receives what clients send. Its methods are called on event loops,
// those of one conn always on the same one and in order; with several loops they
// run at the same time. They must not block. They may call Server.Send and
// Server.CloseConn; the loop passes on what they sent before it waits again.
type Handler interface {
	// Hello answers the first frame of a conn with an encoded Welcome and true,
	// or an encoded Refused and false, which closes the conn once it is sent. h
	// borrows from the conn's buffer; the answer is copied before the next call.
	Hello(c ConnID, h wire.Hello) (answer []byte, ok bool)

	// Request hands over one whole frame, header and body: a known kind of
	// request and a length within bounds, the body not looked at. It is borrowed
	// until Request returns.
	Request(c ConnID, frame []byte)

	// Flush ends a round of an event loop in which frames came, of conns or of
	// links, or which Server.Wake asked for: everything that was ready with them has
	// been handed over, or as much of it as a round may. What is sent from within
	// leaves without a wake.
	Flush()

	// Sent follows Flush when what was sent from within has been given to the
	// kernel. It may wait for what takes less than a millisecond: the loop reads and
	// writes nothing meanwhile.
	Sent()

	// Closed follows everything else of a conn whose Hello was called, once.
	Closed(c ConnID)
}

// Server is the client port. Its event loops are goroutines of gnet; its methods
// are safe for concurrent use.
type Server struct {
	opts    ServerOptions
	handler Handler
	addr    *net.TCPAddr
	engine  gnet.Engine // set before ready is closed, constant afterwards

	adopting sync.Mutex    // one link is registered at a time
	nextID   atomic.Uint64 // raised by every loop
	stopping atomic.Bool   // set by Stop
	loops    [maxLoops]atomic.Pointer[eventLoop]
	dirty    atomic.Uint64 // loops that Send wrote to and Flush has not woken
	counters serverCounters
	log      *logger

	registry registry
	ready    chan struct{} // closed by the first tick: every loop runs
	done     chan struct{} // closed by run, after err is set
	err      error
}

// Listen opens the client port and returns once it accepts conns. An address in
// use, a bad option or too few descriptors is an error.
func Listen(opts ServerOptions, h Handler) (*Server, error) {
	files, err := descriptorLimit()
	if err != nil {
		return nil, err
	}
	opts, err = opts.withDefaults(files)
	if err != nil {
		return nil, err
	}
	addr, err := reserveAddr(opts.Addr)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts:    opts,
		handler: h,
		addr:    addr,
		log:     &logger{logf: opts.Logf},
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
	}
	s.start()
	select {
	case <-s.ready:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("netio: listen on %s: %w", opts.Addr, s.err)
	}
}

// Addr returns the address the server listens on, with its real port.
func (s *Server) Addr() net.Addr { return s.addr }

// Loops returns the number of event loops. Each is a thread that waits in the
// kernel most of the time.
func (s *Server) Loops() int { return s.opts.Loops }

// Stats returns the counters of the server.
func (s *Server) Stats() ServerStats { return s.counters.snapshot() }

// Send copies frames to the outbox of c's loop. They leave at the next Flush, or
// sooner, after all that was sent to c before, in one write with whatever else
// waits for c. A conn with more unread bytes than its bound is closed; to a conn
// that is gone Send does nothing. Nothing is allocated once warm.
func (s *Server) Send(c ConnID, frames []byte) {
	l := s.loops[c.loop()].Load()
	if l == nil || len(frames) == 0 {
		return
	}
	l.out.send(c, frames)
	s.markDirty(c.loop())
}

// CloseConn closes c after what was sent to it before, as far as the kernel
// takes that at once. It needs no Flush.
func (s *Server) CloseConn(c ConnID) {
	if l := s.loops[c.loop()].Load(); l != nil {
		l.out.close(c)
		l.wake()
	}
}

// Flush wakes every loop that Send wrote to since the last Flush, each once,
// whatever the number of conns. Call it at the end of a turn.
func (s *Server) Flush() {
	for dirty := s.dirty.Swap(0); dirty != 0; dirty &= dirty - 1 {
		if l := s.loops[lowestBit(dirty)].Load(); l != nil {
			l.wake()
		}
	}
}

// Wake has an event loop call Handler.Flush at the end of a round that begins
// now, once for all who ask meanwhile. It reports false if no loop has had a conn
// or a link yet, if all have ended, or if the loop was woken so often that it is
// to read first what has come; somebody else must do then what Flush would.
func (s *Server) Wake() bool {
	l := s.loops[0].Load()
	return l != nil && l.rounds.Load() < mostRounds && l.askRound()
}

// adopt has an event loop read l, and returns once it does.
func (s *Server) adopt(l *link) error {
	ctx := gnet.NewNetConnContext(gnet.NewContext(context.Background(), l), l.conn)
	s.adopting.Lock() // gnet gives conns to its loops in turn, and counts without a lock
	registered, err := s.engine.Register(ctx)
	s.adopting.Unlock()
	if err != nil {
		return errors.Join(fmt.Errorf("netio: link to node %d: %w", l.peer.node, err), l.conn.Close())
	}
	select {
	case r := <-registered:
		if r.Err == nil && !l.taken() {
			return fmt.Errorf("netio: link to node %d: no event loop takes it", l.peer.node)
		}
		return r.Err
	case <-s.done:
		return errors.Join(ErrStopped, l.conn.Close())
	}
}

// Stop refuses new conns, waits until every conn has taken what was sent to it
// or ctx ends, then closes all of them and the port. It returns once every loop
// has ended, nil if every byte was handed to the kernel and ctx's error if not.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	err := s.drain(ctx)

	// gnet's Stop signals first and then polls; an ended context skips the poll,
	// and done tells the end without delay.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.engine.Stop(ended) // its error says that the context, or the engine, has ended
	<-s.done
	return err
}

// Done is closed when the event loops have ended, for whatever reason. If Stop
// was not called the node must end: it serves nobody any more.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns nil before Done, ErrStopped after Stop, otherwise what ended the
// event loops.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// drain waits until no loop holds a byte that a conn did not take yet.
func (s *Server) drain(ctx context.Context) error {
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	for {
		s.lookAll()
		select {
		case <-s.done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("netio: unsent responses at stop: %w", context.Cause(ctx))
		case <-poll.C:
		}
		if s.drained() {
			return nil
		}
	}
}

// lookAll asks every loop to look at its unsent bytes.
func (s *Server) lookAll() {
	for i := range s.loops {
		l := s.loops[i].Load()
		if l == nil {
			return
		}
		l.out.askLook()
		l.wake()
	}
}

// wakeAll asks every loop to look at its timeouts and unsent bytes. It moves the clock
// of the timeouts, so only the ticker calls it.
func (s *Server) wakeAll() {
	for i := range s.loops {
		l := s.loops[i].Load()
		if l == nil {
			return
		}
		l.out.askSweep()
		l.wake()
	}
}

// drained reports whether every loop has dealt with its outbox and has nothing
// unsent. It looks at the outbox first: only then is the other number settled.
func (s *Server) drained() bool {
	for i := range s.loops {
		l := s.loops[i].Load()
		if l == nil {
			return true
		}
		if !l.out.settled() || l.unsent.Load() > 0 {
			return false
		}
	}
	return true
}

// markDirty notes that loop i has something to fetch.
func (s *Server) markDirty(i int) {
	bit := uint64(1) << i
	if s.dirty.Load()&bit == 0 {
		s.dirty.Or(bit)
	}
}

// drainPoll is how often Stop and Close look whether everything is sent.
const drainPoll = 2 * time.Millisecond
