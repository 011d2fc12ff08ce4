package locktest

import (
	"context"
	"net"
	"sync"
	"time"

	"lockd/client"
)

// Unplug cuts a client of Cluster.Client off from all nodes, silently: what it sends is
// lost, and it hears nothing. Its holds are lost when its lease has run out, which it
// knows by itself before the nodes do. They do not see either that it closes its conns.
func (c *Cluster) Unplug(k *client.Client) {
	c.t.Helper()
	c.plug(k).pull()
}

// Plug undoes Unplug: the client connects again.
func (c *Cluster) Plug(k *client.Client) {
	c.t.Helper()
	c.plug(k).push()
}

func (c *Cluster) plug(k *client.Client) *plug {
	c.t.Helper()
	c.mu.Lock()
	p := c.mu.plugs[k]
	c.mu.Unlock()
	if p == nil {
		c.t.Fatal("locktest: the client was not made with Cluster.Client, or its test is over")
	}
	return p
}

// plug is what joins a client to the network.
type plug struct {
	dial func(ctx context.Context, address string) (net.Conn, error) // nil for TCP

	mu    sync.Mutex
	out   bool
	conns map[*pluggedConn]struct{}
}

func (p *plug) isOut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out
}

func (p *plug) pull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = true
}

// push ends the conns that have missed something, be it their end.
func (p *plug) push() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.out {
		return
	}
	p.out = false
	for k := range p.conns { // order: all end
		k.Conn.Close()
	}
	clear(p.conns)
}

// connect is the client's Dial.
func (p *plug) connect(ctx context.Context, address string) (net.Conn, error) {
	if p.isOut() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var sock net.Conn
	var err error
	if p.dial != nil {
		sock, err = p.dial(ctx, address)
	} else {
		var dialer net.Dialer
		sock, err = dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	k := &pluggedConn{Conn: sock, plug: p}
	p.mu.Lock()
	p.conns[k] = struct{}{}
	p.mu.Unlock()
	return k, nil
}

// pluggedConn is a conn that swallows everything while its plug is out.
type pluggedConn struct {
	net.Conn
	plug *plug
}

// Read implements net.Conn.
func (k *pluggedConn) Read(b []byte) (int, error) {
	for {
		n, err := k.Conn.Read(b)
		if err != nil || !k.plug.isOut() {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (k *pluggedConn) Write(b []byte) (int, error) {
	if k.plug.isOut() {
		return len(b), nil
	}
	return k.Conn.Write(b)
}

// Close implements net.Conn. While the plug is out the other end does not hear of it.
func (k *pluggedConn) Close() error {
	k.plug.mu.Lock()
	defer k.plug.mu.Unlock()
	if k.plug.out && k.Conn.SetDeadline(time.Unix(1, 0)) == nil {
		return nil // the deadline ends Read and Write
	}
	delete(k.plug.conns, k)
	return k.Conn.Close()
}
