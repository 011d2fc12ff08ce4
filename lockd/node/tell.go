package node

import (
	"strconv"
	"strings"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

const (
	// tellCost bounds what the telling of watches costs in one turn, in the units of
	// share.go. The rest is told in the next.
	tellCost = 2 * turnCost
	// queueEvery is how often those who wait for one lock are told of their places.
	queueEvery = 200 * Millisecond
)

// tellWatches tells the watches what has changed, each as it stands now: of what
// changed more than once since it was last told, only the last is told.
func (n *Node) tellWatches() { n.tellWithin(tellCost) }

// tellWithin tells for about so much. Who has no turn this time comes before those
// who have had one and want another: a prefix that begins keeps nobody waiting.
func (n *Node) tellWithin(left int) {
	groups := n.toTell
	n.toTell = nil
	for i, g := range groups {
		if left <= 0 {
			n.toTell = append(groups[i:len(groups):len(groups)], n.toTell...)
			n.inbox.again()
			return
		}
		if g.watches == nil {
			continue
		}
		g.watches.listed = false
		if g.leading {
			left -= n.tellGroup(g, left)
		}
	}
}

// tellGroup tells the watches of one group for about so much, and returns what that
// cost. Queues come first: they are told now and then only.
func (n *Node) tellGroup(g *group, left int) (cost int) {
	ws := g.watches
	for _, of := range ws.touched {
		cost += n.passOn(g, of)
	}
	ws.touched = nil
	due, queues := ws.due, ws.dueQueues
	ws.due, ws.dueQueues = nil, nil
	for i, q := range queues {
		if cost >= left {
			ws.dueQueues = append(queues[i:len(queues):len(queues)], ws.dueQueues...)
			break
		}
		q.due = false
		switch {
		case len(q.of) == 0:
		case q.after > n.now:
			q.due = true
			n.tellLater = append(n.tellLater, q)
		default:
			cost += n.tellQueue(g, q)
		}
	}
	for i, w := range due {
		if cost >= left {
			ws.due = append(due[i:len(due):len(due)], ws.due...)
			break
		}
		if w.due = false; !w.gone {
			cost += n.tell(g, w, left-cost)
		}
	}
	if len(ws.due)+len(ws.dueQueues) > 0 {
		n.listWatches(g)
		n.inbox.again()
	}
	return cost
}

// tellQueues has those queues told that had to wait for it.
func (n *Node) tellQueues() {
	later := n.tellLater
	n.tellLater = nil
	for _, q := range later {
		q.due = false
		if g := q.group; g.watches != nil && g.watches.queues[q.name] == q {
			n.queueDue(q)
		}
	}
}

// tell tells one watch what it can, and returns what that cost.
func (n *Node) tell(g *group, w *watch, left int) int {
	c := n.conns.find(w.key.conn)
	if c == nil || c.closed {
		return 0
	}
	switch w.scope {
	case wire.ScopeLock:
		return n.tellLock(g, c, w)
	case wire.ScopePrefix:
		return n.tellPrefix(g, c, w, left)
	default:
		panic("node: told alone of scope " + strconv.Itoa(int(w.scope)))
	}
}

// mayTell reports whether the conn takes another push. If not, the watch waits for
// the client to have seen some.
func (c *conn) mayTell(w *watch) bool {
	if c.pushed-c.seen < maxUnseen {
		return true
	}
	if !w.due {
		w.due = true
		c.held = append(c.held, w)
	}
	return false
}

func (n *Node) pushed(c *conn) {
	c.pushed++
	n.stats.Pushes++
	n.conns.touch(c)
}

// tellLock tells how one lock stands, if that is not what was told last.
func (n *Node) tellLock(g *group, c *conn, w *watch) int {
	if !c.mayTell(w) {
		return 1
	}
	n.scratch = append(n.scratch[:0], w.name...)
	now := g.machine.Summary(n.scratch)
	if !w.fresh && now == w.told {
		w.changes = 0
		return 1
	}
	change := changeOf(w.changes, &now)
	if w.fresh {
		change = wire.ChangePresent
	}
	w.fresh, w.changes, w.told = false, 0, now
	n.pushLock(g, c, w, n.scratch, change, &now)
	return 1
}

// changeOf puts a word to what happened since, as far as it agrees with the state.
func changeOf(x lockfsm.Changes, now *lockfsm.LockSummary) wire.Change {
	switch {
	case x&lockfsm.ChangedGrant != 0 && now.Holders > 0:
		return wire.ChangeAcquired
	case x&lockfsm.ChangedForce != 0:
		return wire.ChangeForced
	case x&lockfsm.ChangedExpiry != 0:
		return wire.ChangeExpired
	case x&lockfsm.ChangedRelease != 0:
		return wire.ChangeReleased
	default:
		return wire.ChangeOther
	}
}

// pushLock appends one Watched.
func (n *Node) pushLock(g *group, c *conn, w *watch, name []byte, change wire.Change,
	s *lockfsm.LockSummary) {
	x := wire.Watched{Slot: g.machine.Applied(), Token: uint64(s.Token), Holders: s.Holders,
		Waiters: s.Waiters, Capacity: uint32(s.Capacity), Taken: uint32(s.Taken), Change: change,
		Mode: wire.Mode(s.Mode), Name: name}
	x.Data = s.Data
	if s.Holders > 0 {
		claim := lockfsm.ClaimInfo{Session: s.Session, Detached: s.Detached}
		x.Session, x.Client = sessionOnWire(&claim), clientName(g.machine, &claim)
		x.HeldMillis = uint64(g.machine.LogTime() - s.Since)
	}
	h := wire.Header{Group: uint16(g.id), Request: w.key.request}
	c.out = wire.AppendWatched(c.out, h, &x)
	n.pushed(c)
}

// pushSynced appends one WatchSynced.
func (n *Node) pushSynced(g *group, c *conn, w *watch, p wire.Phase) {
	h := wire.Header{Group: uint16(g.id), Request: w.key.request}
	c.out = wire.AppendWatchSynced(c.out, h,
		&wire.WatchSynced{Slot: g.machine.Applied(), Phase: p})
	n.pushed(c)
}

// tellPrefix tells what changed under a prefix and, at its beginning or when more
// changed than is kept, all that is in use. What changes before it has come there
// it finds there; a name that is gone by then the client misses at the end.
func (n *Node) tellPrefix(g *group, c *conn, w *watch, left int) int {
	ws := g.watches
	if !c.mayTell(w) {
		return 1
	}
	if w.next < ws.first {
		n.stats.Retold++
		w.telling = tellingNew
	}
	if w.telling == tellingNew {
		w.telling, w.next, w.after = tellingOn, ws.end(), w.after[:0]
		n.pushSynced(g, c, w, wire.PhaseBegin)
	}
	cost := n.tellChanged(g, c, w)
	for w.telling == tellingOn && w.next == ws.end() && cost < left && c.mayTell(w) {
		told, units := n.tellPage(g, c, w)
		if cost += units; !told {
			break
		}
	}
	if (w.telling != tellingNot || w.next < ws.end()) && !w.due {
		n.watchDue(g, w)
		n.inbox.again()
	}
	return cost
}

// tellChanged tells the changes of a prefix that it has not heard of, each name
// once. It stops when the conn takes no more.
func (n *Node) tellChanged(g *group, c *conn, w *watch) int {
	news := g.watches.changed[w.next-g.watches.first:]
	if len(news) == 0 {
		return 1
	}
	last := make(map[string]int, len(news))
	merged := make(map[string]lockfsm.Changes, len(news))
	for i := range news {
		last[news[i].name] = i
		merged[news[i].name] |= news[i].changes
	}
	for i := range news {
		name := news[i].name
		w.next++
		passed := w.telling == tellingNot || name <= string(w.after)
		if last[name] != i || !passed || !strings.HasPrefix(name, w.name) {
			continue
		}
		n.scratch = append(n.scratch[:0], name...)
		now := g.machine.Summary(n.scratch)
		n.pushLock(g, c, w, n.scratch, changeOf(merged[name], &now), &now)
		if w.next < g.watches.end() && !c.mayTell(w) {
			return 1 + i
		}
	}
	return 1 + len(news)
}

// tellPage tells the next names of a prefix, as they stand, unless they have to be
// looked for in another turn, and returns what that cost.
func (n *Node) tellPage(g *group, c *conn, w *watch) (told bool, cost int) {
	more, ready, cost := n.namesBehind(g, []byte(w.name), w.after, wire.MaxPage)
	if !ready {
		return false, cost
	}
	for _, name := range n.names {
		now := g.machine.Summary(name)
		n.pushLock(g, c, w, name, wire.ChangePresent, &now)
	}
	if more {
		if w.after == nil {
			w.after = make([]byte, 0, wire.MaxNameBytes) // it would grow to twice that
		}
		w.after = append(w.after[:0], n.names[len(n.names)-1]...)
	} else {
		w.telling = tellingNot
		n.pushSynced(g, c, w, wire.PhaseEnd)
	}
	return true, cost
}
