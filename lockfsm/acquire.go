package lockfsm

import "bytes"

// with returns the result with its code set.
func (r Result) with(c Code) Result {
	r.Code = c
	return r
}

func (m *Machine) hashRequest(s *session, q RequestID) uint32 {
	return m.hashOf(s.kind, s.id, q)
}

// hashOf is hashRequest for what a session is called.
func (m *Machine) hashOf(k kind, id SessionID, q RequestID) uint32 {
	return hashPair(m.limits.Seed+uint64(k), uint64(id), uint64(q))
}

// findClaim returns the claim with this request id of a session, or of any
// detached hold with the owner of s.
func (m *Machine) findClaim(s *session, q RequestID) ref {
	if plantedIs("dedup-off") || s.id == 0 { // what stands is nobody's
		return 0
	}
	p := m.byRequest.probe(m.hashRequest(s, q))
	for r := p.next(); r != 0; r = p.next() {
		c := m.claims.at(r)
		if c.request != q {
			continue
		}
		if of := m.sessions.at(c.session); of.id == s.id && of.kind == s.kind {
			return r
		}
	}
	return 0
}

// acquire puts the request into its place in the queue and pumps. If it is not
// granted by that and does not want to wait, it is taken out again.
func (m *Machine) acquire(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Request,
		Detached: c.Flags&Detached != 0}
	// owner stands for the detached hold until it is granted.
	owner := session{id: c.Session, kind: kindDetached}
	of, s := ref(0), &owner
	if !res.Detached {
		r, code := m.enter(c, out)
		if code != CodeOK {
			return res.with(code)
		}
		of, s = r, m.sessions.at(r)
		if s.flags&entryParked != 0 {
			// Its conn of this epoch is gone: nobody would hear of the grant.
			return res.with(CodeStaleEpoch)
		}
	}
	if code := m.checkAcquire(c); code != CodeOK {
		return res.with(code)
	}
	if r := m.findClaim(s, c.Request); r != 0 &&
		!(c.Op == OpEnter && plantedIs("reentry-counted-twice")) {
		return m.acquireAgain(r, c, res)
	}
	hash := m.hashName(c.Name)
	lr := m.findLock(c.Name, hash)
	inUse := lr != 0 && !m.locks.at(lr).ghost()
	if inUse && (m.locks.at(lr).capacity() != c.capacity() || m.locks.at(lr).gate() != 0) {
		return m.locks.at(lr).otherKind(res)
	}
	if code := m.roomFor(lr, s); code != CodeOK {
		return res.with(code)
	}
	if inUse && c.Op == OpEnter {
		if br := m.findOwned(lr, of, c.Owner); br != 0 {
			return m.deepen(br, c, res)
		}
	}
	if code := m.roomForTerms(c, 1); code != CodeOK {
		return res.with(code)
	}
	if inUse && c.Flags&Wait == 0 {
		l := m.locks.at(lr)
		if l.waiters == 0 && !m.admits(l, c.mode(), c.permits()) {
			return m.refuse(l, c.mode(), res)
		}
	}
	if inUse && m.crowded(m.locks.at(lr), c) {
		m.stamps++ // for its place
		m.touchLock(lr)
		return res.with(CodeTooManyWaiters)
	}
	if lr == 0 {
		lr = m.newLock(c.Name, hash)
	}
	if res.Detached {
		of = m.newSession(kindDetached)
		d := m.sessions.at(of)
		d.id, d.lease, d.deadline = c.Session, c.Lease, m.logTime+Time(c.Lease)
	}
	return m.place(m.newClaim(c, of, lr), c.Flags, res, out)
}

// crowded reports whether an acquire that waits is one too many in the queue, and that can
// be told without its place there. If the holders do not let it in, a pump gives it nothing
// that those before it do not get, and they get nothing while no ended session has a wait
// that is yet to go. What looks for a circle would find that first.
func (m *Machine) crowded(l *lock, c *Command) bool {
	return l.waiting >= m.limits.WaitersPerLock && c.Flags&(Wait|Detect) == Wait &&
		m.endingHead == 0 && !m.admits(l, c.mode(), c.permits())
}

// checkAcquire judges the fields of an acquire by themselves.
func (m *Machine) checkAcquire(c *Command) Code {
	switch {
	case c.Request == 0:
		return CodeBadRequest
	case c.Flags&Detached != 0 && (c.Flags&Wait != 0 || c.Session == 0):
		return CodeBadRequest
	case c.Op == OpTake && (c.Permits == 0 || c.Permits > c.Capacity):
		return CodeBadRequest
	case c.Op == OpEnter && (c.Owner == 0 || c.Flags&Detached != 0):
		return CodeBadRequest
	case !c.Terms.valid() || c.Terms.Fields&(TermValue|TermOwner) != 0:
		return CodeBadRequest
	case !c.Terms.timely(&m.limits):
		return CodeBadLease
	case !c.mode().Valid():
		return CodeBadMode
	case c.Flags&Detached != 0 && !m.validHold(c.Lease):
		return CodeBadLease
	case len(c.Name) == 0:
		return CodeBadName
	case len(c.Name) > int(m.limits.NameBytes):
		return CodeNameTooLong
	default:
		return CodeOK
	}
}

func (m *Machine) validHold(d Millis) bool {
	return d >= m.limits.HoldMin && d <= m.limits.HoldMax
}

// acquireAgain answers a request that has its claim already.
func (m *Machine) acquireAgain(r ref, c *Command, res Result) Result {
	cl := m.claims.at(r)
	l := m.locks.at(cl.lock)
	b := m.base(cl)
	switch {
	case cl.isPart() || cl.converts() || l.gate() != 0 ||
		b.mode != c.mode() && b.flags&claimMoved == 0 ||
		l.capacity() != c.capacity() || l.permits(cl) != c.permits() ||
		m.ownerOf(r) != c.owner() || !bytes.Equal(m.lockName(l), c.Name):
		return res.with(CodeRequestReused)
	case m.holds(cl):
		res.Token = m.base(cl).stamp
		return res.with(CodeOK)
	default:
		res.Waiting = l.waiting
		return res.with(CodeQueued)
	}
}

// roomFor checks the limits that one more claim could break.
func (m *Machine) roomFor(lr ref, s *session) Code {
	inUse := lr != 0 && !m.locks.at(lr).ghost()
	switch {
	case m.claimCount >= m.limits.Claims:
		return CodeTooManyClaims
	case s.kind == kindDetached && m.detachedCount+m.lingers >= m.limits.Detached:
		return CodeTooManyDetached
	case s.count >= m.limits.ClaimsPerSession:
		return CodeTooManySessionClaims
	case !inUse && m.lockCount >= m.limits.Locks:
		return CodeTooManyLocks
	default:
		return CodeOK
	}
}

// newClaim makes a claim that is in its session's list and in the index, but in
// neither list of its lock.
func (m *Machine) newClaim(c *Command, of, lr ref) ref {
	if l := m.locks.at(lr); l.ghost() {
		m.lockCount++
		l.become(c.capacity())
	}
	r := m.allocClaim()
	*m.claims.at(r) = claim{request: c.Request, lock: lr, session: of, mode: c.mode(),
		weight: c.Weight, since: m.logTime, extra: uint32(c.permits())}
	m.joinSession(r)
	if c.Op == OpEnter {
		m.own(r, c.Owner)
	}
	if c.Terms.Fields != 0 {
		none := termed{}
		m.setTerms(r, none.after(&c.Terms))
	}
	return r
}

// joinSession puts a new claim into its session's list and into the index, in
// which the first part stands for all.
func (m *Machine) joinSession(r ref) {
	c := m.claims.at(r)
	s := m.sessions.at(c.session)
	m.linkOwn(s, r)
	s.count++
	m.claimCount++
	if !c.isPart() || c.part() == 1 {
		m.byRequest.insert(m.hashRequest(s, c.request), r)
	}
}

// leaveSession undoes joinSession and frees the claim.
func (m *Machine) leaveSession(r ref) {
	c := m.claims.at(r)
	s := m.sessions.at(c.session)
	hash, next := m.hashRequest(s, c.request), ref(0)
	leads := !c.isPart() || m.partBefore(r) == 0
	if c.isPart() {
		next = m.partAfter(r)
		m.partCount--
	}
	m.unlinkOwn(s, r)
	s.count--
	m.claimCount--
	m.dropTerms(r)
	if leads {
		m.byRequest.remove(hash, r)
	}
	if leads && next != 0 {
		m.byRequest.insert(hash, next)
	}
	*c = claim{next: m.freeClaim}
	m.freeClaim = r
}

func (m *Machine) allocClaim() ref {
	r := m.freeClaim
	if r == 0 {
		return m.claims.grow()
	}
	m.freeClaim = m.claims.at(r).next
	return r
}

// place gives a new claim what it is due.
func (m *Machine) place(r ref, f Flags, res Result, out *Outcome) Result {
	c := m.claims.at(r)
	l := m.locks.at(c.lock)
	if (l.waiters == 0 || plantedIs("reader-passes-writer")) && m.admits(l, c.mode, l.permits(c)) {
		m.grant(r)
	} else {
		m.enqueue(r)
		m.pump(c.lock, r, out)
	}
	m.touchLock(c.lock)
	circle := 0
	if c.state == claimWaits && f&(Wait|Detect) == Wait|Detect {
		m.detect(r)
		circle = m.circleOf(r, out)
	}
	switch {
	case circle > 0:
		res = m.deadlock(circle, res, out)
	case c.state == claimHolds:
		res.Token = c.stamp
		if f&Detached != 0 {
			m.startHold(c)
		}
		return res.with(CodeOK)
	case f&Wait == 0:
		res = m.refuse(l, c.mode, res)
	case l.waiting > m.limits.WaitersPerLock:
		res = res.with(CodeTooManyWaiters)
	default:
		m.noteQueue(l, out)
		res.Waiting = l.waiting
		return res.with(CodeQueued)
	}
	m.withdraw(r, out)
	return res
}

// startHold begins the time of a detached hold.
func (m *Machine) startHold(c *claim) {
	m.addDetached(c.session, c.stamp)
	m.due.push(c.session)
	m.touchSession(c.session)
}

// withdraw takes a claim that was refused out again.
func (m *Machine) withdraw(r ref, out *Outcome) {
	of := m.claims.at(r).session
	m.removeClaim(r, out)
	if m.sessions.at(of).kind == kindDetached {
		m.freeEntry(of)
	}
}

// refuse fills in the oldest hold in the way of mode, or the oldest of all if
// only waiters are in the way.
func (m *Machine) refuse(l *lock, mode Mode, res Result) Result {
	if l.holders == 0 {
		return res.with(CodeHeld)
	}
	in := l.holders
	if bars := l.held &^ mode.compatible(); bars != 0 {
		in = m.oldest(l, bars)
	}
	h := m.claims.at(in)
	s := m.sessions.at(h.session)
	res.Holder, res.HolderToken = s.id, h.stamp
	res.HolderDetached = s.kind == kindDetached
	return res.with(CodeHeld)
}

// oldest returns the oldest hold of a lock in one of these modes, zero if there is none.
func (m *Machine) oldest(l *lock, in modeSet) ref {
	r := l.holders
	for ; r != 0 && in&(1<<m.claims.at(r).mode) == 0; r = m.claims.at(r).next {
		m.looks++
	}
	return r
}

// admits reports whether the holders let one more in, of this mode or with this
// many permits.
func (m *Machine) admits(l *lock, mode Mode, n Permits) bool {
	return l.held&^mode.compatible() == 0 && l.holderCount() < m.limits.HoldersPerLock && l.has(n)
}

// rank orders those who wait and hold nothing: the smaller goes first, and of equal
// ones who came first. Each unit of weight counts as having come AgeStep earlier, so
// nothing has to be moved as time goes by, and how many can pass one who waits is
// bounded by what comes in weight × AgeStep. Without AgeStep weight alone decides.
func (m *Machine) rank(c *claim) int64 {
	if m.limits.AgeStep == 0 || plantedIs("weight-never-ages") {
		return -int64(c.weight)
	}
	return int64(c.since) - int64(c.weight)*int64(m.limits.AgeStep)
}

// ahead reports whether a claim of the queue goes before one that comes now and
// holds nothing.
func (m *Machine) ahead(c, late *claim) bool {
	return c.state == claimConverts || m.rank(c) <= m.rank(late)
}

// enqueue gives a claim its place: by its rank, and after those who hold already.
func (m *Machine) enqueue(r ref) {
	c := m.claims.at(r)
	l := m.locks.at(c.lock)
	m.stamps++
	c.stamp = m.stamps
	c.state = claimWaits
	l.waiting++
	m.link(&l.waiters, r, m.placeOf(l, c))
}

// placeOf returns the claim of a queue before which one has its place that comes now and
// holds nothing, zero if that is the end.
func (m *Machine) placeOf(l *lock, c *claim) ref {
	if l.waiters == 0 {
		return 0
	}
	if head := m.claims.at(l.waiters); !m.ahead(head, c) {
		return l.waiters
	}
	before, last := ref(0), m.claims.at(l.waiters).prev
	for ; !m.ahead(m.claims.at(last), c); last = m.claims.at(last).prev {
		m.looks++
		before = last
	}
	return before
}

// pump has pumpOne grant waiters of a lock, and then of each other lock whose
// queue that made shorter, in the order in which they became so, until none is
// left. Each part that is granted adds one lock at most, so there are no more
// pumps than grants, and one. It returns how many were granted.
func (m *Machine) pump(lr, asking ref, out *Outcome) int {
	granted := m.pumpOne(lr, asking, out)
	for i := 0; i < len(m.shorter); i++ {
		lr = m.shorter[i]
		m.locks.at(lr).flags &^= entryShorter
		granted += m.pumpOne(lr, asking, out)
	}
	m.shorter = m.shorter[:0]
	return granted
}

// pumpOne grants waiters of a lock from the head of its queue for as long as they
// are compatible with all who hold, and stops at the first that is not; so a
// reader stays behind a writer that came before, and readers side by side go
// together; and a request for many permits is not passed by those for few.
// Dormant waiters are passed over, and parts that wait for their others by whom
// they get along with. It returns how many it granted; the one of the request
// being executed gets no event. While he asks no lock is noted as quiet: he may be
// refused, and taken out of the queue that he has stopped.
func (m *Machine) pumpOne(lr, asking ref, out *Outcome) int {
	l := m.locks.at(lr)
	if l.gate() != 0 {
		return 0 // nobody has his turn there
	}
	granted, passed, q := 0, m.passed, m.newLine()
	for r := l.waiters; r != 0; {
		c := m.claims.at(r)
		next := c.next
		s := m.sessions.at(c.session)
		if !s.dormant() {
			if !q.lets(c.mode) || !m.grantable(l, c) {
				break
			}
			n := m.grantNext(l, r, asking, out)
			if n == 0 && !q.pass(c.mode) {
				break
			}
			granted += n
		} else {
			m.passed++
		}
		r = next
	}
	if granted > 0 {
		m.touchLock(lr)
	}
	if m.passed-passed > quietLeast && l.flags&entryQuiet == 0 && asking == 0 {
		l.flags |= entryQuiet
		m.quiet = append(m.quiet, lr)
	}
	return granted
}

// grantNext grants the waiter r of l, which is in turn, and if it is a part all
// others with it, or none as long as one is not in turn. It returns how many.
func (m *Machine) grantNext(l *lock, r, asking ref, out *Outcome) int {
	if m.claims.at(r).isPart() {
		if !m.othersInTurn(r) {
			return 0
		}
		return m.grantAll(r, asking, out)
	}
	m.unlink(&l.waiters, r)
	l.waiting--
	if m.claims.at(r).state == claimConverts {
		m.strengthen(r)
	} else {
		m.grant(r)
	}
	if r == asking {
		return 1
	}
	return 1 + m.tell(l, r, out)
}

// quietLeast is how many dormant waiters a lock may have without being remembered:
// to pass over so few costs no more.
const quietLeast = 1

// disturb forgets which locks are quiet, because a session has become dormant or
// is about to come back.
func (m *Machine) disturb() {
	for _, r := range m.quiet {
		m.locks.at(r).flags &^= entryQuiet
	}
	m.quiet = m.quiet[:0]
}

// tell says that a waiting claim was granted, to each of its levels too. It
// returns the number of those.
func (m *Machine) tell(l *lock, r ref, out *Outcome) int {
	c := m.claims.at(r)
	e := Event{Kind: EventGranted, Session: m.sessions.at(c.session).id, Request: c.request,
		Token: m.base(c).stamp, Name: out.copyName(m.lockName(l))}
	out.Events = append(out.Events, e)
	k := m.stack(l, c)
	if k == nil {
		return 0
	}
	for up := k.levels; up != 0; up = m.claims.at(up).next {
		e.Request = m.claims.at(up).request
		out.Events = append(out.Events, e)
	}
	return int(k.count)
}

// grant makes a claim that is in neither list of its lock a hold.
func (m *Machine) grant(r ref) {
	c := m.claims.at(r)
	l := m.locks.at(c.lock)
	m.stamps++
	c.stamp = m.stamps
	if plantedIs("token-per-key") {
		c.stamp = Token(l.holderCount() + 1)
	}
	m.undetect(r)
	c.state = claimHolds
	c.since = m.logTime
	m.hold(l, r)
	m.cap(r)
	s := m.sessions.at(c.session)
	m.unlinkOwn(s, r)
	m.linkOwn(s, r)
}
