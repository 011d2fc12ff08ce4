package node

import (
	"slices"
	"strings"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// Watches are memory of a leader, fed by what its machine says it touched; tell.go
// does the telling. A watch begins as a read does, when the leadership is confirmed,
// so it misses nothing that was answered before it came (I24), and ends with an
// Unwatch, its conn or the leadership; the client then asks the next leader.

const (
	// maxWatches bounds those of a node, and with that their memory: 12 MiB with names
	// of the greatest length.
	maxWatches = 1 << 13
	// maxConnWatches bounds those of one conn.
	maxConnWatches = maxWatches / 4
	// maxPrefixes bounds the prefixes watched in a group, against each of which every
	// change of the group is held.
	maxPrefixes = 256
	// maxChanged is how many changes of a group are kept for prefixes, or up to twice as
	// many. A watch that is further behind is told everything anew.
	maxChanged = 128
	// maxUnseen is how many pushes a conn may have that its client has not said it has
	// seen. What happens meanwhile is told at once later, as it then stands.
	maxUnseen = 512
)

// WatchBytes bounds the memory of watches, and of what is remembered of contended
// names, on a node of so many groups.
func WatchBytes(groups int) uint64 {
	// A name of the greatest length, and what is kept with it: of a watch the places in
	// three maps, and how far a prefix has been told.
	const watched, entry = 512 + 1024, 512 + 256
	return watched*maxWatches + entry*(maxContended+2*maxChanged*uint64(groups))
}

// watchKey names a watch: the conn and the request that asked for it.
type watchKey struct {
	conn    ConnID
	request uint64
}

// watch is one standing question.
type watch struct {
	key   watchKey
	scope wire.Scope
	name  string // or prefix
	due   bool   // on a list of those that have something to be told
	fresh bool   // nothing was told yet
	gone  bool   // it has ended
	// changes are those since it was last told, and told what that was; of a lock. It
	// stands between prev and later among those of its lock.
	changes     lockfsm.Changes
	told        lockfsm.LockSummary
	prev, later *watch
	// next is the number of the change it hears of next, and telling says that all
	// locks are being told, of which those up to after were; of a prefix.
	next    uint64
	telling telling
	after   []byte
	// claim is the request that waits, position and blocker what was last told, and at
	// which lock; of a waiter. Of a request for several names, spread says that it has
	// been looked for those, and more are those beside name in whose queues it is told.
	claim    waitKey
	position uint32
	blocker  uint64
	at       string // as the queue has it: no name of its own
	spread   bool
	more     []string
}

// telling is how far a prefix has been told as a whole.
type telling uint8

const (
	tellingNot telling = iota
	tellingNew
	tellingOn
)

// watches are those of one group.
type watches struct {
	of map[watchKey]*watch
	// byName are those of locks, queues those of waiters, by lock.
	byName   map[string]*lockWatch
	queues   map[string]*queueWatch
	prefixes []*watch
	// due are those with something to be told, dueQueues the same of queues. touched
	// are locks whose watches are not told yet that they have.
	due       []*watch
	dueQueues []*queueWatch
	touched   []*lockWatch
	// changed are the last changes, the first of which has number first. It is filled
	// while there are prefixes.
	changed []changedLock
	first   uint64
	listed  bool // on the node's list of groups with something to tell
}

// lockWatch is who watches one lock, in the order in which they came. What touches it is
// kept here until somebody is told: it may come often, and there may be many of them.
type lockWatch struct {
	first, last *watch
	touched     bool // since they were told that they have something to be told
	changes     lockfsm.Changes
}

// put puts a watch at the end.
func (x *lockWatch) put(w *watch) {
	if w.prev = x.last; x.last == nil {
		x.first = w
	} else {
		x.last.later = w
	}
	x.last = w
}

// take takes a watch out.
func (x *lockWatch) take(w *watch) {
	if w.prev == nil {
		x.first = w.later
	} else {
		w.prev.later = w.later
	}
	if w.later == nil {
		x.last = w.prev
	} else {
		w.later.prev = w.prev
	}
	w.prev, w.later = nil, nil
}

// queueWatch is who watches its place in the queue of one lock.
type queueWatch struct {
	group *group
	name  string
	of    map[waitKey]*watch
	due   bool
	after Nanos // before which they are not told again
}

type changedLock struct {
	name    string
	changes lockfsm.Changes
}

func newWatches() *watches {
	return &watches{of: make(map[watchKey]*watch), byName: make(map[string]*lockWatch),
		queues: make(map[string]*queueWatch)}
}

// end is the number of the next change.
func (ws *watches) end() uint64 { return ws.first + uint64(len(ws.changed)) }

// decodeWatch fills a read with what a Watch or a Why asks.
func (r *read) decodeWatch(body []byte) error {
	if r.kind == wire.KindWhy {
		x, err := wire.DecodeWhy(body)
		r.name, r.mode = append([]byte(nil), x.Name...), x.Mode
		r.claim = waitKey{lockfsm.SessionID(x.Session), lockfsm.RequestID(x.Target)}
		return err
	}
	x, err := wire.DecodeWatch(body)
	r.name, r.scope, r.from = append([]byte(nil), x.Name...), x.Scope, x.From
	r.claim = waitKey{lockfsm.SessionID(x.Session), lockfsm.RequestID(x.Target)}
	return err
}

// startWatch begins a watch whose leadership is confirmed. One that the conn asks
// for again takes the place of what it had.
func (n *Node) startWatch(g *group, c *conn, r *read) {
	if g.watches == nil {
		g.watches = newWatches()
	}
	ws, key := g.watches, watchKey{c.id, r.request}
	if old := ws.of[key]; old != nil {
		n.dropWatch(g, old)
		g.watches = ws
	}
	if n.watching >= maxWatches || len(c.watches)+c.moreWatches >= maxConnWatches ||
		r.scope == wire.ScopePrefix && len(ws.prefixes) >= maxPrefixes {
		if len(ws.of) == 0 {
			g.watches = nil
		}
		n.reply(g, c.id, r.request, &wire.Response{Status: wire.StatusTooManyWaiters})
		return
	}
	c.inFlight-- // it has a bound of its own
	w := &watch{key: key, scope: r.scope, name: string(r.name), fresh: true, claim: r.claim}
	ws.of[key] = w
	n.watching++
	if c.watches == nil {
		c.watches = make(map[*watch]*group)
	}
	c.watches[w] = g
	switch w.scope {
	case wire.ScopeLock:
		of := ws.byName[w.name]
		if of == nil {
			of = &lockWatch{}
			ws.byName[w.name] = of
		}
		n.passOn(g, of) // what was before it came is no news to it
		of.put(w)
		if r.from == g.machine.Applied() {
			w.fresh, w.told = false, g.machine.Summary(r.name)
			return
		}
	case wire.ScopePrefix:
		w.telling, w.next = tellingNew, ws.end()
		ws.prefixes = append(ws.prefixes, w)
	case wire.ScopeWaiter:
		q := ws.queues[w.name]
		if q == nil {
			q = &queueWatch{group: g, name: w.name, of: make(map[waitKey]*watch)}
		}
		if old := q.of[w.claim]; old != nil {
			n.endWatch(g, old)
		}
		ws.queues[w.name], q.of[w.claim] = q, w
	}
	if !plantedIs("watch-starts-silent") {
		n.watchDue(g, w)
	}
}

// watchDue puts a watch on the list of those that have something to be told.
func (n *Node) watchDue(g *group, w *watch) {
	if w.scope == wire.ScopeWaiter {
		if q := g.watches.queues[w.name]; q != nil {
			n.queueDue(q)
			for _, name := range w.more {
				n.queueDue(g.watches.queues[name])
			}
			return
		}
	}
	if !w.due {
		w.due = true
		g.watches.due = append(g.watches.due, w)
	}
	n.listWatches(g)
}

// passOn has all who watch a lock that was touched be told, and returns what it cost to
// put them on the list.
func (n *Node) passOn(g *group, of *lockWatch) int {
	if !of.touched {
		return 0
	}
	count := 0
	for w := of.first; w != nil; w = w.later {
		w.changes |= of.changes
		n.watchDue(g, w)
		count++
	}
	of.touched, of.changes = false, 0
	return count / 32
}

// queueDue does the same for all who watch their places in one queue.
func (n *Node) queueDue(q *queueWatch) {
	if !q.due {
		q.due = true
		q.group.watches.dueQueues = append(q.group.watches.dueQueues, q)
	}
	n.listWatches(q.group)
}

func (n *Node) listWatches(g *group) {
	if !g.watches.listed {
		g.watches.listed = true
		n.toTell = append(n.toTell, g)
	}
}

// onUnwatch ends a watch, which is answered; one that has not begun never will.
func (n *Node) onUnwatch(g *group, c *conn, h wire.Header, body []byte) {
	x, err := wire.DecodeUnwatch(body)
	if err != nil {
		n.respond(c, h, wire.StatusBadRequest)
		return
	}
	if c.pending[g.id].watches > 0 {
		n.takeReads(g, func(r *read) bool {
			return r.kind == wire.KindWatch && r.conn == c.id && r.request == x.Target
		}, func(r *read) {
			n.countOff(g, r)
			n.reply(g, c.id, x.Target, &wire.Response{Status: wire.StatusCancelled})
		})
	}
	if g.watches != nil {
		if w := g.watches.of[watchKey{c.id, x.Target}]; w != nil {
			n.endWatch(g, w)
		}
	}
	n.respond(c, h, wire.StatusOK)
}

// endWatch ends a watch and says so.
func (n *Node) endWatch(g *group, w *watch) {
	n.dropWatch(g, w)
	if c := n.conns.find(w.key.conn); c != nil {
		h := wire.Header{Group: uint16(g.id), Request: w.key.request}
		n.answer(c, h, &wire.Response{Status: wire.StatusCancelled})
	}
}

// dropWatch takes a watch out of everything.
func (n *Node) dropWatch(g *group, w *watch) {
	ws := g.watches
	w.gone = true
	n.watching -= 1 + len(w.more)
	delete(ws.of, w.key)
	is := func(o *watch) bool { return o == w }
	switch w.scope {
	case wire.ScopeLock:
		of := ws.byName[w.name]
		if of.take(w); of.first == nil {
			delete(ws.byName, w.name)
		}
	case wire.ScopePrefix:
		if ws.prefixes = slices.DeleteFunc(ws.prefixes, is); len(ws.prefixes) == 0 {
			ws.first, ws.changed = ws.end(), nil
		}
	case wire.ScopeWaiter:
		ws.leaveQueue(w, w.name)
		for _, name := range w.more {
			ws.leaveQueue(w, name)
		}
	}
	if c := n.conns.find(w.key.conn); c != nil {
		c.moreWatches -= len(w.more)
		delete(c.watches, w)
		c.held = slices.DeleteFunc(c.held, is)
	}
	if len(ws.of) == 0 {
		g.watches = nil
	}
}

// leaveQueue takes the watch of a waiter out of a queue.
func (ws *watches) leaveQueue(w *watch, name string) {
	if q := ws.queues[name]; q != nil && q.of[w.claim] == w {
		if delete(q.of, w.claim); len(q.of) == 0 {
			delete(ws.queues, name)
		}
	}
}

// dropWatches ends all watches of a group that this node leads no more.
func (n *Node) dropWatches(g *group, moved map[ConnID]struct{}) {
	if g.watches == nil {
		return
	}
	held := make(map[*conn]struct{})
	for key, w := range g.watches.of { // order: a set
		w.gone = true
		n.watching -= 1 + len(w.more)
		if c := n.conns.find(key.conn); c != nil {
			c.moreWatches -= len(w.more)
			delete(c.watches, w)
			held[c] = struct{}{}
			moved[key.conn] = struct{}{}
		}
	}
	for c := range held { // order: each by itself
		c.held = slices.DeleteFunc(c.held, func(w *watch) bool { return w.gone })
	}
	g.watches = nil
}

// noting says whether anybody wants to know what an Apply touches.
func (n *Node) noting(g *group) lockfsm.Noting {
	if g.leading && (g.watches != nil || len(g.searches) > 0 ||
		n.contention.known[uint16(g.id)] > 0) {
		return lockfsm.NotingOn
	}
	return lockfsm.NotingOff
}

// touched takes in what an Apply touched, at the leader of the group.
func (n *Node) touched(g *group) {
	for i := range n.outcome.Touched {
		t := &n.outcome.Touched[i]
		n.contention.note(g.id, t, n.now)
		if len(g.searches) > 0 {
			n.noteTouch(g, t.Name)
		}
		if g.watches != nil {
			n.watchTouched(g, t)
		}
	}
}

func (n *Node) watchTouched(g *group, t *lockfsm.Touch) {
	ws := g.watches
	if of := ws.byName[string(t.Name)]; of != nil {
		of.changes |= t.Changes
		if !of.touched {
			of.touched = true
			ws.touched = append(ws.touched, of)
		}
		n.listWatches(g)
	}
	if q := ws.queues[string(t.Name)]; q != nil {
		n.queueDue(q)
	}
	if len(ws.prefixes) == 0 {
		return
	}
	name := string(t.Name)
	if k := len(ws.changed); k == 2*maxChanged {
		ws.first += maxChanged
		ws.changed = append(ws.changed[:0], ws.changed[maxChanged:]...)
	}
	ws.changed = append(ws.changed, changedLock{name, t.Changes})
	for _, w := range ws.prefixes {
		if !w.due && strings.HasPrefix(name, w.name) {
			n.watchDue(g, w)
		}
	}
}

// onSeen lets a conn be told more.
func (n *Node) onSeen(c *conn, body []byte) {
	x, err := wire.DecodeSeen(body)
	if err != nil || x.Total > c.pushed {
		n.deps.Clients.CloseConn(c.id)
		return
	}
	c.seen = max(c.seen, x.Total)
	held := c.held
	c.held = nil
	for _, w := range held {
		if !w.gone {
			w.due = false
			n.watchDue(c.watches[w], w)
		}
	}
}
