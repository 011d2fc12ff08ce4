package lockfsm

// A claim with an owner may be entered again by that owner. Each further acquire
// is a claim of its own, a level on the first: with its own request id, by which
// a retry finds it, and by which OpLeave takes back exactly that one. There is
// no count that a retry could raise or lower twice. The lock's lists, its token
// and its queue know only the first claim; if that is left before its levels,
// the oldest of them lends it its request id and is used up.

// stack is what a claim with an owner has beyond one without. An entry of
// claims refers to it by extra.
type stack struct {
	owner Owner
	// levels are the claims on top of the first, oldest first; in a free entry,
	// the next free one.
	levels ref
	count  uint32 // of levels
}

// stack returns the stack of a claim, nil if it has no owner.
func (m *Machine) stack(l *lock, c *claim) *stack {
	if l.semaphore() || c.extra == 0 || c.state == claimEnters || c.converts() ||
		c.isPart() {
		return nil
	}
	return m.stacks.at(ref(c.extra))
}

// base returns the claim whose fate c shares: c itself, the one that c is a level
// on, or the hold that c has converted.
func (m *Machine) base(c *claim) *claim {
	if c.state == claimEnters || c.state == claimConverted {
		return m.claims.at(ref(c.extra))
	}
	return c
}

// baseOf is base for a place in the arena.
func (m *Machine) baseOf(r ref) ref {
	if c := m.claims.at(r); c.state == claimEnters || c.state == claimConverted {
		return ref(c.extra)
	}
	return r
}

// holds reports whether c, or the claim it is on, holds the lock.
func (m *Machine) holds(c *claim) bool { return m.base(c).state == claimHolds }

// ownerOf returns the owner of a claim or level, zero if it has none.
func (m *Machine) ownerOf(r ref) Owner {
	r = m.baseOf(r)
	c := m.claims.at(r)
	if c.isPart() {
		if x := m.termsOf(r); x != nil {
			return x.owner
		}
		return 0
	}
	if k := m.stack(m.locks.at(c.lock), c); k != nil {
		return k.owner
	}
	return 0
}

// owner is the owner of an acquire, zero if it has none.
func (c *Command) owner() Owner {
	if c.Op != OpEnter {
		return 0
	}
	return c.Owner
}

func (m *Machine) hashOwner(lr ref, s *session, o Owner) uint32 {
	return hashPair(m.limits.Seed+uint64(lr), uint64(s.id), uint64(o))
}

// findOwned returns the claim that an owner has on a lock, or zero.
func (m *Machine) findOwned(lr, sr ref, o Owner) ref {
	p := m.byOwner.probe(m.hashOwner(lr, m.sessions.at(sr), o))
	for r := p.next(); r != 0; r = p.next() {
		c := m.claims.at(r)
		if c.lock == lr && c.session == sr && m.stacks.at(ref(c.extra)).owner == o {
			return r
		}
	}
	return 0
}

// own gives a new claim its owner.
func (m *Machine) own(r ref, o Owner) {
	k := m.freeStack
	if k != 0 {
		m.freeStack = m.stacks.at(k).levels
	} else {
		k = m.stacks.grow()
	}
	*m.stacks.at(k) = stack{owner: o}
	m.stackCount++
	c := m.claims.at(r)
	c.extra = uint32(k)
	m.byOwner.insert(m.hashOwner(c.lock, m.sessions.at(c.session), o), r)
}

// disown takes the owner from a claim. Requires: it has one, and no levels.
func (m *Machine) disown(r ref) {
	c := m.claims.at(r)
	k := ref(c.extra)
	m.byOwner.remove(m.hashOwner(c.lock, m.sessions.at(c.session), m.stacks.at(k).owner), r)
	*m.stacks.at(k) = stack{levels: m.freeStack}
	m.freeStack = k
	m.stackCount--
	c.extra = 0
}

// deepen answers an acquire of an owner that has the claim br on the lock
// already: one more level, in the place that br has.
func (m *Machine) deepen(br ref, c *Command, res Result) Result {
	b := m.claims.at(br)
	l := m.locks.at(b.lock)
	switch {
	case b.mode != c.Mode || m.maxHold(br) != c.Terms.maxHold():
		return res.with(CodeOtherMode)
	case b.state == claimWaits && c.Flags&Wait == 0:
		return m.refuse(l, c.Mode, res)
	}
	r := m.allocClaim()
	m.stamps++
	*m.claims.at(r) = claim{request: c.Request, stamp: m.stamps, since: m.logTime, lock: b.lock,
		session: b.session, extra: uint32(br), mode: b.mode, weight: b.weight, state: claimEnters}
	m.joinSession(r)
	m.linkLevel(br, r)
	m.touchLock(b.lock)
	if b.state == claimHolds {
		res.Token = b.stamp
		return res.with(CodeOK)
	}
	res.Waiting = l.waiting
	return res.with(CodeQueued)
}

// linkLevel puts r on top of the claim br.
func (m *Machine) linkLevel(br, r ref) {
	k := m.stacks.at(ref(m.claims.at(br).extra))
	m.link(&k.levels, r, 0)
	k.count++
}

// dropLevel takes a level out of everything.
func (m *Machine) dropLevel(r ref) {
	c := m.claims.at(r)
	k := m.stacks.at(ref(m.claims.at(ref(c.extra)).extra))
	m.unlink(&k.levels, r)
	k.count--
	m.touchLock(c.lock)
	m.leaveSession(r)
}

// succeed lets the oldest level of a claim take the claim's place: the claim
// goes on under its request, with the token and the place it has.
func (m *Machine) succeed(br ref, k *stack) {
	r := k.levels
	b, c := m.claims.at(br), m.claims.at(r)
	s := m.sessions.at(b.session)
	old, next := b.request, c.request
	m.dropLevel(r)
	m.byRequest.remove(m.hashRequest(s, old), br)
	b.request = next
	m.byRequest.insert(m.hashRequest(s, next), br)
}

// leave takes back the acquire of an owner that has the command's request and
// token. One that is not there, or no longer, changes nothing, so that a retry
// takes back no other.
func (m *Machine) leave(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Request, Token: c.Token}
	sr, code := m.enter(c, out)
	if code != CodeOK {
		return res.with(code)
	}
	r := m.findClaim(m.sessions.at(sr), c.Request)
	if r == 0 && plantedIs("release-counted-twice") {
		r = m.findHold(c, m.sessions.at(sr))
	}
	if r == 0 {
		return res.with(CodeNotHolder)
	}
	cl := m.claims.at(r)
	l := m.locks.at(cl.lock)
	b := m.base(cl)
	switch {
	case cl.converts() || b.state != claimHolds || !b.knows(c.Token) ||
		string(m.lockName(l)) != string(c.Name):
		return res.with(CodeNotHolder)
	case m.stack(l, b) == nil:
		return res.with(CodeBadRequest)
	}
	m.dropClaim(r, endReleased, out)
	return res.with(CodeOK)
}
