package sim

import (
	"slices"

	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// work gives a client something to do, again and again.
func (c *client) work() {
	c.w.agenda.After(c.dice.around(c.w.opts.Think), func() {
		if c.pausedUntil <= c.w.agenda.Now() {
			c.expire()
			if c.leaving {
				c.leave()
			} else {
				c.task()
			}
			c.pump()
		}
		c.work()
	})
}

// maxCalls bounds what a client has open in one group.
const maxCalls = 6

// task does one thing.
func (c *client) task() {
	m := c.groups[c.dice.IntN(len(c.groups))]
	full := len(m.calls) >= maxCalls
	if c.w.opts.Converts && !full && c.dice.permille(200) {
		c.convert(m)
		return
	}
	if c.w.opts.Several && !full && c.dice.permille(200) {
		c.several(m)
		return
	}
	if c.w.opts.Gates && !full && c.dice.permille(200) {
		c.gate(m)
		return
	}
	if c.w.opts.Forces && !full && c.dice.permille(60) && c.force(m) {
		return
	}
	if c.dice.permille(100) && c.renew(m) {
		return
	}
	switch n := c.dice.IntN(100); {
	case n < 40 && !full:
		c.acquire(m)
	case n < 70:
		if !c.w.opts.Terms || full || c.dice.permille(700) || !c.amend(m) {
			c.release(m)
		}
	case n < 78:
		c.cancel(m)
	case n < 88 && !full:
		m.ask(c.get(m))
	case n < 91 && !full:
		m.ask(&call{q: check.Question{Kind: wire.KindList, After: c.w.cursor(c.dice, m.group)}})
	case n < 92 && !full:
		m.ask(&call{q: check.Question{Kind: wire.KindStatus}})
	case n < 95 && !full && !c.w.opts.Search:
		c.detach(m)
	case n < 97:
		c.renew(m)
	case n < 98 && m.session != 0:
		c.close(m)
	case n == 98 && !full && c.w.opts.Faults&FaultMixed == 0:
		m.checkTokens()
	case n == 99 && !full && m.session != 0 && c.w.opts.Faults&FaultMixed == 0:
		m.ask(&call{q: check.Question{Kind: wire.KindFindSession, Nonce: m.nonce}})
	}
}

// askAt asks a node about a lock of each group of which the client takes it for
// the leader.
func (c *client) askAt(s *site) {
	for _, m := range c.groups {
		if m.route == int(s.id)-1 && c.conns[m.route] != nil && c.pausedUntil <= c.w.agenda.Now() &&
			len(m.calls) < maxCalls && !c.leaving {
			m.ask(&call{q: check.Question{Kind: wire.KindGet, Name: c.name(m)}})
			m.pump()
		}
	}
}

func (c *client) name(m *membership) string {
	return c.w.names[m.group][c.dice.IntN(c.w.opts.Names)]
}

// ask adds a call.
func (m *membership) ask(k *call) {
	m.c.nextRequest++
	k.q.Group, k.q.Request = m.group, m.c.nextRequest
	m.calls = append(m.calls, k)
}

// maxGranted is how many grants a client remembers in a group.
const maxGranted = 8

// checkTokens asks which of the tokens it was given are those of present holds,
// and of a token that may be another's.
func (m *membership) checkTokens() {
	k := &call{q: check.Question{Kind: wire.KindCheckTokens}}
	k.q.Checks = append(k.q.Checks, m.granted...)
	k.q.Checks = append(k.q.Checks, check.TokenRef{
		Token: lockfsm.Token(m.c.dice.IntN(100)), Name: m.c.name(m)})
	m.ask(k)
}

// wireRefs puts tokens into the form of the wire.
func wireRefs(refs []check.TokenRef) []wire.TokenRef {
	var all []wire.TokenRef
	for _, r := range refs {
		all = append(all, wire.TokenRef{Token: uint64(r.Token), Name: []byte(r.Name)})
	}
	return all
}

func (c *client) acquire(m *membership) {
	k := &call{q: check.Question{Kind: wire.KindAcquire, Name: c.name(m)}}
	k.mode = wire.ModeEX
	if c.dice.permille(400) {
		k.mode = wire.Mode(c.dice.IntN(6))
	}
	if c.w.opts.Converts && c.dice.permille(500) {
		k.mode = wire.ModePR
	}
	if c.dice.permille(200) {
		k.weight = uint8(c.dice.IntN(3))
	}
	if c.dice.permille(650) {
		k.flags = wire.FlagWait
	} else if c.dice.permille(300) {
		k.flags = wire.FlagDetails
	}
	k.q.Mode = lockfsm.Mode(k.mode)
	switch {
	case c.w.opts.Search:
		k.exclusive()
	case c.w.opts.Semaphores && c.dice.permille(300):
		k.take(c.dice)
	case c.w.opts.Owners && c.dice.permille(400):
		if c.dice.permille(500) {
			m.cross()
			return
		}
		m.enter(k)
	}
	if c.w.opts.Terms {
		c.wantsValue(m, k)
	}
	if c.w.opts.Terms && c.dice.permille(400) {
		k.terms = c.dice.terms()
		c.dice.times(k.terms)
		c.dice.maxHold(k.terms)
	}
	m.ask(k)
}

// semaphoreCapacity is the capacity of a name that is used as a semaphore; every
// name is at times.
const semaphoreCapacity = 3

// take makes an acquire one of permits.
func (k *call) take(d dice) {
	k.q.Kind, k.mode, k.q.Mode = wire.KindTake, wire.ModeNL, lockfsm.ModeNL
	k.permits = uint32(d.between(1, semaphoreCapacity))
	k.q.Permits = lockfsm.Permits(k.permits)
}

// enter makes an acquire one of an owner, who often has the lock already, or
// waits for it.
func (m *membership) enter(k *call) {
	d := m.c.dice
	k.q.Kind, k.owner = wire.KindEnter, uint64(d.between(1, 2))
	if k.flags&wire.FlagWait != 0 && d.permille(500) {
		k.flags |= detects
	}
	if d.permille(800) {
		k.mode, k.q.Mode = wire.ModeEX, lockfsm.ModeEX
	}
	if d.permille(400) {
		return
	}
	for _, h := range m.holds {
		if h.enters != 0 && d.permille(500) {
			k.q.Name, k.owner = h.name, h.enters
			return
		}
	}
	for _, o := range m.calls {
		if o.owner != 0 && d.permille(500) {
			k.q.Name, k.owner = o.q.Name, o.owner
			return
		}
	}
}

// detach takes a hold that lives without a session.
func (c *client) detach(m *membership) {
	k := &call{q: check.Question{Kind: wire.KindAcquire, Name: c.name(m),
		Session: c.dice.Uint64() | wire.DetachedOwner}}
	k.mode, k.flags, k.q.Mode = wire.ModeEX, wire.FlagDetached, lockfsm.ModeEX
	k.ttl = lockfsm.Millis(c.dice.between(300, 5000))
	if c.w.opts.Terms && c.dice.permille(400) {
		k.terms = c.dice.terms()
		c.dice.times(k.terms)
		c.dice.maxHold(k.terms)
	}
	m.ask(k)
}

// release gives a hold back.
func (c *client) release(m *membership) {
	var have []*hold
	for _, h := range m.holds {
		if !h.released {
			have = append(have, h)
		}
	}
	if len(have) == 0 {
		return
	}
	m.giveBack(have[c.dice.IntN(len(have))])
}

func (m *membership) giveBack(h *hold) {
	if m.giveAllBack(h) {
		return
	}
	h.released = true
	q := check.Question{Kind: wire.KindRelease, Name: h.name, Token: h.token, Session: h.owner}
	switch {
	case h.moves:
		q.Kind, q.Target = wire.KindGiveBack, h.request
	case h.enters != 0:
		q.Kind, q.Target = wire.KindLeave, h.request
	}
	m.ask(&call{q: q, hold: h})
}

// leavesSome reports whether a call takes back one of several acquires of an owner: done
// twice it would take back another.
func (m *membership) leavesSome(k *call) bool {
	return k.q.Kind == wire.KindLeave && slices.ContainsFunc(m.holds, func(h *hold) bool {
		return h != k.hold && h.name == k.q.Name && h.token == k.q.Token
	})
}

// cancel gives a request up that has no answer yet.
func (c *client) cancel(m *membership) {
	for _, k := range m.calls {
		if k.q.Kind.Waits() && k.ofSession() && k.began != 0 && !m.cancels(k) {
			m.ask(&call{q: check.Question{Kind: wire.KindCancel, Name: k.q.Name,
				Target: k.q.Request}})
			return
		}
	}
}

// cancels reports whether a call is being cancelled already.
func (m *membership) cancels(k *call) bool {
	return slices.ContainsFunc(m.calls, func(o *call) bool { return o.q.Target == k.q.Request })
}

// overtakes reports whether a call that waits to be sent would come after what
// cancels it. The nodes know no more of the cancelled then, and would do it; a cancel
// whose target has come to wait in an earlier epoch may be the first to be sent.
func (m *membership) overtakes(k *call) bool {
	return slices.ContainsFunc(m.calls, func(o *call) bool {
		return o.q.Target == k.q.Request && (o.conn != nil || k.busyIn == m.epoch)
	})
}

// renew extends a detached hold, if the client has one.
func (c *client) renew(m *membership) bool {
	for _, h := range m.holds {
		if h.owner != 0 && !h.released {
			k := &call{q: check.Question{Kind: wire.KindRenewHold, Name: h.name, Token: h.token,
				Session: h.owner}, hold: h}
			// Never shorter than what is left, because until the answer comes
			// the client goes by what it knew.
			k.ttl = 5000
			m.ask(k)
			return true
		}
	}
	return false
}

// close ends a session with all it has.
func (c *client) close(m *membership) {
	for _, h := range m.holds {
		h.released = h.released || h.owner == 0
	}
	m.calls = slices.DeleteFunc(m.calls, func(k *call) bool {
		return k.ofSession() && k.conn == nil
	})
	m.ask(&call{q: check.Question{Kind: wire.KindCloseSession, Session: m.session}})
}

// leave takes one more step towards having nothing.
func (c *client) leave() {
	for _, m := range c.groups {
		for _, h := range slices.Clone(m.holds) {
			if !h.released {
				m.giveBack(h)
			}
		}
		c.cancel(m)
		if len(m.calls) == 0 && len(m.holds) == 0 && m.session != 0 {
			c.close(m)
		}
	}
}

// gone reports whether a leaving client has nothing any more.
func (c *client) gone() bool {
	for _, m := range c.groups {
		if len(m.calls) > 0 || len(m.holds) > 0 || m.session != 0 {
			return false
		}
	}
	return true
}
