package main

import (
	"net"
	"sync"

	"lockd/lockd/admin"
)

// adminConns bounds the conns of the admin port, which has no other bound: each takes a
// descriptor, and a node that runs out of them cannot go on. Half of them are left for
// probes and people by those who watch.
const adminConns = 2 * admin.MaxWatches

// places is a listener that accepts so many conns at a time. Further ones wait in the
// kernel until one has ended.
type places struct {
	net.Listener
	free   chan struct{} // holds one token per conn
	closed chan struct{}
	once   sync.Once
}

func newPlaces(ln net.Listener, most int) *places {
	return &places{Listener: ln, free: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept waits for a place, and then for a conn.
func (p *places) Accept() (net.Conn, error) {
	select {
	case p.free <- struct{}{}:
	case <-p.closed:
		return nil, net.ErrClosed
	}
	conn, err := p.Listener.Accept()
	if err != nil {
		<-p.free
		return nil, err
	}
	return &placed{Conn: conn, leave: sync.OnceFunc(func() { <-p.free })}, nil
}

// Close ends the listener, and an Accept that waits.
func (p *places) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Listener.Close()
}

// placed is a conn that has a place until it is closed.
type placed struct {
	net.Conn
	leave func()
}

// Close ends the conn.
func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
