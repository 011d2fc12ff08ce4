package locktest

import (
	"errors"
	"net"
	"sync"
	"time"

	"lockd/lockd/node"
	"lockd/netio/wire"
)

// conn is one conn of a client to a node: a reader loop, which serve runs, and a
// writer loop.
type conn struct {
	life *life
	id   node.ConnID
	sock net.Conn
	wake chan struct{} // capacity 1: there is output
	quit chan struct{} // closed by close
	done chan struct{} // closed when the reader has ended
	over sync.Once

	mu struct {
		sync.Mutex
		out []byte
	}
}

// maxOutput bounds what a client may leave unread.
const maxOutput = 16 << 20

// busyMillis is after what time a client asks again that found the inbox full.
const busyMillis = 50

// admit takes a conn in, or closes it if the node is dead.
func (m *member) admit(sock net.Conn) *conn {
	l := m.running()
	if l == nil {
		sock.Close()
		return nil
	}
	k := &conn{life: l, id: node.ConnID(m.cluster.lastConn.Add(1)), sock: sock,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.lock.dead {
		sock.Close()
		return nil
	}
	l.lock.conns[k.id] = k
	return k
}

// close ends the conn; the reader notices.
func (k *conn) close() {
	k.over.Do(func() {
		close(k.quit)
		k.sock.Close()
	})
}

// read takes frames until the conn ends.
func (k *conn) read() {
	buffer := make([]byte, 2*wire.MaxFrameBytes)
	have, greeted := 0, false
	for {
		n, err := k.sock.Read(buffer[have:])
		if err != nil {
			return
		}
		have += n
		used := 0
		for {
			size, err := wire.FrameBytes(buffer[used:have], wire.MaxFrameBytes)
			if err != nil {
				return
			}
			if size == 0 || size > have-used {
				break
			}
			frame := buffer[used : used+size]
			used += size
			if !greeted {
				if !k.greet(frame) {
					return
				}
				greeted = true
				continue
			}
			k.take(frame)
		}
		have = copy(buffer, buffer[used:have])
		k.life.inbox.Wake()
	}
}

// greet answers a Hello and reports whether the client is let in.
func (k *conn) greet(frame []byte) bool {
	_, body, err := wire.Parse(frame)
	var hello wire.Hello
	if err == nil {
		hello, err = wire.DecodeHello(body)
	}
	var version uint16
	if err == nil {
		version, err = wire.Negotiate(hello.Version, hello.MinVersion)
	}
	if err != nil {
		code := wire.RefusedFrame
		if errors.Is(err, wire.ErrVersion) {
			code = wire.RefusedVersion
		}
		_ = k.sock.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = k.sock.Write(wire.AppendRefused(nil, wire.Header{}, &wire.Refused{Code: code,
			Text: []byte(err.Error())})) // a courtesy: the conn ends
		return false
	}
	w := k.life.node.Welcome(version)
	k.send(wire.AppendWelcome(nil, wire.Header{}, &w))
	k.flush()
	return true
}

// take hands a frame to the node, unless a switch keeps it back.
func (k *conn) take(frame []byte) {
	frame = k.life.cluster.expired.pass(k, frame)
	if frame == nil {
		return
	}
	if took, _ := k.life.inbox.Offer(k.id, frame); took {
		return
	}
	h, _, err := wire.Parse(frame)
	if err != nil || h.Kind == wire.KindKeepalive {
		return
	}
	h = wire.Header{Group: h.Group, Request: h.Request}
	k.send(wire.AppendResponse(nil, h, &wire.Response{Status: wire.StatusBusy,
		RetryMillis: busyMillis}))
	k.flush()
}

// send adds to the output.
func (k *conn) send(frames []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.mu.out) > maxOutput {
		k.close()
		return
	}
	k.mu.out = append(k.mu.out, frames...)
}

// flush wakes the writer.
func (k *conn) flush() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// writeAll writes all output there is, and reports whether the conn still stands.
func (k *conn) writeAll() bool {
	k.mu.Lock()
	out := k.mu.out
	k.mu.out = nil
	k.mu.Unlock()
	_, err := k.sock.Write(out)
	return err == nil
}

// clients is the node's door to its clients.
type clients struct{ *life }

func (c clients) find(id node.ConnID) *conn {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.lock.conns[id]
}

// Send implements node.Clients.
func (c clients) Send(id node.ConnID, frames []byte) {
	if k := c.find(id); k != nil {
		k.send(frames)
		k.flush()
	}
}

// Flush implements node.Clients: every Send is written at once.
func (c clients) Flush() {}

// Resume implements node.Clients: all conns are read all the time.
func (c clients) Resume(node.ConnID) {}

// CloseConn implements node.Clients.
func (c clients) CloseConn(id node.ConnID) {
	if k := c.find(id); k != nil {
		k.close()
	}
}
