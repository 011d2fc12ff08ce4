package netio

import (
	"net"
	"sync"
	"testing"
	"time"

	"lockd/netio/wire"
)

// Strangers who say nothing and dial again as soon as they are closed do not keep a
// peer out: what they take up is theirs only until somebody else comes.
func TestFN5SilentStrangersKeepNoPeerOut(t *testing.T) {
	stop := make(chan struct{})
	var strangers sync.WaitGroup
	t.Cleanup(strangers.Wait) // after the port has ended their conns
	two := newRecorder()
	ls := open(t, LinkOptions{
		Self: 2, Peers: []Peer{{Node: 1}}, HandshakeTimeout: time.Minute,
	}, two)
	t.Cleanup(func() { close(stop) })
	for range 2 * maxHandshakes {
		strangers.Go(func() { besiege(ls.Addr().String(), stop) })
	}
	await(t, func() bool { return ls.Stats().Crowded > maxHandshakes/2 })
	one := newRecorder()
	open(t, LinkOptions{
		Self: 1, Peers: []Peer{{Node: 2, Addr: ls.Addr().String()}},
	}, one)
	one.next(t, "up")
	two.next(t, "up")
}

// Conns that say no hello do not keep clients out when they have taken all places; a
// client that has said it keeps its own.
func TestFN5SilentConnsKeepNoClientOut(t *testing.T) {
	const seats = 8
	s := serve(t, ServerOptions{Loops: 1, MaxConns: seats, HelloTimeout: time.Hour}, &echo{})
	first := greeted(t, s.Addr())
	for range 3 * seats {
		connect(t, s.Addr())
	}
	await(t, func() bool { return s.Stats().OverLimit == 2*seats+1 })
	for range seats - 1 {
		greeted(t, s.Addr())
	}
	if r := connect(t, s.Addr()).refused(); r.Code != wire.RefusedConns {
		t.Errorf("when all have said hello: got %v, want %v", r.Code, wire.RefusedConns)
	}
	first.send(statusRequest(1))
	if h, _ := first.frame(); h.Request != 1 {
		t.Errorf("who was there first: got %v, want an answer", h)
	}
	if got := s.Stats().Open; got != seats {
		t.Errorf("got %d conns open, want %d", got, seats)
	}
}

// besiege opens conns that say nothing, one after another, until stop.
func besiege(addr string, stop <-chan struct{}) {
	for again := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-stop:
			again.Stop()
			return
		case <-again.C:
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			continue
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = c.Read(make([]byte, 1)) // until it is closed
		_ = c.Close()
	}
}
