package netio

import (
	"errors"
	"io"
	"syscall"

	"github.com/panjf2000/gnet/v2"

	"lockd/netio/wire"
)

// connState is how far a conn got.
type connState uint8

const (
	stateGreeting connState = iota // no hello yet
	stateOpen                      // requests are taken
	stateRefused                   // told why; what it still sends is dropped
	stateClosed                    // gone; only a stale pointer sees this
)

// conn is one client conn. It belongs to its loop's goroutine.
type conn struct {
	id    ConnID
	loop  *eventLoop
	gnet  gnet.Conn
	state connState
	told  bool // the handler has seen Hello and must see Closed
	// paused is set while the handler wants no more of it.
	paused bool

	part []byte // beginning of a frame of which more must come
	want int    // size of that frame; zero while its length is not known
	held []byte // what was read and waits for a later round (budget.go)

	first, out []byte // what gather collected in this visit

	slot  int    // place in loop.order
	mute  int    // place in loop.silent, if it is there
	heard uint32 // tick of the last bytes
	since uint32 // tick at which the state, or the frame in part, began
	// took is the tick of the last sweep that found nothing unsent, or that more
	// had been taken since the one before.
	took uint32

	// written are all bytes sent to it, taken those of them that its kernel had
	// taken at took.
	written, taken uint64

	partBytes, unsentBytes int // as last accounted
}

// traffic handles the bytes of one read. gnet's own inbound buffer stays empty:
// it copies a half-read frame anew at every read, so that a peer which sends
// byte by byte costs the square of the frame's size.
func (l *eventLoop) traffic(c *conn) gnet.Action {
	buf, err := c.gnet.Next(-1)
	if err != nil || c.state == stateRefused {
		return gnet.None
	}
	l.server.counters.bytesIn.Add(uint64(len(buf)))
	c.heard = l.tick
	if !l.affords(c, len(buf)) {
		l.hold(c, buf)
		return gnet.None
	}
	l.feed(c, buf)
	return gnet.None
}

// feed hands over the frames of what was read of c.
func (l *eventLoop) feed(c *conn, buf []byte) {
	l.spent.bytes += len(buf)
	frames := 0
	for len(buf) > 0 && c.state <= stateOpen {
		var frame []byte
		frame, buf = c.next(buf)
		if frame == nil {
			continue
		}
		if !c.handle(frame) {
			break
		}
		frames++
		c.release(frame)
	}
	if frames > 0 {
		l.spent.frames += frames
		l.server.counters.framesIn.Add(uint64(frames))
		l.read()
	}
	if c.state <= stateOpen {
		if c.paused {
			l.watch(c)
		}
		l.account(c, cap(c.part), c.unsentBytes)
		if len(c.part) > 0 {
			l.relieve()
		}
	}
}

// next cuts one whole frame from buf, or from what came before with buf, and
// returns it with the rest. No frame: all of buf is kept, or c was refused.
func (c *conn) next(buf []byte) (frame, rest []byte) {
	if len(c.part) == 0 {
		size, ok := c.size(buf)
		switch {
		case !ok:
			return nil, nil
		case size > 0 && size <= len(buf):
			return buf[:size:size], buf[size:]
		}
		c.want = size
		if c.state == stateOpen {
			c.since = c.loop.tick
		}
		c.grow(len(buf))
		c.part = append(c.part, buf...)
		return nil, nil
	}
	if c.want == 0 {
		n := min(4-len(c.part), len(buf))
		c.part, buf = append(c.part, buf[:n]...), buf[n:]
		size, ok := c.size(c.part)
		if !ok || size == 0 {
			return nil, buf
		}
		c.want = size
	}
	n := min(c.want-len(c.part), len(buf))
	c.grow(n)
	c.part, buf = append(c.part, buf[:n]...), buf[n:]
	if len(c.part) < c.want {
		return nil, nil
	}
	return c.part, buf
}

// grow makes room in part for n bytes more: twice of what has come then, up to the
// whole frame, so that a length alone costs its sender nothing.
func (c *conn) grow(n int) {
	need := len(c.part) + n
	if need <= cap(c.part) {
		return
	}
	room := max(2*need, leastPartBytes)
	if c.want > 0 {
		room = min(room, c.want)
	}
	bigger := append(c.loop.buffers.fit(max(room, wire.HeaderBytes)), c.part...)
	c.loop.buffers.give(c.part)
	c.part = bigger
}

// leastPartBytes is the room for the beginning of a frame, if that is larger.
const leastPartBytes = 512

// release ends the use of a frame of next.
func (c *conn) release(frame []byte) {
	if len(c.part) == 0 || &frame[0] != &c.part[0] {
		return
	}
	c.loop.buffers.give(c.part)
	c.part, c.want = nil, 0
}

// size returns the size of the frame at the start of b, zero if it is too early
// to tell. Not ok: c was refused for it.
func (c *conn) size(b []byte) (int, bool) {
	limit := c.loop.server.opts.MaxFrameBytes
	if c.state == stateGreeting {
		limit = helloFrameBytes
	}
	size, err := wire.FrameBytes(b, limit)
	switch {
	case err == nil:
		return size, true
	case c.state == stateGreeting:
		c.reject(wire.RefusedMagic, "the first frame is no hello: "+err.Error())
	default:
		c.reject(wire.RefusedFrame, err.Error())
	}
	return 0, false
}

// handle takes one whole frame. It returns false if c was refused.
func (c *conn) handle(frame []byte) bool {
	header, body, err := wire.Parse(frame)
	if err != nil {
		c.reject(wire.RefusedFrame, err.Error())
		return false
	}
	if c.state == stateGreeting {
		return c.greet(header, body)
	}
	if !header.Kind.IsRequest() || header.Kind == wire.KindHello {
		c.reject(wire.RefusedFrame, "no request: "+header.Kind.String())
		return false
	}
	c.loop.server.handler.Request(c.id, frame)
	return true
}

// greet takes the first frame.
func (c *conn) greet(header wire.Header, body []byte) bool {
	if header.Kind != wire.KindHello {
		c.reject(wire.RefusedFrame, "the first frame is no hello: "+header.Kind.String())
		return false
	}
	hello, err := wire.DecodeHello(body)
	if err != nil {
		c.reject(helloRefusal(err), err.Error())
		return false
	}
	c.told = true
	c.loop.spoke(c)
	answer, ok := c.loop.server.handler.Hello(c.id, hello)
	if !ok {
		c.loop.server.counters.refused.Add(1)
		c.endWith(answer)
		return false
	}
	c.state, c.since = stateOpen, c.loop.tick
	c.loop.write(c, answer)
	return c.state == stateOpen
}

// helloRefusal tells "too new" from damage.
func helloRefusal(err error) wire.Refusal {
	switch {
	case errors.Is(err, wire.ErrVersion):
		return wire.RefusedVersion
	case errors.Is(err, wire.ErrMagic):
		return wire.RefusedMagic
	default:
		return wire.RefusedFrame
	}
}

// reject refuses c for what it sent.
func (c *conn) reject(code wire.Refusal, text string) {
	c.loop.server.counters.refused.Add(1)
	c.loop.refuse(c, code, text)
}

// refuse tells c why it is closed and closes it.
func (l *eventLoop) refuse(c *conn, code wire.Refusal, text string) {
	c.endWith(refusal(code, text))
}

// endWith sends the last frame of c. The close comes from the other side, or
// after FrameTimeout: closing here, with bytes unread, would make the kernel
// send a reset, and a reset may destroy the frame on its way.
func (c *conn) endWith(frame []byte) {
	c.loop.write(c, frame)
	if c.state == stateClosed {
		return
	}
	c.state, c.since = stateRefused, c.loop.tick
	c.drop()
	c.loop.spoke(c)
	c.loop.account(c, 0, c.unsentBytes)
	if c.unsentBytes > 0 || syscall.Shutdown(c.gnet.Fd(), syscall.SHUT_WR) != nil {
		c.loop.close(c)
	}
}

// drop gives up what has come of c and was not handed over.
func (c *conn) drop() {
	c.loop.buffers.give(c.part)
	c.loop.buffers.give(c.held)
	c.part, c.want, c.held = nil, 0, nil
}

// isEOF reports whether a conn ended in order.
func isEOF(err error) bool { return errors.Is(err, io.EOF) }
