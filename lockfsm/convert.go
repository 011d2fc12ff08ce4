package lockfsm

import "fmt"

// A hold can be converted to another mode. To a mode that is no stronger this is
// done at once. Anything else may have to wait, and then a claim of its own, with
// the request id of the command, stands in the queue of the lock, before all who
// hold nothing, in the order of arrival; the hold keeps its mode until its turn
// comes. Then it gets the new mode and a new token, and the claim stays with it as
// a receipt, by which a retry finds what became of the request, until the hold is
// converted again or ends.
//
// Waiting conversions never wait for each other in a circle. One that comes last
// waits for all before it; it is refused if one of those waits for the mode that
// its hold has. So of two waiting conversions the earlier is always compatible
// with the hold of the later, and the first of the queue waits for none of them.

// claimFlags say what is rare of a claim.
type claimFlags uint8

const (
	// claimMoved: the hold has been converted, so that it may be known by an
	// earlier token, and retries of its acquires name an earlier mode.
	claimMoved claimFlags = 1 << iota
	// claimHasConversion: byHold has a conversion of it.
	claimHasConversion
	// claimTermed: terms has an entry of the claim, which may wait too.
	claimTermed
	// claimDetects: the claim waits, and its owner gives nothing back meanwhile.
	claimDetects
	// claimFound: the search for a circle that runs has come to the claim.
	claimFound

	// claimTurned are the flags that conversions leave.
	claimTurned = claimMoved | claimHasConversion

	// claimPart: one of several of an acquire, see parts.go. Its extra is its number.
	claimPart claimFlags = 1 << 7
)

// converts reports whether the claim is a conversion, waiting or granted. Its
// extra is then the hold.
func (c *claim) converts() bool { return c.state == claimConverts || c.state == claimConverted }

// queued reports whether the claim stands in the queue of its lock.
func (c *claim) queued() bool { return c.state == claimWaits || c.state == claimConverts }

// noStronger reports whether whoever gets along with a hold in mode m gets along
// with one in mode to.
func (m Mode) noStronger(to Mode) bool { return m.compatible()&^to.compatible() == 0 }

// others returns the modes in which a lock is held beside one of its holds.
func (l *lock) others(hold *claim) modeSet {
	if l.counts[hold.mode] == 1 {
		return l.held &^ (1 << hold.mode)
	}
	return l.held
}

// grantable reports whether the holders let a claim of the queue have what it
// waits for.
func (m *Machine) grantable(l *lock, c *claim) bool {
	if c.state != claimConverts {
		return m.admits(l, c.mode, l.permits(c))
	}
	return l.others(m.claims.at(ref(c.extra)))&^c.mode.compatible() == 0
}

func (m *Machine) hashHold(hold ref) uint32 { return hashPair(m.limits.Seed, uint64(hold), 1) }

// conversionOf returns the conversion of a hold, or zero.
func (m *Machine) conversionOf(hold ref) ref {
	if m.claims.at(hold).flags&claimHasConversion == 0 {
		return 0
	}
	p := m.byHold.probe(m.hashHold(hold))
	for r := p.next(); r != 0; r = p.next() {
		if ref(m.claims.at(r).extra) == hold {
			return r
		}
	}
	panic("lockfsm: conversion of a hold: have none, want the one its flags promise")
}

// mark changes the flags of a hold and counts those that have any.
func (m *Machine) mark(hold *claim, flags claimFlags) {
	if hold.flags&claimTurned != 0 {
		m.convertedCount--
	}
	if flags&claimTurned != 0 {
		m.convertedCount++
	}
	hold.flags = flags
}

// attach makes the claim r the conversion of a hold that has none.
func (m *Machine) attach(hold, r ref) {
	m.claims.at(r).extra = uint32(hold)
	h := m.claims.at(hold)
	m.mark(h, h.flags|claimHasConversion)
	m.byHold.insert(m.hashHold(hold), r)
}

// detach undoes attach.
func (m *Machine) detach(r ref) {
	hold := ref(m.claims.at(r).extra)
	h := m.claims.at(hold)
	m.mark(h, h.flags&^claimHasConversion)
	m.byHold.remove(m.hashHold(hold), r)
}

// knows reports whether a token is that of a hold, or may have been before the
// hold was converted.
func (c *claim) knows(t Token) bool {
	return t == c.stamp || c.flags&claimMoved != 0 && t < c.stamp && t != 0
}

// convert asks for another mode of the hold that came of the acquire named by
// Target.
func (m *Machine) convert(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Request,
		Detached: c.Flags&Detached != 0}
	if c.Request == 0 || c.Target == 0 || c.Flags&Detached != 0 && c.Flags&Wait != 0 {
		return res.with(CodeBadRequest)
	}
	owner := session{id: c.Session, kind: kindDetached}
	s := &owner
	if !res.Detached {
		r, code := m.enter(c, out)
		if code != CodeOK {
			return res.with(code)
		}
		if s = m.sessions.at(r); s.flags&entryParked != 0 {
			return res.with(CodeStaleEpoch)
		}
	}
	if !c.Mode.Valid() {
		return res.with(CodeBadMode)
	}
	if r := m.findClaim(s, c.Request); r != 0 {
		return m.convertAgain(r, c, res)
	}
	tr := m.findClaim(s, c.Target)
	if tr == 0 {
		return res.with(CodeNotHolder)
	}
	hold := m.baseOf(tr)
	h := m.claims.at(hold)
	l := m.locks.at(h.lock)
	switch {
	case m.claims.at(tr).converts() || h.state != claimHolds || !h.knows(c.Token) ||
		string(m.lockName(l)) != string(c.Name):
		return res.with(CodeNotHolder)
	case l.semaphore():
		return l.otherKind(res)
	case h.isPart():
		return res.with(CodeBadRequest) // its token belongs to those of the others
	}
	return m.change(hold, c, res, out)
}

// convertAgain answers a request that has its claim already.
func (m *Machine) convertAgain(r ref, c *Command, res Result) Result {
	cv := m.claims.at(r)
	l := m.locks.at(cv.lock)
	switch {
	case !cv.converts() || cv.mode != c.Mode || string(m.lockName(l)) != string(c.Name):
		return res.with(CodeRequestReused)
	case cv.state == claimConverted:
		res.Token = m.claims.at(ref(cv.extra)).stamp
		return res.with(CodeOK)
	default:
		res.Waiting = l.waiting
		return res.with(CodeQueued)
	}
}

// change converts a hold, or puts that into the queue.
func (m *Machine) change(hold ref, c *Command, res Result, out *Outcome) Result {
	h := m.claims.at(hold)
	old := m.conversionOf(hold)
	switch {
	case old != 0 && m.claims.at(old).state == claimConverts:
		return res.with(CodeOtherMode)
	case h.mode.noStronger(c.Mode):
		return m.weaken(hold, c.Mode, res, out)
	case res.Detached:
		return res.with(CodeBadRequest)
	}
	if old == 0 {
		if code := m.roomFor(h.lock, m.sessions.at(h.session)); code != CodeOK {
			return res.with(code)
		}
	} else {
		m.dropConversion(old)
	}
	r := m.allocClaim()
	m.stamps++
	*m.claims.at(r) = claim{request: c.Request, stamp: m.stamps, since: m.logTime, lock: h.lock,
		session: h.session, mode: c.Mode, weight: h.weight, state: claimConverts}
	m.joinSession(r)
	m.attach(hold, r)
	return m.await(r, c.Flags, res, out)
}

// weaken gives a hold a mode that is no stronger. It keeps its token: nobody who
// got a larger one meanwhile writes what this hold may write.
func (m *Machine) weaken(hold ref, to Mode, res Result, out *Outcome) Result {
	h := m.claims.at(hold)
	if old := m.conversionOf(hold); old != 0 {
		m.dropConversion(old)
	}
	m.touchLock(h.lock)
	if h.mode != to {
		m.noteConverted(hold, to)
		m.setMode(h, to)
		m.pump(h.lock, 0, out)
	}
	res.Token = h.stamp
	return res.with(CodeOK)
}

// setMode changes the mode of a hold in the counts of its lock.
func (m *Machine) setMode(h *claim, to Mode) {
	l := m.locks.at(h.lock)
	l.counts[h.mode]--
	if l.counts[h.mode] == 0 {
		l.held &^= 1 << h.mode
	}
	h.mode = to
	l.counts[to]++
	l.held |= 1 << to
	m.mark(h, h.flags|claimMoved)
}

// await gives a new conversion what it is due, or a place in the queue.
func (m *Machine) await(r ref, f Flags, res Result, out *Outcome) Result {
	c := m.claims.at(r)
	l := m.locks.at(c.lock)
	hold := m.claims.at(ref(c.extra))
	m.queueConversion(l, r)
	m.pump(c.lock, r, out)
	m.touchLock(c.lock)
	if c.state == claimConverted {
		res.Token = hold.stamp
		return res.with(CodeOK)
	}
	circle, steps := ref(0), 0
	if f&Wait != 0 {
		circle = m.circle(l, r)
	}
	if f&(Wait|Detect) == Wait|Detect && circle == 0 {
		m.detect(r)
		steps = m.circleOf(r, out)
	}
	switch {
	case f&Wait == 0:
		res = m.refuseConversion(l, r, res)
	case steps > 0:
		res = m.deadlock(steps, res, out)
	case circle != 0:
		in := m.claims.at(ref(m.claims.at(circle).extra))
		res.Holder, res.HolderToken = m.sessions.at(in.session).id, in.stamp
		res = res.with(CodeDeadlock)
	case l.waiting > m.limits.WaitersPerLock:
		res = res.with(CodeTooManyWaiters)
	default:
		m.noteQueue(l, out)
		res.Waiting = l.waiting
		return res.with(CodeQueued)
	}
	m.unlink(&l.waiters, r)
	l.waiting--
	m.dropConversion(r)
	return res
}

// queueConversion puts a conversion behind those that wait and before all others. It looks
// for the place from both ends of the queue at once: often nothing else waits, or little.
func (m *Machine) queueConversion(l *lock, r ref) {
	at := l.waiters
	for last := ref(0); at != 0 && m.claims.at(at).state == claimConverts; {
		m.looks++
		before := m.claims.at(l.waiters).prev
		if last != 0 {
			before = m.claims.at(last).prev
		}
		if m.claims.at(before).state == claimConverts {
			at = last
			break
		}
		at, last = m.claims.at(at).next, before
	}
	m.link(&l.waiters, r, at)
	l.waiting++
}

// circle returns the first earlier conversion that waits for the hold which r, the last
// of them, is to convert; zero if there is none. One that is parked counts: it
// comes back. One of a session that has ended does not.
//
// It looks from r back. Of those before p none waited for the hold of p when p came, and
// neither that hold nor they have another mode since: if the hold of r is no stronger, it
// is not waited for by any of them.
func (m *Machine) circle(l *lock, r ref) ref {
	mode := m.claims.at(ref(m.claims.at(r).extra)).mode
	found := ref(0)
	if plantedIs("second-upgrader-waits") {
		return found
	}
	for p := r; p != l.waiters; {
		m.looks++
		p = m.claims.at(p).prev
		c := m.claims.at(p)
		if !c.mode.Compatible(mode) && m.sessions.at(c.session).flags&entryEnding == 0 {
			found = p
		}
		if m.claims.at(ref(c.extra)).mode.noStronger(mode) {
			break
		}
	}
	return found
}

// refuseConversion names the oldest other hold in the way, or that of the first
// conversion in the queue.
func (m *Machine) refuseConversion(l *lock, r ref, res Result) Result {
	c := m.claims.at(r)
	in := ref(0)
	bars := l.others(m.claims.at(ref(c.extra))) &^ c.mode.compatible()
	for h := l.holders; bars != 0 && in == 0; h = m.claims.at(h).next {
		if h != ref(c.extra) && bars&(1<<m.claims.at(h).mode) != 0 {
			in = h
		}
	}
	if in == 0 {
		in = ref(m.claims.at(l.waiters).extra)
	}
	h := m.claims.at(in)
	s := m.sessions.at(h.session)
	res.Holder, res.HolderToken = s.id, h.stamp
	res.HolderDetached = s.kind == kindDetached
	return res.with(CodeHeld)
}

// strengthen grants a conversion that is not in the queue any more. The hold gets
// a token larger than all before: others who held since it got its old one have
// shown larger ones.
func (m *Machine) strengthen(r ref) {
	c := m.claims.at(r)
	hold := ref(c.extra)
	h := m.claims.at(hold)
	l := m.locks.at(h.lock)
	m.undetect(r)
	c.state = claimConverted
	m.noteConverted(hold, c.mode)
	m.setMode(h, c.mode)
	m.noteHold(hold, ChangedGrant)
	if plantedIs("upgrade-keeps-token") {
		return
	}
	m.uncap(hold)
	m.stamps++
	h.stamp = m.stamps
	m.cap(hold)
	m.unlink(&l.holders, hold)
	m.link(&l.holders, hold, 0)
	s := m.sessions.at(h.session)
	m.unlinkOwn(s, hold)
	m.linkOwn(s, hold)
}

// dropConversion takes a conversion that is not in the queue out of everything.
func (m *Machine) dropConversion(r ref) {
	m.touchLock(m.claims.at(r).lock)
	m.undetect(r)
	m.detach(r)
	m.leaveSession(r)
}

// endConversion drops what is left of the conversion of a hold that ends.
func (m *Machine) endConversion(hold ref, out *Outcome) {
	r := m.conversionOf(hold)
	if r == 0 {
		return
	}
	c := m.claims.at(r)
	if c.state == claimConverts {
		l := m.locks.at(c.lock)
		s := m.sessions.at(c.session)
		e := Event{Kind: EventConversionEnded, Session: s.id, Request: c.request,
			Name: out.copyName(m.lockName(l))}
		if s.flags&entryEnding != 0 {
			e.Kind = EventWaitEnded
		}
		out.Events = append(out.Events, e)
		m.unlink(&l.waiters, r)
		l.waiting--
	}
	m.dropConversion(r)
}

// giveBack ends what came of the acquire named by Target, whatever it has been
// converted to since, and with the last of an owner's acquires what waits to be
// converted. One that is not there, or no longer, changes nothing.
func (m *Machine) giveBack(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Target, Token: c.Token,
		Detached: c.Flags&Detached != 0}
	if c.Flags&Wait != 0 || c.Target == 0 {
		return res.with(CodeBadRequest)
	}
	owner := session{id: c.Session, kind: kindDetached}
	s := &owner
	if !res.Detached {
		r, code := m.enter(c, out)
		if code != CodeOK {
			return res.with(code)
		}
		s = m.sessions.at(r)
	}
	r := m.findClaim(s, c.Target)
	if r == 0 {
		return res.with(CodeNotHolder)
	}
	cl := m.claims.at(r)
	b := m.base(cl)
	if cl.converts() || b.state != claimHolds || !b.knows(c.Token) ||
		string(m.lockName(m.locks.at(cl.lock))) != string(c.Name) {
		return res.with(CodeNotHolder)
	}
	m.dropClaim(r, endReleased, out)
	return res.with(CodeOK)
}

// before reports whether two neighbours of a queue stand in order.
func (m *Machine) before(c, next *claim) bool {
	switch {
	case c.state == claimConverts && next.state != claimConverts:
		return true
	case c.state != next.state:
		return false
	case c.state == claimWaits && m.rank(c) != m.rank(next):
		return m.rank(c) < m.rank(next)
	default:
		return c.stamp < next.stamp
	}
}

// validateConverted checks what a hold has of conversions, and counts those that
// stand in no queue.
func (m *Machine) validateConverted(hold ref) (uint32, error) {
	h := m.claims.at(hold)
	r := m.conversionOf(hold)
	if r == 0 {
		return 0, nil
	}
	c := m.claims.at(r)
	switch {
	case !c.converts() || c.session != h.session || c.lock != h.lock || !c.mode.Valid():
		return 0, fmt.Errorf("conversion %d of holder %d: state %d, mode %v", r, h.stamp, c.state, c.mode)
	case m.findClaim(m.sessions.at(c.session), c.request) != r && !plantedIs("dedup-off"):
		return 0, fmt.Errorf("conversion %d: not found by request %d", r, c.request)
	case c.state == claimConverts:
		return 0, nil
	case h.flags&claimMoved == 0:
		return 0, fmt.Errorf("holder %d: converted by request %d, but not moved", h.stamp, c.request)
	}
	return 1, nil
}

// validateConversions checks that the conversions of a queue belong to holds of
// the lock, and that none waits for the hold of a later one.
func (m *Machine) validateConversions(l *lock) error {
	var wanted modeSet // by those before, of sessions that live
	for r := l.waiters; r != 0 && m.claims.at(r).state == claimConverts; r = m.claims.at(r).next {
		c := m.claims.at(r)
		h := m.claims.at(ref(c.extra))
		switch {
		case h.state != claimHolds || m.conversionOf(ref(c.extra)) != r:
			return fmt.Errorf("conversion %d: its hold %d has state %d", c.stamp, c.extra, h.state)
		case h.mode.noStronger(c.mode):
			return fmt.Errorf("conversion %d: waits for %v and has %v", c.stamp, c.mode, h.mode)
		case wanted&^h.mode.compatible() != 0 && !plantedIs("second-upgrader-waits"):
			return fmt.Errorf("conversion %d: others before it wait for its hold in %v",
				c.stamp, h.mode)
		}
		if m.sessions.at(c.session).flags&entryEnding == 0 {
			wanted |= 1 << c.mode
		}
	}
	return nil
}
