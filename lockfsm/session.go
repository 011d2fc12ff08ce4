package lockfsm

import "encoding/binary"

// kind tells the two things with a deadline apart, and orders them where
// deadlines are equal.
type kind uint8

const (
	kindSession  kind = 1
	kindDetached kind = 2
)

// session is a session, or the owner of one detached hold: what lives until a
// deadline and has claims. A detached hold has an entry of its own even where
// several share an owner id, and exactly one claim.
type session struct {
	id       SessionID
	deadline Time
	// order is, for a detached hold, its token, and for an ending session its
	// place among those that end.
	order uint64
	nonce Nonce
	lease Millis
	epoch Epoch
	// claims is the head of the session's claims in the order of their stamps;
	// in a free entry, the next free one.
	claims    ref
	count     uint32
	name      nameRef
	heapAt    uint32 // place in the expiry heap while not ending
	endNext   ref    // next of those that end, see lastAnswer
	nameBytes uint16
	kind      kind
	flags     entryFlags
}

// expiryID orders entries of one kind with equal deadlines.
func (s *session) expiryID() uint64 {
	if s.kind == kindDetached {
		return s.order
	}
	return uint64(s.id)
}

// dormant reports whether waits of s must not be granted at present.
func (s *session) dormant() bool {
	if plantedIs("grant-to-dead-session") {
		return s.flags&entryParked != 0
	}
	if plantedIs("grant-to-parked-session") {
		return s.flags&entryEnding != 0
	}
	return s.flags&(entryParked|entryEnding) != 0
}

func (m *Machine) hashID(id SessionID) uint32 { return hashPair(m.limits.Seed, uint64(id), 0) }

func (m *Machine) hashNonce(n *Nonce) uint32 {
	return hashPair(m.limits.Seed,
		binary.LittleEndian.Uint64(n[:8]), binary.LittleEndian.Uint64(n[8:]))
}

func (m *Machine) findSession(id SessionID) ref {
	p := m.byID.probe(m.hashID(id))
	for r := p.next(); r != 0; r = p.next() {
		if m.sessions.at(r).id == id {
			return r
		}
	}
	return 0
}

func (m *Machine) findNonce(n *Nonce) ref {
	p := m.byNonce.probe(m.hashNonce(n))
	for r := p.next(); r != 0; r = p.next() {
		if m.sessions.at(r).nonce == *n {
			return r
		}
	}
	return 0
}

func (m *Machine) hashToken(t uint64) uint32 { return hashPair(m.limits.Seed, t, 1) }

// findDetached returns the entry of the detached hold that has a token, or zero.
func (m *Machine) findDetached(t Token) ref {
	p := m.byToken.probe(m.hashToken(uint64(t)))
	for r := p.next(); r != 0; r = p.next() {
		if m.sessions.at(r).order == uint64(t) {
			return r
		}
	}
	return 0
}

// addDetached counts a detached hold, and has it found by its token.
func (m *Machine) addDetached(r ref, t Token) {
	m.detachedCount++
	m.sessions.at(r).order = uint64(t)
	m.byToken.insert(m.hashToken(uint64(t)), r)
}

func (m *Machine) newSession(k kind) ref {
	r := m.freeSession
	if r != 0 {
		m.freeSession = m.sessions.at(r).claims
	} else {
		r = m.sessions.grow()
	}
	s := m.sessions.at(r)
	*s = session{kind: k, flags: s.flags&entryListed | entryUsed}
	return r
}

func (m *Machine) touchSession(r ref) {
	s := m.sessions.at(r)
	if s.flags&entryListed == 0 {
		s.flags |= entryListed
		m.dirtySessions = append(m.dirtySessions, r)
	}
}

// buryEntry is called when a session or detached hold is gone from every list.
// If a checkpoint has its record, a ghost stays until that is deleted.
func (m *Machine) buryEntry(r ref) {
	s := m.sessions.at(r)
	m.touchSession(r)
	if s.nameBytes > 0 {
		m.names.drop(s.name, int(s.nameBytes))
		s.nameBytes = 0
	}
	if s.flags&entryStored == 0 {
		m.freeEntry(r)
		return
	}
	s.flags |= entryGhost
}

func (m *Machine) freeEntry(r ref) {
	s := m.sessions.at(r)
	*s = session{flags: s.flags & entryListed, claims: m.freeSession}
	m.freeSession = r
}

func (m *Machine) openSession(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op}
	switch {
	case c.Nonce == Nonce{}:
		return res.with(CodeBadRequest)
	case c.Lease < m.limits.LeaseMin || c.Lease > m.limits.LeaseMax:
		return res.with(CodeBadLease)
	case len(c.Name) > int(m.limits.SessionNameBytes):
		return res.with(CodeNameTooLong)
	}
	if r := m.findNonce(&c.Nonce); r != 0 {
		return m.reopen(r, c, out)
	}
	if m.sessionCount >= m.limits.Sessions {
		return res.with(CodeTooManySessions)
	}
	m.lastSession++
	m.addSession(m.lastSession, c)
	res.Session = m.lastSession
	return res.with(CodeOK)
}

func (m *Machine) addSession(id SessionID, c *Command) ref {
	r := m.newSession(kindSession)
	s := m.sessions.at(r)
	s.id, s.nonce, s.lease, s.epoch = id, c.Nonce, c.Lease, c.Epoch
	s.deadline = m.logTime + Time(c.Lease)
	if len(c.Name) > 0 {
		s.name, s.nameBytes = m.names.put(c.Name), uint16(len(c.Name))
	}
	m.sessionCount++
	m.indexSession(r)
	m.byNonce.insert(m.hashNonce(&s.nonce), r)
	m.touchSession(r)
	return r
}

func (m *Machine) indexSession(r ref) {
	m.byID.insert(m.hashID(m.sessions.at(r).id), r)
	m.due.push(r)
}

// reopen answers a retried open. It renews, because the client counts its lease
// from the send of the retry.
func (m *Machine) reopen(r ref, c *Command, out *Outcome) Result {
	s := m.sessions.at(r)
	res := Result{Op: c.Op, Session: s.id}
	if c.Lease != s.lease {
		return res.with(CodeBadRequest)
	}
	s.deadline = m.logTime + Time(s.lease)
	m.touchSession(r)
	if c.Epoch > s.epoch {
		m.raise(r, c.Epoch, out)
	}
	return res.with(CodeOK)
}

// enter finds the session of a command and judges its epoch: it returns the
// session and CodeOK, or the code with which to refuse. A higher epoch is
// taken over.
func (m *Machine) enter(c *Command, out *Outcome) (ref, Code) {
	r := m.findSession(c.Session)
	if r == 0 {
		if plantedIs("unknown-session-recreated") && c.Session != 0 {
			lease := Command{Lease: m.limits.LeaseMax, Epoch: c.Epoch}
			binary.LittleEndian.PutUint64(lease.Nonce[:], uint64(c.Session))
			return m.addSession(c.Session, &lease), CodeOK
		}
		return 0, CodeSessionUnknown
	}
	s := m.sessions.at(r)
	switch {
	case s.flags&entryEnding != 0:
		return 0, CodeSessionEnded
	case c.Epoch < s.epoch && !plantedIs("stale-epoch-executed"):
		return 0, CodeStaleEpoch
	case c.Epoch > s.epoch && c.Op == OpPark:
		return 0, CodeStaleEpoch
	case c.Epoch > s.epoch && c.Op != OpLetGo: // which no client says
		m.raise(r, c.Epoch, out)
	}
	return r, CodeOK
}

// raise moves a session to a higher epoch and lets its waits count again.
func (m *Machine) raise(r ref, e Epoch, out *Outcome) {
	s := m.sessions.at(r)
	s.epoch = e
	m.touchSession(r)
	if s.flags&entryParked != 0 {
		s.flags &^= entryParked
		m.disturb()
		m.pumpWaits(s, out)
	}
}

// pumpWaits pumps every lock that s waits for. It collects them first, because
// a grant moves a claim within the session's list. A lock that was pumped is not
// pumped again as long as nothing is granted.
func (m *Machine) pumpWaits(s *session, out *Outcome) {
	m.order = m.order[:0]
	for r := s.claims; r != 0; r = m.claims.at(r).ownNext {
		if m.claims.at(r).queued() {
			m.order = append(m.order, r)
		}
	}
	since := 0
	for i, r := range m.order {
		c := m.claims.at(r)
		l := m.locks.at(c.lock)
		if !c.queued() || l.flags&(entryQuiet|entryPumped) != 0 {
			continue
		}
		l.flags |= entryPumped
		if m.pump(c.lock, 0, out) > 0 {
			m.unpump(m.order[since : i+1])
			since = i + 1
		}
	}
	m.unpump(m.order[since:])
}

// unpump forgets that the locks of claims were pumped.
func (m *Machine) unpump(claims []ref) {
	for _, r := range claims {
		m.locks.at(m.claims.at(r).lock).flags &^= entryPumped
	}
}

func (m *Machine) closeSession(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session}
	r, code := m.enter(c, out)
	if code != CodeOK {
		return res.with(code)
	}
	m.end(r, ReasonClosed, out)
	m.drain(out)
	return res.with(CodeOK)
}

func (m *Machine) park(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session}
	r, code := m.enter(c, out)
	if code != CodeOK {
		return res.with(code)
	}
	s := m.sessions.at(r)
	if s.flags&entryParked == 0 {
		s.flags |= entryParked
		m.disturb()
		m.touchSession(r)
		m.pumpWaits(s, out)
	}
	return res.with(CodeOK)
}

// letGo has a session whose conn is gone end sooner than its lease says, unless it is
// renewed before. What it then has is lost, as when its lease runs out.
func (m *Machine) letGo(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session}
	r, code := m.enter(c, out)
	if code != CodeOK {
		return res.with(code)
	}
	s := m.sessions.at(r)
	if deadline := m.logTime + Time(c.Lease); deadline < s.deadline {
		m.due.remove(r)
		s.deadline = deadline
		m.due.push(r)
		m.touchSession(r)
	}
	return res.with(CodeOK)
}

// end takes a session out of the living: it is refused from now on, its nonce
// is free, and drain releases what it has.
func (m *Machine) end(r ref, why Reason, out *Outcome) {
	s := m.sessions.at(r)
	m.due.remove(r)
	m.byNonce.remove(m.hashNonce(&s.nonce), r)
	answers := s.lastAnswer()
	s.flags |= entryEnding
	s.endNext = 0
	s.setLastAnswer(answers)
	m.disturb()
	m.endings++
	s.order = m.endings
	m.queueEnding(r)
	m.touchSession(r)
	m.work--
	out.Events = append(out.Events,
		Event{Kind: EventSessionEnded, Session: s.id, Reason: why})
}

func (m *Machine) queueEnding(r ref) {
	if m.endingHead == 0 {
		m.endingHead = r
	} else {
		m.sessions.at(m.endingTail).endNext = r
	}
	m.endingTail = r
}

// drain releases claims of ended sessions, first ended first and oldest stamp
// first, until none is left or the work of this Apply is done.
func (m *Machine) drain(out *Outcome) {
	for m.endingHead != 0 {
		r := m.endingHead
		s := m.sessions.at(r)
		for s.claims != 0 {
			if plantedIs("close-leaves-waits") && !m.holds(m.claims.at(s.claims)) {
				break
			}
			if m.work <= 0 {
				return
			}
			m.work -= 1 + m.dropClaim(s.claims, endLost, out)
		}
		if !m.dropAnswers(r) {
			return
		}
		m.endingHead = s.endNext
		if m.endingHead == 0 {
			m.endingTail = 0
		}
		m.byID.remove(m.hashID(s.id), r)
		m.sessionCount--
		m.buryEntry(r)
	}
}

// tick moves log time, renews, and then ends what is past its deadline, in
// this order (I20): a renewal that stands in a tick cannot lose to it.
//
// A step that was measured by an earlier leadership than the newest one that has
// counted does not move log time. Its slot was found, by a leader after that, in
// the log of a node which the newest did not ask; in the time that it measured, the
// newest may have led and counted, and started leases since (I21).
func (m *Machine) tick(t tick, out *Outcome) {
	delta := min(t.delta, m.limits.TickCap)
	if plantedIs("tick-uncapped") {
		delta = t.delta
	}
	switch {
	case !t.by.Before(m.clock):
		m.clock = t.by
	case !plantedIs("late-step-counts"):
		delta = 0
	}
	m.logTime += Time(delta)
	m.drain(out)
	if plantedIs("expire-before-renew") {
		m.expire(out)
	}
	for ids := t.ids; len(ids) > 0; ids = ids[8:] {
		id := SessionID(binary.LittleEndian.Uint64(ids))
		r := m.findSession(id)
		if r == 0 || m.sessions.at(r).flags&entryEnding != 0 {
			out.NotRenewed = append(out.NotRenewed, id)
			continue
		}
		s := m.sessions.at(r)
		s.deadline = m.logTime + Time(s.lease)
		m.touchSession(r)
	}
	m.expire(out)
}

// expire ends sessions, detached holds and holds past their max hold in the order
// of (deadline, kind, id) until the work of this Apply is done.
func (m *Machine) expire(out *Outcome) {
	for m.work > 0 {
		r, deadline := m.due.earliest(m.logTime), forever
		if r != 0 {
			deadline = m.sessions.at(r).deadline
		}
		if hold := m.overdue(deadline); hold != 0 {
			m.work -= m.overstay(hold, out)
			continue
		}
		if deadline > m.logTime {
			return
		}
		s := m.sessions.at(r)
		if s.kind == kindSession {
			m.end(r, ReasonExpired, out)
			m.drain(out)
			continue
		}
		c := m.claims.at(s.claims)
		name := out.copyName(m.lockName(m.locks.at(c.lock)))
		e := Event{Kind: EventLost, Session: s.id, Request: c.request, Token: c.stamp, Name: name}
		if s.id.kept() {
			e.Kind = EventFreed
		}
		out.Events = append(out.Events, e)
		if m.locks.at(c.lock).gate() != 0 {
			m.work -= 1 + m.breakGate(c.lock, out)
			continue
		}
		m.work -= 1 + m.dropClaim(s.claims, endLost, out)
	}
}
