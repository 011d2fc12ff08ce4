package netio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// start runs the event loops. Listen starts them; readiness of a conn, a wake or
// a tick wakes them; one visit handles what one read returned, or one outbox;
// Stop ends them, and so does an error that gnet does not survive.
func (s *Server) start() {
	go s.run()
}

// run is the life of the event loops. gnet returns nil even when they end by
// themselves, for example without descriptors, so every return is an error
// unless Stop asked for it.
func (s *Server) run() {
	defer close(s.done)
	err := gnet.Run((*events)(s), "tcp://"+s.addr.String(), gnet.WithOptions(gnet.Options{
		ReuseAddr:     true,
		ReusePort:     true,
		NumEventLoop:  s.opts.Loops,
		ReadBufferCap: s.opts.ReadBufferBytes,

		WriteBufferCap: pieceBytes,

		TCPNoDelay: gnet.TCPNoDelay,
		Ticker:     true,
		Logger:     s.log,
	}))
	s.registry.seal(s)
	switch {
	case s.stopping.Load():
		s.err = ErrStopped
	case err != nil:
		s.err = fmt.Errorf("netio: event loops ended: %w", err)
	default:
		s.err = errors.New(strings.TrimSpace("netio: event loops ended unasked: " + s.log.last()))
	}
}

// comeBack returns the timer that brings a loop back to conns that are held. The end
// of a round sets it; it wakes the loop once, which does nothing when it has ended.
func (l *eventLoop) comeBack() *time.Timer {
	t := time.AfterFunc(time.Hour, l.wake)
	t.Stop()
	return t
}

// startAccepting runs the loop that takes connections of the peer port. OpenLinks
// starts it; a connection wakes it; Close ends it by closing the listener.
func (ls *Links) startAccepting() {
	ls.running.Add(1)
	go ls.acceptLoop()
}

func (ls *Links) acceptLoop() {
	defer ls.running.Done()
	pause := ls.opts.BackoffMin
	for {
		conn, err := ls.listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// No descriptors, most likely; links that exist go on meanwhile.
			if !sleep(ls.ctx, pause) {
				return
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = ls.opts.BackoffMin
		ls.counters.accepted.Add(1)
		if crowded := ls.handshakes.enter(conn); crowded != nil {
			ls.counters.crowded.Add(1)
			_ = crowded.Close()
		}
		ls.running.Add(1)
		go ls.answer(conn)
	}
}

// answer is the life of one accepted connection: handshake, then link. The
// accept loop starts it; it ends with the connection, or with Close.
func (ls *Links) answer(conn *net.TCPConn) {
	defer ls.running.Done()
	stop := context.AfterFunc(ls.ctx, func() { _ = conn.Close() })
	l, err := ls.shakeAccepted(conn)
	if !ls.handshakes.leave(conn) && err == nil {
		err = errCrowded
	}
	if err == nil {
		if r := ls.admitAccepted(l); r != nil {
			err = ls.refuse(conn, r)
		} else {
			l.welcomed()
		}
	}
	stop()
	if err != nil {
		ls.counters.failed.Add(1)
		_ = conn.Close()
		return
	}
	ls.serve(l)
}

// startDialing runs the loop that keeps up the link to p. SetPeer starts it; the
// end of a link or of a wait wakes it; RemovePeer and Close end it.
func (ls *Links) startDialing(p *peer) {
	ls.running.Add(1)
	go ls.dialLoop(p)
}

func (ls *Links) dialLoop(p *peer) {
	defer ls.running.Done()
	b := newBackoff(&ls.opts, p.node)
	for p.ctx.Err() == nil {
		lived, err := ls.dial(p)
		p.note(err)
		if errors.Is(err, errRefused) {
			b.refused()
		}
		if !sleep(p.ctx, b.wait(lived)) {
			return
		}
	}
}

// startIntroducing runs the loop that dials a peer which does not dial this node,
// though it should. SetPeer starts it; time wakes it, for one dial at most; RemovePeer
// and Close end it.
func (ls *Links) startIntroducing(p *peer) {
	ls.running.Add(1)
	go ls.introduceLoop(p)
}

func (ls *Links) introduceLoop(p *peer) {
	defer ls.running.Done()
	b := newBackoff(&ls.opts, p.node)
	b.least = 2 * ls.opts.IntroduceAfter
	b.most, b.next = b.least, b.least
	links := uint64(0)
	for sleep(p.ctx, b.wait(0)) {
		if !p.linked() && p.counters.connects.Load() == links {
			_, err := ls.dial(p)
			p.note(err)
		}
		links = p.counters.connects.Load()
	}
}

// note keeps why a dial led to no link.
func (p *peer) note(err error) {
	if err != nil {
		text := err.Error()
		p.problem.Store(&text)
		p.counters.failures.Add(1)
	}
}

// dial is one attempt and, if it succeeds, one life of the link to p.
func (ls *Links) dial(p *peer) (lived time.Duration, err error) {
	dialer := net.Dialer{Timeout: ls.opts.DialTimeout}
	c, err := dialer.DialContext(p.ctx, "tcp", p.addr)
	if err != nil {
		return 0, fmt.Errorf("netio: dial node %d: %w", p.node, err)
	}
	conn := c.(*net.TCPConn)
	stop := context.AfterFunc(p.ctx, func() { _ = conn.Close() })
	l, err := ls.shakeDialed(p, conn)
	if err == nil {
		if r := ls.admitDialed(l); r != nil {
			err = ls.refuse(conn, r)
		}
	}
	stop()
	if err != nil {
		return 0, errors.Join(err, conn.Close())
	}
	began := ls.now()
	ls.serve(l)
	if l.cause() == DownRefused {
		return 0, errRefused
	}
	return ls.now() - began, nil
}

// serve is the life of an admitted link. An event loop reads it; a connection
// that ended ends it. When serve returns PeerDown has.
func (ls *Links) serve(l *link) {
	p := l.peer
	if err := l.conn.SetDeadline(time.Time{}); err != nil {
		l.shut(causeOf(err))
	}
	stop := context.AfterFunc(p.ctx, func() { l.shut(DownClosed) })
	defer stop()
	p.counters.connects.Add(1)
	p.up.Store(l)
	ls.handler.PeerUp(p.node, l.hello)
	if err := ls.opts.Server.adopt(l); err != nil {
		l.shut(causeOf(err))
	} else {
		select {
		case <-l.gone:
		case <-ls.opts.Server.Done():
			l.shut(DownClosed)
		}
	}
	p.up.Store(nil)
	ls.handler.PeerDown(p.node, l.cause())
	ls.parted(p)
	p.leave(l)
}

// sleep waits for d and reports whether ctx lives on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
