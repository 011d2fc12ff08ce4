package client

import (
	"fmt"
	"slices"
	"time"

	"lockd/netio/wire"
)

// canSend reports whether nothing but a conn is missing to send x.
func (c *Core) canSend(g *group, x *Call) bool {
	if x.needsSession() && (g.session.state != sessionOpen || c.untold(&g.session)) {
		return false
	}
	return x.notBefore <= c.now && c.speaks(g, x) && !x.cancelled() && !x.overtakes()
}

// speaks reports whether the node that the group is attached to knows what x
// says. Requires: the group is live.
func (c *Core) speaks(g *group, x *Call) bool {
	return c.endpoints[g.via].version >= x.needsVersion()
}

// sendAll sends the calls of a live group that this epoch has not seen, in
// order, and opens a session if one is missing. Requires: c.now is fresh.
func (c *Core) sendAll(g *group) {
	g.dirty = false
	needed := -1
	var letGo *Call
	for x := g.calls.head; x != nil; {
		next := x.next
		switch {
		case x.sentEpoch == g.epoch:
		case x.notBefore > c.now:
			g.dirty = true
			c.schedule(x.notBefore)
		case !c.speaks(g, x) && x.Kind == wire.KindLetGo:
			letGo = x // others end with it
		case !c.speaks(g, x):
			c.unspoken(g, x)
		case c.canSend(g, x):
			c.send(x)
		case x.overtakes(): // the end of the other has it sent
		default:
			needed = int(x.Group)
		}
		x = next
	}
	switch {
	case letGo != nil:
		c.unspoken(g, letGo)
	case needed < 0:
	case g.session.state == sessionNone:
		c.startOpen(g, uint16(needed))
	case c.untold(&g.session):
		c.tellGrace(g) // which was refused before
	}
}

// unspoken ends a call whose leader does not know what it says. One that was sent
// to another node before may yet have its effect: it waits for that to lead.
func (c *Core) unspoken(g *group, x *Call) {
	if x.sends > 0 {
		return
	}
	e := c.endpoints[g.via]
	err := fmt.Errorf("%w: node %d, which leads group %d, speaks version %d of the protocol, "+
		"%s is in version %d: all nodes must be upgraded first", ErrUnsupported, e.node, x.Group,
		e.version, x.Kind, x.needsVersion())
	if x.Kind == wire.KindLetGo {
		c.onTold(g, x, err)
		return
	}
	c.end(x, err)
}

// send writes x to the conn of its group, for the first time in this epoch.
func (c *Core) send(x *Call) {
	g := &c.groups[x.Group]
	e := c.endpoints[g.via]
	if x.sentEpoch == g.epoch {
		panic(fmt.Sprintf("client: %s %d sent twice in epoch %d", x.Kind, x.request, g.epoch))
	}
	if x.request == 0 {
		c.number(x)
	}
	if x.firstSent == 0 {
		x.firstSent = c.now
	}
	if x.needsSession() {
		x.Session = g.session.id
	}
	x.conn, x.sentEpoch, x.left = e.conn, g.epoch, nil
	x.unsure, x.refused = x.unsure || x.sends > 0 && !x.refused, false
	x.sends++
	switch {
	case x.Kind == wire.KindConvert && x.Hold.is(x):
		x.Hold.moves = true
	case x.renews():
		c.sendRenewal(x)
	case x.View != nil:
		x.View.asked()
	}
	c.encode(e, g, x)
	c.wrote(e)
	if !x.Kind.Acquires() && x.Kind != wire.KindConvert {
		return // a Release and a Cancel have the flags of the Acquire
	}
	if x.sends == 1 && x.chase == nil && x.Flags&wire.FlagDetect != 0 {
		c.startChase(x)
	}
	if x.Place != nil && x.place == nil && x.Flags&wire.FlagWait != 0 {
		c.watchPlace(x)
	}
}

func (c *Core) encode(e *endpoint, g *group, x *Call) {
	h := wire.Header{Flags: x.Flags, Group: x.Group, Request: x.request}
	c.scratch = append(c.scratch[:0], x.Name...)
	name := c.scratch
	ttl := uint32(x.TTL / time.Millisecond)
	x.version = e.version
	h.Flags |= x.answerFlags()
	if x.termed() {
		e.out = x.appendTermed(e.out, h, g.epoch, name)
		return
	}
	switch x.Kind {
	case wire.KindAcquire:
		e.out = wire.AppendAcquire(e.out, h, &wire.Acquire{
			Session: x.Session, Epoch: g.epoch, TTLMillis: ttl,
			Mode: x.Mode, Weight: x.Weight, Name: name,
		})
	case wire.KindTake:
		e.out = wire.AppendTake(e.out, h, &wire.Take{
			Session: x.Session, Epoch: g.epoch, TTLMillis: ttl, Permits: x.Permits,
			Capacity: x.Capacity, Weight: x.Weight, Name: name,
		})
	case wire.KindEnter:
		e.out = wire.AppendEnter(e.out, h, &wire.Enter{
			Session: x.Session, Owner: x.Owner, Epoch: g.epoch,
			Mode: x.Mode, Weight: x.Weight, Name: name,
		})
	case wire.KindLeave:
		h.Flags = 0
		e.out = wire.AppendLeave(e.out, h, &wire.Leave{
			Session: x.Session, Token: x.Token, Target: x.target, Epoch: g.epoch, Name: name,
		})
	case wire.KindForce:
		e.out = c.appendForce(e.out, h, x, name)
	case wire.KindConvert, wire.KindGiveBack:
		e.out = x.appendTurn(e.out, h, g.epoch, name)
	case wire.KindAcquireAll, wire.KindReleaseAll:
		e.out = x.appendSeveral(e.out, h, g.epoch)
	case wire.KindAwait, wire.KindCountDown, wire.KindSetGate, wire.KindResetGate:
		e.out = x.appendGate(e.out, h, g, name)
	case wire.KindRelease:
		h.Flags &= wire.FlagDetached
		e.out = wire.AppendRelease(e.out, h, &wire.Release{
			Session: x.Session, Token: x.Token, Epoch: g.epoch, Name: name,
		})
	case wire.KindCancel:
		h.Flags &= wire.FlagDetached
		e.out = wire.AppendCancel(e.out, h, &wire.Cancel{
			Session: x.Session, Target: x.target, Epoch: g.epoch, Name: name,
		})
	case wire.KindRenewHold:
		h.Flags &= wire.FlagDetached
		e.out = wire.AppendRenewHold(e.out, h, &wire.RenewHold{
			Session: x.Session, Token: x.Token, TTLMillis: ttl, Name: name,
		})
	case wire.KindOpenSession:
		e.out = wire.AppendOpenSession(e.out, h, &wire.OpenSession{
			Nonce: g.session.nonce, Epoch: g.epoch,
			LeaseMillis: uint32(c.cfg.Lease / time.Millisecond), Name: []byte(c.cfg.Name),
		})
	case wire.KindLetGo:
		e.out = c.appendLetGo(e.out, h, x)
	case wire.KindCloseSession:
		e.out = wire.AppendCloseSession(e.out, h, &wire.CloseSession{
			Session: x.Session, Epoch: g.epoch,
		})
	default:
		e.out = c.appendQuestion(e.out, h, x, name)
	}
}

// Receive takes bytes that came on a conn and returns how many it used up: the
// caller keeps the rest and offers it again with what follows. After an error
// the conn is in Ready.Closes, and the rest is worthless.
func (c *Core) Receive(now Instant, conn ConnID, data []byte) (int, error) {
	if c.next <= now {
		c.Tick(now) // leases end before answers count
	}
	c.now = now
	if c.scout.is(conn) {
		return c.scouted(data), nil
	}
	used := 0
	for {
		i := c.byConn(conn)
		if i < 0 {
			return len(data), nil
		}
		c.endpoints[i].heard = now
		n, err := wire.FrameBytes(data[used:], wire.MaxFrameBytes)
		if err == nil && (n == 0 || n > len(data)-used) {
			return used, nil
		}
		if err == nil {
			err = c.frame(i, data[used:used+n])
		}
		if err != nil {
			e := c.endpoints[i]
			err = fmt.Errorf("node %d at %s: %w", e.node, e.address, err)
			if e.conn == conn {
				c.shut(i, err)
			}
			return len(data), err
		}
		used += n
	}
}

// frame takes one whole frame.
func (c *Core) frame(i int, frame []byte) error {
	h, body, err := wire.Parse(frame)
	if err != nil {
		return err
	}
	greeting := c.endpoints[i].state == connGreeting
	switch h.Kind {
	case wire.KindWelcome:
		if !greeting {
			return fmt.Errorf("%w: second Welcome", ErrProtocol)
		}
		return c.onWelcome(i, body)
	case wire.KindRefused:
		r, err := wire.DecodeRefused(body)
		if err != nil {
			return err
		}
		return fmt.Errorf("%w: %s: %s", ErrRefused, r.Code, r.Text)
	}
	if greeting || int(h.Group) >= len(c.groups) {
		return fmt.Errorf("%w: %s in group %d before or beyond the Welcome",
			ErrProtocol, h.Kind, h.Group)
	}
	switch h.Kind {
	case wire.KindResponse:
		return c.onResponse(i, h, body)
	case wire.KindKeepaliveAck:
		return c.onKeepaliveAck(i, h, body)
	case wire.KindMoved:
		return c.onMoved(i, h, body)
	case wire.KindLost:
		return c.onLost(h, body)
	case wire.KindSessionLost:
		return c.onSessionLost(h, body)
	case wire.KindWatched, wire.KindWatchSynced, wire.KindWaiting:
		return c.onPush(i, h, body)
	default:
		return fmt.Errorf("%w: %s from a node", wire.ErrKind, h.Kind)
	}
}

// onWelcome learns who answers here, who else there is and who leads.
func (c *Core) onWelcome(i int, body []byte) error {
	w, err := wire.DecodeWelcome(body)
	if err != nil {
		return err
	}
	if err := leaseOutOfBounds(c.cfg.Lease, &w.Limits); err != nil {
		return err
	}
	switch {
	case len(c.groups) == 0:
		c.adopt(&w)
	case w.Cluster != c.cluster || len(w.Leaders) != len(c.groups):
		return fmt.Errorf("%w: it belongs to another cluster", ErrRefused)
	}
	if c.limits.MaxHoldMillis == 0 { // the first node did not say
		c.limits.MinHoldMillis, c.limits.MaxHoldMillis = w.Limits.MinHoldMillis, w.Limits.MaxHoldMillis
		c.limits.DataBytes = w.Limits.DataBytes
	}
	e := c.endpoints[i]
	e.state, e.node, e.failures, e.err = connUp, w.Node, 0, nil
	e.version = w.Version
	for _, n := range w.Nodes {
		c.hearOf(n.ID, n.Address)
	}
	for x := c.direct.head; x != nil; {
		next := x.next
		if x.conn == e.conn {
			c.sendDirect(e, x)
		}
		x = next
	}
	for j := range c.groups {
		g := &c.groups[j]
		switch {
		case g.via == i:
			c.attach(g)
		case g.live || g.via >= 0:
		case g.leader == 0:
			g.leader = w.Leaders[j]
			g.retryAt = c.now
			c.schedule(c.now)
		}
	}
	return nil
}

// adopt takes cluster, groups and limits from the first Welcome.
func (c *Core) adopt(w *wire.Welcome) {
	c.cluster, c.limits = w.Cluster, w.Limits
	c.groups = make([]group, len(w.Leaders))
	for j := range c.groups {
		g := &c.groups[j]
		g.number = uint16(j)
		g.leader, g.via, g.left = w.Leaders[j], -1, -1
		g.turn = int(c.rand() % uint64(len(c.endpoints)))
	}
}

// onMoved takes the push that a node no longer leads a group. What the node had
// of the group when it sent the push it will not answer; what was on its way to
// the node then, it may: it can be elected again before it reads it. The client
// cannot tell the two apart, so all of it counts as owed.
func (c *Core) onMoved(i int, h wire.Header, body []byte) error {
	m, err := wire.DecodeMoved(body)
	if err != nil {
		return err
	}
	g := &c.groups[h.Group]
	if g.live && g.via == i {
		c.leave(g, m.Leader)
	}
	return nil
}

// onResponse takes the end of a call. Only an answer to its last send counts:
// an earlier one may be about a frame that the later has overtaken, and the
// later finds what the earlier did.
func (c *Core) onResponse(i int, h wire.Header, body []byte) error {
	r, err := wire.DecodeResponse(body)
	if err != nil {
		return err
	}
	e := c.endpoints[i]
	if r.Status != wire.StatusQueued {
		c.groups[h.Group].paid(e.conn, h.Request)
	}
	x := c.calls.get(h.Request)
	if x == nil && h.Request == e.seenRequest && r.Status == wire.StatusBusy {
		c.seenRefused(e, &r)
	}
	if x == nil || x.conn != e.conn {
		return nil
	}
	if x.direct() {
		if x.Kind == wire.KindChase {
			return c.onChased(x, &r)
		}
		c.finish(x, &r)
		return nil
	}
	g := &c.groups[x.Group]
	if x.Group != h.Group {
		return fmt.Errorf("%w: answer in group %d, asked in %d", ErrProtocol, h.Group, x.Group)
	}
	if !g.live || g.via != i || x.sentEpoch != g.epoch {
		return nil
	}
	switch r.Status {
	case wire.StatusQueued:
	case wire.StatusStaleEpoch:
		c.onTaken(g, x)
	case wire.StatusNotLeader, wire.StatusUncertain, wire.StatusStopping:
		hint := r.Leader
		if r.Status == wire.StatusNotLeader {
			c.hearOf(hint, r.Payload)
		}
		if hint == e.node {
			hint = 0
		}
		x.sentEpoch, x.refused = 0, r.Status == wire.StatusNotLeader
		x.countAnew()
		c.leave(g, hint)
	case wire.StatusBusy:
		c.delay(g, x, time.Duration(r.RetryMillis)*time.Millisecond)
	case wire.StatusSessionUnknown, wire.StatusSessionEnded:
		c.onSessionGone(g, x, &r)
	default:
		g.tries, g.leader = 0, e.node
		if x.needsSession() {
			g.barren = 0
		}
		return c.onOutcome(g, x, &r)
	}
	return nil
}

// delay sends a call again after a while. It was refused before anything
// happened, so that its epoch has not seen it.
func (c *Core) delay(g *group, x *Call, wait time.Duration) {
	if wait <= 0 {
		wait = 10 * time.Millisecond
	}
	x.notBefore = c.now.Add(wait + c.jitter(wait))
	x.sentEpoch, x.refused = 0, true
	x.countAnew()
	if x.Kind == wire.KindAmend && !x.unsure {
		// The nodes take one for a retry that comes behind a later one of the hold.
		c.calls.drop(x)
	}
	g.dirty = true
	c.schedule(x.notBefore)
}

// countAnew has an Acquire count from its next send, if nothing was granted by then.
func (x *Call) countAnew() {
	if x.Kind.Acquires() && x.refused && !x.unsure {
		x.firstSent = 0
	}
}

// onOutcome takes a definite answer of the leader.
func (c *Core) onOutcome(g *group, x *Call, r *wire.Response) error {
	switch x.Kind {
	case wire.KindAcquire, wire.KindTake, wire.KindEnter, wire.KindAcquireAll:
		return c.onAcquired(g, x, r)
	case wire.KindOpenSession:
		if r.Status != wire.StatusOK {
			c.notOpened(x, g, r.Status)
			return nil
		}
		if r.Token == 0 || r.Token&wire.DetachedOwner != 0 {
			return fmt.Errorf("%w: session id %d", ErrProtocol, r.Token)
		}
		c.opened(x, g, r)
	case wire.KindLetGo:
		c.onLetGo(g, x, r)
	case wire.KindCheckTokens:
		if x.of != nil {
			return c.onLeft(g, x, r)
		}
		if x.background {
			return c.onRechecked(g, x, r)
		}
		c.finish(x, r)
	case wire.KindConvert:
		return c.onConverted(x, r)
	case wire.KindAwait, wire.KindCountDown, wire.KindSetGate, wire.KindResetGate:
		c.onGate(x, r)
	case wire.KindRelease, wire.KindLeave, wire.KindGiveBack, wire.KindReleaseAll:
		if r.Status == wire.StatusUnsupported && x.Kind == wire.KindGiveBack {
			// Then no Convert had any effect.
			c.calls.drop(x)
			x.Kind, x.moves, x.sentEpoch, x.sends = wire.KindRelease, false, 0, 0
			g.dirty = true
			c.schedule(c.now)
			return nil
		}
		if r.Status == wire.StatusNotHolder && !x.unsure {
			c.lose(x, x.unknown())
			return nil
		}
		if r.Status == wire.StatusNotHolder {
			r.Status = wire.StatusOK // by an earlier send
		}
		c.finish(x, r)
	case wire.KindRenewHold:
		c.onHoldRenewed(x, r)
	case wire.KindChase:
		return c.onChased(x, r)
	case wire.KindCancel:
		c.end(x, nil)
		switch {
		case x.of != nil:
			c.condemned(g, x.of, x.target, r.Status)
		case x.Hold != nil:
			c.convertBack(x, r)
		case r.Status != wire.StatusAlreadyGranted, x.Gate != 0, x.stays:
		default:
			c.giveBack(x, r.Token)
		}
	case wire.KindCloseSession:
		c.end(x, nil)
	case wire.KindForce:
		c.onForced(x, r)
	default:
		c.finish(x, r)
	}
	return nil
}

// giveBack releases, in the background, what nobody waits for any more.
func (c *Core) giveBack(x *Call, token uint64) {
	c.startBackground(x.back(token))
}

func (c *Core) onAcquired(g *group, x *Call, r *wire.Response) error {
	switch r.Status {
	case wire.StatusOK:
	case wire.StatusHeld:
		err := &HeldError{Name: x.inTheWay(r), Position: x.position(r), Token: r.Token}
		if len(r.Payload) > 0 {
			info, bad := x.lockInfo(r.Payload)
			if bad != nil {
				return bad
			}
			err.Info = newLockInfo(&info, time.Time{})
			if x.Kind == wire.KindAcquireAll {
				err.Position = err.Info.WaiterCount + 1
			}
		}
		c.end(x, err)
		return nil
	case wire.StatusOtherKind:
		c.end(x, otherKind(x, x.inTheWay(r), r.Token))
		return nil
	case wire.StatusDeadlock:
		err, bad := deadlock(x, r)
		if bad != nil {
			return bad
		}
		c.end(x, err)
		return nil
	default:
		c.end(x, c.refused(x, r.Status))
		return nil
	}
	if r.Token == 0 {
		return fmt.Errorf("%w: grant without a token", ErrProtocol)
	}
	if err := x.takeValue(r); err != nil {
		return err
	}
	x.target = x.request
	if x.background {
		c.end(x, nil)
		c.giveBack(x, r.Token)
		return nil
	}
	x.Token = r.Token
	if x.becameToken == x.Token {
		x.Mode = x.became
	}
	c.weakenBy(g, x)
	if !x.detached() {
		c.receive(g, x)
		return nil
	}
	c.receiveDetached(x)
	return nil
}

// ttlSpan returns what a time to live is worth, counted from the send. The nodes are told
// whole milliseconds.
func (c *Core) ttlSpan(ttl time.Duration) time.Duration {
	ttl = ttl.Truncate(time.Millisecond)
	return lessDrift(ttl, c.cfg.Drift) - min(c.cfg.Margin, ttl/10)
}

// finish ends a call with what the node said.
func (c *Core) finish(x *Call, r *wire.Response) {
	switch r.Status {
	case wire.StatusOK:
	case wire.StatusOtherKind:
		c.end(x, otherKind(x, x.Name, r.Token))
		return
	default:
		c.end(x, c.statusError(x, r.Status))
		return
	}
	payload := r.Payload
	r.Payload = nil
	if len(payload) > 0 && !x.background {
		r.Payload = slices.Clone(payload)
	}
	x.Response = *r
	c.end(x, nil)
}
