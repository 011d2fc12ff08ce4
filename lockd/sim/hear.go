package sim

import (
	"fmt"
	"slices"

	"lockd/lockd/node"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// hear takes what a node sent.
func (c *client) hear(conn *conn, frames []byte) {
	conn.eachFrame(frames, func(h wire.Header, body []byte) { c.frame(conn, h, body) })
}

// frame takes one frame from a node.
func (c *client) frame(conn *conn, h wire.Header, body []byte) {
	c.w.note("response", uint64(c.id), uint64(conn.id), uint64(h.Kind), h.Request)
	c.expire()
	var err error
	switch h.Kind {
	case wire.KindWelcome:
		var x wire.Welcome
		if x, err = wire.DecodeWelcome(body); err == nil {
			c.welcome(&x)
		}
	case wire.KindResponse:
		var x wire.Response
		if x, err = wire.DecodeResponse(body); err == nil {
			c.response(conn, h, &x)
		}
	case wire.KindKeepaliveAck:
		var x wire.KeepaliveAck
		if x, err = wire.DecodeKeepaliveAck(body); err == nil {
			c.renewed(conn, h, x)
		}
	case wire.KindMoved:
		var x wire.Moved
		if x, err = wire.DecodeMoved(body); err == nil {
			c.moved(conn, c.groups[h.Group], x.Leader)
		}
	case wire.KindSessionLost:
		var x wire.SessionLost
		if x, err = wire.DecodeSessionLost(body); err == nil {
			c.w.check(c.w.models[h.Group].ToldOver(x.Session))
			if m := c.groups[h.Group]; x.Session == m.session {
				m.loseSession()
			}
		}
	case wire.KindLost:
		var x wire.Lost
		if x, err = wire.DecodeLost(body); err == nil {
			if x.Reason == wire.ReasonForced {
				c.groups[h.Group].toldForced(&x)
			} else {
				c.lostOne(h, &x)
			}
		}
	default:
		c.w.failf("node %d sends a client frame of kind %v", conn.p.site.id, h.Kind)
	}
	if err != nil {
		c.w.failf("node %d sends a frame of kind %v that does not decode: %v",
			conn.p.site.id, h.Kind, err)
	}
	c.pump()
}

// moved hears that a node does not lead a group any more. What the node had of
// the group it will not answer, what was on its way to it then it may: both
// count as owed, and pump never sends anything again on such a conn.
func (c *client) moved(conn *conn, m *membership, leader uint16) {
	if c.conns[m.route] == conn {
		m.reroute(leader)
	}
}

// welcome takes hints for groups in which nothing is under way.
func (c *client) welcome(x *wire.Welcome) {
	for g, leader := range x.Leaders {
		if m := c.groups[g]; leader != 0 && m.session == 0 &&
			!slices.ContainsFunc(m.calls, func(k *call) bool { return k.conn != nil }) {
			m.route = int(leader) - 1
		}
	}
}

// renewed takes the answer to a keepalive.
func (c *client) renewed(conn *conn, h wire.Header, x wire.KeepaliveAck) {
	at := slices.IndexFunc(c.keepalives, func(k keepalive) bool { return k.request == h.Request })
	if at < 0 {
		return
	}
	sent := c.keepalives[at]
	// A keepalive is answered in parts, by group; the first shows that the
	// conn lives.
	c.keepalives[at].answered = true
	if len(c.keepalives) > 8 {
		c.keepalives = slices.Delete(c.keepalives, 0, len(c.keepalives)-8)
	}
	for i := range x.Len() {
		r := x.At(i)
		m := c.groups[r.Group]
		if r.Code == wire.CodeUnknown {
			c.w.check(c.w.models[r.Group].ToldOver(r.Session))
		}
		if m.session != r.Session {
			continue
		}
		switch r.Code {
		case wire.CodeRenewed:
			m.safeUntil = max(m.safeUntil, sent.sentOn+safe(c.w.opts.Lease))
			m.renewedAt(sent.sent)
			c.w.check(c.w.leases.Renewed(m.group, lockfsm.SessionID(r.Session), int64(sent.sent),
				int64(c.w.opts.Lease)*int64(millisecond)))
		case wire.CodeUnknown:
			m.loseSession()
		case wire.CodeNotLeader:
			if c.conns[m.route] == conn {
				// A lease is long enough to ask all nodes.
				c.nextBeat = min(c.nextBeat, c.now()+200*node.Millisecond)
				m.reroute(0)
			}
		}
	}
}

// renewedAt notes when a renewal was sent that has been answered.
func (m *membership) renewedAt(sent Time) {
	m.renewed = max(m.renewed, sent)
	m.mayEnd()
}

// mayEnd tells who records from when on the holds may end.
func (m *membership) mayEnd() {
	for _, h := range m.holds {
		m.c.w.witness.mayEnd(m, h)
	}
}

// refusal reports whether an answer would end a call with nothing, although a
// later send of it may yet be granted.
func refusal(k *call, x *wire.Response) bool {
	return k.q.Kind.Waits() && x.Status != wire.StatusOK
}

// response takes the answer to a call, if it is the one the client waits for:
// an answer to an earlier send says nothing about the later one.
func (c *client) response(conn *conn, h wire.Header, x *wire.Response) {
	m := c.groups[h.Group]
	at := slices.IndexFunc(m.calls, func(k *call) bool { return k.q.Request == h.Request })
	if at < 0 {
		c.overheard(h, x)
		return
	}
	k := m.calls[at]
	if conn.owed[h.Request] > 0 {
		conn.owed[h.Request]--
	}
	if k.conn != conn || conn.owed[h.Request] > 0 && refusal(k, x) {
		c.overheard(h, x)
		return
	}
	c.w.statuses[x.Status]++
	c.w.note("answer", uint64(c.id), uint64(h.Group), h.Request, uint64(x.Status), x.Token, x.Slot)
	switch x.Status {
	case wire.StatusNotLeader, wire.StatusUncertain, wire.StatusStopping:
		m.reroute(x.Leader)
		return
	case wire.StatusBusy:
		k.conn, k.busyIn = nil, m.epoch
		if k.q.Kind == wire.KindOpenSession && k.sends == 1 {
			k.began = 0 // nothing was opened: the lease counts from the next send
		}
		k.retryAt = c.w.agenda.Now() + Time(x.RetryMillis)*millisecond<<k.backoff
		if !c.w.faulty(FaultStorm) {
			k.backoff = min(k.backoff+1, maxBackoff)
		}
		return
	}
	c.w.check(c.w.history.Answered(&k.q, x))
	if c.w.failure != nil {
		return
	}
	switch x.Status {
	case wire.StatusStaleEpoch:
		m.reroute(uint16(m.route + 1))
		return
	case wire.StatusSessionUnknown, wire.StatusSessionEnded:
		m.calls = slices.DeleteFunc(m.calls, func(o *call) bool { return o == k })
		m.loseSession()
		return
	}
	m.calls = slices.Delete(m.calls, at, at+1)
	if k.q.Kind != wire.KindGet {
		c.w.witness.answered(k, x, nil)
	}
	m.done(conn.p, k, x)
}

// overheard holds an answer by which the client does not go against the log: a node
// has said it.
func (c *client) overheard(h wire.Header, x *wire.Response) {
	q := c.asked[h.Request]
	if q == nil {
		return
	}
	switch x.Status {
	case wire.StatusNotLeader, wire.StatusUncertain, wire.StatusStopping, wire.StatusBusy:
	default:
		c.w.covered["answer to an earlier send"]++
		c.w.check(c.w.history.Witnessed(q, x))
	}
}

// done draws the consequences of a definite answer of a node.
func (m *membership) done(from *process, k *call, x *wire.Response) {
	w := m.c.w
	switch k.q.Kind {
	case wire.KindOpenSession:
		m.opened(k, x)
	case wire.KindCloseSession:
		m.loseSession()
	case wire.KindAcquire, wire.KindTake, wire.KindEnter:
		switch x.Status {
		case wire.StatusOK:
			m.grantedValue(k, x)
			m.hold(k, x.Token)
			m.writeOn(k)
		case wire.StatusDeadlock:
			m.circle(k, x)
		}
	case wire.KindConvert:
		m.converted(k, x)
		if x.Status == wire.StatusDeadlock {
			m.circle(k, x)
		}
	case wire.KindAcquireAll:
		switch x.Status {
		case wire.StatusOK:
			m.holdAll(k, x.Token)
		case wire.StatusDeadlock:
			m.circle(k, x)
		default:
			m.refusedAll(k, x)
		}
	case wire.KindReleaseAll:
		for _, h := range k.hold.with {
			m.forget(h)
		}
	case wire.KindRelease, wire.KindLeave, wire.KindGiveBack:
		m.forget(k.hold)
	case wire.KindCancel:
		m.cancelled(k, x)
	case wire.KindRenewHold:
		if x.Status == wire.StatusOK {
			k.hold.until = max(k.hold.until, k.beganOn+safe(k.ttl))
		} else {
			m.forget(k.hold)
		}
	case wire.KindForce:
		w.covered["force "+x.Status.String()]++
	case wire.KindGet:
		m.got(k, x)
	case wire.KindStatus:
		w.statusTold(from, k.since, x.Payload)
	}
}

func (m *membership) opened(k *call, x *wire.Response) {
	w := m.c.w
	if x.Status != wire.StatusOK {
		// No room: whoever waits for the session gives up.
		m.loseSession()
		return
	}
	m.session = x.Token
	m.safeUntil = k.beganOn + safe(w.opts.Lease)
	m.renewed, m.closing = 0, 0
	m.renewedAt(k.began)
	w.check(w.leases.Renewed(m.group, lockfsm.SessionID(m.session), int64(k.began),
		int64(w.opts.Lease)*int64(millisecond)))
}

// hold takes a grant.
func (m *membership) hold(k *call, token uint64) {
	h := &hold{name: k.q.Name, mode: k.mode, token: token, request: k.q.Request, enters: k.owner,
		permits: k.permits, most: k.most()}
	if k.q.Session&wire.DetachedOwner != 0 {
		h.owner, h.until = k.q.Session, k.beganOn+safe(k.ttl)
	}
	if k.becameToken == token {
		h.mode, h.moves = k.became, true
	}
	m.underWay(h)
	// What a session that is being closed still gets is not acted upon.
	h.released = h.owner == 0 && slices.ContainsFunc(m.calls, func(o *call) bool {
		return o.q.Kind == wire.KindCloseSession
	})
	m.holds = append(m.holds, h)
	m.granted = append(m.granted, check.TokenRef{Token: lockfsm.Token(token), Name: h.name})
	m.granted = m.granted[max(0, len(m.granted)-maxGranted):]
	m.c.w.witness.mayEnd(m, h)
	m.c.w.covered["held"]++
	m.believe(h)
	m.act(h)
}

// believe tells the checkers of a hold.
func (m *membership) believe(h *hold) {
	b := check.Belief{
		Token: lockfsm.Token(h.token), Mode: lockfsm.Mode(h.surely()), Client: m.c.id,
		Permits:  lockfsm.Permits(h.permits),
		Believes: func() bool { return m.believes(h) },
	}
	if h.permits > 0 {
		b.Capacity = semaphoreCapacity
		m.c.w.covered["permits held"]++
	}
	m.c.w.leases.Believe(m.group, h.name, b)
}

// act does with a hold what it is for.
func (m *membership) act(h *hold) {
	if h.surely() == wire.ModeEX {
		m.c.w.write(m.c.dice, fmt.Sprint("client ", m.c.id), lockName{m.group, h.name},
			lockfsm.Token(h.token))
	}
}

// believes reports whether the client would act on a hold now.
func (m *membership) believes(h *hold) bool {
	if h.released {
		return false
	}
	until := m.safeUntil
	if h.owner != 0 {
		until = h.until
	}
	return m.c.now() < min(until, h.most)
}

// cancelled ends the request that was given up.
func (m *membership) cancelled(k *call, x *wire.Response) {
	at := slices.IndexFunc(m.calls, func(o *call) bool { return o.q.Request == k.q.Target })
	if at < 0 {
		return
	}
	target := m.calls[at]
	m.calls = slices.Delete(m.calls, at, at+1)
	if target.q.Kind == wire.KindAwait {
		if x.Status == wire.StatusAlreadyGranted {
			m.c.w.covered["cancel lost to a gate"]++
		}
		return
	}
	if x.Status == wire.StatusAlreadyGranted {
		m.c.w.covered["cancel lost to grant"]++
		if target.q.Kind == wire.KindConvert {
			m.converted(target, &wire.Response{Status: wire.StatusOK, Token: x.Token})
			return
		}
		m.c.w.witness.answered(target, &wire.Response{Status: wire.StatusOK, Token: x.Token}, nil)
		if target.q.Kind == wire.KindAcquireAll {
			m.holdAll(target, x.Token)
			return
		}
		m.hold(target, x.Token)
		return
	}
	if target.q.Kind == wire.KindConvert {
		m.converted(target, x)
		return
	}
	m.c.w.witness.cancelled(target)
}

// got compares a read with what the log says of the lock at that slot.
func (m *membership) got(k *call, x *wire.Response) {
	w := m.c.w
	info := wire.LockInfo{}
	if x.Status == wire.StatusOK {
		var err error
		decode := wire.DecodeLockInfo
		if k.flags&wire.FlagVersion3 != 0 {
			decode = wire.DecodeLockInfo3
		}
		if info, err = decode(x.Payload); err != nil {
			w.failf("lock of group %d does not decode: %v", m.group, err)
			return
		}
	}
	var holders []uint64
	for i := range info.Holders {
		holders = append(holders, info.Holders[i].Token)
	}
	w.witness.answered(k, x, holders)
	m.saw(k.q.Name, &info)
	v := w.models[m.group].At(k.q.Name, x.Slot)
	if v.Vague {
		return
	}
	token := lockfsm.Token(0)
	if len(info.Holders) > 0 {
		token = lockfsm.Token(info.Holders[0].Token)
	}
	first := lockfsm.Token(0)
	if v.Holders > 0 {
		first = v.Tokens[0]
	}
	if int(info.HolderCount) != v.Holders || int(info.WaiterCount) != v.Waiters || token != first {
		w.failf("I24: read of %q at slot %d of group %d shows %d holders, %d waiters, token %d; "+
			"the log says %d, %d, %d", k.q.Name, x.Slot, m.group, info.HolderCount,
			info.WaiterCount, token, v.Holders, v.Waiters, first)
	}
	if k.flags&wire.FlagVersion3 != 0 {
		m.sawData(k, &info, v.Data)
		w.sawValue(&k.q, x, &info.Value, v.Value)
	}
}
