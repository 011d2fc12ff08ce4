package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"lockd/netio/wire"
)

// testNodes puts a dumbCluster behind in-memory conns, in the time of a
// synctest bubble.
type testNodes struct {
	start time.Time
	quit  chan struct{}
	mu    struct {
		sync.Mutex
		d     *dumbCluster
		socks map[int]net.Conn
		out   map[int]chan []byte
		last  int
		cut   bool            // every conn swallows what it is given, dials hang
		down  map[string]bool // addresses that refuse
	}
}

func newNodes(t *testing.T, groups int) *testNodes {
	n := &testNodes{start: time.Now(), quit: make(chan struct{})}
	n.mu.socks, n.mu.out = map[int]net.Conn{}, map[int]chan []byte{}
	n.mu.down = map[string]bool{}
	n.mu.d = newDumb(3, groups, func(conn int, frame []byte) {
		if !n.mu.cut {
			n.mu.out[conn] <- frame
		}
	})
	n.mu.d.now = n.now()
	go n.tick()
	t.Cleanup(func() {
		close(n.quit)
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, f := range n.mu.d.failures {
			t.Error(f)
		}
		for _, s := range n.mu.socks {
			s.Close()
		}
	})
	return n
}

func (n *testNodes) now() Instant { return Instant(time.Since(n.start)) + 1e9 }

// tick moves the time of the cluster.
func (n *testNodes) tick() {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			n.with(func(d *dumbCluster) {})
		case <-n.quit:
			return
		}
	}
}

// with runs fn on the cluster at the present time.
func (n *testNodes) with(fn func(d *dumbCluster)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.d.advance(n.now())
	fn(n.mu.d)
}

func (n *testNodes) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.cut {
		n.mu.Unlock()
		<-ctx.Done()
		n.mu.Lock()
		return nil, ctx.Err()
	}
	if n.mu.down[address] {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	n.mu.last++
	id := n.mu.last
	n.mu.socks[id] = ours
	n.mu.out[id] = make(chan []byte, 4096)
	n.mu.d.conns[id] = &dumbConn{id: id, node: uint16(address[4] - '0')}
	go n.serve(id, ours)
	go n.write(ours, n.mu.out[id])
	return theirs, nil
}

func (n *testNodes) write(sock net.Conn, out chan []byte) {
	for {
		select {
		case b := <-out:
			if _, err := sock.Write(b); err != nil {
				return
			}
		case <-n.quit:
			return
		}
	}
}

func (n *testNodes) serve(id int, sock net.Conn) {
	defer sock.Close()
	head := make([]byte, wire.MaxFrameBytes)
	for {
		if _, err := io.ReadFull(sock, head[:4]); err != nil {
			n.with(func(d *dumbCluster) { d.closeConn(id) })
			return
		}
		size, err := wire.FrameBytes(head[:4], wire.MaxFrameBytes)
		if err == nil {
			_, err = io.ReadFull(sock, head[4:size])
		}
		if err != nil {
			return
		}
		n.with(func(d *dumbCluster) {
			if !n.mu.cut && d.conns[id] != nil {
				d.frame(id, head[:size])
			}
		})
	}
}

// resetNode ends all conns of a node.
func (n *testNodes) resetNode(node uint16) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, k := range n.mu.d.conns {
		if k.node == node {
			n.mu.socks[id].Close()
			n.mu.d.closeConn(id)
		}
	}
}

// setCut cuts all clients off, silently, or heals that.
func (n *testNodes) setCut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.cut = cut
}

// client dials the nodes and closes the client at the end of the test.
func (n *testNodes) client(t *testing.T, opts Options) *Client {
	t.Helper()
	addresses := []string{"node1", "node2", "node3"}
	opts.Dial = n.dial
	c, err := dialWith(t.Context(), addresses, opts, n.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil && !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	})
	return c
}

// holder returns the present hold of a lock, and how many wait.
func (n *testNodes) holder(name string) (token uint64, waiting int) {
	n.with(func(d *dumbCluster) {
		g := wire.GroupOf("", name, uint16(len(d.groups)))
		l := d.groups[g].lock(name)
		if len(l.holds) > 0 {
			token = l.holds[0].token
		}
		waiting = len(l.queue)
	})
	return token, waiting
}

// until waits for a condition of the cluster, in the bubble's time.
func (n *testNodes) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("%s: never", what)
}

func lock(t *testing.T, c *Client, name string) *Held {
	t.Helper()
	h, err := c.Lock(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func unlock(t *testing.T, h *Held) {
	t.Helper()
	if err := h.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func groupOf(name string) int { return int(wire.GroupOf("", name, 4)) }

func names(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("job/%02d", i))
	}
	return all
}
