package node

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// maxBlockers bounds the holders that a Waiting lists; a Why lists as many as a
// Get.
const maxBlockers = 4

// whyCost is what the walk past all who hold a lock or wait for it costs.
func whyCost(holders, waiters uint32) int { return 1 + int((holders+waiters)/32) }

// generation is a set of claims that hold a lock together. Who waits is counted in
// generations: each lasts as long as a hold usually does.
type generation struct {
	modes [6]int
	taken lockfsm.Permits
}

// admits reports whether one more may hold with those in it.
func (x *generation) admits(mode lockfsm.Mode, permits, capacity lockfsm.Permits) bool {
	for m, count := range x.modes {
		if count > 0 && !lockfsm.Mode(m).Compatible(mode) {
			return false
		}
	}
	return x.taken+permits <= capacity
}

func (x *generation) add(mode lockfsm.Mode, permits lockfsm.Permits) {
	x.modes[mode]++
	x.taken += permits
}

// queueView walks the queue of one lock and says of each request what it would
// take for it to be granted.
type queueView struct {
	info  *lockfsm.LockInfo
	last  generation // that is open
	count int        // of generations before it; zero while it is that of the holders
	first uint32     // estimate until the holders are gone
	usual uint32
	known int
	// certain says that first is no guess: the holders are gone already, and what they
	// held stays taken until then.
	certain bool
}

// viewQueue begins a walk. n.found describes the lock.
func (n *Node) viewQueue(g *group, name []byte) queueView {
	v := queueView{info: &n.found, usual: wire.UnknownMillis}
	if e := n.contention.find(name); e != nil {
		v.usual, v.known = e.usual()
	}
	v.certain = len(n.found.Holders) > 0
	for i := range n.found.Holders {
		h := &n.found.Holders[i]
		v.last.add(h.Mode, h.Permits)
		if h.Kept {
			v.first = max(v.first, left(h.Deadline, g.machine.LogTime()))
			continue
		}
		v.certain = false
		if held := uint64(g.machine.LogTime() - h.Since); held < uint64(v.usual) {
			v.first = max(v.first, v.usual-uint32(held))
		}
	}
	return v
}

// pass goes past one request and returns the estimate until its grant.
func (v *queueView) pass(mode lockfsm.Mode, permits lockfsm.Permits) uint32 {
	if !v.last.admits(mode, permits, v.info.Capacity) {
		v.last = generation{}
		v.count++
	}
	v.last.add(mode, permits)
	switch {
	case v.info.Gate != 0:
		return wire.UnknownMillis // it opens when somebody opens it
	case v.count == 0:
		return 0
	case v.certain && v.count == 1:
		return v.first
	case v.known == 0:
		return wire.UnknownMillis
	default:
		all := uint64(v.first) + uint64(v.count-1)*uint64(v.usual)
		return uint32(min(all, uint64(wire.UnknownMillis-1)))
	}
}

// newcomer reports whether one that came now would wait, and the estimate until its
// grant: one who wants the mode, one permit of a semaphore, or through a gate.
func (v *queueView) newcomer(mode lockfsm.Mode) (waits bool, estimate uint32) {
	queue := len(v.info.Waiters)
	switch v.info.Gate {
	case 0:
	case lockfsm.GateLatch:
		return v.info.Number > 0, wire.UnknownMillis
	case lockfsm.GateEvent:
		return len(v.info.Holders) == 0, wire.UnknownMillis
	case lockfsm.GateBarrier:
		return uint64(queue)+1 < uint64(v.info.Number), wire.UnknownMillis
	default:
		panic("node: a gate of unknown kind")
	}
	permits := lockfsm.Permits(0)
	if v.info.Capacity > 0 {
		mode, permits = lockfsm.ModeNL, 1
	}
	waits = queue > 0 || !v.last.admits(mode, permits, v.info.Capacity)
	return waits, v.pass(mode, permits)
}

// blockage fills in what a request waits for, or one that came now would.
func (n *Node) blockage(g *group, r *read) wire.Blockage {
	n.find(g, r.name, lockfsm.All)
	n.lockInfo.Value = wire.LockValue{} // nobody waits for that
	x := wire.Blockage{EstimateMillis: wire.UnknownMillis}
	v := n.viewQueue(g, r.name)
	x.UsualMillis, x.Samples = v.usual, uint32(v.known)
	if r.claim.request == 0 {
		for i := range n.found.Waiters {
			w := &n.found.Waiters[i]
			v.pass(w.Mode, w.Permits)
		}
		if waits, estimate := v.newcomer(lockfsm.Mode(r.mode)); waits {
			x.Position, x.EstimateMillis = uint32(len(n.found.Waiters)+1), estimate
		}
		x.Info = n.lockInfo
		return x
	}
	for i := range n.found.Waiters {
		w := &n.found.Waiters[i]
		estimate := v.pass(w.Mode, w.Permits)
		if (waitKey{w.Session, w.Request}) == r.claim {
			x.Position, x.EstimateMillis = uint32(i+1), estimate
			break
		}
	}
	x.Info = n.lockInfo
	return x
}

// tellQueue tells those who watch their places in a queue, as far as they are
// others than they were told, and returns what that cost.
func (n *Node) tellQueue(g *group, q *queueWatch) int {
	q.after = n.now + queueEvery
	name := []byte(q.name)
	n.find(g, name, lockfsm.All)
	x := n.lockInfo
	x.Holders, x.Waiters = x.Holders[:min(len(x.Holders), maxBlockers)], nil
	x.Value = wire.LockValue{}
	for i := range x.Holders {
		if d := &x.Holders[i].Data; len(d.Payload)+len(d.Labels) > 0 {
			*d = wire.HolderData{Flags: d.Flags | wire.HolderDataLeftOut}
		}
	}
	v := n.viewQueue(g, name)
	left := len(q.of)
	for i := 0; i < len(n.found.Waiters) && left > 0; i++ {
		c := &n.found.Waiters[i]
		estimate := v.pass(c.Mode, c.Permits)
		if w := q.of[waitKey{c.Session, c.Request}]; w != nil {
			left--
			if c.Part > 0 && !n.stopsAt(g, w, q) {
				continue
			}
			n.tellPlace(q, w, &wire.Waiting{Slot: g.machine.Applied(), Blockage: wire.Blockage{
				Position: uint32(i + 1), Samples: uint32(v.known), UsualMillis: v.usual,
				EstimateMillis: estimate, Info: x}})
		}
	}
	return whyCost(n.lockInfo.HolderCount, n.lockInfo.WaiterCount) + len(q.of)
}

// stopsAt reports whether it is this lock at which a request for several names is stopped.
// If it is another it is told there, unless it was told so before.
func (n *Node) stopsAt(g *group, w *watch, q *queueWatch) bool {
	n.spreadWatch(g, w)
	late := g.machine.Late(w.claim.session, w.claim.request)
	other := g.watches.queues[string(late)]
	if other == nil || other.of[w.claim] != w {
		return q.name == w.name // there was no room to be told of that one
	}
	if other != q && w.at != other.name {
		n.queueDue(other)
	}
	return other == q
}

// spreadWatch has the watch of a request for several names told in the queues of all.
// Each name beyond its own counts as a watch; without room for all it has none of them.
func (n *Node) spreadWatch(g *group, w *watch) {
	c := n.conns.find(w.key.conn)
	if w.spread || c == nil {
		return
	}
	w.spread = true
	names := g.machine.AppendNames(nil, w.claim.session, w.claim.request)
	if n.watching+len(names) > maxWatches ||
		len(c.watches)+c.moreWatches+len(names) > maxConnWatches {
		return
	}
	for _, name := range names {
		q := g.watches.queues[string(name)]
		if q == nil {
			q = &queueWatch{group: g, name: string(name), of: make(map[waitKey]*watch)}
			g.watches.queues[q.name] = q
		}
		if q.of[w.claim] == nil {
			q.of[w.claim] = w
			w.more = append(w.more, q.name)
		}
	}
	n.watching += len(w.more)
	c.moreWatches += len(w.more)
}

// tellPlace pushes one Waiting about a queue, if it says anything new.
func (n *Node) tellPlace(q *queueWatch, w *watch, x *wire.Waiting) {
	blocker := uint64(0)
	if len(x.Info.Holders) > 0 {
		blocker = x.Info.Holders[0].Token
	}
	c := n.conns.find(w.key.conn)
	if c == nil || c.closed || !w.fresh && w.position == x.Position && w.blocker == blocker &&
		w.at == q.name || !c.mayTell(w) {
		return
	}
	w.fresh, w.position, w.blocker, w.at = false, x.Position, blocker, q.name
	h := wire.Header{Group: uint16(q.group.id), Request: w.key.request}
	c.out = wire.AppendWaiting(c.out, h, x)
	n.pushed(c)
}
