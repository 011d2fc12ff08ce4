package lockfsm

// Refusal reports whether an acquire that does not wait would be refused as
// Held, changing nothing, if it were applied to the machine as it stands, and
// with which result. A leader that has confirmed that it leads may then answer
// it without a place in the log.
//
// It says no whenever applying the acquire could do anything else: an unknown
// session, another epoch than the session's, a request that was seen before, an
// owner that has a claim on the lock, or a lock of another kind; and always of an
// acquire of several names.
func (m *Machine) Refusal(c *Command) (Result, bool) {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Request,
		Detached: c.Flags&Detached != 0}
	if !c.Op.Acquires() || c.Op == OpAcquireAll || c.Flags&Wait != 0 || m.checkAcquire(c) != CodeOK {
		return res, false
	}
	owner := session{id: c.Session, kind: kindDetached}
	of, s := ref(0), &owner
	if !res.Detached {
		if of = m.findSession(c.Session); of == 0 {
			return res, false
		}
		s = m.sessions.at(of)
		if s.epoch != c.Epoch || s.flags&(entryParked|entryEnding) != 0 {
			return res, false
		}
	}
	if m.findClaim(s, c.Request) != 0 {
		return res, false
	}
	lr := m.findLock(c.Name, m.hashName(c.Name))
	if lr == 0 || m.roomFor(lr, s) != CodeOK {
		return res, false
	}
	l := m.locks.at(lr)
	asks := c.permits()
	if plantedIs("try-refused-for-any-permit") {
		asks = l.capacity()
	}
	if l.ghost() || l.gate() != 0 || l.capacity() != c.capacity() || m.admits(l, c.mode(), asks) {
		return res, false
	}
	if c.Op == OpEnter && m.findOwned(lr, of, c.Owner) != 0 {
		return res, false
	}
	if m.roomForTerms(c, 1) != CodeOK {
		return res, false
	}
	refusal := m.refuse(l, c.mode(), res)
	if plantedIs("try-refused-by-the-newest") {
		h := m.claims.at(m.claims.at(l.holders).prev)
		refusal.Holder, refusal.HolderToken = m.sessions.at(h.session).id, h.stamp
	}
	return refusal, true
}
