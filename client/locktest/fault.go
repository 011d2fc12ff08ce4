package locktest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"lockd/client"
	"lockd/lockd/node"
	"lockd/netio/wire"
	"lockd/paxos"
)

// start starts a node and links it to all others.
func (c *Cluster) start(m *member) {
	c.t.Helper()
	if err := m.begin(); err != nil {
		c.t.Fatalf("locktest: node %d does not start: %v", m.id, err)
	}
	for _, other := range c.members {
		if other != m {
			c.join(m, other)
		}
	}
}

// Kill ends a node as kill -9 does: it says goodbye to nobody, its conns are reset, and
// what it had synced is there for Start. If a majority is left, the others lead its
// groups when Kill returns. A node that is dead already is left alone.
func (c *Cluster) Kill(number int) {
	c.t.Helper()
	m := c.member(number)
	if err := m.stop(node.DownReset); err != nil {
		c.t.Errorf("locktest: %v", err)
	}
	c.awaitLeaders(m)
}

// Start starts a node that was killed, with all that it had synced. When it returns
// the node serves, if a majority runs. A node that runs is left alone.
func (c *Cluster) Start(number int) {
	c.t.Helper()
	m := c.member(number)
	if m.running() != nil {
		return
	}
	c.start(m)
	if !c.majority() {
		return
	}
	c.await("the nodes do not get ready", func() bool {
		for _, m := range c.members {
			if s := m.status(); m.ready() != nil && (s == nil || !s.Ready()) {
				return false
			}
		}
		return true
	})
}

// awaitLeaders waits until none of the nodes that can lead takes a node for a leader
// that is gone, if there are enough of them.
func (c *Cluster) awaitLeaders(gone *member) {
	c.t.Helper()
	var rest []*member
	for _, m := range c.members {
		if m != gone && m.ready() != nil {
			rest = append(rest, m)
		}
	}
	if 2*len(rest) <= len(c.members) {
		return
	}
	c.await("no others lead", func() bool {
		for _, m := range rest {
			s := m.status()
			if s == nil || !s.Ready() {
				return false
			}
			for _, leader := range s.Leaders {
				if leader == 0 || !slices.ContainsFunc(rest, func(m *member) bool {
					return m.id == uint16(leader)
				}) {
					return false
				}
			}
		}
		return true
	})
}

// Isolate cuts a node off from all others, silently, as a network does: what they say
// to each other is lost, and clients still reach it. If a majority is left, the others
// lead its groups when Isolate returns.
func (c *Cluster) Isolate(number int) {
	c.t.Helper()
	m := c.member(number)
	m.mu.Lock()
	m.mu.away = true
	m.mu.Unlock()
	for _, k := range m.links() {
		k.mute.Store(true)
	}
	c.awaitLeaders(m)
}

// Rejoin links a node again that was isolated, and returns when it serves.
func (c *Cluster) Rejoin(number int) {
	c.t.Helper()
	m := c.member(number)
	m.mu.Lock()
	away := m.mu.away
	m.mu.away = false
	m.mu.Unlock()
	if !away || m.running() == nil {
		return
	}
	for _, k := range m.links() {
		k.cut(node.DownTimeout)
	}
	for _, other := range c.members {
		if other != m {
			c.join(m, other)
		}
	}
	c.await("the node does not get ready", func() bool {
		s := m.status()
		return !c.majority() || s != nil && s.Ready()
	})
}

// Leader returns the number of the node that leads the group of a name, zero if none
// does.
func (c *Cluster) Leader(name string) int {
	group := c.group(name)
	leader, newest := 0, paxos.Ballot{}
	for _, m := range c.members {
		s := m.status()
		if s == nil || m.ready() == nil {
			continue
		}
		for i := range s.Groups {
			g := &s.Groups[i]
			// One that has just come back may not have heard yet that it leads no more.
			if uint16(g.Group) == group && g.Leading && newest.Less(g.Promised) {
				leader, newest = int(m.id), g.Promised
			}
		}
	}
	return leader
}

func (c *Cluster) group(name string) uint16 {
	return wire.GroupOf("", name, uint16(c.opts.Groups))
}

// MoveLeader has another node lead the group of a name, with all other groups of the
// present leader, and returns its number. The old leader loses its links for a moment and
// stays; some time later groups go back to it. It needs three nodes that run.
func (c *Cluster) MoveLeader(name string) int {
	c.t.Helper()
	from := c.Leader(name)
	if from == 0 {
		c.t.Fatalf("locktest: nobody leads the group of %q", name)
	}
	m := c.member(from)
	if len(m.links()) < 2 {
		c.t.Fatalf("locktest: node %d leads the group of %q, and there are not two others", from, name)
	}
	m.mu.Lock()
	m.mu.away = true
	m.mu.Unlock()
	for _, k := range m.links() {
		k.cut(node.DownReset)
	}
	c.awaitLeaders(m)
	to := c.Leader(name)
	c.Rejoin(from)
	return to
}

// Expire has the lease of the session run out that holds a lock: from now on nobody
// hears that its client renews it, or gives it up. It returns when the lock is not
// held by that session any more, which takes up to the client's lease. By then the client
// has been told that it has lost the lock, and everything else that it held in the
// same group; others who waited have been granted it. All who hold the lock are meant,
// if several do.
//
// The test fails if nobody holds the lock, or if it is a detached hold: that has a time
// of its own, and nobody renews it.
func (c *Cluster) Expire(name string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour+patience)
	defer cancel()
	k, err := c.look(ctx)
	if err != nil {
		c.t.Fatalf("locktest: %v", err)
	}
	info, err := k.Get(ctx, name)
	if err != nil || len(info.Holders) == 0 {
		c.t.Fatalf("locktest: expire %q: nobody holds it (%v)", name, err)
	}
	sessions := make(map[uint64]bool)
	left := time.Duration(0)
	for i := range info.Holders {
		h := &info.Holders[i]
		if h.Session&wire.DetachedOwner != 0 || info.Gate != 0 {
			c.t.Fatalf("locktest: expire %q: it is not held in a session", name)
		}
		sessions[h.Session] = true
		left = max(left, h.LeaseLeft)
		s := wire.SessionRef{Group: c.group(name), Session: h.Session}
		c.expired.add(s)
		defer c.expired.remove(s)
	}
	wait, cancel := context.WithTimeout(ctx, left+patience)
	defer cancel()
	for _, err := range k.Watch(wait, name, client.WatchOptions{}) {
		if err == nil {
			info, err = k.Get(wait, name)
		}
		switch held := func(h client.Holder) bool { return sessions[h.Session] }; {
		case errors.Is(err, client.ErrNotFound):
			return
		case err != nil:
			c.t.Fatalf("locktest: expire %q: %v", name, err)
		case !slices.ContainsFunc(info.Holders, held):
			return
		}
	}
}

// blocklist are the sessions of which nobody is to hear any more.
type blocklist struct {
	mu struct {
		sync.Mutex
		// sessions has, of each, what was kept back that asks for an answer.
		sessions map[wire.SessionRef][]keptFrame
	}
}

// keptFrame is a frame that comes late.
type keptFrame struct {
	conn  *conn
	frame []byte
}

func (b *blocklist) add(s wire.SessionRef) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.sessions == nil {
		b.mu.sessions = make(map[wire.SessionRef][]keptFrame)
	}
	b.mu.sessions[s] = nil
}

// remove lets a session be heard again, which is over by now.
func (b *blocklist) remove(s wire.SessionRef) {
	b.mu.Lock()
	late := b.mu.sessions[s]
	delete(b.mu.sessions, s)
	b.mu.Unlock()
	for _, f := range late {
		f.conn.take(f.frame)
		f.conn.life.inbox.Wake()
	}
}

// pass returns what of a client's frame may reach a node, nil if nothing.
func (b *blocklist) pass(k *conn, frame []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.sessions) == 0 {
		return frame
	}
	h, body, err := wire.Parse(frame)
	if err != nil {
		return frame
	}
	switch h.Kind {
	case wire.KindKeepalive:
		x, err := wire.DecodeKeepalive(body)
		if err != nil {
			return frame
		}
		var rest []wire.SessionRef
		for i := range x.Len() {
			if _, blocked := b.mu.sessions[x.At(i)]; !blocked {
				rest = append(rest, x.At(i))
			}
		}
		if len(rest) == x.Len() {
			return frame
		}
		if len(rest) == 0 {
			return nil
		}
		return wire.AppendKeepalive(nil, h, rest)
	case wire.KindCloseSession:
		x, err := wire.DecodeCloseSession(body)
		if err != nil {
			return frame
		}
		s := wire.SessionRef{Group: h.Group, Session: x.Session}
		if late, blocked := b.mu.sessions[s]; blocked {
			b.mu.sessions[s] = append(late, keptFrame{k, bytes.Clone(frame)})
			return nil
		}
	}
	return frame
}
