package netio

import (
	"net"
	"sync"
	"testing"
	"time"
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
