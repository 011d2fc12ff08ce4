package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// start takes connections. New starts it, a connection wakes it, and Close ends
// it by closing the listener.
func (p *Proxy) start() {
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		for {
			conn, err := p.listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // it was gone before it was taken
			}
			p.takeIn(conn.(*net.TCPConn))
		}
	}()
}

// takeIn starts the life of one connection.
func (p *Proxy) takeIn(conn *net.TCPConn) {
	c, ok := p.admit(conn)
	if !ok {
		abort(conn)
		return
	}
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		defer p.forget(c)
		p.serve(c)
	}()
}

// serve connects to the target as soon as the gate towards it opens, and waits
// for the end of both lanes.
func (p *Proxy) serve(c *pair) {
	defer c.reset()
	target, ok := p.dial(c)
	if !ok || !c.connect(target) {
		return
	}
	for _, l := range []*lane{
		newLane(c, Up, c.dialer, target), newLane(c, Down, target, c.dialer),
	} {
		p.running.Add(2)
		go func() {
			defer p.running.Done()
			l.readLoop()
		}()
		go func() {
			defer p.running.Done()
			l.writeLoop()
		}()
	}
	<-c.ended
}

// dialTimeout bounds the wait for the target.
const dialTimeout = 2 * time.Second

// dial waits for the gate and connects.
func (p *Proxy) dial(c *pair) (*net.TCPConn, bool) {
	for {
		s := p.state.Load()
		if s.rules[Up].Gate == Open {
			break
		}
		select {
		case <-s.changed:
		case <-c.ended:
			return nil, false
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(ctx, "tcp", p.state.Load().target)
	if err != nil {
		return nil, false
	}
	return conn.(*net.TCPConn), true
}

// readBytes is what a reader takes at once.
const readBytes = 64 << 10

// readLoop cuts what comes into frames until its source ends. serve starts it.
// The end is queued like a frame: it is seen only after what came before it.
func (l *lane) readLoop() {
	protocol := l.pair.proxy.opts.Protocol
	buf := make([]byte, readBytes)
	var pending []byte
	for {
		n, err := l.src.Read(buf)
		pending = append(pending, buf[:n]...)
		used := 0
		for size := protocol.cut(pending); size > 0; size = protocol.cut(pending[used:]) {
			l.frame(pending[used : used+size])
			used += size
		}
		pending = append(pending[:0], pending[used:]...)
		if err == nil {
			continue
		}
		then := abrupt
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			then = finish // by its sender, or by Orphan
		}
		l.put(item{at: l.due, data: pending, then: then})
		return
	}
}

// writeLoop delivers what is queued, each item in its time, while the gate is
// open. serve starts it; it ends with the pair or with the end of its source.
func (l *lane) writeLoop() {
	for {
		s := l.pair.proxy.state.Load()
		it, some := l.head()
		var wait <-chan time.Time
		switch left := time.Until(l.notBefore(&it)); {
		case !some:
		case s.rules[l.dir].Gate != Open:
		case left > 0:
			wait = time.After(left)
		default:
			if !l.deliver(&it, s.rules[l.dir].BytesPerSecond) {
				return
			}
			l.drop()
			continue
		}
		select {
		case <-l.wake:
		case <-s.changed:
		case <-wait:
		case <-l.pair.ended:
			return
		}
	}
}

// slice is how often a slow lane writes.
const slice = 50 * time.Millisecond

// deliver writes an item and reports whether the lane goes on. A receiver that
// is gone does not end the pair: what the other lane holds may still arrive.
func (l *lane) deliver(it *item, bytesPerSecond int) bool {
	for rest := it.data; len(rest) > 0; {
		part := rest
		if bytesPerSecond > 0 {
			part = rest[:min(len(rest), max(1, bytesPerSecond*int(slice)/int(time.Second)))]
		}
		if _, err := l.dst.Write(part); err != nil {
			l.pair.laneOver()
			return false
		}
		rest = rest[len(part):]
		if bytesPerSecond == 0 {
			continue
		}
		select {
		case <-time.After(slice):
		case <-l.pair.ended:
			return false
		}
		bytesPerSecond = l.rules().BytesPerSecond
	}
	switch it.then {
	case goOn:
		return true
	case finish:
		_ = l.dst.CloseWrite() // it may be gone
		l.pair.laneOver()
	case abrupt:
		l.pair.reset()
	}
	return false
}
