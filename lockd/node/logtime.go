package node

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// onClock moves the protocol clocks and, on the beat of log time, asks every
// led group with something to expire for a time step. After a pause the clocks
// catch up by at most half an election timeout: a node that did not run has no
// business to conclude that others were silent.
func (n *Node) onClock() {
	if n.lastTick == 0 || n.now < n.lastTick {
		n.lastTick = n.now
	}
	limit := n.halfElection()
	if n.now-n.lastTick > limit {
		n.lastTick = n.now - limit
	}
	ticked := false
	for n.now-n.lastTick >= n.opts.Tick {
		n.lastTick += n.opts.Tick
		ticked = true
		for _, g := range n.hosted {
			g.replica.Tick()
		}
	}
	if !ticked {
		return
	}
	for _, g := range n.hosted {
		// A replica that steps down hands out nothing; who waits must hear of it.
		if g.replica.HasReady() || g.leading != (g.replica.Role() == paxos.RoleLeading) {
			n.touch(g)
		}
		n.expireEarly(g)
	}
	if n.now >= n.nextAnnounce {
		n.nextAnnounce = n.now + announceEvery
		n.announceRoster()
	}
	n.tellQueues()
	n.dropSearches()
	n.watchDisk()
	n.cramped = n.deps.Log.Cramped()
	n.beat()
	n.wantLeastFormat()
	n.gossip()
	n.expireChanges()
	n.retryDrops()
	n.part()
	n.meetStrangers()
	n.judgeRefusals()
	n.balance()
	n.reseatGroups() // a group that is being handed over takes no step, and none waits for that
	n.checkpoint()
	n.tickSnapshots()
	n.publishStatus()
}

// beat marks the led groups that need a time step, once per beat for all of
// them, so that their steps share one sync.
func (n *Node) beat() {
	beat := n.now / n.opts.LogTick
	if beat == n.lastBeat {
		return
	}
	n.lastBeat = beat
	for _, g := range n.hosted {
		if g.leading && (len(g.renewals) > 0 || g.machine.Timed()) {
			g.tickDue = true
			n.touch(g)
		}
	}
}

// proposeTick proposes the time since the last step, with the sessions renewed
// since, and behind it, in the same slot, what was admitted. The length is
// measured on this node's clock between two proposals and rounded down, so that
// log time never runs ahead of real time; what a lost leadership takes with it
// is simply never counted (I20, I21).
//
// A command that starts a lease must not stand in a slot without such a step:
// its deadline would be counted from the step before, and the time since then
// once more by the step after, so that it ran out early.
func (n *Node) proposeTick(g *group) {
	if !g.replica.CanPropose() || n.outbid(g) {
		return
	}
	if !g.counting {
		g.counting, g.lastTick = true, n.now
	}
	delta := (n.now - g.lastTick) / Millisecond
	g.lastTick += delta * Millisecond
	n.sessionIDs = n.sessionIDs[:0]
	k := min(len(g.renewals), n.roomForRenewals(g))
	for i := range k {
		n.sessionIDs = append(n.sessionIDs, g.renewals[i].session)
	}
	n.ticker.Reset()
	n.ticker.TickBy(n.clockOf(g), lockfsm.Millis(min(delta, 1<<31)), n.sessionIDs)
	f := g.takeFlight()
	if k == len(g.renewals) {
		f.renewals, g.renewals = g.renewals, f.renewals
	} else {
		f.renewals = append(f.renewals, g.renewals[:k]...)
		g.renewals = append(g.renewals[:0], g.renewals[k:]...)
	}
	g.tickDue = len(g.renewals) > 0
	g.step++
	g.strangers = 0
	n.ticker.AppendBatch(&g.batch)
	f.origins, g.origins = g.origins, f.origins
	g.resetBatch()
	g.timed = false
	n.proposeValue(g, n.ticker.Bytes(), f)
}

// outbid reports whether steps of this leader would not count, because log time was
// moved by a leader of a higher ballot, and then has it ask for one above. That one led
// a configuration of which nobody is left who knows its ballot, so the log must say
// what the acceptors cannot: log time would stand still, and no session would end, until
// elections had raised the ballot that far.
func (n *Node) outbid(g *group) bool {
	latest := g.machine.Clock()
	by := n.clockOf(g)
	if by == (lockfsm.Clock{}) || !by.Before(latest) {
		return false
	}
	g.replica.Outbid(latest.Round)
	return true
}

// clockOf names the clock by which steps of a led group are measured, as soon as
// all nodes know of such names.
func (n *Node) clockOf(g *group) lockfsm.Clock {
	if n.activeFormat() < leastFormat {
		return lockfsm.Clock{}
	}
	b := g.replica.Ballot()
	return lockfsm.Clock{Round: b.Round, Node: uint16(b.Node)}
}

// roomForRenewals is how many sessions the next time step may name beside the batch,
// which goes with it however large it is: what waits for a step could else wait for
// ever. The rest follow in the next.
func (n *Node) roomForRenewals(g *group) int {
	const stepBytes = 24 // of a step that names none
	room := 2*n.opts.MaxBatchBytes - stepBytes - g.batch.Size()
	return min(n.opts.MaxBatchBytes/2, max(0, room)) / 8
}

// startsLease reports whether a command's deadline counts from the log time at
// which it is applied.
func startsLease(c *lockfsm.Command) bool {
	if plantedIs("lease-without-step") {
		return false
	}
	return c.Op == lockfsm.OpOpenSession || c.Op == lockfsm.OpRenewHold ||
		c.Op == lockfsm.OpLetGo ||
		c.Op.Acquires() && c.Flags&lockfsm.Detached != 0 ||
		c.Op == lockfsm.OpSet && c.Lease != 0
}

// watchDisk notices a sync that takes too long. Heartbeats stop then, so that
// leadership leaves a node whose disk does not move (I30).
func (n *Node) watchDisk() {
	since := n.deps.Log.SyncingSince()
	limit := n.halfElection()
	stalled := since != 0 && n.now-since > limit && n.durable < wal.LSN(n.lastLSN)
	if stalled == n.stalled {
		return
	}
	n.stalled = stalled
	n.announceRoster()
	n.rankSuccessors()
	if stalled {
		n.observe(Event{Kind: EventDiskStalled})
	} else {
		n.observe(Event{Kind: EventDiskMoves})
	}
}

// onKeepalive puts the sessions of a keepalive on the lists of their groups. A
// renewal is answered when the time step that carries it has been applied: only
// then is it certain to outlive this node (G6).
func (n *Node) onKeepalive(c *conn, h wire.Header, body []byte) {
	items, err := wire.DecodeKeepalive(body)
	if err != nil {
		n.respond(c, h, wire.StatusBadRequest)
		return
	}
	if items.Len() == 0 {
		// A sign of life, asked for on a conn that has nothing else to say.
		c.out = wire.AppendKeepaliveAck(c.out, wire.Header{Request: h.Request}, nil)
		n.conns.touch(c)
		return
	}
	if c.renewing+items.Len() > max(n.opts.MaxInFlight, wire.MaxGroups) {
		n.busy(c, h)
		return
	}
	for i := range items.Len() {
		it := items.At(i)
		g := n.group(it.Group)
		session := lockfsm.SessionID(it.Session)
		switch {
		case n.birth != nil:
			n.acks.add(c.id, h.Request, it.Group, it.Session, wire.CodeNotLeader)
		case int(it.Group) >= n.opts.Groups:
			n.acks.add(c.id, h.Request, it.Group, it.Session, wire.CodeUnknown)
		case g == nil || !g.leading:
			n.acks.add(c.id, h.Request, it.Group, it.Session, wire.CodeNotLeader)
		case plantedIs("unknown-said-from-memory") && !g.knows(session):
			n.acks.add(c.id, h.Request, it.Group, it.Session, wire.CodeUnknown)
		case plantedIs("renewal-answered-from-memory"):
			n.acks.add(c.id, h.Request, it.Group, it.Session, wire.CodeRenewed)
			g.renewals = append(g.renewals, renewal{session: session})
		default:
			n.renew(g, c, h.Request, session)
		}
	}
}

const (
	// mostRenewals is how often a session may be renewed between two time steps.
	// More would only fill the log; a client sends one in a third of its lease.
	mostRenewals = 4
	// mostStrangers is how many renewals of sessions that the machine does not
	// know a time step carries. Only the log can say for certain that there is no
	// such session, and anybody can name any number of them.
	mostStrangers = 2048
)

// renew puts one session on the list for the next time step. One for which there
// is no room is not answered: its client sends the next.
func (n *Node) renew(g *group, c *conn, request uint64, s lockfsm.SessionID) {
	b, ok := n.follow(g, c, s)
	switch {
	case !g.knows(s):
		if g.strangers >= mostStrangers || n.cramped {
			return
		}
		g.strangers++
	case ok && b.step != g.step:
		b.step, b.renewals = g.step, 1
		g.bound[s] = b
	case ok && b.renewals >= mostRenewals:
		return
	case ok:
		b.renewals++
		g.bound[s] = b
	}
	g.renewals = append(g.renewals, renewal{c.id, request, s})
	c.renewing++
}
