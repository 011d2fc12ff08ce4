package lockfsm

// A hold may stay taken after its end: until it is as old as its min hold, so that
// what was done is not repeated at once, or, if it ended by a lease that ran out or
// with its session, for its delay, so that what the lost holder has under way comes
// to an end before anybody else begins. It stays a hold in its mode or with its
// permits, as a detached one that nobody can name: whoever gets along with it is
// granted the lock, whoever does not waits. What it may take of the detached holds
// is set aside when it is asked for.

// keptBit tells what is kept from sessions and owners of detached holds: its id is
// this bit and its token.
const keptBit SessionID = 1 << 62

// kept reports whether an id is that of a hold which is kept after its end.
func (id SessionID) kept() bool { return id>>62 == 1 }

// ending tells how a hold ends.
type ending uint8

const (
	endReleased ending = iota // it is given back
	endLost                   // its session or its time is over
	endForced                 // somebody else ended it
)

// lingers reports whether the hold may be kept after its end.
func (x *termed) lingers() bool { return x.minHold > 0 || x.delay > 0 }

// countLinger adds n for a claim of a session that may be kept.
func (m *Machine) countLinger(r ref, x *termed, n int) {
	if x.lingers() && m.sessions.at(m.claims.at(r).session).kind == kindSession {
		m.lingers = uint32(int(m.lingers) + n)
	}
}

// keptUntil returns until when the claim r stays taken if it ends so now. Log time
// may be up to a tick behind the moment from which others count, so it is a tick
// more.
func (m *Machine) keptUntil(r ref, how ending) Time {
	x := m.termsOf(r)
	if x == nil || how == endForced || plantedIs("nothing-kept") {
		return 0
	}
	c := m.claims.at(r)
	until, tick := Time(0), Time(m.limits.TickCap)
	if k := m.stack(m.locks.at(c.lock), c); c.state != claimHolds || k != nil && k.levels != 0 {
		return 0
	}
	if x.minHold > 0 {
		until = c.since + Time(x.minHold) + tick
	}
	if how == endLost && x.delay > 0 {
		until = max(until, m.logTime+Time(x.delay)+tick)
	}
	return until
}

// linger ends a hold for its holder and keeps it taken. It returns how many waiters
// the end of its conversion let in.
func (m *Machine) linger(r ref, until Time, out *Outcome) int {
	c := m.claims.at(r)
	l := m.locks.at(c.lock)
	s := m.sessions.at(c.session)
	out.Events = append(out.Events, Event{Kind: EventKept, Session: s.id, Request: c.request,
		Token: c.stamp, Name: out.copyName(m.lockName(l))})
	m.endConversion(r, out)
	m.mark(c, c.flags&^claimTurned)
	if m.stack(l, c) != nil {
		m.disown(r)
	}
	m.uncap(r)
	x := *m.termsOf(r)
	x.maxHold, x.minHold, x.delay, x.owner = 0, 0, 0, 0
	m.setTerms(r, x)
	if c.isPart() {
		m.leaveParts(r)
	}
	m.byRequest.remove(m.hashRequest(s, c.request), r)
	if s.kind == kindSession {
		m.unlinkOwn(s, r)
		s.count--
		c.session = m.newSession(kindDetached)
		s = m.sessions.at(c.session)
		s.count = 1
		m.linkOwn(s, r)
		m.addDetached(c.session, c.stamp)
	} else {
		m.due.remove(c.session)
	}
	s.id, s.lease, s.deadline = keptBit|SessionID(c.stamp), Millis(until-m.logTime), until
	m.byRequest.insert(m.hashRequest(s, c.request), r)
	m.due.push(c.session)
	m.touchSession(c.session)
	m.touchLock(c.lock)
	return m.pump(c.lock, 0, out)
}
