package node

import (
	"errors"
	"fmt"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// apply moves the machine over one chosen slot and answers those who wait for
// it here. On a node that does not lead the group, nobody does.
func (n *Node) apply(g *group, e *paxos.Entry) {
	n.stats.Applied++
	g.machine.Note(n.noting(g))
	g.machine.NoteEnds(n.notingEnds())
	err := g.machine.Apply(uint64(e.Slot), e.Value, &n.outcome)
	if err != nil && !errors.Is(err, lockfsm.ErrMalformed) {
		n.fail(fmt.Errorf("node: applying slot %d of group %d: %w", e.Slot, g.id, err))
		return
	}
	if err != nil {
		// Every replica skips such a slot alike; the leader that proposed it
		// is defective.
		n.observe(Event{Kind: EventMalformed, Group: g.id, Slot: e.Slot, Text: err.Error()})
	}
	n.probeApplied(g, e)
	if n.deps.History != nil {
		n.ended.Now, n.ended.Begins = n.now, g.proposed(e.Slot, e.Ballot)
		n.noteEnds(g, &n.ended, &n.outcome)
	}
	for i := range n.outcome.Events {
		if ev := &n.outcome.Events[i]; ev.Kind == lockfsm.EventWritten {
			n.onWritten(g, string(ev.Name))
		}
	}
	if g.leading && g.machine.Pending() {
		// Endings go on in the next slot, not on the next beat.
		g.tickDue = true
		n.touch(g)
	}
	f, ours := g.popFlight(e.Slot, e.Ballot)
	if ours && len(f.origins) != len(n.outcome.Results) {
		panic(fmt.Sprintf("node: group %d slot %d: %d results for %d commands",
			g.id, e.Slot, len(n.outcome.Results), len(f.origins)))
	}
	for i := range n.outcome.Results {
		if ours {
			n.onResult(g, uint64(e.Slot), &f.origins[i], &n.outcome.Results[i])
		}
	}
	if g.leading {
		for i := range n.outcome.Events {
			n.onEvent(g, uint64(e.Slot), &n.outcome.Events[i])
		}
		n.touched(g)
	}
	if ours {
		n.audit(g, e.Slot)
		n.ackRenewals(g, &f)
		g.recycle(f)
	}
}

// onResult answers the request behind a command. A queued acquire is answered
// when it is granted or gives up.
func (n *Node) onResult(g *group, slot uint64, o *origin, r *lockfsm.Result) {
	if o.conn == 0 {
		switch {
		case o.change != 0:
			n.onChangeResult(o.change, r)
		case o.name == registerSeats:
			g.stepping--
		}
		return // proposed by this node itself
	}
	if r.Code.OverLimit() {
		n.stats.OverLimit++
	}
	switch {
	case r.Code == lockfsm.CodeQueued:
		n.noteQueued(g, o, r)
		return
	case r.Code == lockfsm.CodeSessionUnknown || r.Code == lockfsm.CodeSessionEnded:
		// Its id never comes back.
		n.unbind(g, r.Session)
	case r.Op == lockfsm.OpCancel && r.Code == lockfsm.CodeCancelled:
		n.answerWait(g, r.Session, r.Request, &wire.Response{
			Status: wire.StatusCancelled, Slot: slot,
		})
	case r.Op == lockfsm.OpOpenSession && r.Code == lockfsm.CodeOK:
		n.reply(g, o.conn, o.request, &wire.Response{
			Status: wire.StatusOK, Token: uint64(r.Session), Slot: slot,
		})
		if c := n.conns.find(o.conn); c != nil {
			n.follow(g, c, r.Session)
		}
		return
	}
	x := wire.Response{Status: statusOf(r.Code), Token: uint64(r.Token), Slot: slot}
	h := wire.Header{Kind: o.kind, Flags: o.flags}
	name := []byte(o.name)
	if r.Op == lockfsm.OpAcquireAll && len(name) > 0 {
		name = lockfsm.Parts(name).At(int(r.Part)).Name
	}
	switch {
	case r.Code == lockfsm.CodeHeld:
		n.fillHeld(g, &x, r, name, h)
	case r.Code == lockfsm.CodeDeadlock:
		n.fillCircle(g, &x, r)
	case r.Code == lockfsm.CodeOtherKind && h.Version() < wire.VersionKinds:
		x.Status = wire.StatusBadRequest
	case r.Code == lockfsm.CodeOtherKind:
		x.Token = otherKind(r, h)
	case r.Code == lockfsm.CodeOK && wantsValue(h) && r.Op.Acquires():
		n.fillValue(g, &x, name)
	case r.Op == lockfsm.OpForce && r.Code == lockfsm.CodeNotHolder:
		x.Token = uint64(r.HolderToken)
	case r.Op == lockfsm.OpCountDown && r.Code == lockfsm.CodeOK, r.Code == lockfsm.CodeAlreadySet:
		x.Token = uint64(r.Left)
	}
	if r.Op == lockfsm.OpAcquireAll {
		x.Position = uint16(r.Part)
	}
	n.reply(g, o.conn, o.request, &x)
}

// otherKind says what a name is in use as, to who knows the words for it.
func otherKind(r *lockfsm.Result, h wire.Header) uint64 {
	if r.Gate != 0 && h.Version() < wire.VersionWhole {
		return 0
	}
	return wire.OtherKind{Gate: wire.GateKind(r.Gate), Number: uint32(r.Capacity)}.Token()
}

// fillHeld says in a response who holds the lock, and describes the lock where
// the client asked for it.
func (n *Node) fillHeld(g *group, x *wire.Response, r *lockfsm.Result, name []byte,
	h wire.Header) {
	x.Status, x.Token = wire.StatusHeld, uint64(r.HolderToken)
	n.contention.refused(g.id, name, n.now)
	if h.Flags&wire.FlagDetails != 0 {
		x.Payload = n.describe(g, name, h.Version())
		x.Position = uint16(min(n.lockInfo.WaiterCount+1, 1<<16-1))
	}
}

// waitKey names an acquire that is queued in the machine.
type waitKey struct {
	session lockfsm.SessionID
	request lockfsm.RequestID
}

// noteQueued remembers on which conn a queued acquire is to be answered. A
// retry on another conn takes the answer with it.
func (n *Node) noteQueued(g *group, o *origin, r *lockfsm.Result) {
	key := waitKey{r.Session, r.Request}
	if old, ok := g.waits[key]; ok {
		if c := n.conns.find(old); c != nil {
			c.inFlight--
		}
	}
	b, ok := g.bound[r.Session]
	if n.conns.find(o.conn) == nil {
		// The conn went while the command was on its way. Unless the session
		// has come back on another one, nobody is there to be granted.
		delete(g.waits, key)
		delete(g.valued, key)
		if !ok {
			n.park(g, r.Session, 0)
		}
		return
	}
	g.waits[key] = o.conn
	g.noteWantsValue(key, o)
	if ok {
		b.waited = true
		g.bound[r.Session] = b
	}
}

// answerWait answers a queued acquire, if it came through this node.
func (n *Node) answerWait(g *group, s lockfsm.SessionID, r lockfsm.RequestID, x *wire.Response) {
	key := waitKey{s, r}
	if c, ok := g.waits[key]; ok {
		delete(g.waits, key)
		delete(g.valued, key)
		n.reply(g, c, uint64(r), x)
	}
}

// onEvent tells a session what happened to it.
func (n *Node) onEvent(g *group, slot uint64, e *lockfsm.Event) {
	switch e.Kind {
	case lockfsm.EventGranted:
		x := wire.Response{Status: wire.StatusOK, Token: uint64(e.Token), Slot: slot}
		if _, ok := g.valued[waitKey{e.Session, e.Request}]; ok {
			n.fillValue(g, &x, e.Name)
		}
		n.answerWait(g, e.Session, e.Request, &x)
	case lockfsm.EventWaitEnded:
		n.answerWait(g, e.Session, e.Request, &wire.Response{
			Status: wire.StatusSessionEnded, Slot: slot,
		})
	case lockfsm.EventConversionEnded:
		n.answerWait(g, e.Session, e.Request, &wire.Response{
			Status: wire.StatusNotHolder, Slot: slot,
		})
	case lockfsm.EventBroken:
		n.answerWait(g, e.Session, e.Request, &wire.Response{
			Status: wire.StatusBroken, Slot: slot,
		})
	case lockfsm.EventLost:
		// Detached holds have no conn: their owner counts its own time.
		if e.Reason == lockfsm.ReasonMaxHold {
			n.tellLost(g, e, wire.ReasonMaxHold)
		}
	case lockfsm.EventKept, lockfsm.EventFreed:
		// Who gave it back, or lost it, hears of that in other ways.
	case lockfsm.EventForced:
		n.tellForced(g, e)
	case lockfsm.EventWritten:
		// Every replica has acted on it, whoever leads.
	case lockfsm.EventSessionEnded:
		b, ok := g.bound[e.Session]
		if !ok {
			return
		}
		if c := n.conns.find(b.conn); c != nil {
			c.out = wire.AppendSessionLost(c.out, wire.Header{Group: uint16(g.id)},
				&wire.SessionLost{Session: uint64(e.Session), Reason: reasonOf(e.Reason)})
			n.conns.touch(c)
		}
		n.unbind(g, e.Session)
	default:
		panic(fmt.Sprintf("node: event of unknown kind %d", e.Kind))
	}
}

// tellLost tells a session that it has lost one hold, if it has a conn here.
func (n *Node) tellLost(g *group, e *lockfsm.Event, why wire.Reason) {
	b, ok := g.bound[e.Session]
	if !ok {
		return
	}
	if c := n.conns.find(b.conn); c != nil {
		c.out = wire.AppendLost(c.out, wire.Header{Group: uint16(g.id)}, &wire.Lost{
			Session: uint64(e.Session), Token: uint64(e.Token), Reason: why, Name: e.Name})
		n.conns.touch(c)
	}
}

// ackRenewals answers the keepalives whose time step has been applied. The
// sessions that are not alive come in the order in which the step named them.
func (n *Node) ackRenewals(g *group, f *flight) {
	unknown := n.outcome.NotRenewed
	for _, r := range f.renewals {
		code := wire.CodeRenewed
		if len(unknown) > 0 && unknown[0] == r.session {
			unknown = unknown[1:]
			code = wire.CodeUnknown
			n.unbind(g, r.session)
		}
		n.ackRenewal(g, r, code)
	}
}

// ackRenewal answers one renewal.
func (n *Node) ackRenewal(g *group, r renewal, code wire.Code) {
	if c := n.conns.find(r.conn); c != nil {
		c.renewing--
	}
	n.acks.add(r.conn, r.request, uint16(g.id), uint64(r.session), code)
}
