package lockfsm

// release gives back the hold that has the command's token. A token that the
// session does not hold, or no longer, changes nothing (I18).
func (m *Machine) release(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Token: c.Token,
		Detached: c.Flags&Detached != 0}
	if c.Flags&Wait != 0 {
		return res.with(CodeBadRequest)
	}
	var of *session
	if !res.Detached {
		sr, code := m.enter(c, out)
		if code != CodeOK {
			return res.with(code)
		}
		of = m.sessions.at(sr)
	}
	r := m.findHold(c, of)
	if r == 0 {
		return res.with(CodeNotHolder)
	}
	cl := m.claims.at(r)
	if m.stack(m.locks.at(cl.lock), cl) != nil {
		return res.with(CodeBadRequest) // it does not say which level
	}
	res.Request = cl.request
	m.dropClaim(r, endReleased, out)
	return res.with(CodeOK)
}

// findHold returns the hold that a command names by lock, owner and token. of
// is the command's session, or nil if it names a detached hold.
//
// The lock's holders and the session's claims both stand in the order of their
// stamps, so it walks both from both ends at once, until it is past the token in one of
// them: what was taken first or last is found at once. A detached hold has
// an entry of its own: anybody may name one, and nobody walks for that.
func (m *Machine) findHold(c *Command, of *session) ref {
	lr := m.findLock(c.Name, m.hashName(c.Name))
	if lr == 0 || m.locks.at(lr).gate() != 0 {
		return 0
	}
	if of == nil {
		return m.findOwners(c, lr)
	}
	l := m.locks.at(lr)
	if of.claims == 0 || l.holders == 0 {
		return 0
	}
	old, young := l.holders, m.claims.at(l.holders).prev
	first, last := of.claims, m.claims.at(of.claims).ownPrev
	for {
		m.looks++
		for _, r := range [...]ref{old, young, first, last} {
			h := m.claims.at(r)
			if (h.stamp == c.Token || plantedIs("unlock-without-token")) && h.state == claimHolds &&
				h.lock == lr && m.sessions.at(h.session) == of {
				return r
			}
		}
		if !m.between(old, young, c.Token) || !m.between(first, last, c.Token) {
			return 0
		}
		old, young = m.claims.at(old).next, m.claims.at(young).prev
		first, last = m.claims.at(first).ownNext, m.claims.at(last).ownPrev
	}
}

// between reports whether a claim with a stamp may stand between two of a list that is in
// the order of stamps.
func (m *Machine) between(before, after ref, stamp Token) bool {
	a, b := m.claims.at(before).stamp, m.claims.at(after).stamp
	return a < stamp && stamp < b
}

// findOwners returns the detached hold of a lock that has the command's owner and token.
func (m *Machine) findOwners(c *Command, lr ref) ref {
	if plantedIs("unlock-without-token") {
		for r := m.locks.at(lr).holders; r != 0; r = m.claims.at(r).next {
			s := m.sessions.at(m.claims.at(r).session)
			if s.kind == kindDetached && s.id == c.Session {
				return r
			}
		}
	}
	sr := m.findDetached(c.Token)
	if sr == 0 {
		return 0
	}
	s := m.sessions.at(sr)
	if s.id != c.Session || m.claims.at(s.claims).lock != lr {
		return 0
	}
	return s.claims
}

// cancel gives a request up. If it waits it is removed; if it holds, the
// answer is its token; if it is unknown it is as good as cancelled, because it
// cannot arrive later: the client sent it, if at all, at this epoch before the
// cancel or at a lower one, and lower epochs are refused from here on.
func (m *Machine) cancel(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Request}
	r, code := m.enter(c, out)
	if code != CodeOK {
		return res.with(code)
	}
	if c.Request == 0 {
		return res.with(CodeBadRequest)
	}
	if a := m.findAnswer(r, c.Request); a != 0 && m.answers.at(a).code == CodeOK {
		res.Token = Token(m.answers.at(a).value)
		return res.with(CodeAlreadyGranted)
	}
	cr := m.findClaim(m.sessions.at(r), c.Request)
	if cr == 0 {
		return res.with(CodeCancelled)
	}
	cl := m.claims.at(cr)
	if string(m.lockName(m.locks.at(cl.lock))) != string(c.Name) {
		return res.with(CodeRequestReused)
	}
	if m.holds(cl) && !plantedIs("cancel-drops-grant") {
		res.Token = m.base(cl).token()
		return res.with(CodeAlreadyGranted)
	}
	m.removeClaim(cr, out)
	return res.with(CodeCancelled)
}

// renewHold gives a detached hold another hold time, which may be shorter.
func (m *Machine) renewHold(c *Command) Result {
	res := Result{Op: c.Op, Session: c.Session, Token: c.Token, Detached: true}
	if !m.validHold(c.Lease) {
		return res.with(CodeBadLease)
	}
	r := m.findHold(c, nil)
	if r == 0 {
		return res.with(CodeNotHolder)
	}
	cl := m.claims.at(r)
	s := m.sessions.at(cl.session)
	res.Request = cl.request
	deadline := m.logTime + Time(c.Lease)
	s.lease = c.Lease
	if deadline >= s.deadline {
		s.deadline = deadline
	} else {
		m.due.remove(cl.session)
		s.deadline = deadline
		m.due.push(cl.session)
	}
	m.touchSession(cl.session)
	return res.with(CodeOK)
}

// dropClaim removes a hold, or a wait of an ended session, and what stands
// behind it, unless the hold is to be kept. It returns how many waiters that let in.
func (m *Machine) dropClaim(r ref, how ending, out *Outcome) int {
	m.doubt(m.claims.at(r), how)
	if until := m.keptUntil(r, how); until > m.logTime {
		m.noteEnd(r, how, EndedStays)
		return m.linger(r, until, out)
	}
	m.noteEnd(r, how, 0)
	c := m.claims.at(r)
	of := c.session
	s := m.sessions.at(of)
	if !m.holds(c) {
		name := out.copyName(m.lockName(m.locks.at(c.lock)))
		out.Events = append(out.Events, Event{Kind: EventWaitEnded, Session: s.id,
			Request: c.request, Name: name})
	}
	granted := m.removeClaim(r, out)
	if s.kind == kindDetached {
		if !s.timeless() {
			m.due.remove(of)
		}
		m.detachedCount--
		m.byToken.remove(m.hashToken(s.order), of)
		m.buryEntry(of)
	}
	return granted
}

// removeClaim takes a claim out of every list and pumps its lock. A claim that
// is left before its levels stays, for them; a part that waits takes all others
// with it.
func (m *Machine) removeClaim(r ref, out *Outcome) int {
	c := m.claims.at(r)
	lr := c.lock
	l := m.locks.at(lr)
	switch c.state {
	case claimEnters:
		m.dropLevel(r)
		return 0
	case claimConverted:
		m.dropConversion(r)
		return 0
	case claimWaits:
		if c.isPart() {
			return m.removeParts(r, out)
		}
	}
	k := m.stack(l, c)
	if k != nil && k.levels != 0 {
		m.succeed(r, k)
		return 0
	}
	m.undetect(r)
	if !c.queued() {
		m.endConversion(r, out) // whose owner is that of the hold
	}
	if k != nil {
		m.disown(r)
	}
	// Nobody gets his turn by the going of one who was passed over.
	quiet := c.queued() && l.flags&entryQuiet != 0 && m.sessions.at(c.session).dormant()
	if c.queued() {
		m.unlink(&l.waiters, r)
		l.waiting--
		if c.state == claimConverts {
			m.detach(r)
		}
	} else {
		m.mark(c, c.flags&^claimTurned)
		m.unhold(l, r)
	}
	m.leaveSession(r)
	granted := 0
	if !quiet {
		granted = m.pump(lr, 0, out)
	}
	m.settle(lr)
	return granted
}
