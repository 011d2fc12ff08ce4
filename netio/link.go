package netio

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lockd/netio/wire"
)

// link is one established connection with a peer. Any goroutine may send; one
// goroutine reads and one writes what send left over.
type link struct {
	links *Links
	peer  *peer
	conn  *net.TCPConn
	raw   syscall.RawConn
	hello wire.PeerHello // of the peer
	heard atomic.Int64   // when the last bytes came, on the links' clock; the reader's
	wake  chan struct{}  // capacity 1; a token means that queue is not empty
	ended chan struct{}  // closed by shut: the writer ends
	done  chan struct{}  // closed by peer.leave: PeerDown has returned

	// inline is the write that a sender does itself. It belongs to whoever set
	// busy, and its function value is made once.
	inline struct {
		frame []byte
		sent  int
		err   error
		try   func(fd uintptr) bool
	}

	mu struct {
		sync.Mutex
		busy    bool   // somebody writes to the connection
		queue   []byte // whole frames, the first perhaps begun already
		writing int    // bytes of the queue that the writer took
		cause   DownCause
		closed  bool
	}
}

func newLink(ls *Links, p *peer, conn *net.TCPConn, hello wire.PeerHello) (*link, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("netio: link to %d: %w", p.node, err)
	}
	l := &link{
		links: ls,
		peer:  p,
		conn:  conn,
		raw:   raw,
		hello: hello,
		wake:  make(chan struct{}, 1),
		ended: make(chan struct{}),
		done:  make(chan struct{}),
	}
	l.heard.Store(int64(ls.now()))
	l.inline.try = l.tryWrite
	return l, nil
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

// send writes frame now if nobody else writes, and queues what is left.
func (l *link) send(frame []byte) {
	l.mu.Lock()
	switch {
	case l.mu.closed:
		l.mu.Unlock()
		l.peer.counters.dropped.Add(1)
		return
	case len(l.mu.queue)+l.mu.writing+len(frame) > l.links.opts.QueueBytes:
		l.mu.Unlock()
		l.peer.counters.overflows.Add(1)
		l.shut(DownOverflow)
		return
	case l.mu.busy || len(l.mu.queue) > 0:
		l.mu.queue = append(l.mu.queue, frame...)
		l.mu.Unlock()
		l.peer.counters.framesOut.Add(1)
		l.wakeWriter()
		return
	}
	l.mu.busy = true
	l.mu.Unlock()
	sent, err := l.writeInline(frame)

	l.mu.Lock()
	l.mu.busy = false
	if sent < len(frame) && err == nil {
		// What other senders queued meanwhile comes after the rest of this frame.
		l.mu.queue = append(append(make([]byte, 0, len(frame)-sent+len(l.mu.queue)),
			frame[sent:]...), l.mu.queue...)
	}
	waiting := len(l.mu.queue) > 0
	l.mu.Unlock()
	l.peer.counters.framesOut.Add(1)
	l.peer.counters.bytesOut.Add(uint64(sent))
	l.peer.counters.inline.Add(1)
	if err != nil {
		l.shut(causeOf(err))
	} else if waiting {
		l.wakeWriter()
	}
}

// wakeWriter leaves a token for the writer, unless one is there.
func (l *link) wakeWriter() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// writeInline tries one write that does not block. Requires: the caller set
// busy.
func (l *link) writeInline(frame []byte) (int, error) {
	in := &l.inline
	in.frame, in.sent, in.err = frame, 0, nil
	err := l.raw.Write(in.try)
	in.frame = nil
	if err == nil {
		err = in.err
	}
	return in.sent, err
}

// tryWrite is called by the runtime with the descriptor kept open. It always
// returns true: to wait until the socket is writable is the writer's part.
func (l *link) tryWrite(fd uintptr) bool {
	in := &l.inline
	for {
		n, err := syscall.Write(int(fd), in.frame)
		switch err {
		case nil:
			in.sent = n
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		default:
			in.err = os.NewSyscallError("write", err)
		}
		return true
	}
}

// take gives the writer the queue in exchange for an emptied one, or nothing if
// it is empty or a sender writes just now, which wakes the writer afterwards.
func (l *link) take(spare []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.busy || l.mu.closed || len(l.mu.queue) == 0 {
		return nil
	}
	batch := l.mu.queue
	l.mu.queue = spare[:0]
	l.mu.busy, l.mu.writing = true, len(batch)
	return batch
}

// wrote ends what take began.
func (l *link) wrote() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.busy, l.mu.writing = false, 0
}

// drainQueue writes until the queue is empty. It returns false when the link is
// over.
func (l *link) drainQueue(spare *[]byte) bool {
	for {
		batch := l.take(*spare)
		if batch == nil {
			return !l.over()
		}
		_, err := l.conn.Write(batch)
		l.wrote()
		if err != nil {
			l.shut(causeOf(err))
			return false
		}
		l.peer.counters.bytesOut.Add(uint64(len(batch)))
		l.peer.counters.queued.Add(1)
		*spare = nil
		if cap(batch) <= retainedBytes {
			*spare = batch[:0]
		}
	}
}

// queued returns how many bytes the kernel has not taken yet.
func (l *link) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return 0
	}
	return len(l.mu.queue) + l.mu.writing
}

// shut ends the link. The first cause counts.
func (l *link) shut(cause DownCause) {
	l.mu.Lock()
	first := !l.mu.closed
	if first {
		l.mu.closed, l.mu.cause = true, cause
		l.mu.queue = nil
	}
	l.mu.Unlock()
	if first {
		close(l.ended)
		_ = l.conn.Close() // nothing can be done about a socket that does not close
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

// readBufferBytes is what a reader begins with; it grows for larger frames.
const readBufferBytes = 256 << 10

// read hands over frames until the link ends. A frame that has begun must come
// to its end: a wrong length would have it wait for megabytes that its peer
// takes many minutes to send, on a link that carries nothing meanwhile.
func (l *link) read() {
	buf := make([]byte, readBufferBytes)
	from, to, timed := 0, 0, false
	for {
		n, err := l.conn.Read(buf[to:])
		to += n
		if n > 0 {
			l.heard.Store(int64(l.links.now()))
			l.peer.counters.bytesIn.Add(uint64(n))
			used, want, parseErr := l.deliver(buf[from:to])
			if parseErr != nil {
				l.shut(causeOf(parseErr))
				return
			}
			from += used
			buf, from, to = makeRoom(buf, from, to, want)
			if begun := from < to; begun != timed || begun && used > 0 {
				timed = begun
				var deadline time.Time
				if timed {
					deadline = time.Now().Add(l.links.opts.FrameTimeout)
				}
				err = errors.Join(err, l.conn.SetReadDeadline(deadline))
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = syscall.ECONNRESET
			}
			l.shut(causeOf(err))
			return
		}
	}
}

// makeRoom moves what is left of buf to its front when the frame it begins,
// want bytes long, does not fit behind from, and fits the buffer to it.
func makeRoom(buf []byte, from, to, want int) ([]byte, int, int) {
	switch {
	case from == to && len(buf) > retainedBytes:
		return make([]byte, readBufferBytes), 0, 0
	case from == to:
		return buf, 0, 0
	case want > len(buf):
		grown := make([]byte, want)
		return grown, 0, copy(grown, buf[from:to])
	case to == len(buf) || from+want > len(buf):
		return buf, 0, copy(buf, buf[from:to])
	}
	return buf, from, to
}

// deliver hands over the whole frames at the start of b. It returns how many
// bytes they were and the size of the frame that follows, if that is known.
func (l *link) deliver(b []byte) (used, want int, err error) {
	for {
		size, err := wire.PeerFrameBytes(b[used:], l.links.opts.MaxFrameBytes)
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
