package locktest

import (
	"sync"
	"sync/atomic"
	"time"

	"lockd/lockd/node"
	"lockd/netio/wire"
)

// link joins two nodes that run, with a lane each way. It ends by cut.
type link struct {
	ends  [2]*life
	lanes [2]lane       // lanes[i] leads to ends[i]
	quit  chan struct{} // closed by cut
	over  sync.Once
	done  sync.WaitGroup
	mute  atomic.Bool // it carries nothing, and nobody notices
}

// lane is one direction of a link: a queue, and a loop that empties it.
type lane struct {
	wake chan struct{} // capacity 1: there are frames
	mu   struct {
		sync.Mutex
		frames []peerFrame
	}
}

// maxFrames bounds a lane. What is more is lost, as nodes tolerate.
const maxFrames = 1 << 16

type peerFrame struct {
	kind    wire.PeerKind
	payload []byte
}

// join links two nodes, if both run and neither is isolated.
func (c *Cluster) join(a, b *member) {
	c.t.Helper()
	x, y := a.ready(), b.ready()
	if x == nil || y == nil {
		return
	}
	fromX, fromY := x.node.PeerHello(), y.node.PeerHello()
	fromX.From, fromX.To, fromY.From, fromY.To = a.id, b.id, b.id, a.id
	for _, refused := range []*wire.PeerRefused{y.node.CheckPeer(&fromX), x.node.CheckPeer(&fromY)} {
		if refused != nil {
			c.t.Fatalf("locktest: nodes %d and %d: %s", a.id, b.id, refused.Text)
		}
	}
	k := &link{ends: [2]*life{x, y}, quit: make(chan struct{})}
	for i := range k.lanes {
		k.lanes[i].wake = make(chan struct{}, 1)
	}
	x.addLink(b.id, k)
	y.addLink(a.id, k)
	x.inbox.PeerUp(b.id, &fromY)
	y.inbox.PeerUp(a.id, &fromX)
	k.start()
}

// ready returns the node if it runs and is not isolated.
func (m *member) ready() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.away {
		return nil
	}
	return m.mu.life
}

func (l *life) addLink(to uint16, k *link) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.lock.links[to] = k
}

// links are those of a node that runs.
func (m *member) links() []*link {
	l := m.running()
	if l == nil {
		return nil
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	all := make([]*link, 0, len(l.lock.links))
	for _, other := range m.cluster.members {
		if k := l.lock.links[other.id]; k != nil {
			all = append(all, k)
		}
	}
	return all
}

// cut ends a link. Who still runs hears why.
func (k *link) cut(cause node.DownCause) {
	k.over.Do(func() {
		close(k.quit)
		k.done.Wait()
		for i, l := range k.ends {
			other := k.ends[1-i].id
			l.lock.Lock()
			if l.lock.links[other] == k {
				delete(l.lock.links, other)
			}
			dead := l.lock.dead
			l.lock.Unlock()
			if !dead {
				l.inbox.PeerDown(other, cause)
			}
		}
	})
}

// carry hands over what waits in a lane.
func (k *link) carry(i int) {
	ln := &k.lanes[i]
	ln.mu.Lock()
	frames := ln.mu.frames
	ln.mu.frames = nil
	ln.mu.Unlock()
	for _, f := range frames {
		if !k.mute.Load() {
			k.ends[i].inbox.PeerFrame(k.ends[1-i].id, uint8(f.kind), f.payload)
		}
	}
	k.ends[i].inbox.Wake()
}

// peers is the node's door to the others.
type peers struct{ *life }

// Send implements node.Peers.
func (p peers) Send(to uint16, frame []byte) {
	p.lock.Lock()
	k := p.lock.links[to]
	p.lock.Unlock()
	if k == nil {
		return
	}
	kind, payload, err := wire.ParsePeer(frame)
	if err != nil {
		panic("locktest: a node sends a frame that does not parse: " + err.Error())
	}
	i := 0
	if k.ends[0] == p.life {
		i = 1
	}
	ln := &k.lanes[i]
	ln.mu.Lock()
	if len(ln.mu.frames) < maxFrames {
		ln.mu.frames = append(ln.mu.frames, peerFrame{kind, append([]byte(nil), payload...)})
	}
	ln.mu.Unlock()
	select {
	case ln.wake <- struct{}{}:
	default:
	}
}

// Meet implements node.Peers: the nodes are linked from the start.
func (p peers) Meet(uint16, string) {}

// Part implements node.Peers.
func (p peers) Part(uint16) {}

// clock returns the clock of one life of a node.
func clock() func() node.Nanos {
	start := time.Now()
	return func() node.Nanos { return node.Nanos(time.Since(start)) + node.Second }
}
