package lockfsm

import "bytes"

// A gate is a name at which one waits without ever holding anything: whoever
// waits is let through together with all others, in one Apply. A gate that keeps
// nobody waiting and has nothing to remember is no entry at all.
//
// A latch is shut as long as its count is not zero, and an event as long as it
// is not set. What stands, a latch with a count or an event that is set, is a
// hold in the lock's list that belongs to nobody: a detached hold of owner zero,
// whose token says which it is, which ends by its own time if it has one, and
// is counted and bounded like other detached holds. A barrier has no hold: it is
// those who wait at it, and opens for them when they are as many as it wants.

// GateKind is what sort of gate a name is.
type GateKind uint8

// The kinds of gate. Zero is none of them.
const (
	GateLatch   GateKind = 1 // opens when it has been counted down to zero
	GateEvent   GateKind = 2 // is open while it is set
	GateBarrier GateKind = 3 // opens for those who wait when they are enough

	gateEnd = 4
)

// String returns the name of the kind, empty for none.
func (k GateKind) String() string {
	return [...]string{"", "latch", "event", "barrier"}[min(k, gateEnd)%gateEnd]
}

// forever is the deadline of what has no time of its own.
const forever = Time(1<<63 - 1)

// timeless reports whether s is something that stands and never runs out.
func (s *session) timeless() bool { return s.kind == kindDetached && s.lease == 0 }

// gate is the kind of gate that a lock is. It stands in the count of a mode that
// no gate has; number in those in which a semaphore has its capacity.
func (l *lock) gate() GateKind {
	if l.flags&entrySemaphore == 0 {
		return 0
	}
	return GateKind(l.counts[ModeCR])
}

// number is what is left to count of a latch, how many a barrier wants, and the
// capacity of a semaphore.
func (l *lock) number() uint32 {
	if l.flags&entrySemaphore == 0 {
		return 0
	}
	return uint32(l.counts[2]) | uint32(l.counts[3])<<16
}

func (l *lock) setNumber(n uint32) { l.counts[2], l.counts[3] = uint16(n), uint16(n>>16) }

// becomeGate makes an unused entry a gate.
func (l *lock) becomeGate(k GateKind, n uint32) {
	l.flags |= entrySemaphore
	l.counts = [modeCount]uint16{ModeCR: uint16(k)}
	l.setNumber(n)
}

// atGate executes a command at a gate.
func (m *Machine) atGate(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Request}
	sr, code := m.enter(c, out)
	if code != CodeOK {
		return res.with(code)
	}
	s := m.sessions.at(sr)
	if c.Op == OpAwait && s.flags&entryParked != 0 {
		return res.with(CodeStaleEpoch) // as for an acquire
	}
	if code := m.checkGate(c); code != CodeOK {
		return res.with(code)
	}
	m.confirm(sr, c.Done)
	if r := m.findAnswer(sr, c.Request); r != 0 {
		return m.answerAgain(r, res)
	}
	if r := m.findClaim(s, c.Request); r != 0 {
		return m.awaitAgain(r, c, res)
	}
	lr := m.findLock(c.Name, m.hashName(c.Name))
	inUse := lr != 0 && !m.locks.at(lr).ghost()
	if inUse && !m.locks.at(lr).isGate(c) {
		return m.locks.at(lr).otherKind(res)
	}
	if !inUse {
		lr = 0
	}
	switch c.Op {
	case OpAwait:
		return m.awaitGate(c, sr, lr, res, out)
	case OpCountDown:
		return m.countDown(c, sr, lr, res, out)
	case OpSet:
		return m.set(c, sr, lr, res, out)
	default:
		return m.reset(c, sr, lr, res, out)
	}
}

// isGate reports whether a lock is the gate that a command takes it for.
func (l *lock) isGate(c *Command) bool {
	return l.gate() == c.Gate && (c.Gate != GateBarrier || c.Op != OpAwait || l.number() == c.Count)
}

// checkGate judges the fields of a command at a gate by themselves.
func (m *Machine) checkGate(c *Command) Code {
	counts := c.Op == OpCountDown || c.Op == OpSet && c.Gate == GateLatch ||
		c.Op == OpAwait && c.Gate == GateBarrier
	switch {
	case c.Request == 0 || c.Done > c.Request:
		return CodeBadRequest
	case c.Gate == 0 || c.Gate >= gateEnd || counts != (c.Count != 0):
		return CodeBadRequest
	case c.Flags&^Wait != 0 || c.Flags != 0 && c.Op != OpAwait || c.Lease != 0 && c.Op != OpSet:
		return CodeBadRequest
	case c.Gate == GateBarrier && (c.Op == OpSet || c.Op == OpAwait && c.Flags&Wait == 0):
		return CodeBadRequest
	case c.Op == OpCountDown && c.Gate != GateLatch:
		return CodeBadRequest
	case c.Lease != 0 && !m.validHold(c.Lease):
		return CodeBadLease
	case c.Op == OpAwait && c.Count > m.limits.WaitersPerLock:
		return CodeTooManyWaiters
	case len(c.Name) == 0:
		return CodeBadName
	case len(c.Name) > int(m.limits.NameBytes):
		return CodeNameTooLong
	default:
		return CodeOK
	}
}

// answerAgain answers a request that has had its effect.
func (m *Machine) answerAgain(r ref, res Result) Result {
	a := m.answers.at(r)
	switch {
	case a.op != res.Op:
		return res.with(CodeRequestReused)
	case a.op == OpCountDown:
		res.Left = uint32(a.value)
	default:
		res.Token = Token(a.value)
	}
	return res.with(a.code)
}

// awaitAgain answers a request that has a claim: it waits still, or is not one
// of a gate.
func (m *Machine) awaitAgain(r ref, c *Command, res Result) Result {
	l := m.locks.at(m.claims.at(r).lock)
	if c.Op != OpAwait || !l.isGate(c) || !bytes.Equal(m.lockName(l), c.Name) {
		return res.with(CodeRequestReused)
	}
	res.Waiting = l.waiting
	return res.with(CodeQueued)
}

// awaitGate lets a request through if the gate is open, and puts it into the queue
// if not. Who comes through at once has changed nothing: no answer is kept.
func (m *Machine) awaitGate(c *Command, sr, lr ref, res Result, out *Outcome) Result {
	hold := ref(0)
	if lr != 0 {
		hold = m.locks.at(lr).holders
	}
	switch {
	case c.Gate == GateLatch && hold == 0:
		return res.with(CodeOK)
	case c.Gate == GateEvent && hold != 0:
		res.Token = m.claims.at(hold).stamp
		return res.with(CodeOK)
	case c.Flags&Wait == 0:
		if hold != 0 {
			res.HolderToken = m.claims.at(hold).stamp
		}
		return res.with(CodeHeld)
	}
	if code := m.roomForGate(lr, sr); code != CodeOK {
		return res.with(code)
	}
	if lr != 0 && c.Gate != GateBarrier && m.locks.at(lr).waiting >= m.limits.WaitersPerLock {
		return res.with(CodeTooManyWaiters)
	}
	lr = m.takeGate(lr, c)
	r := m.allocClaim()
	*m.claims.at(r) = claim{request: c.Request, lock: lr, session: sr, mode: ModeNL,
		since: m.logTime}
	m.joinSession(r)
	m.enqueue(r)
	m.touchLock(lr)
	l := m.locks.at(lr)
	if c.Gate == GateBarrier && m.arrived(l) >= l.number() {
		m.stamps++
		res.Token = m.stamps
		m.letThrough(lr, answer{op: OpAwait, code: CodeOK, value: uint64(m.stamps)}, r, out)
		m.settle(lr)
		return res.with(CodeOK)
	}
	res.Waiting = l.waiting
	return res.with(CodeQueued)
}

// roomForGate checks the limits that one more claim and answer could break.
func (m *Machine) roomForGate(lr, sr ref) Code {
	if code := m.roomForAnswer(m.sessions.at(sr)); code != CodeOK {
		return code
	}
	return m.roomFor(lr, m.sessions.at(sr))
}

// takeGate returns the entry of a gate, new if lr is zero.
func (m *Machine) takeGate(lr ref, c *Command) ref {
	if lr != 0 {
		return lr
	}
	hash := m.hashName(c.Name)
	if lr = m.findLock(c.Name, hash); lr == 0 {
		lr = m.newLock(c.Name, hash)
	}
	m.lockCount++
	n := c.Count
	if c.Gate == GateEvent {
		n = 0
	}
	m.locks.at(lr).becomeGate(c.Gate, n)
	return lr
}

// arrived counts those who wait at a barrier, without those whose session has
// ended. It looks only if all together would be enough.
func (m *Machine) arrived(l *lock) uint32 {
	if plantedIs("barrier-counts-the-dead") {
		return l.waiting
	}
	n := l.waiting
	if n < l.number() {
		return n
	}
	for r := l.waiters; r != 0; r = m.claims.at(r).next {
		if m.sessions.at(m.claims.at(r).session).flags&entryEnding != 0 {
			n--
		}
	}
	return n
}

// letThrough ends all waits at a gate with an answer, and returns how many. It
// does so for parked sessions too: to be let through takes nothing from anybody,
// and who comes back finds the answer. The one of the request being executed
// gets no event. Requires: what is left of the gate is settled by the caller.
func (m *Machine) letThrough(lr ref, a answer, asking ref, out *Outcome) int {
	l := m.locks.at(lr)
	n := 0
	for l.waiters != 0 {
		r := l.waiters
		c := m.claims.at(r)
		sr := c.session
		s := m.sessions.at(sr)
		e := Event{Kind: EventGranted, Session: s.id, Request: c.request, Token: Token(a.value)}
		switch {
		case s.flags&entryEnding != 0:
			e.Kind, e.Token = EventWaitEnded, 0
		case a.code == CodeBroken:
			e.Kind = EventBroken
		}
		if r != asking {
			e.Name = out.copyName(m.lockName(l))
			out.Events = append(out.Events, e)
		}
		m.unlink(&l.waiters, r)
		l.waiting--
		m.leaveSession(r)
		if e.Kind != EventWaitEnded {
			a.request = e.Request
			m.keep(sr, a)
		}
		n++
		if plantedIs("latch-releases-one") && l.gate() == GateLatch && a.code == CodeOK {
			break
		}
	}
	m.touchLock(lr)
	return n
}

// countDown takes from a latch what a request counts. One that is at zero stays
// there.
func (m *Machine) countDown(c *Command, sr, lr ref, res Result, out *Outcome) Result {
	if lr == 0 {
		return res.with(CodeOK)
	}
	if code := m.roomForAnswer(m.sessions.at(sr)); code != CodeOK {
		return res.with(code)
	}
	l := m.locks.at(lr)
	res.Left = l.number() - min(l.number(), c.Count)
	if plantedIs("latch-opens-early") && res.Left == 1 {
		res.Left = 0
	}
	m.keep(sr, answer{request: c.Request, op: c.Op, code: CodeOK, value: uint64(res.Left)})
	l.setNumber(res.Left)
	m.touchLock(lr)
	if res.Left == 0 {
		m.stamps++
		m.letThrough(lr, answer{op: OpAwait, code: CodeOK, value: uint64(m.stamps)}, 0, out)
		m.dropClaim(l.holders, endReleased, out)
	}
	return res.with(CodeOK)
}

// set gives a latch its count, or sets an event. A latch that has a count keeps
// it; an event that is set is given the new time.
func (m *Machine) set(c *Command, sr, lr ref, res Result, out *Outcome) Result {
	s := m.sessions.at(sr)
	if code := m.roomForAnswer(s); code != CodeOK {
		return res.with(code)
	}
	hold := ref(0)
	if lr != 0 {
		hold = m.locks.at(lr).holders
	}
	if hold != 0 && c.Gate == GateLatch {
		res.Left = m.locks.at(lr).number()
		return res.with(CodeAlreadySet)
	}
	if hold == 0 {
		switch {
		case m.claimCount+m.answerCount+1 >= m.limits.Claims:
			return res.with(CodeTooManyClaims) // for the hold and the answer
		case m.detachedCount+m.lingers >= m.limits.Detached:
			return res.with(CodeTooManyDetached)
		case lr == 0 && m.lockCount >= m.limits.Locks:
			return res.with(CodeTooManyLocks)
		}
		lr = m.takeGate(lr, c)
		hold = m.stand(lr)
	}
	m.lives(m.claims.at(hold).session, c.Lease)
	res.Token = m.claims.at(hold).stamp
	m.keep(sr, answer{request: c.Request, op: c.Op, code: CodeOK, value: uint64(res.Token)})
	if c.Gate == GateEvent {
		m.letThrough(lr, answer{op: OpAwait, code: CodeOK, value: uint64(res.Token)}, 0, out)
	}
	m.touchLock(lr)
	return res.with(CodeOK)
}

// stand gives a gate the hold of nobody that says that it stands.
func (m *Machine) stand(lr ref) ref {
	of := m.newSession(kindDetached)
	m.sessions.at(of).deadline = forever
	r := m.allocClaim()
	// Nobody asked with this number: it is what finds the claim in the index.
	*m.claims.at(r) = claim{request: RequestID(m.stamps + 1), lock: lr, session: of, mode: ModeNL}
	m.joinSession(r)
	m.grant(r)
	m.addDetached(of, m.claims.at(r).stamp)
	return r
}

// lives gives what stands a time of its own from now, or, with zero, none.
func (m *Machine) lives(of ref, d Millis) {
	s := m.sessions.at(of)
	if !s.timeless() {
		m.due.remove(of)
	}
	s.lease, s.deadline = d, forever
	if d != 0 {
		s.deadline = m.logTime + Time(d)
		m.due.push(of)
	}
	m.touchSession(of)
}

// reset takes a latch away, sets an event back, or breaks a barrier. Who waits
// for a latch or at a barrier is told that it broke; who waits for an event goes
// on waiting.
func (m *Machine) reset(c *Command, sr, lr ref, res Result, out *Outcome) Result {
	if lr == 0 || c.Gate == GateEvent && m.locks.at(lr).holders == 0 {
		return res.with(CodeOK)
	}
	if code := m.roomForAnswer(m.sessions.at(sr)); code != CodeOK {
		return res.with(code)
	}
	m.keep(sr, answer{request: c.Request, op: c.Op, code: CodeOK})
	m.breakGate(lr, out)
	return res.with(CodeOK)
}

// breakGate ends what stands of a gate, and tells those who wait. It returns how
// many they were.
func (m *Machine) breakGate(lr ref, out *Outcome) int {
	n := m.letThrough(lr, answer{op: OpAwait, code: CodeBroken}, 0, out)
	if hold := m.locks.at(lr).holders; hold != 0 {
		m.dropClaim(hold, endReleased, out)
	} else {
		m.settle(lr)
	}
	return n
}
