package netio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/panjf2000/gnet/v2"

	"lockd/netio/wire"
)

// link is one established connection with a peer. Any goroutine may send; an
// event loop of the server reads, and writes what send left over.
type link struct {
	links *Links
	peer  *peer
	conn  *net.TCPConn   // until the event loop has it
	hello wire.PeerHello // of the peer
	heard atomic.Int64   // when the last bytes came, on the links' clock; the loop's
	gone  chan struct{}  // closed when no further frame is handed over
	done  chan struct{}  // closed by peer.leave: PeerDown has returned

	// These belong to the event loop.
	loop  *eventLoop
	part  []byte // beginning of a frame of which more must come
	begun uint32 // tick at which that frame began
	slot  int    // place in loop.links
	spare []byte // last queue, for its memory

	mu struct {
		sync.Mutex
		// gnet is nil until an event loop has the link, and again once that is
		// closing the descriptor.
		gnet gnet.Conn
		// queue are whole frames, the first perhaps begun already. unsent is about
		// what is before them in the loop's hands: never less, as told when the loop
		// last touched the link. While there is any of both, senders append.
		queue  []byte
		unsent int
		asked  bool // a visit of the loop is under way
		opened bool // an event loop has had it
		cause  DownCause
		closed bool
	}
}

func newLink(ls *Links, p *peer, conn *net.TCPConn, hello wire.PeerHello) *link {
	l := &link{
		links: ls,
		peer:  p,
		conn:  conn,
		hello: hello,
		gone:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	l.heard.Store(int64(ls.now()))
	return l
}

// keepsOut returns why l, which holds the place of its peer, does not give way
// to other. The same process may always come again: it has given up l. Another
// process gets in once l has fallen silent, because a killed process and a dead
// machine look like this; before, it is a second process with a copied identity.
func (l *link) keepsOut(other *link) *wire.PeerRefused {
	if incarnation(l.hello) == incarnation(other.hello) || l.over() {
		return nil
	}
	silent := l.links.now() - time.Duration(l.heard.Load())
	if silent >= silentAfter {
		return nil
	}
	return peerRefusal(wire.RefusedDuplicate,
		"node %d, disk %016x, is linked from %s already: two processes use one identity; stop one",
		l.peer.node, l.hello.Disk, l.conn.RemoteAddr())
}

// send writes frame now if nothing is before it, and queues what is left.
//
// The lock is held over the write, against the rule for locks: the socket does
// not block, and the event loop must not close the descriptor meanwhile.
func (l *link) send(frame []byte) {
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		l.peer.counters.dropped.Add(1)
		return
	}
	if len(l.mu.queue)+l.mu.unsent+len(frame) > l.links.opts.QueueBytes {
		l.mu.Unlock()
		l.peer.counters.overflows.Add(1)
		l.shut(DownOverflow)
		return
	}
	l.peer.counters.framesOut.Add(1)
	var err error
	if l.mu.gnet != nil && len(l.mu.queue)+l.mu.unsent == 0 {
		var n int
		n, err = writeNow(l.mu.gnet.Fd(), frame)
		l.peer.counters.bytesOut.Add(uint64(n))
		l.peer.counters.inline.Add(1)
		frame = frame[n:]
	}
	visit := false
	if len(frame) > 0 && err == nil {
		l.mu.queue = append(l.mu.queue, frame...)
		visit = l.mu.gnet != nil && !l.mu.asked
		l.mu.asked = l.mu.asked || visit
	}
	l.mu.Unlock()
	switch {
	case err != nil:
		l.shut(causeOf(err))
	case visit:
		// An error means that the loop has ended, and the link with it.
		_ = l.loop.gnet.Execute(context.Background(), l)
	}
}

// writeNow writes as much as the kernel takes at once.
func writeNow(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, b)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}

// Run is the task that send puts on the event loop.
func (l *link) Run(context.Context) error {
	l.visit()
	return nil
}

// visit gives the event loop what is queued, and looks how much it still has
// from before. It is called on the loop.
func (l *link) visit() {
	l.mu.Lock()
	g, batch := l.mu.gnet, l.mu.queue
	l.mu.asked = false
	if g == nil || l.mu.closed {
		l.mu.Unlock()
		return
	}
	if len(batch) == 0 {
		l.mu.unsent = g.OutboundBuffered()
		l.mu.Unlock()
		return
	}
	l.mu.queue, l.spare = l.spare[:0], nil
	l.mu.unsent += len(batch)
	l.mu.Unlock()

	// gnet closes the conn itself on an error, within the call.
	err := passOn(g, batch)
	l.peer.counters.bytesOut.Add(uint64(len(batch)))
	l.peer.counters.queued.Add(1)
	if cap(batch) <= retainedBytes {
		l.spare = batch[:0]
	}
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.gnet != nil {
		l.mu.unsent = g.OutboundBuffered()
	}
}

// queued returns how many bytes the kernel has not taken yet, as far as is known.
func (l *link) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return 0
	}
	return len(l.mu.queue) + l.mu.unsent
}

// shut ends the link. The first cause counts.
func (l *link) shut(cause DownCause) {
	l.mu.Lock()
	first, g := !l.mu.closed, l.mu.gnet
	if first {
		l.mu.closed, l.mu.cause = true, cause
		l.mu.queue = nil
	}
	l.mu.Unlock()
	if first && g != nil {
		_ = g.Close() // asks the loop; an error means that it has ended
	}
}

// over reports whether shut was called.
func (l *link) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.closed
}

// cause returns what ended the link.
func (l *link) cause() DownCause {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.cause
}

// errGarbled is what a frame outside the protocol ends a link with.
var errGarbled = errors.New("netio: frame outside the protocol")

// causeOf tells from an error of the connection why the link ends.
func causeOf(err error) DownCause {
	switch {
	case errors.Is(err, errGarbled):
		return DownGarbled
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT),
		errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return DownTimeout
	default:
		return DownReset
	}
}

// opened takes the link over. A link that was shut meanwhile is closed again.
func (l *link) opened(loop *eventLoop, g gnet.Conn) gnet.Action {
	l.loop, l.slot = loop, len(loop.links)
	loop.links = append(loop.links, l)
	l.mu.Lock()
	l.mu.gnet, l.mu.opened = g, true
	closed := l.mu.closed
	l.mu.Unlock()
	if closed {
		return gnet.Close
	}
	l.visit()
	return gnet.None
}

// taken reports whether an event loop has the link, or had it.
func (l *link) taken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.opened
}

// traffic hands over the frames of one read.
func (l *link) traffic(g gnet.Conn) {
	buf, err := g.Next(-1)
	if err != nil || l.over() {
		return
	}
	l.heard.Store(int64(l.links.now()))
	l.peer.counters.bytesIn.Add(uint64(len(buf)))
	fresh := len(l.part) == 0
	if !fresh {
		l.part = append(l.part, buf...)
		buf = l.part
	}
	used, want, err := l.deliver(buf)
	if used > 0 {
		l.loop.read()
	}
	if err != nil {
		l.shut(causeOf(err))
		return
	}
	l.keep(buf[used:], want)
	if fresh || used > 0 {
		l.begun = l.loop.tick
	}
	l.visit()
}

// keep keeps the beginning of a frame of want bytes, zero if that is not known
// yet, in memory of its size and of what the read that ends it may bring besides.
// What is there already is not moved: once for each read, that would cost the
// square of the frame's size.
func (l *link) keep(rest []byte, want int) {
	switch {
	case len(rest) == 0 && cap(l.part) > retainedBytes:
		l.part = nil
	case want > cap(l.part):
		l.part = append(make([]byte, 0, want+defaultReadBufferBytes), rest...)
	case len(rest) == len(l.part): // all of it
	default:
		l.part = append(l.part[:0], rest...)
	}
}

// sweep ends a link whose frame does not end: a wrong length would have it wait
// for megabytes that its peer takes many minutes to send, on a link that carries
// nothing meanwhile.
func (l *link) sweep() {
	if len(l.part) > 0 && l.loop.tick-l.begun > ticks(l.links.opts.FrameTimeout) {
		l.shut(DownTimeout)
	}
	l.visit()
}

// closed gives the link up. It is called on the loop, before the descriptor is
// closed; err is nil if this side closes.
func (l *link) closed(err error) {
	last := l.loop.links[len(l.loop.links)-1]
	l.loop.links[l.slot], last.slot = last, l.slot
	l.loop.links[len(l.loop.links)-1] = nil
	l.loop.links = l.loop.links[:len(l.loop.links)-1]
	l.mu.Lock()
	l.mu.gnet = nil
	l.mu.Unlock()
	l.shut(causeOf(err))
	close(l.gone)
}

// deliver hands over the whole frames at the start of b. It returns how many
// bytes they were and the size of the frame that follows, if that is known.
func (l *link) deliver(b []byte) (used, want int, err error) {
	for {
		size, err := wire.PeerFrameBytes(b[used:], l.frameBytes())
		if err != nil {
			l.peer.counters.garbled.Add(1)
			return used, 0, fmt.Errorf("%w: %w", errGarbled, err)
		}
		if size == 0 || size > len(b)-used {
			return used, size, nil
		}
		kind, payload, err := wire.ParsePeer(b[used : used+size])
		if err != nil {
			l.peer.counters.garbled.Add(1)
			return used, 0, fmt.Errorf("%w: %w", errGarbled, err)
		}
		if err := l.accept(kind, payload); err != nil {
			return used, 0, err
		}
		used += size
	}
}

// accept takes one frame of an established link.
func (l *link) accept(kind wire.PeerKind, payload []byte) error {
	switch kind {
	case wire.PeerKindHello, wire.PeerKindWelcome, wire.PeerKindProof:
		l.peer.counters.garbled.Add(1)
		return fmt.Errorf("%w: %s on an established link", errGarbled, kind)
	case wire.PeerKindRefused:
		r, err := wire.DecodePeerRefused(payload)
		if err != nil {
			return fmt.Errorf("%w: %w", errGarbled, err)
		}
		l.links.refusedBy(l.peer, r)
		l.shut(DownRefused)
		return fmt.Errorf("netio: refused by node %d: %s", l.peer.node, r.Code)
	default:
		l.peer.counters.framesIn.Add(1)
		l.links.handler.PeerFrame(l.peer.node, kind, payload)
		return nil
	}
}
